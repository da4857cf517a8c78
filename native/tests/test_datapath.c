/* test_datapath.c: which lane is asked and which one sends, what happens when one of them
 * is full or gone, and who owns what while opening and closing. */
#define _GNU_SOURCE
#include "fake_device.h"
#include "udp_seam.h"

#include <sys/wait.h>

enum {
	NS_PER_US = 1000
};

static struct qx_datapath *dp, *peer;
static uint64_t now_ns;

static void close_both(void)
{
	qx_close(dp);
	qx_close(peer);
	dp = peer = NULL;
	if (fake.refs == 0 && fake.ports == 0)
		return;
	printf("FAIL the device was not given back\n");
	exit(1);
}

static void after_each(void)
{
	close_both();
	check_descriptors();
}

static struct qx_config with_interface(uint32_t flags)
{
	return (struct qx_config){
		.local = loopback4(1, 0),
		.interface = "fake0",
		.socket_fd = -1,
		.flags = flags,
	};
}

static void open_both(uint32_t flags)
{
	struct qx_config cfg = with_interface(flags);

	close_both();
	memset(&seam, 0, sizeof(seam));
	fake_reset();
	now_ns = 1000000000;
	dp = open_config(&cfg);
	peer = open_at(loopback4(1, 0), 0);
}

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

/* ---- Opening and closing ---- */

static void refused(const struct qx_config *cfg, int code)
{
	char why[QX_WHY_BYTES] = "";
	struct qx_datapath *none;

	T_EQ(qx_open(&none, cfg, why), code);
	T_CHECK(strlen(why) > 10);
	T_EQ(fake.refs, 0);
	T_EQ(fake.ports, 0);
}

/* The port is open in the kernel before the NIC takes anything away from it, and the
 * device is told what the kernel picked. */
static void the_device_is_told_what_the_socket_became(void)
{
	struct qx_config cfg = with_interface(0);
	struct qx_addr local;

	open_both(0);
	T_EQ(fake.refs, 1);
	T_EQ(fake.ports, 1);
	local = local_of(dp);
	T_EQ(memcmp(&fake.local, &local, sizeof(local)), 0);
	T_EQ(fake.remote.family, QX_UNSPEC);
	qx_close(dp);
	T_EQ(fake.refs, 0);
	T_EQ(fake.ports, 0);

	cfg.remote = local_of(peer);
	dp = open_config(&cfg);
	T_EQ(memcmp(&fake.remote, &cfg.remote, sizeof(cfg.remote)), 0);
	qx_close(dp);

	/* Dual stack: the device must take both families. */
	cfg.remote.family = QX_UNSPEC;
	cfg.local = (struct qx_addr){.family = QX_IPV6};
	dp = open_config(&cfg);
	T_EQ(fake.local.family, QX_UNSPEC);
	T_EQ(fake.local.port, local_of(dp).port);
	qx_close(dp);
	cfg.flags = QX_CFG_V6ONLY;
	dp = open_config(&cfg);
	T_EQ(fake.local.family, QX_IPV6);
	qx_close(dp);
	dp = NULL;

	fake.fail_get = -EBUSY;
	refused(&cfg, -EBUSY);
	fake.fail_get = 0;
	fake.fail_open = -ENOSPC;
	refused(&cfg, -ENOSPC);
}

/* Metrics are the sum of the lanes and of what the datapath itself refused. */
static void statistics_add_both_lanes(void)
{
	struct qx_path there;
	struct qx_stats stats;

	open_both(0);
	there = path_to(peer);
	T_EQ(send_equal(dp, &there, 5, 100, 0), 5);
	stats = stats_of(dp);
	T_EQ(stats.lane[QX_LANE_SOCKET].tx_packets, 5);
	T_EQ(stats.drop[QX_DROP_NOT_OURS], 3);
	T_EQ(stats.frame_cnt, 10);
}

/* Python slices payloads out of these; a lane that is not there has none. */
static void each_lane_has_its_memory(void)
{
	uint8_t *base;

	open_both(0);
	T_EQ(qx_memory(dp, QX_LANE_XDP, &base), FAKE_MEMORY_BYTES);
	T_CHECK(base == fake.memory);
	T_CHECK(qx_memory(dp, QX_LANE_SOCKET, &base) >= 64 * 65536);
	T_CHECK(base != NULL);
	T_EQ(qx_memory(peer, QX_LANE_XDP, &base), 0);
	T_CHECK(base == NULL);
	T_EQ(qx_memory(dp, QX_LANE_CNT, &base), 0);
}

static int child_of_fork(void)
{
	struct qx_stats stats;
	struct qx_error error;
	struct qx_slot slot;
	struct qx_path there = {0};
	uint8_t *base;

	qx_forked();
	if (qx_recv(dp, &batch, now_ns) != -EPERM || qx_arm(dp, 1) != -EPERM ||
	    qx_reserve(dp, &there, 1, &slot, 1) != -EPERM ||
	    qx_commit(dp, &slot, 0) != -EPERM || qx_flush(dp) != -EPERM ||
	    qx_send(dp, payload, NULL, 0, NULL, 0) != -EPERM ||
	    qx_next_error(dp, &error) != -EPERM || qx_get_stats(dp, &stats) != -EPERM ||
	    qx_memory(dp, QX_LANE_SOCKET, &base) != 0)
		return 1;
	qx_recv_done(dp, &batch);
	qx_close(dp);
	qx_close(peer);
	if (fake.forked != 1)
		return 2;
	/* A child that wants its own endpoint gets one. */
	dp = open_at(loopback4(1, 0), 0);
	if (qx_recv(dp, &batch, now_ns) != 0)
		return 3;
	qx_close(dp);
	return 0;
}

/* A forked child (subprocess, multiprocessing) that touches its parent's endpoint is told
 * so, and the parent notices nothing. */
static void a_forked_child_is_refused_and_the_parent_goes_on(void)
{
	struct qx_path there;
	int status = -1;
	pid_t pid;

	open_both(0);
	there = path_to(dp);
	T_EQ(send_equal(peer, &there, 1, 100, 1), 1);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(child_of_fork());
	T_EQ(waitpid(pid, &status, 0), pid);
	T_EQ(status, 0);
	T_CHECK(readable(dp));
	expect_equal(dp, 1, 100, 1);
	T_CHECK(!readable(dp));
	T_EQ(qx_arm(dp, 1), 0);
	T_CHECK(readable(dp));
}

/* Every reason has a name of its own, and the end of the list is marked. */
static void all_reasons_and_states_have_names(void)
{
	for (uint32_t i = 0; i < QX_DROP_CNT; i++) {
		T_CHECK(qx_drop_name(i) != NULL);
		for (uint32_t k = 0; k < i; k++)
			T_CHECK(strcmp(qx_drop_name(i), qx_drop_name(k)) != 0);
	}
	T_CHECK(qx_drop_name(QX_DROP_CNT) == NULL);
	for (uint32_t i = 0; i < QX_FRAME_STATE_CNT; i++)
		T_CHECK(qx_frame_state_name(i) != NULL);
	T_CHECK(qx_frame_state_name(QX_FRAME_STATE_CNT) == NULL);
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
	{"the lane follows the destination", the_lane_follows_the_destination},
	{"one send may use both lanes", one_send_may_use_both_lanes},
	{"an empty pool wakes the sender once there is room",
	 an_empty_pool_wakes_the_sender_once_there_is_room},
	{"a blocked ring wakes the sender", a_blocked_ring_wakes_the_sender},
	{"what can never be sent is taken and reported",
	 what_can_never_be_sent_is_taken_and_reported},
	{"a path that is not there ends the send", a_path_that_is_not_there_ends_the_send},
	{"the device is told what the socket became",
	 the_device_is_told_what_the_socket_became},
	{"statistics add both lanes", statistics_add_both_lanes},
	{"each lane has its memory", each_lane_has_its_memory},
	{"a forked child is refused and the parent goes on",
	 a_forked_child_is_refused_and_the_parent_goes_on},
	{"all reasons and states have names", all_reasons_and_states_have_names},
};

int main(int argc, char **argv)
{
	fake_reset();
	enter_loopback();
	t_after_each = after_each;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
