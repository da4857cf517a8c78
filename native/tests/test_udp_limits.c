/* test_udp_limits.c: the socket lane on a kernel without UDP_SEGMENT or UDP_GRO, and when
 * there is no room. */
#define _GNU_SOURCE
#include "udp_trouble.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>

/* ---- UDP_SEGMENT and UDP_GRO refused ---- */

static int gso_code;
static uint32_t gso_refusals;

static int refuse_gso(const struct msghdr *h)
{
	if (!seam_is_segmented(h))
		return 0;
	gso_refusals++;
	return gso_code;
}

/* IPsec policies and some drivers refuse UDP_SEGMENT only when it is used. */
static void a_refused_gso_loses_nothing_and_is_remembered(void)
{
	static const int codes[] = {EIO, EINVAL, EOPNOTSUPP, ENOPROTOOPT};
	struct qx_path there;

	for (int i = 0; i < 4; i++) {
		open_flags(0);
		there = path_to(b);
		gso_code = codes[i];
		gso_refusals = 0;
		seam.send = refuse_gso;
		T_EQ(send_equal(a, &there, 150, 1200, 0), 150);
		expect_equal(b, 150, 1200, 0);
		T_EQ(gso_refusals, 1);
		T_EQ(lane_of(a).tx_packets, 150);
		T_EQ(lane_of(a).tx_bytes, 150 * 1200);
		/* From now on plain messages, many in one call. */
		uint64_t calls = lane_of(a).tx_syscalls;

		T_EQ(send_equal(a, &there, 150, 1200, 0), 150);
		T_EQ(lane_of(a).tx_syscalls, calls + 1);
		T_EQ(gso_refusals, 1);
		expect_equal(b, 150, 1200, 0);
		expect_no_error(a);
	}
}

/* Where datagrams may be fragmented, EINVAL says that the segments exceed the path's MTU: a
 * program that sends long ones now and then keeps its batching for the others. */
static void a_refused_segment_size_leaves_smaller_ones_their_batching(void)
{
	struct qx_path there;

	open_flags(0);
	there = path_to(b);
	gso_code = EINVAL;
	seam.send = refuse_gso;
	T_EQ(send_equal(a, &there, 20, 1200, 0), 20);
	expect_equal(b, 20, 1200, 0);
	seam.send = NULL;
	seam.messages = 0;
	T_EQ(send_equal(a, &there, 20, 1199, 0), 20);
	T_EQ(seam.messages, 1);
	expect_equal(b, 20, 1199, 0);
	expect_no_error(a);
}

/* One peer's datagrams that are too long must not cost all others their batching. */
static void a_run_that_is_too_long_does_not_switch_gso_off(void)
{
	struct qx_path there;

	open_flags(0);
	there = path_to(b);
	T_EQ(send_equal(a, &there, 20, 1473, 0), 20);
	expect_error(a, EMSGSIZE, &there.peer);
	expect_no_error(a);
	T_EQ(stats_of(a).drop[QX_DROP_OVERLONG], 20);
	seam.messages = 0;
	T_EQ(send_equal(a, &there, 20, 1200, 0), 20);
	T_EQ(seam.messages, 1);
	expect_equal(b, 20, 1200, 0);
}

/* Older kernels report the same as EINVAL, like a refusal of UDP_SEGMENT. */
static void a_run_that_is_too_long_for_an_old_kernel_neither(void)
{
	struct qx_path there;

	open_flags(0);
	there = path_to(b);
	gso_code = EINVAL;
	seam.send = refuse_gso;
	T_EQ(send_equal(a, &there, 20, 1473, 0), 20);
	expect_error(a, EMSGSIZE, &there.peer);
	expect_no_error(a);
	T_EQ(stats_of(a).drop[QX_DROP_OVERLONG], 20);
	seam.send = NULL;
	seam.messages = 0;
	T_EQ(send_equal(a, &there, 20, 1200, 0), 20);
	T_EQ(seam.messages, 1);
	expect_equal(b, 20, 1200, 0);
}

static int refuse_gro(int level, int option)
{
	return level == SOL_UDP && option == UDP_GRO ? ENOPROTOOPT : 0;
}

/* Kernels before 5.0 have no UDP_GRO. */
static void a_kernel_without_gro_delivers_one_by_one(void)
{
	struct qx_path there;

	open_flags(0);
	seam.option = refuse_gro;
	qx_close(b);
	b = NULL;
	b = open_at(loopback4(1, 0), 0);
	seam.option = NULL;
	there = path_to(b);
	T_EQ(send_equal(a, &there, 100, 1200, 0), 100);
	T_EQ(recv_once(b), 64);
	T_EQ(batch.path_cnt, 1);
	qx_recv_done(b, &batch);
	expect_equal(b, 36, 1200, 64);
}

/* ---- No room ---- */

static uint32_t room_messages;

static int short_of_room(const struct msghdr *h)
{
	(void)h;
	if (room_messages == 0)
		return EAGAIN;
	room_messages--;
	return 0;
}

/* A full socket buffer is normal: everything stays, in order, and qx_fd tells when to go
 * on; also in the middle of a run that goes out one by one. */
static void what_finds_no_room_stays_and_goes_out_later(void)
{
	struct qx_path there;

	for (int one_by_one = 0; one_by_one < 2; one_by_one++) {
		open_flags(0);
		there = path_to(b);
		if (one_by_one) {
			gso_code = EIO;
			seam.send = refuse_gso;
			T_EQ(send_equal(a, &there, 2, 100, 0), 2);
			expect_equal(b, 2, 100, 0);
		}
		T_EQ(qx_flush(a), 0);
		T_CHECK(!readable(a));
		seam.send = short_of_room;
		room_messages = 1;
		T_EQ(send_equal(a, &there, 100, 1200, 0), 100);
		T_EQ(qx_flush(a), 1);
		/* The kernel's buffer is empty in truth, so the promise holds at once. */
		T_CHECK(readable(a));
		T_EQ(send_equal(a, &there, 50, 1200, 100), 50);
		room_messages = 1000;
		T_EQ(qx_flush(a), 0);
		T_CHECK(!readable(a));
		expect_equal(b, 150, 1200, 0);
		expect_no_error(a);
	}
}

/* When nothing fits any more qx_send says how much it took, and the rest fits later. */
static void qx_send_takes_what_fits(void)
{
	struct qx_path there;
	int taken, more;

	open_flags(0);
	there = path_to(b);
	seam.send = short_of_room;
	room_messages = 0;
	taken = send_equal(a, &there, 800, 1300, 0);
	T_EQ(taken, 800);
	more = send_equal(a, &there, 800, 1300, (uint8_t)taken);
	T_CHECK(more > 0 && more < 800);
	T_EQ(send_equal(a, &there, 1, 1300, 0), 0);
	T_CHECK(readable(a));
	room_messages = 1000;
	T_EQ(qx_flush(a), 0);
	T_CHECK(!readable(a));
	expect_equal(b, (uint32_t)(taken + more), 1300, 0);
	T_EQ(send_equal(a, &there, 1, 1300, 7), 1);
	expect_equal(b, 1, 1300, 7);
}

/* An Ethernet on which nobody answers: datagrams wait for the neighbour and fill the
 * socket's buffer, without any seam. */
static int open_tap(const char *address)
{
	struct ifreq tap = {.ifr_name = "qxt0", .ifr_flags = IFF_TAP | IFF_NO_PI};
	struct sockaddr_in name = {.sin_family = AF_INET};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), sock;

	if (fd < 0)
		T_SKIP_PROGRAM("/dev/net/tun: %s", strerror(errno));
	T_EQ(ioctl(fd, TUNSETIFF, &tap), 0);
	sock = socket(AF_INET, SOCK_DGRAM, 0);
	inet_pton(AF_INET, address, &name.sin_addr);
	memcpy(&tap.ifr_addr, &name, sizeof(name));
	T_EQ(ioctl(sock, SIOCSIFADDR, &tap), 0);
	inet_pton(AF_INET, "255.255.255.0", &name.sin_addr);
	memcpy(&tap.ifr_netmask, &name, sizeof(name));
	T_EQ(ioctl(sock, SIOCSIFNETMASK, &tap), 0);
	tap.ifr_flags = IFF_UP | IFF_RUNNING;
	T_EQ(ioctl(sock, SIOCSIFFLAGS, &tap), 0);
	close(sock);
	return fd;
}

static void resolve_neighbour(const char *address)
{
	struct sockaddr_in name = {.sin_family = AF_INET};
	struct arpreq arp = {.arp_flags = ATF_COM | ATF_PERM, .arp_dev = "qxt0"};
	int sock = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, address, &name.sin_addr);
	memcpy(&arp.arp_pa, &name, sizeof(name));
	arp.arp_ha.sa_family = ARPHRD_ETHER;
	arp.arp_ha.sa_data[0] = 2;
	arp.arp_ha.sa_data[5] = 7;
	T_EQ(ioctl(sock, SIOCSARP, &arp), 0);
	close(sock);
}

static void a_full_socket_buffer_wakes_up_when_it_empties(void)
{
	struct qx_config cfg = {
		.local = {.family = QX_IPV4}, .socket_fd = -1, .socket_buffer_bytes = 1};
	struct qx_path there = {.peer = {.ip = {10, 78, 0, 2}, .port = 9, .family = QX_IPV4}};
	int tap = open_tap("10.78.0.1");
	struct pollfd p = {.events = POLLIN};

	open_flags(0);
	qx_close(a);
	a = NULL;
	a = open_config(&cfg);
	p.fd = qx_fd(a);
	T_EQ(send_equal(a, &there, 100, 1200, 0), 100);
	T_EQ(send_equal(a, &there, 100, 1000, 0), 100);
	T_EQ(send_equal(a, &there, 100, 800, 0), 100);
	T_EQ(qx_flush(a), 1);
	T_CHECK(!readable(a));
	resolve_neighbour("10.78.0.2");
	for (int i = 0; i < ROUNDS_MAX && qx_flush(a) == 1; i++)
		T_EQ(poll(&p, 1, 10000), 1);
	T_EQ(qx_flush(a), 0);
	T_CHECK(!readable(a));
	T_EQ(lane_of(a).tx_packets, 300);
	expect_no_error(a);
	close(tap);
}

static const struct t_case cases[] = {
	{"a refused GSO loses nothing and is remembered",
	 a_refused_gso_loses_nothing_and_is_remembered},
	{"a refused segment size leaves smaller ones their batching",
	 a_refused_segment_size_leaves_smaller_ones_their_batching},
	{"a run that is too long does not switch GSO off",
	 a_run_that_is_too_long_does_not_switch_gso_off},
	{"a run that is too long for an old kernel neither",
	 a_run_that_is_too_long_for_an_old_kernel_neither},
	{"a kernel without GRO delivers one by one",
	 a_kernel_without_gro_delivers_one_by_one},
	{"what finds no room stays and goes out later",
	 what_finds_no_room_stays_and_goes_out_later},
	{"qx_send takes what fits", qx_send_takes_what_fits},
	{"a full socket buffer wakes up when it empties",
	 a_full_socket_buffer_wakes_up_when_it_empties},
};

int main(int argc, char **argv)
{
	enter_loopback();
	t_after_each = after_each;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
