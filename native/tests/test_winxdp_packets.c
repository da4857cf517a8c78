/* test_winxdp_packets.c: packets that XDP for Windows delivers or sends unlike others: too long,
 * fragments, checksums left to the adapter; and rings full of nonsense; over the simulator. */
#include "winxdp_traffic.h"

#include "checksum.h"
#include "wire.h"

/* ---- Packets ---- */

/* make_packet opens both ends and makes a packet for end 1, which arrives by sim_inject. */
static uint32_t make_packet(uint8_t *frame, uint32_t payload_bytes)
{
	struct qx_path path;

	sim_reset();
	open_ends(QX_IPV4);
	transfer(0, 10);
	path = (struct qx_path){.peer = addrs[1], .local = addrs[0]};
	wire_build_headers(frame, sim_adapter(1).mac, sim_adapter(0).mac, &path);
	return wire_finish(frame, QX_IPV4, payload_bytes, 0);
}

static void inject_and_drop(const uint8_t *frame, uint32_t len_bytes, enum qx_drop reason)
{
	uint64_t before = drops(1, reason);

	sim_inject(1, frame, len_bytes);
	step();
	T_EQ(receive_numbered(1, 0), 0);
	T_EQ(drops(1, reason), before + 1);
	transfer(0, 100);
}

/* Jumbo frames where none were announced: cut by the driver, dropped by the parser. */
static void a_packet_longer_than_a_frame_is_dropped(void)
{
	static uint8_t frame[4000];
	uint32_t len_bytes = make_packet(frame, 3000);

	inject_and_drop(frame, len_bytes, QX_DROP_IP_LENGTH);
}

/* The driver does not look at fragment offsets; the parser does. */
static void a_first_fragment_is_taken_and_dropped(void)
{
	uint8_t frame[128] = {0};
	uint32_t len_bytes = make_packet(frame, 64);
	uint16_t sum;

	frame[20] = 0x20; /* more fragments */
	frame[24] = frame[25] = 0;
	sum = (uint16_t)~checksum_fold(checksum_add(frame + 14, 20, 0));
	memcpy(frame + 24, &sum, sizeof(sum));
	inject_and_drop(frame, len_bytes, QX_DROP_FRAGMENT);
}

/* Buffers run out: packets are lost and counted, and the next ones arrive. */
static void a_reader_that_stops_loses_packets_and_counts_them(void)
{
	uint64_t lost;

	sim_reset();
	open_ends(QX_IPV4);
	for (int i = 0; i < 20; i++) {
		send_numbered(0, 0, 48);
		step();
		T_EQ(receive_numbered(0, 0), 0);
	}
	lost = stats_of(1).kernel_rx_dropped;
	T_CHECK(lost > 0);
	for (int i = 0; i < 10; i++) {
		step();
		T_CHECK(qx_recv(ends[1], &batch, now_ns) >= 0);
		qx_recv_done(ends[1], &batch);
	}
	transfer(0, 300);
	T_EQ(stats_of(1).kernel_rx_dropped, lost);
}

/* ---- Checksums left to the adapter ---- */

static uint32_t wrong_checksums;

/* On the cable every checksum must be right: nothing behind it finishes any. */
static void check_checksum(uint32_t from_end, const uint8_t *frame, uint32_t len_bytes)
{
	bool ipv4 = frame[14] >> 4 == 4;
	uint32_t udp = ipv4 ? 34 : 54, addresses = ipv4 ? 26 : 22;
	uint8_t pseudo[4] = {0, 17, frame[udp + 4], frame[udp + 5]};
	uint64_t sum = checksum_add(pseudo, 4, 0);

	(void)from_end;
	sum = checksum_add(frame + addresses, ipv4 ? 8 : 32, sum);
	sum = checksum_add(frame + udp, len_bytes - udp, sum);
	if (checksum_fold(sum) != 0xffff)
		wrong_checksums++;
}

static void an_adapter_that_finishes_checksums_is_left_them(void)
{
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		sim_reset();
		sim_config.offload = true;
		sim_tap = check_checksum;
		wrong_checksums = 0;
		open_ends(family);
		transfer(0, 300);
		T_EQ(sim_counts.finished_checksums, sim_counts.packets);
		T_CHECK(sim_counts.packets >= 300);
		T_EQ(wrong_checksums, 0);
		close_ends();
	}
}

/* It may be switched off while running; a stale descriptor must not ask for it then. */
static void checksums_are_computed_here_once_the_adapter_stops(void)
{
	uint64_t finished;

	sim_reset();
	sim_config.offload = true;
	sim_tap = check_checksum;
	wrong_checksums = 0;
	open_ends(QX_IPV4);
	transfer(0, 100);
	for (int round = 0; round < 3; round++) {
		sim_offload_changed(0, false);
		step();
		T_EQ(receive_numbered(0, 0), 0);
		finished = sim_counts.finished_checksums;
		transfer(0, 100);
		T_EQ(sim_counts.finished_checksums, finished);
		sim_offload_changed(0, true);
		step();
		T_EQ(receive_numbered(0, 0), 0);
		transfer(0, 100);
		T_CHECK(sim_counts.finished_checksums > finished);
	}
	T_EQ(wrong_checksums, 0);
}

/* ---- Anything at all ---- */

static void one_trouble(uint64_t *seed)
{
	uint64_t random = t_random(seed), address = t_random(seed) >> (t_random(seed) % 64);
	uint32_t end = random >> 8 & 1, queue = random >> 9 & 1;

	switch (random & 7) {
	case 0:
		sim_put_raw(end, queue, random & 16, address & ~2047ull, address & 4095);
		break;
	case 1:
		sim_put_raw(end, queue, random & 16, address, (uint32_t)(random >> 32));
		break;
	case 2:
		sim_scribble(end, queue, t_random(seed));
		break;
	case 3:
		/* Errors end everything, so they are rare. */
		sim_flag_rings(end, (uint32_t)(random >> 32) & ~(random >> 16 & 63 ? 1u : 0));
		break;
	default:
		send_numbered(end, 0, 1 + (random >> 16 & 31));
	}
}

/* A driver gone mad: whatever stands in the rings, nothing outside is read or written, every
 * frame stays accounted for, and all of it can be closed. */
static void rings_full_of_nonsense_are_survived(void)
{
	uint64_t seed = 0x5eed;
	uint32_t ended = 0, delivered = 0;

	printf("  seed %llx\n", (unsigned long long)seed);
	for (int round = 0; round < 200; round++) {
		sim_reset();
		sim_config.offload = round & 1;
		open_ends(round & 2 ? QX_IPV4 : QX_IPV6);
		for (int i = 0; i < 40; i++) {
			for (uint32_t end = 0; end < 2; end++) {
				int got = qx_recv(ends[end], &batch, now_ns);

				T_CHECK(got == -ENETDOWN ||
					(got >= 0 && got <= QX_BATCH_MAX));
				ended += got < 0;
				delivered += got > 0;
				if (got >= 0)
					qx_recv_done(ends[end], &batch);
				check_census(end);
			}
			one_trouble(&seed);
			step();
		}
		close_ends();
	}
	T_CHECK(ended > 10);
	T_CHECK(delivered > 500);
}

static const struct t_case cases[] = {
	{"a packet longer than a frame is dropped", a_packet_longer_than_a_frame_is_dropped},
	{"a first fragment is taken and dropped", a_first_fragment_is_taken_and_dropped},
	{"a reader that stops loses packets and counts them",
	 a_reader_that_stops_loses_packets_and_counts_them},
	{"an adapter that finishes checksums is left them",
	 an_adapter_that_finishes_checksums_is_left_them},
	{"rings full of nonsense are survived", rings_full_of_nonsense_are_survived},
	{"checksums are computed here once the adapter stops",
	 checksums_are_computed_here_once_the_adapter_stops},
};

TRAFFIC_MAIN(cases)
