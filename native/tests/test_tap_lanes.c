/* test_tap_lanes.c: what a tap gets to see of either lane. */
#define _GNU_SOURCE
#include "tap_file.h"

#include "counting.h"
#include "frames.h"
#include "sim.h"
#include "udp_seam.h"
#include "wire.h"

/* Whole frames, both ways, with the time of the simulation and the fate of the refused. */
static void the_xdp_lane_shows_frames_both_ways_and_why_some_were_refused(void)
{
	uint32_t numbers[QX_BATCH_MAX], n = 0;
	struct wire_datagram w;
	struct pcap_record r[3];
	uint8_t broken[60] = {0};
	uint64_t off;
	struct qx_tap *another;
	int another_fd;

	sim_open((struct qx_link_config){0}, QX_IPV6);
	open_file_tap((struct qx_tap_config){0});
	T_EQ(qx_set_tap(ends[1], tap), 0);
	T_EQ(sim_send(0, 42, 700, QX_ECN_CE), 1);
	T_EQ(qx_link_inject(link_, 1, broken, sizeof(broken)), 0);
	qx_link_advance(link_, 5 * MS_NS);
	T_EQ(sim_recv(1, 5 * MS_NS, numbers), 1);
	T_EQ(sim_send(1, 43, 900, QX_ECN_ECT0), 1);
	/* One device, one file. */
	another_fd = memfd_create("another", MFD_CLOEXEC);
	T_EQ(qx_tap_open(&another, &(struct qx_tap_config){.fd = another_fd}), 0);
	T_EQ(qx_set_tap(ends[1], another), 0);
	T_EQ(qx_set_tap(ends[1], tap), 0);
	qx_tap_close(another);
	close(another_fd);
	T_EQ(tap_stats().packets, 3);
	/* In either order. */
	qx_tap_close(tap);
	T_EQ(sim_send(1, 44, 900, QX_ECN_ECT0), 1);
	sim_close();

	begin_reading(&off);
	while (n < 3 && next_packet(&off, &r[n]))
		n++;
	T_EQ(n, 3);
	for (uint32_t i = 0; i < 2; i++) {
		T_EQ(r[i].flags, 1);
		T_EQ(r[i].time_ns, 5 * MS_NS);
	}
	T_CHECK(r[0].comment_bytes + r[1].comment_bytes > 0);
	n = r[0].comment_bytes ? 1 : 0; /* the good one */
	T_CHECK(memcmp(r[1 - n].comment, "dropped: ", 9) == 0);
	T_EQ(r[1 - n].len_bytes, sizeof(broken));
	T_EQ(wire_parse(r[n].data, r[n].len_bytes, r[n].data, &w), QX_DROP_NONE);
	T_EQ(w.payload_len_bytes, 700);
	T_EQ(w.ecn, QX_ECN_CE);
	T_EQ(r[2].flags, 2);
	T_EQ(wire_parse(r[2].data, r[2].len_bytes, r[2].data, &w), QX_DROP_NONE);
	T_EQ(w.payload_len_bytes, 900);
	T_EQ(w.path.local.port, 443);
	close_file();
}

/* Reads a packet of the socket lane with the parser of the other one. */
static struct wire_datagram parse_raw(const struct pcap_record *r)
{
	static uint8_t frame[FRAME_MAX];
	static const uint8_t mac[6];
	struct wire_datagram w;

	T_CHECK(r->len_bytes + WIRE_ETH_BYTES <= FRAME_MAX);
	memset(frame, 0, WIRE_ETH_BYTES);
	memcpy(frame + 12, r->data[0] >> 4 == 4 ? "\x08\x00" : "\x86\xdd", 2);
	memcpy(frame + WIRE_ETH_BYTES, r->data, r->len_bytes);
	/* Loopback addresses are no sources on a wire; that comes last but for the port. */
	T_EQ(wire_parse(frame, r->len_bytes + WIRE_ETH_BYTES, mac, &w),
	     QX_DROP_SOURCE_ADDRESS);
	return w;
}

static void the_socket_lane_shows_datagrams_behind_valid_headers(void)
{
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		bool four = family == QX_IPV4;
		uint32_t header_bytes = wire_header_bytes(family) - WIRE_ETH_BYTES;
		struct qx_datapath *a = open_at(four ? loopback4(1, 0) : loopback6(1, 0), 0);
		struct qx_datapath *b = open_at(four ? loopback4(1, 0) : loopback6(1, 0), 0);
		struct qx_path path = path_to(b);
		struct pcap_record r;
		uint32_t in_file = 0;
		uint64_t off, allocations;

		open_file_tap((struct qx_tap_config){0});
		T_EQ(qx_set_tap(a, tap), 0);
		T_EQ(qx_set_tap(b, tap), 0);
		allocations = counting_allocations;
		T_EQ(send_equal(a, &path, 5, 1200, 0), 5);
		expect_equal(b, 5, 1200, 0);
		T_EQ(counting_allocations, allocations);
		T_EQ(tap_stats().packets, 10);
		qx_close(a);
		qx_tap_close(tap);
		qx_close(b);
		begin_reading(&off);
		for (; next_packet(&off, &r); in_file++) {
			T_EQ(r.flags, in_file < 5 ? 2 : 1);
			T_EQ(r.interface, 0);
			T_EQ(r.len_bytes, header_bytes + 1200);
			T_EQ(r.data[header_bytes + 1199], in_file % 5);
			/* Destination port, in network order, as the peer has it. */
			T_EQ(r.data[header_bytes - 6] << 8 | r.data[header_bytes - 5],
			     path.peer.port);
			parse_raw(&r);
		}
		T_EQ(in_file, 10);
		T_EQ(others[READ_INTERFACE], 1);
		close_file();
	}
}

/* Readers tell client and server by their addresses, from the first packet on. */
static void a_source_that_the_kernel_picks_is_known_before_it_sends(void)
{
	struct qx_datapath *client = open_at((struct qx_addr){.family = QX_IPV6}, 0);

	open_file_tap((struct qx_tap_config){0});
	T_EQ(qx_set_tap(client, tap), 0);
	for (int i = 0; i < 2; i++) {
		struct qx_datapath *server =
			open_at(i ? loopback6(1, 0) : loopback4(5, 0), 0);
		struct qx_path path = path_to(server);

		T_EQ(send_equal(client, &path, 2, 100, 0), 2);
		qx_close(server);
	}
	qx_close(client);
	qx_tap_close(tap);
	read_file();
	for (uint64_t off = 0, n = 0; n < 4; n++) {
		struct pcap_record r;

		T_CHECK(next_packet(&off, &r));
		if (n < 2)
			T_CHECK(memcmp(r.data + 12, (uint8_t[]){127, 0, 0, 1}, 4) == 0);
		else
			T_CHECK(r.data[8 + 15] == 1);
	}
	close_file();
}

static uint32_t asked;

static void count_asking(int fd)
{
	(void)fd;
	asked++;
}

/* A server on all addresses answers many peers in turn: each is asked for once in a while, not
 * with every datagram. */
static void alternating_peers_are_asked_for_once(void)
{
	struct qx_datapath *all = open_at((struct qx_addr){.family = QX_IPV4}, 0);
	struct qx_datapath *peers[4];
	struct qx_path paths[4];

	for (uint8_t i = 0; i < 4; i++) {
		peers[i] = open_at(loopback4((uint8_t)(5 + i), 0), 0);
		paths[i] = path_to(peers[i]);
	}
	open_file_tap((struct qx_tap_config){0});
	T_EQ(qx_set_tap(all, tap), 0);
	asked = 0;
	seam.connecting = count_asking;
	for (int i = 0; i < 40; i++)
		T_EQ(send_equal(all, &paths[i % 4], 1, 100, 0), 1);
	T_EQ(asked, 4);
	T_EQ(tap_stats().packets, 40);
	/* Routes change, hence only for a while. */
	T_EQ(qx_recv(all, &batch, 20000000000ull), 0);
	for (int i = 0; i < 8; i++)
		T_EQ(send_equal(all, &paths[i % 4], 1, 100, 0), 1);
	T_EQ(asked, 8);
	seam.connecting = NULL;
	qx_close(all);
	qx_tap_close(tap);
	for (int i = 0; i < 4; i++)
		qx_close(peers[i]);
	close_file();
}

static const struct t_case cases[] = {
	{"the XDP lane shows frames both ways and why some were refused",
	 the_xdp_lane_shows_frames_both_ways_and_why_some_were_refused},
	{"the socket lane shows datagrams behind valid headers",
	 the_socket_lane_shows_datagrams_behind_valid_headers},
	{"a source that the kernel picks is known before it sends",
	 a_source_that_the_kernel_picks_is_known_before_it_sends},
	{"alternating peers are asked for once", alternating_peers_are_asked_for_once},
};

int main(int argc, char **argv)
{
	enter_loopback();
	t_after_each = check_descriptors;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
