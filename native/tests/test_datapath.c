/* test_datapath.c: which lane is asked and which one sends, and what happens when one of them
 * is full or gone. */
#define _GNU_SOURCE
#include "datapath_pair.h"

enum {
	NS_PER_US = 1000
};

/* One turn of an event loop; says how many datagrams of each lane it brought. */
static int turn(uint32_t *from_rings, uint32_t *from_socket)
{
	int n = qx_recv(dp, &batch, now_ns);

	*from_rings = *from_socket = 0;
	for (int i = 0; i < n; i++)
		(*(batch.datagrams[i].lane == QX_LANE_XDP ? from_rings : from_socket))++;
	if (n >= 0)
		qx_recv_done(dp, &batch);
	return n;
}

static uint64_t socket_calls(void)
{
	return lane_of(dp).rx_syscalls;
}

/* ---- Receiving ---- */

/* Busy rings cost no system call for the socket, and cannot starve it. */
static void busy_rings_leave_the_socket_its_turn(void)
{
	struct qx_path there;
	uint32_t rings, sock;
	int turns = 0;

	open_both(0);
	there = path_to(dp);
	T_EQ(send_equal(peer, &there, 1, 100, 0), 1);
	do {
		fake.waiting = 300;
		T_CHECK(readable(dp));
		T_EQ(turn(&rings, &sock), QX_BATCH_MAX);
		turns++;
	} while (sock == 0 && turns < 100);
	T_EQ(turns, 8);
	T_EQ(socket_calls(), 1);
	/* Found empty in the next one, it is asked again only after 100 us. */
	for (int i = 0; i < 800; i++, now_ns += NS_PER_US) {
		fake.waiting = 30;
		T_CHECK(turn(&rings, &sock) >= 30);
	}
	T_EQ(socket_calls(), 1 + 800 / 100);
}

/* Nothing in the rings: what the socket has comes at once. */
static void empty_rings_let_the_socket_answer_at_once(void)
{
	struct qx_path there;
	uint32_t rings, sock;

	open_both(0);
	there = path_to(dp);
	for (int i = 0; i < 5; i++) {
		T_EQ(send_equal(peer, &there, 1, 100, 0), 1);
		T_EQ(turn(&rings, &sock), 1);
		T_EQ(sock, 1);
		now_ns += 1;
	}
}

/* A caller that spins looks at the rings, which is free, and at the socket now and then. */
static void spinning_asks_the_socket_only_every_100_microseconds(void)
{
	struct qx_path there;
	uint32_t rings, sock;

	open_both(0);
	there = path_to(dp);
	for (int i = 0; i < 1000; i++, now_ns += 100)
		T_EQ(turn(&rings, &sock), 0);
	T_EQ(fake.recv_calls, 1000);
	T_EQ(socket_calls(), 1);
	T_EQ(send_equal(peer, &there, 1, 100, 0), 1);
	T_EQ(turn(&rings, &sock), 1);
	T_EQ(sock, 1);
}

/* Why: a caller that never sleeps must not pay for being woken. */
static void a_spinning_endpoint_is_not_woken_by_its_rings(void)
{
	uint32_t rings, sock;

	open_both(QX_CFG_SPIN);
	fake.waiting = 1;
	fake_raise(fake.fds[0]);
	T_CHECK(!readable(dp));
	T_EQ(turn(&rings, &sock), 1);
	T_EQ(rings, 1);
}

/* Buffers go back to the lane they came from, published once per batch. */
static void buffers_go_back_to_their_lanes(void)
{
	struct qx_path there;
	uint32_t rings, sock;

	open_both(0);
	there = path_to(dp);
	for (int i = 0; i < 7; i++) {
		fake.waiting = 1;
		T_EQ(turn(&rings, &sock), 1);
	}
	T_EQ(fake.publish_cnt, 7);
	T_EQ(send_equal(peer, &there, 20, 100, 0), 20);
	fake.waiting = 10;
	T_EQ(turn(&rings, &sock), 30);
	T_EQ(rings, 10);
	T_EQ(sock, 20);
	T_EQ(fake.done_cnt, 17);
	T_EQ(fake.publish_cnt, 8);
	T_EQ(stats_of(dp).drop[QX_DROP_DESCRIPTOR], 0);
}

/* Handling a batch while taking the next would let the lanes write over it. */
static void a_batch_must_be_given_back_before_the_next(void)
{
	open_both(0);
	fake.waiting = 3;
	T_EQ(qx_recv(dp, &batch, now_ns), 3);
	T_EQ(qx_recv(dp, &batch, now_ns), -EBUSY);
	T_EQ(batch.datagram_cnt, 3);
	qx_recv_done(dp, &batch);
	T_EQ(batch.datagram_cnt, 0);
	T_EQ(qx_recv(dp, &batch, now_ns), 0);
	T_EQ(qx_recv(dp, &batch, now_ns), 0);
}

/* Another endpoint's poll filled our inbox: the loop must come to us. */
static void a_wake_from_another_endpoint_is_heard_once(void)
{
	uint32_t rings, sock;

	open_both(0);
	T_CHECK(!readable(dp));
	fake.wake(fake.wake_arg);
	T_CHECK(readable(dp));
	T_EQ(turn(&rings, &sock), 0);
	T_CHECK(!readable(dp));
}

/* ---- An interface that goes away ---- */

/* It is said once, the socket goes on, and its dead descriptors wake nobody any more. */
static void a_lost_interface_is_reported_once(void)
{
	struct qx_path there;
	uint32_t rings, sock;

	open_both(0);
	there = path_to(dp);
	fake.reachable = true;
	for (int i = 0; i <= FAKE_QUEUES; i++)
		fake_raise(fake.fds[i]);
	T_CHECK(readable(dp));
	fake.recv_error = -ENETDOWN;
	T_EQ(turn(&rings, &sock), -ENETDOWN);
	T_CHECK(!readable(dp));
	T_EQ(send_equal(peer, &there, 2, 100, 0), 2);
	T_CHECK(readable(dp));
	now_ns += 10 * NS_PER_US;
	T_EQ(turn(&rings, &sock), 2);
	T_EQ(fake.recv_calls, 1);
	/* And sending uses the socket. */
	there = path_to(peer);
	T_EQ(send_equal(dp, &there, 2, 100, 0), 2);
	T_EQ(fake.commit_cnt, 0);
	expect_equal(peer, 2, 100, 0);
}

/* Datagrams that the socket gave in the same call are not lost to the news. */
static void the_news_waits_for_datagrams_of_the_same_call(void)
{
	struct qx_path there;
	uint32_t rings, sock;

	open_both(0);
	there = path_to(dp);
	T_EQ(send_equal(peer, &there, 2, 100, 0), 2);
	fake.recv_error = -ENETDOWN;
	T_EQ(turn(&rings, &sock), 2);
	T_EQ(turn(&rings, &sock), -ENETDOWN);
	T_EQ(turn(&rings, &sock), 0);
}

/* A spin that nothing ends must end by itself, and see what the driver is made to give. */
static void spinning_ends_with_what_arrives_or_in_time(void)
{
	open_both(0);
	T_EQ(qx_spin(dp, 20000), 0);
	fake_raise(fake.fds[0]);
	T_EQ(qx_spin(dp, 1000000000), 1);

	open_both(0);
	fake.busy_polls = true;
	T_EQ(qx_spin(dp, 10000), 0);
	T_EQ(fake.busy_poll_cnt, 5);
	fake.arrives_at = 7;
	T_EQ(qx_spin(dp, 1000000000), 1);
	T_EQ(fake.busy_poll_cnt, 7);
}

/* ---- Sending ---- */

static void sends_by(uint32_t flags, bool reachable, enum qx_lane lane)
{
	struct qx_slot slot;
	struct qx_path there;

	open_both(flags);
	there = path_to(peer);
	fake.reachable = reachable;
	T_EQ(qx_reserve(dp, &there, 100, &slot, 1), 1);
	T_EQ(slot.lane, lane);
	slot.len_bytes = 100;
	memset(slot.data, 7, 100);
	T_EQ(qx_commit(dp, &slot, 1), 0);
	T_EQ(qx_flush(dp), 0);
	T_EQ(fake.commit_cnt, lane == QX_LANE_XDP);
	T_EQ(lane_of(dp).tx_packets, lane == QX_LANE_SOCKET);
}

/* The rings where they know a way, the kernel's socket everywhere else. */
static void the_lane_follows_the_destination(void)
{
	sends_by(0, true, QX_LANE_XDP);
	sends_by(0, false, QX_LANE_SOCKET);
	sends_by(QX_CFG_TX_SOCKET, true, QX_LANE_SOCKET);
	fake_copies = true;
	sends_by(0, true, QX_LANE_XDP);
	sends_by(QX_CFG_TX_SOCKET_IF_COPIED, true, QX_LANE_SOCKET);
	fake_copies = false;
	sends_by(QX_CFG_TX_SOCKET_IF_COPIED, true, QX_LANE_XDP);
}

/* One call, several peers: each datagram takes its own lane, the order per peer is kept. */
static void one_send_may_use_both_lanes(void)
{
	struct qx_send_item items[6] = {0};
	struct qx_path paths[2];

	open_both(0);
	paths[0] = paths[1] = path_to(peer);
	for (uint32_t i = 0; i < 6; i++) {
		items[i] = (struct qx_send_item){.len_bytes = 50, .path = i >= 3};
		memset(payload + 50 * i, (uint8_t)(i % 3), 50);
	}
	fake.reachable = true;
	T_EQ(qx_send(dp, payload, items, 3, paths, 2), 3);
	fake.reachable = false;
	T_EQ(qx_send(dp, payload + 150, items + 3, 3, paths, 2), 3);
	T_EQ(fake.commit_cnt, 3);
	T_EQ(fake.committed_bytes, 150);
	expect_equal(peer, 3, 50, 0);
}

/* A pool that is empty is said and waited for, and waking stops when the caller was told. */
static void an_empty_pool_wakes_the_sender_once_there_is_room(void)
{
	struct qx_path there;
	uint32_t rings, sock;

	open_both(0);
	there = path_to(peer);
	fake.reachable = true;
	fake.free_slots = 10;
	T_EQ(send_equal(dp, &there, 30, 100, 0), 10);
	T_EQ(qx_flush(dp), 1);
	T_CHECK(readable(dp));
	T_EQ(turn(&rings, &sock), 0);
	T_CHECK(!readable(dp));
	T_EQ(qx_flush(dp), 0);
	T_CHECK(!readable(dp));
	T_EQ(send_equal(dp, &there, 20, 100, 0), 0);
	T_CHECK(readable(dp));
	T_EQ(turn(&rings, &sock), 0);
	fake.free_slots = 64;
	T_EQ(send_equal(dp, &there, 20, 100, 0), 20);
	T_CHECK(!readable(dp));
	T_EQ(fake.commit_cnt, 30);
}

/* What the NIC could not take yet keeps qx_fd interested until it did. */
static void a_blocked_ring_wakes_the_sender(void)
{
	struct qx_path there;

	open_both(0);
	there = path_to(peer);
	fake.reachable = true;
	fake.blocked = true;
	T_EQ(send_equal(dp, &there, 3, 100, 0), 3);
	T_CHECK(readable(dp));
	T_EQ(qx_flush(dp), 1);
	fake.blocked = false;
	T_EQ(qx_flush(dp), 0);
	T_CHECK(!readable(dp));
}

/* A datagram that no path takes counts as taken, or the caller would offer it for ever. */
static void what_can_never_be_sent_is_taken_and_reported(void)
{
	struct qx_send_item items[3] = {
		{.len_bytes = 10}, {.len_bytes = 65508}, {.len_bytes = 20}};
	struct qx_error error;
	struct qx_path there;

	open_both(0);
	there = path_to(peer);
	T_EQ(qx_send(dp, payload, items, 3, &there, 1), 3);
	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, EMSGSIZE);
	T_EQ(memcmp(&error.peer, &there.peer, sizeof(there.peer)), 0);
	T_EQ(qx_next_error(dp, &error), 0);
	T_EQ(stats_of(dp).drop[QX_DROP_OVERLONG], 1);
	T_EQ(recv_once(peer), 2);
	qx_recv_done(peer, &batch);

	fake.reachable = true;
	fake.reserve_error = -EMSGSIZE;
	T_EQ(qx_send(dp, payload, items, 1, &there, 1), 1);
	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, EMSGSIZE);
}

/* An index past the paths is the caller's mistake; what came before it was sent. */
static void a_path_that_is_not_there_ends_the_send(void)
{
	struct qx_send_item items[3] = {
		{.len_bytes = 10}, {.len_bytes = 10, .path = 1}, {.len_bytes = 10}};
	struct qx_path there;

	open_both(0);
	there = path_to(peer);
	T_EQ(qx_send(dp, payload, items, 3, &there, 1), 1);
	T_EQ(qx_send(dp, payload, items + 1, 2, &there, 1), -EINVAL);
	T_EQ(qx_send(dp, payload, items, 0, &there, 1), 0);
	T_EQ(recv_once(peer), 1);
	qx_recv_done(peer, &batch);
}

static const struct t_case cases[] = {
	{"busy rings leave the socket its turn", busy_rings_leave_the_socket_its_turn},
	{"empty rings let the socket answer at once",
	 empty_rings_let_the_socket_answer_at_once},
	{"spinning asks the socket only every 100 microseconds",
	 spinning_asks_the_socket_only_every_100_microseconds},
	{"a spinning endpoint is not woken by its rings",
	 a_spinning_endpoint_is_not_woken_by_its_rings},
	{"buffers go back to their lanes", buffers_go_back_to_their_lanes},
	{"a batch must be given back before the next",
	 a_batch_must_be_given_back_before_the_next},
	{"a wake from another endpoint is heard once",
	 a_wake_from_another_endpoint_is_heard_once},
	{"a lost interface is reported once", a_lost_interface_is_reported_once},
	{"the news waits for datagrams of the same call",
	 the_news_waits_for_datagrams_of_the_same_call},
	{"spinning ends with what arrives, or in time",
	 spinning_ends_with_what_arrives_or_in_time},
	{"the lane follows the destination", the_lane_follows_the_destination},
	{"one send may use both lanes", one_send_may_use_both_lanes},
	{"an empty pool wakes the sender once there is room",
	 an_empty_pool_wakes_the_sender_once_there_is_room},
	{"a blocked ring wakes the sender", a_blocked_ring_wakes_the_sender},
	{"what can never be sent is taken and reported",
	 what_can_never_be_sent_is_taken_and_reported},
	{"a path that is not there ends the send", a_path_that_is_not_there_ends_the_send},
};

int main(int argc, char **argv)
{
	fake_reset();
	enter_loopback();
	t_after_each = after_each;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
