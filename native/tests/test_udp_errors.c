/* test_udp_errors.c: errors of the network and odd datagrams on the socket lane. */
#define _GNU_SOURCE
#include "udp_trouble.h"

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

/* The kernel ends a batch at a message that meets the error of the one before, and says only
 * how many went; the ICMP message stays, and with it the descriptor would be readable for
 * ever, though nothing comes. */
static void a_message_about_a_batch_does_not_keep_the_descriptor_readable(void)
{
	struct qx_send_item items[2] = {{.len_bytes = 100, .path = 0},
					{.len_bytes = 100, .path = 1}};
	struct qx_datapath *gone;
	struct qx_path paths[2];

	open_flags(0);
	gone = open_at(loopback4(1, 0), 0);
	paths[0] = path_to(gone);
	paths[1] = path_to(b);
	qx_close(gone);
	for (uint32_t round = 0; round < 10; round++) {
		T_EQ(qx_send(a, payload, items, 2, paths, 2), 2);
		T_EQ(recv_once(b), 1);
		qx_recv_done(b, &batch);
		T_EQ(recv_once(a), 0);
		qx_recv_done(a, &batch);
		T_CHECK(!readable(a));
	}
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

static int refused_for_another(const struct msghdr *h)
{
	(void)h;
	return interruptions-- > 0 ? ECONNREFUSED : 0;
}

/* Whoever can send ICMP faster than we read it gets a share of a turn, not all of it, and no
 * datagram is lost to what was said about others. */
static void a_flood_of_icmp_delays_datagrams_and_drops_none(void)
{
	struct qx_path there;

	open_flags(0);
	there = path_to(b);
	seam.send = refused_for_another;
	interruptions = 40;
	T_EQ(send_equal(a, &there, 30, 100, 0), 30);
	T_CHECK(readable(a));       /* to be asked again */
	T_CHECK(interruptions > 0); /* in the two flushes of a qx_send */
	while (interruptions > 0)
		T_CHECK(qx_flush(a) >= 0);
	T_EQ(qx_flush(a), 0);
	T_EQ(lane_of(a).tx_packets, 30);
	T_EQ(stats_of(a).drop[QX_DROP_SEND_ERROR], 0);
	expect_equal(b, 30, 100, 0);
}

/* The kernel notes in the error queue, too, what it refuses: that is no reason to try again. */
static void a_datagram_that_is_too_long_is_tried_once(void)
{
	struct qx_path there;
	uint64_t before;

	open_flags(0);
	there = path_to(b);
	before = lane_of(a).tx_syscalls;
	for (int i = 0; i < 10; i++)
		T_EQ(send_equal(a, &there, 1, 1600, 0), 1);
	T_EQ(lane_of(a).tx_syscalls - before, 10);
	T_EQ(stats_of(a).drop[QX_DROP_OVERLONG], 10);
	expect_error(a, EMSGSIZE, &there.peer);
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

static int without_memory(void)
{
	return interruptions-- > 0 ? ENOMEM : 0;
}

/* A receive that failed with nothing in the error queue to explain it is told by itself:
 * looking for the explanation must not hide it. */
static void a_failed_receive_is_reported(void)
{
	struct qx_path there;

	open_flags(0);
	there = path_to(b);
	T_EQ(send_equal(a, &there, 1, 100, 0), 1);
	interruptions = 1;
	seam.recv = without_memory;
	T_EQ(recv_once(b), 0);
	expect_error(b, ENOMEM, NULL);
	expect_no_error(b);
	expect_equal(b, 1, 100, 0);
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
	{"a refused connection is reported", a_refused_connection_is_reported},
	{"a refusing peer cannot stop the sender", a_refusing_peer_cannot_stop_the_sender},
	{"a message about a batch does not keep the descriptor readable",
	 a_message_about_a_batch_does_not_keep_the_descriptor_readable},
	{"an unreachable peer does not take the others along",
	 an_unreachable_peer_does_not_take_the_others_along},
	{"a source address that is not ours is an error",
	 a_source_address_that_is_not_ours_is_an_error},
	{"unread errors are bounded and counted", unread_errors_are_bounded_and_counted},
	{"a flood of ICMP delays datagrams and drops none",
	 a_flood_of_icmp_delays_datagrams_and_drops_none},
	{"a datagram that is too long is tried once",
	 a_datagram_that_is_too_long_is_tried_once},
	{"signals are invisible", signals_are_invisible},
	{"a failed receive is reported", a_failed_receive_is_reported},
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
