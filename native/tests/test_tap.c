/* test_tap.c: the tap: what is in the file, what is not and is counted, and that neither a
 * slow disk nor a full one reaches the packets. */
#define _GNU_SOURCE
#include "tap_file.h"

#include <errno.h>
#include <pthread.h>

#include "counting.h"
#include "udp_seam.h"

/* A frame of any length that tells its number. */
static uint32_t numbered(uint8_t frame[FRAME_MAX], uint32_t number)
{
	uint32_t len_bytes = 4 + number * 2654435761u % (FRAME_MAX - 4);

	memset(frame, (int)(number % 251), len_bytes);
	memcpy(frame, &number, sizeof(number));
	return len_bytes;
}

static void check_numbered(const struct pcap_record *r)
{
	uint8_t want[FRAME_MAX];
	uint32_t number;

	T_CHECK(r->len_bytes >= 4);
	memcpy(&number, r->data, sizeof(number));
	T_EQ(r->len_bytes, numbered(want, number));
	T_EQ(r->original_bytes, r->len_bytes);
	T_CHECK(memcmp(r->data, want, r->len_bytes) == 0);
}

/* ---- The ring and the file ---- */

/* Laps of the ring end where records do, whatever their lengths and whoever is ahead. */
static void what_goes_in_comes_out_in_order_over_many_laps(void)
{
	uint64_t seed = 7, off, allocations, t0 = tap_clock_ns(), last = 0;
	struct qx_tap_stats s;
	struct pcap_record r;
	uint8_t frame[FRAME_MAX];
	uint32_t in_file = 0, number, expected = 0;
	int interface;

	open_file_tap((struct qx_tap_config){0});
	interface = tap_interface(tap, TAP_ETHERNET, "xdp veth0");
	T_EQ(interface, 0);
	T_EQ(tap_interface(tap, TAP_ETHERNET, "xdp veth0"), 0);
	T_EQ(tap_interface(tap, TAP_RAW_IP, "socket"), 1);
	allocations = counting_allocations;
	for (uint32_t i = 0; i < 4000; i++) {
		uint32_t len_bytes = numbered(frame, i);

		tap_frame(tap, 0, i % 2, frame, len_bytes, i % 5 ? 0 : QX_DROP_FRAGMENT);
		if (t_random(&seed) % 40 == 0)
			T_CHECK(qx_tap_write(tap) > 0);
	}
	T_EQ(counting_allocations, allocations);
	s = tap_stats();
	T_EQ(s.packets + s.dropped_ring_full, 4000);
	T_CHECK(s.dropped_ring_full > 0 && s.packets > 3000);
	qx_tap_close(tap);
	begin_reading(&off);
	for (; next_packet(&off, &r); in_file++) {
		check_numbered(&r);
		memcpy(&number, r.data, sizeof(number));
		T_CHECK(number >= expected);
		expected = number + 1;
		T_EQ(r.interface, 0);
		T_EQ(r.flags, number % 2 ? 2 : 1);
		T_CHECK(r.time_ns >= t0 && r.time_ns >= last);
		last = r.time_ns;
		if (number % 5 == 0)
			T_CHECK(r.comment_bytes == 17 &&
				memcmp(r.comment, "dropped: fragment", 17) == 0);
		else
			T_CHECK(!r.comment);
	}
	T_EQ(in_file, s.packets);
	T_EQ(others[0], 1);
	T_EQ(others[READ_INTERFACE], 2);
	T_EQ(others[READ_COUNTERS], 2);
	close_file();
}

/* A record that ends exactly where the lap does, and those that do not fit behind it. */
static void laps_may_end_to_the_byte(void)
{
	for (uint32_t short_by = 0; short_by <= 8; short_by += 4) {
		static uint8_t big[RING_BYTES];
		uint32_t in_file = 0, taken;
		struct pcap_record r;
		uint64_t off;

		open_file_tap((struct qx_tap_config){0});
		T_EQ(tap_interface(tap, TAP_ETHERNET, "xdp a"), 0);
		T_CHECK(qx_tap_write(tap) > 0);
		/* Where the ring stands is known by what it has taken. */
		taken = (uint32_t)tap_stats().file_bytes - PCAP_SECTION_BYTES;
		taken += pcap_packet_bytes(0, NULL) + short_by;
		tap_frame(tap, 0, false, big, RING_BYTES - taken, QX_DROP_NONE);
		T_CHECK(qx_tap_write(tap) > 0);
		for (int i = 0; i < 3; i++)
			tap_frame(tap, 0, false, big, 100, QX_DROP_NONE);
		qx_tap_close(tap);
		begin_reading(&off);
		while (next_packet(&off, &r))
			in_file++;
		T_EQ(in_file, 4);
		close_file();
	}
}

static bool writing;

static void *write_all(void *arg)
{
	while (__atomic_load_n(&writing, __ATOMIC_ACQUIRE))
		qx_tap_write(arg);
	return NULL;
}

/* The file's thread beside the packets' thread, as fast as both can. */
static void two_threads_lose_nothing_that_was_taken(void)
{
	struct qx_tap_stats s;
	struct pcap_record r;
	uint8_t frame[FRAME_MAX];
	pthread_t thread;
	uint64_t off;
	uint32_t in_file = 0;

	open_file_tap((struct qx_tap_config){.file_max_bytes = 8 << 20});
	T_EQ(tap_interface(tap, TAP_ETHERNET, "xdp a"), 0);
	writing = true;
	T_EQ(pthread_create(&thread, NULL, write_all, tap), 0);
	for (uint32_t i = 0; i < 20000; i++)
		tap_frame(tap, 0, false, frame, numbered(frame, i), QX_DROP_NONE);
	__atomic_store_n(&writing, false, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	s = tap_stats();
	qx_tap_close(tap);
	begin_reading(&off);
	for (; next_packet(&off, &r); in_file++)
		check_numbered(&r);
	T_EQ(in_file, s.packets);
	T_EQ(s.packets + s.dropped_ring_full + s.dropped_file_full, 20000);
	T_CHECK(file_bytes <= 8 << 20);
	close_file();
}

/* Nobody's disk is filled because somebody forgot a capture. */
static void the_file_never_grows_beyond_its_bound(void)
{
	const uint64_t max_bytes = 100000;
	struct pcap_record r;
	uint8_t frame[FRAME_MAX];
	struct qx_tap_stats s;
	uint64_t off;
	uint32_t in_file = 0;

	open_file_tap((struct qx_tap_config){.file_max_bytes = max_bytes});
	T_EQ(tap_interface(tap, TAP_ETHERNET, "xdp a"), 0);
	for (uint32_t i = 0; i < 200; i++)
		tap_frame(tap, 0, false, frame, numbered(frame, i), QX_DROP_NONE);
	/* Interfaces that come later have their place all the same. */
	T_EQ(tap_interface(tap, TAP_RAW_IP, "socket"), 1);
	s = tap_stats();
	T_CHECK(s.dropped_file_full > 0 && s.packets > 20);
	T_EQ(s.packets + s.dropped_file_full, 200);
	qx_tap_close(tap);
	begin_reading(&off);
	while (next_packet(&off, &r))
		in_file++;
	T_EQ(in_file, s.packets);
	T_EQ(others[READ_COUNTERS], 2);
	T_CHECK(file_bytes <= max_bytes && file_bytes > max_bytes / 2);
	close_file();
}

static void a_disk_that_is_full_is_told_and_stops_nobody(void)
{
	struct qx_tap_config cfg = {.ring_bytes = RING_BYTES};
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct qx_tap_stats s;
	uint8_t frame[FRAME_MAX] = {0};

	T_CHECK(full >= 0);
	cfg.fd = full;
	T_EQ(qx_tap_open(&tap, &cfg), -ENOSPC);
	close(full);
	/* A file that breaks later. */
	cfg.fd = memfd_create("tap", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	T_EQ(qx_tap_open(&tap, &cfg), 0);
	T_EQ(tap_interface(tap, TAP_ETHERNET, "xdp a"), 0);
	T_EQ(fcntl(cfg.fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	T_EQ(qx_tap_write(tap), -EPERM);
	for (int i = 0; i < 1000; i++)
		tap_frame(tap, 0, false, frame, 1000, QX_DROP_NONE);
	T_EQ(qx_tap_write(tap), -EPERM);
	s = tap_stats();
	T_EQ(s.file_error, EPERM);
	T_EQ(s.packets + s.dropped_ring_full, 1000);
	T_CHECK(s.dropped_ring_full > 700);
	qx_tap_close(tap);
	close(cfg.fd);
}

static void what_makes_no_sense_is_refused(void)
{
	const struct qx_tap_config wrong[] = {{.ring_bytes = 4096},
					      {.ring_bytes = 300000},
					      {.secrets_bytes = 6},
					      {.secrets_bytes = 64 << 20},
					      {.file_max_bytes = 1000}};

	for (uint32_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		T_EQ(qx_tap_open(&tap, &wrong[i]), -EINVAL);
	open_file_tap((struct qx_tap_config){0});
	for (char name[] = "xdp a"; name[4] < 'q'; name[4]++)
		T_EQ(tap_interface(tap, TAP_ETHERNET, name), name[4] - 'a');
	T_EQ(tap_interface(tap, TAP_ETHERNET, "xdp q"), -ENOSPC);
	qx_tap_close(tap);
	close_file();
}

/* ---- Secrets ---- */

/* A reader goes through the file once: it must have met them before the packets. */
static void secrets_stand_before_all_packets_whenever_they_come(void)
{
	static const char first[] = "CLIENT_RANDOM 00 11\n", second[] = "SERVER_X 22 33\n";
	char text[1024];
	struct pcap_block b;
	uint8_t frame[FRAME_MAX];
	uint64_t off = 0;

	open_file_tap((struct qx_tap_config){.secrets_bytes = 256});
	T_EQ(tap_interface(tap, TAP_ETHERNET, "xdp a"), 0);
	tap_frame(tap, 0, false, frame, numbered(frame, 1), QX_DROP_NONE);
	T_CHECK(qx_tap_write(tap) > 0);
	T_EQ(qx_tap_secrets(tap, first, sizeof(first) - 1), 0);
	T_EQ(qx_tap_secrets(tap, second, sizeof(second) - 1), 0);
	/* Too many: counted, and the room's end stays as it was. */
	memset(text, 'x', sizeof(text));
	T_EQ(qx_tap_secrets(tap, text, 256), -ENOSPC);
	T_EQ(qx_tap_secrets(tap, text, 1024), -ENOSPC);
	T_EQ(tap_stats().secrets_lost, 2);
	qx_tap_close(tap);
	read_file();
	T_CHECK(pcap_next(file, file_bytes, &off, &b) && b.type == READ_SECTION);
	T_CHECK(pcap_next(file, file_bytes, &off, &b) && b.type == READ_SECRETS);
	T_EQ(read_u32(b.body), 0x544c534b); /* "TLSK" */
	T_EQ(read_u32(b.body + 4), 256);
	T_EQ(b.body_bytes, 8 + 256);
	b.body += 8;
	T_CHECK(memcmp(b.body, first, sizeof(first) - 1) == 0);
	b.body += sizeof(first) - 1;
	T_CHECK(memcmp(b.body, second, sizeof(second) - 1) == 0);
	b.body += sizeof(second) - 1;
	/* What is left is one comment. */
	T_CHECK(b.body[0] == '#' && b.body[1] == ' ');
	T_CHECK(memchr(b.body, '\n', 256) ==
		b.body + 256 - 1 - (sizeof(first) - 1) - (sizeof(second) - 1));
	close_file();
}

static void without_room_no_secret_is_written(void)
{
	open_file_tap((struct qx_tap_config){0});
	T_EQ(qx_tap_secrets(tap, "x\n", 2), -ENOSPC);
	qx_tap_close(tap);
	read_file();
	T_CHECK(!memmem(file, file_bytes, "x\n", 2));
	close_file();
}

static void an_open_that_fails_leaves_nothing(void)
{
	struct qx_tap_config cfg = {.secrets_bytes = 256};
	int err;

	cfg.fd = memfd_create("tap", MFD_CLOEXEC);
	for (uint64_t n = 1; n < 10; n++) {
		counting_fail_at = counting_allocations + n;
		err = qx_tap_open(&tap, &cfg);
		counting_fail_at = 0;
		if (err == 0) {
			T_EQ(n, 4); /* the tap, its ring, the head of the file */
			qx_tap_close(tap);
			break;
		}
		T_EQ(err, -ENOMEM);
	}
	T_EQ(err, 0);
	close(cfg.fd);
}

static const struct t_case cases[] = {
	{"an open that fails leaves nothing", an_open_that_fails_leaves_nothing},
	{"what goes in comes out in order over many laps",
	 what_goes_in_comes_out_in_order_over_many_laps},
	{"laps may end to the byte", laps_may_end_to_the_byte},
	{"two threads lose nothing that was taken", two_threads_lose_nothing_that_was_taken},
	{"the file never grows beyond its bound", the_file_never_grows_beyond_its_bound},
	{"a disk that is full is told and stops nobody",
	 a_disk_that_is_full_is_told_and_stops_nobody},
	{"what makes no sense is refused", what_makes_no_sense_is_refused},
	{"secrets stand before all packets whenever they come",
	 secrets_stand_before_all_packets_whenever_they_come},
	{"without room no secret is written", without_room_no_secret_is_written},
};

int main(int argc, char **argv)
{
	enter_loopback();
	t_after_each = check_descriptors;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
