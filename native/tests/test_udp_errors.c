/* test_udp_errors.c: the socket lane when kernel, network or configuration say no. */
#define _GNU_SOURCE
#include "udp_seam.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>

static struct qx_datapath *a, *b;

static void close_both(void)
{
	qx_close(a);
	qx_close(b);
	a = b = NULL;
}

static void after_each(void)
{
	close_both();
	check_descriptors();
}

static void open_flags(uint32_t flags)
{
	close_both();
	memset(&seam, 0, sizeof(seam));
	a = open_at(loopback4(1, 0), flags);
	b = open_at(loopback4(1, 0), flags);
}

static void expect_error(struct qx_datapath *dp, int code, const struct qx_addr *peer)
{
	struct qx_error error;

	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, code);
	if (peer)
		T_EQ(memcmp(&error.peer, peer, sizeof(*peer)), 0);
}

static void expect_no_error(struct qx_datapath *dp)
{
	struct qx_error error;

	T_EQ(qx_next_error(dp, &error), 0);
}

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

/* ---- Errors ---- */

/* A client whose server is not there learns it, sending or receiving. */
static void a_refused_connection_is_reported(void)
{
	struct qx_config cfg = {.local = loopback4(1, 0), .socket_fd = -1};
	struct qx_path to_remote = {0};

	open_flags(0);
	cfg.remote = local_of(b);
	qx_close(a);
	a = NULL;
	a = open_config(&cfg);
	qx_close(b);
	b = NULL;
	T_EQ(send_equal(a, &to_remote, 1, 100, 0), 1);
	T_CHECK(readable(a));
	T_EQ(recv_once(a), 0);
	expect_error(a, ECONNREFUSED, &cfg.remote);
	expect_no_error(a);
	T_CHECK(!readable(a));

	/* A message must not be lost to an error about the one before it. */
	T_EQ(send_equal(a, &to_remote, 1, 100, 0), 1);
	b = open_at(cfg.remote, 0);
	T_EQ(send_equal(a, &to_remote, 10, 100, 1), 10);
	expect_error(a, ECONNREFUSED, &cfg.remote);
	expect_no_error(a);
	expect_equal(b, 10, 100, 1);
	T_EQ(stats_of(a).drop[QX_DROP_SEND_ERROR], 0);
}

/* Every datagram to a peer that is not there brings an ICMP message, which the kernel
 * reports instead of sending the next one; all are sent all the same. */
static void a_refusing_peer_cannot_stop_the_sender(void)
{
	struct qx_config cfg = {.local = loopback4(1, 0), .socket_fd = -1};
	struct qx_slot slot;
	struct qx_path to_remote = {0};
	struct qx_error error;
	int errors = 0;

	open_flags(0);
	cfg.remote = local_of(b);
	qx_close(a);
	a = NULL;
	a = open_config(&cfg);
	qx_close(b);
	b = NULL;
	for (uint32_t i = 0; i < 100; i++) {
		T_EQ(qx_reserve(a, &to_remote, 10 + i, &slot, 1), 1);
		slot.len_bytes = 10 + i;
		T_EQ(qx_commit(a, &slot, 1), 0);
	}
	T_EQ(qx_flush(a), 0);
	T_EQ(lane_of(a).tx_packets, 100);
	T_CHECK(lane_of(a).tx_syscalls <= 200);
	T_EQ(stats_of(a).drop[QX_DROP_SEND_ERROR], 0);
	T_EQ(recv_once(a), 0);
	while (qx_next_error(a, &error)) {
		T_EQ(error.code, ECONNREFUSED);
		errors++;
	}
	T_CHECK(errors >= 1);
	T_CHECK(!readable(a));
}

/* A peer without a route is told apart from the others of the same flush. */
static void an_unreachable_peer_does_not_take_the_others_along(void)
{
	struct qx_send_item items[30] = {0};
	struct qx_path paths[2];

	open_flags(0);
	qx_close(a);
	a = NULL;
	a = open_at((struct qx_addr){.family = QX_IPV4}, 0);
	paths[0] = path_to(b);
	paths[1].peer = (struct qx_addr){.ip = {192, 0, 2, 1}, .port = 9, .family = QX_IPV4};
	paths[1].local = (struct qx_addr){0};
	for (uint32_t i = 0; i < 30; i++)
		items[i] = (struct qx_send_item){.len_bytes = 100, .path = i / 10 % 2};
	for (uint32_t i = 0; i < 20; i++)
		memset(payload + 100 * (i + i / 10 * 10), (uint8_t)i, 100);
	T_EQ(qx_send(a, payload, items, 30, paths, 2), 30);
	expect_equal(b, 20, 100, 0);
	expect_error(a, ENETUNREACH, &paths[1].peer);
	expect_no_error(a);
	T_EQ(stats_of(a).drop[QX_DROP_SEND_ERROR], 10);
	T_EQ(lane_of(a).tx_packets, 20);
}

/* A reply from an address that we do not have (any more) fails for that datagram alone. */
static void a_source_address_that_is_not_ours_is_an_error(void)
{
	struct qx_error error;
	struct qx_path there;

	open_flags(0);
	qx_close(a);
	a = NULL;
	a = open_at((struct qx_addr){.family = QX_IPV4}, 0);
	there = path_to(b);
	there.local = (struct qx_addr){.ip = {198, 51, 100, 1}, .family = QX_IPV4};
	T_EQ(send_equal(a, &there, 3, 100, 0), 3);
	/* EINVAL or ENETUNREACH, by kernel and routes. */
	T_EQ(qx_next_error(a, &error), 1);
	T_EQ(memcmp(&error.peer, &there.peer, sizeof(there.peer)), 0);
	T_EQ(stats_of(a).drop[QX_DROP_SEND_ERROR], 3);
	there.local = (struct qx_addr){0};
	T_EQ(send_equal(a, &there, 3, 100, 0), 3);
	expect_equal(b, 3, 100, 0);
}

/* Callers that never read errors must not cost memory; they can see how many they missed. */
static void unread_errors_are_bounded_and_counted(void)
{
	struct qx_error error;
	struct qx_path there;
	int n = 0;

	open_flags(0);
	there = path_to(b);
	for (uint32_t i = 0; i < 100; i++)
		T_EQ(send_equal(a, &there, 1, 1473 + i, 0), 1);
	while (qx_next_error(a, &error))
		n++;
	T_EQ(n, 64);
	T_EQ(stats_of(a).errors_lost, 36);
	T_EQ(stats_of(a).drop[QX_DROP_OVERLONG], 100);
}

static int interruptions;

static int interrupted(const struct msghdr *h)
{
	(void)h;
	return interruptions-- > 0 ? EINTR : 0;
}

static int interrupted_recv(void)
{
	return interruptions-- > 0 ? EINTR : 0;
}

/* A signal handler of the host program is nobody's loss. */
static void signals_are_invisible(void)
{
	struct qx_path there;

	open_flags(0);
	there = path_to(b);
	interruptions = 3;
	seam.send = interrupted;
	T_EQ(send_equal(a, &there, 30, 100, 0), 30);
	T_EQ(lane_of(a).tx_packets, 30);
	interruptions = 3;
	seam.recv = interrupted_recv;
	expect_equal(b, 30, 100, 0);
	/* For ever interrupted, it gives up for now instead of hanging. */
	interruptions = 1000;
	T_EQ(send_equal(a, &there, 30, 100, 0), 30);
	T_EQ(qx_flush(a), 1);
	interruptions = 0;
	T_EQ(qx_flush(a), 0);
	interruptions = 1000;
	T_EQ(recv_once(b), 0);
	interruptions = 0;
	expect_equal(b, 30, 100, 0);
	expect_no_error(a);
	expect_no_error(b);
}

/* ---- Odd datagrams ---- */

static int mark_flags;

static void mark(struct msghdr *h)
{
	h->msg_flags |= mark_flags;
}

/* Data that did not fit must not be delivered as if it were all of it. */
static void truncated_messages_are_dropped_and_counted(void)
{
	struct qx_path there;

	open_flags(0);
	there = path_to(b);
	seam.received = mark;
	mark_flags = MSG_TRUNC;
	T_EQ(send_equal(a, &there, 1, 100, 0), 1);
	T_EQ(recv_once(b), 0);
	T_EQ(stats_of(b).drop[QX_DROP_OVERLONG], 1);
	mark_flags = MSG_CTRUNC;
	T_EQ(send_equal(a, &there, 1, 100, 0), 1);
	T_EQ(recv_once(b), 0);
	T_EQ(stats_of(b).drop[QX_DROP_TRUNCATED], 1);
	mark_flags = 0;
	T_EQ(send_equal(a, &there, 1, 100, 5), 1);
	expect_equal(b, 1, 100, 5);
}

static void forget_name(struct msghdr *h)
{
	h->msg_namelen = 0;
}

/* Nobody could be answered. */
static void a_message_without_a_sender_is_dropped(void)
{
	struct qx_path there;

	open_flags(0);
	there = path_to(b);
	seam.received = forget_name;
	T_EQ(send_equal(a, &there, 1, 100, 0), 1);
	T_EQ(recv_once(b), 0);
	T_EQ(stats_of(b).drop[QX_DROP_SOURCE_ADDRESS], 1);
}

/* Port 0 cannot be answered, and spoofers use it. */
static void source_port_zero_is_dropped(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint16_t udp[6] = {0, 0, htons(12), 0, 0, 0};
	int raw;

	open_flags(0);
	raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);
	T_CHECK(raw >= 0);
	udp[1] = htons(local_of(b).port);
	T_EQ(sendto(raw, udp, 12, 0, (struct sockaddr *)&name, sizeof(name)), 12);
	close(raw);
	T_EQ(recv_once(b), 0);
	T_EQ(stats_of(b).drop[QX_DROP_SOURCE_PORT], 1);
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
	{"a refused connection is reported", a_refused_connection_is_reported},
	{"a refusing peer cannot stop the sender", a_refusing_peer_cannot_stop_the_sender},
	{"an unreachable peer does not take the others along",
	 an_unreachable_peer_does_not_take_the_others_along},
	{"a source address that is not ours is an error",
	 a_source_address_that_is_not_ours_is_an_error},
	{"unread errors are bounded and counted", unread_errors_are_bounded_and_counted},
	{"signals are invisible", signals_are_invisible},
	{"truncated messages are dropped and counted",
	 truncated_messages_are_dropped_and_counted},
	{"a message without a sender is dropped", a_message_without_a_sender_is_dropped},
	{"source port zero is dropped", source_port_zero_is_dropped},
};

int main(int argc, char **argv)
{
	enter_loopback();
	t_after_each = after_each;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
