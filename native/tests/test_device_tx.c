/* test_device_tx.c: sending through a device: frames, kicks, completions and every way in
 * which the kernel can refuse, moved by hand (hand_nic.h). */
#include "device_fixture.h"

/* Sends n datagrams of one size to 10.0.0.9; returns how many were taken. */
static int send_n(struct qx_port *port, uint32_t n, uint32_t len_bytes)
{
	struct qx_path path = to_peer();
	struct qx_slot slots[QX_BATCH_MAX];
	int got;

	T_CHECK(port_can_reach(port, &path));
	got = port_reserve(port, &path, len_bytes, slots, n);
	for (int i = 0; i < got; i++) {
		memset(slots[i].data, i, len_bytes);
		T_EQ(slots[i].len_bytes, len_bytes);
	}
	if (got > 0)
		T_EQ(port_commit(port, slots, (uint32_t)got), 0);
	hand_check_census();
	return got;
}

static uint32_t census(enum qx_frame_state state)
{
	return hand.nic.umem.census[state];
}

/* ---- Frames ---- */

/* The interface's MTU is known, so nothing too long is ever built. */
static void longer_than_the_mtu_is_refused_at_once(void)
{
	struct qx_port *port = fresh_port();
	struct qx_path path = to_peer();
	struct qx_slot slot;

	hear(port, 0, SECOND_NS);
	T_EQ(port_reserve(port, &path, HAND_MTU - 28 + 1, &slot, 1), -EMSGSIZE);
	T_EQ(port_reserve(port, &path, UINT32_MAX, &slot, 1), -EMSGSIZE);
	T_EQ(port_reserve(port, &path, HAND_MTU - 28, &slot, 1), 1);
	/* A caller that writes past its room does not get a longer packet out of it. */
	slot.len_bytes = 2048 - 42 + 1;
	T_EQ(port_commit(port, &slot, 1), 0);
	T_EQ(drops(port, QX_DROP_OVERLONG), 1);
	T_EQ(census(QX_FRAME_FREE), HAND_TX);
	finish(port, NULL);
}

/* More than fits is answered with less, and space comes back with completions. */
static void reservations_end_where_frames_or_ring_end(void)
{
	struct qx_port *port = fresh_port();
	struct qx_desc desc;

	hear(port, 0, SECOND_NS);
	hand.kick_moves = 0;
	T_EQ(send_n(port, QX_BATCH_MAX, 100), HAND_TX);
	T_EQ(send_n(port, 1, 100), 0);
	T_EQ(census(QX_FRAME_TX), HAND_TX);
	port_flush(port);
	T_CHECK(hand_sent(0, &desc));
	T_EQ(send_n(port, 1, 100), 0); /* the ring has room, the frame is not back */
	hand_complete(0, desc.off_bytes);
	T_EQ(send_n(port, 2, 100), 1);
	finish(port, NULL);
}

/* With many queues a ring is shorter than the frames; what it holds is what is promised. */
static void a_short_ring_limits_a_reservation(void)
{
	struct qx_port *port = fresh_port();

	hear(port, 0, SECOND_NS);
	hand.kick_moves = 0;
	hand.nic.queues[0].tx.size = hand.tx[0].size = 16;
	T_EQ(send_n(port, 10, 100), 10);
	T_EQ(send_n(port, 10, 100), 6);
	T_EQ(send_n(port, 10, 100), 0);
	T_EQ(census(QX_FRAME_BUILT), 0);
	T_EQ(drops(port, QX_DROP_SEND_ERROR), 0);
	hand.kick_moves = 4;
	hand.kick_answer = -EAGAIN;
	T_EQ(port_flush(port), 0);
	T_EQ(send_n(port, 17, 100), 16);
	finish(port, NULL);
}

/* Slots given back, empty datagrams, and slots that are not ours. */
static void commit_takes_exactly_what_was_reserved(void)
{
	struct qx_port *port = fresh_port();
	struct qx_path path = to_peer();
	struct qx_slot slots[4], bogus = {.len_bytes = 5, .frame = UINT32_MAX};
	struct qx_desc desc;

	hear(port, 0, SECOND_NS);
	hand.kick_moves = 0;
	T_EQ(port_reserve(port, &path, 100, slots, 4), 4);
	T_EQ(census(QX_FRAME_BUILT), 4);
	slots[0].len_bytes = 0;
	slots[1].len_bytes = 0;
	slots[1].empty = 1;
	slots[2].len_bytes = 1;
	slots[3].len_bytes = 100;
	T_EQ(port_commit(port, slots, 4), 0);
	T_EQ(census(QX_FRAME_BUILT), 0);
	T_EQ(census(QX_FRAME_TX), 3);
	T_EQ(port_commit(port, slots, 4), 0); /* once more: a caller's mistake */
	T_EQ(port_commit(port, &bogus, 1), 0);
	T_EQ(drops(port, QX_DROP_DESCRIPTOR), 5);
	T_EQ(census(QX_FRAME_TX), 3);
	port_flush(port);
	T_CHECK(hand_sent(0, &desc));
	T_EQ(desc.len_bytes, 42);
	T_CHECK(hand_sent(0, &desc));
	T_EQ(desc.len_bytes, 43);
	T_CHECK(hand_sent(0, &desc));
	T_EQ(desc.len_bytes, 142);
	T_CHECK(!hand_sent(0, &desc));
	finish(port, NULL);
}

/* ---- Kicks ---- */

/* Nothing reaches the kernel before the flush, and one kick is enough for all of it. */
static void a_flush_is_one_kick_per_queue(void)
{
	struct qx_port *port = fresh_port();

	hear(port, 0, SECOND_NS);
	T_EQ(port_flush(port), 0);
	T_EQ(hand.kicks, 0);
	T_EQ(send_n(port, 30, 1200), 30);
	T_EQ(send_n(port, 20, 100), 20);
	T_EQ(hand.memory[0][2].producer, 0);
	T_EQ(port_flush(port), 0);
	T_EQ(hand.kicks, 1);
	T_EQ(census(QX_FRAME_TX), 0);
	T_EQ(port_flush(port), 0);
	T_EQ(hand.kicks, 1);
	finish(port, NULL);
}

/* A driver that works the ring off by itself is not disturbed. */
static void no_kick_if_the_ring_does_not_ask(void)
{
	struct qx_port *port = fresh_port();

	hear(port, 0, SECOND_NS);
	hand.memory[0][2].flags = 0;
	T_EQ(send_n(port, 10, 1200), 10);
	T_EQ(port_flush(port), 0);
	T_EQ(hand.kicks, 0);
	T_EQ(hand.memory[0][2].producer, 10);
	finish(port, NULL);
}

/* "Again" with progress goes on; without progress it ends, and a later flush goes on. */
static void again_is_repeated_while_it_helps(void)
{
	static const int answers[] = {-EAGAIN, -EBUSY, -ENOBUFS};

	for (int i = 0; i < 3; i++) {
		struct qx_port *port = fresh_port();

		hear(port, 0, SECOND_NS);
		hand.kick_answer = answers[i];
		hand.kick_moves = 16;
		T_EQ(send_n(port, HAND_TX, 1200), HAND_TX);
		T_EQ(port_flush(port), 0);
		T_EQ(hand.kicks, HAND_TX / 16);
		hand.kicks = 0;
		hand.kick_moves = 0;
		T_EQ(send_n(port, 5, 1200), 5);
		T_EQ(port_flush(port), 1);
		T_EQ(hand.kicks, 2);
		hand.kick_moves = 16;
		T_EQ(port_flush(port), 0);
		T_EQ(census(QX_FRAME_TX), 0);
		finish(port, NULL);
	}
}

/* A cable pulled: frames wait in the ring, others take the socket, and when the link is
 * back they go out. */
static void a_link_that_is_down_keeps_its_frames(void)
{
	struct qx_port *port = fresh_port();
	struct qx_path path = to_peer();

	hear(port, 0, SECOND_NS);
	hand.kick_answer = -ENETDOWN;
	hand.kick_moves = 0;
	T_EQ(send_n(port, 5, 1200), 5);
	T_EQ(port_flush(port), 0);
	T_EQ(hand.kicks, 1);
	T_CHECK(!port_can_reach(port, &path));
	T_EQ(census(QX_FRAME_TX), 5);
	recv_at(port, SECOND_NS + 1000);
	T_EQ(hand.kicks, 1); /* not at every turn */
	recv_at(port, 2 * SECOND_NS);
	T_EQ(hand.kicks, 2);
	hand.kick_answer = 0;
	hand.kick_moves = UINT32_MAX;
	hear(port, 0, 2 * SECOND_NS + 1); /* the peer is heard: the link is up */
	T_EQ(census(QX_FRAME_TX), 0);
	T_CHECK(port_can_reach(port, &path));
	T_EQ(drops(port, QX_DROP_DEVICE_GONE), 0);
	finish(port, NULL);
}

static void goes_away(int answer)
{
	struct qx_port *a = fresh_port(), *b;
	struct qx_addr local_b = v4(1, 444);
	struct qx_path path = to_peer();
	struct qx_slot slots[3];

	b = open_port(&local_b, &nobody);
	hear(a, 0, SECOND_NS);
	hand.kick_answer = answer;
	hand.kick_moves = 0;
	T_EQ(send_n(a, 5, 1200), 5);
	T_CHECK(port_can_reach(b, &path));
	T_EQ(port_reserve(b, &path, 10, slots, 3), 3);
	T_EQ(port_flush(a), 0);
	hand_check_census();
	T_EQ(census(QX_FRAME_TX), 0);
	T_EQ(drops(a, QX_DROP_DEVICE_GONE), 5);
	T_EQ(hand.detaches, 1);
	T_CHECK(wakes >= 2); /* both must hear of it */
	T_CHECK(!port_can_reach(a, &path));
	T_EQ(receive(a), -ENETDOWN);
	T_EQ(receive(a), 0);
	T_EQ(receive(b), -ENETDOWN);
	T_EQ(receive(b), 0);
	T_EQ(port_commit(b, slots, 3), 0);
	T_EQ(drops(b, QX_DROP_DEVICE_GONE), 8);
	T_EQ(census(QX_FRAME_FREE), HAND_TX);
	T_EQ(port_flush(a), 0);
	finish(a, b);
}

/* An interface that was deleted, or a ring that the kernel will never get past. */
static void a_device_that_is_gone_is_reported_once_to_each_port(void)
{
	goes_away(-ENXIO);
	goes_away(-EINVAL);
}

/* Whoever only receives must notice too, without a system call per turn. */
static void a_deleted_interface_is_noticed_by_a_reader(void)
{
	struct qx_port *port = fresh_port();

	T_EQ(recv_at(port, SECOND_NS), 0);
	T_EQ(hand.events, 1);
	for (int i = 0; i < 100; i++)
		T_EQ(recv_at(port, SECOND_NS + 1000), 0);
	T_EQ(hand.events, 1);
	hand.events_answer = -ENXIO;
	T_EQ(recv_at(port, SECOND_NS + 1000000), -ENETDOWN);
	T_EQ(hand.events, 2);
	T_EQ(recv_at(port, SECOND_NS + 9000000), 0);
	T_EQ(hand.events, 2);
	finish(port, NULL);
}

/* What has arrived before the end is delivered before the end is reported. */
static void datagrams_before_the_end_are_delivered(void)
{
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 10);

	hear(port, 0, SECOND_NS);
	T_CHECK(hand_arrive(0, &f));
	hand.kick_answer = -ENXIO;
	T_EQ(send_n(port, 1, 10), 1);
	T_EQ(port_flush(port), 0);
	T_EQ(receive(port), 1);
	done(port);
	T_EQ(receive(port), -ENETDOWN);
	finish(port, NULL);
}

/* ---- Completions ---- */

/* A wedged ring completes the same frame at every kick: it must be freed once. */
static void phantom_completions_are_counted_and_free_nothing(void)
{
	struct qx_port *port = fresh_port();
	struct qx_desc desc;

	hear(port, 0, SECOND_NS);
	hand.kick_moves = 0;
	T_EQ(send_n(port, 2, 100), 2);
	port_flush(port);
	T_CHECK(hand_sent(0, &desc));
	for (int i = 0; i < 4; i++)
		hand_complete(0, desc.off_bytes);
	hand_complete(0, 0); /* an RX frame */
	hand_complete(0, UINT64_MAX);
	hand_complete(0, 1ull << 43);
	T_EQ(port_flush(port), 0);
	hand_check_census();
	T_EQ(census(QX_FRAME_TX), 1);
	T_EQ(census(QX_FRAME_FREE), HAND_TX - 1);
	T_EQ(drops(port, QX_DROP_DESCRIPTOR), 6);
	finish(port, NULL);
}

/* Counters in statistics go on where the rings' 32-bit indices wrap. */
static void ring_totals_survive_the_wrap_of_their_indices(void)
{
	struct qx_stats s = {0};
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 10);

	for (int i = 0; i < 3; i++) {
		struct qx_ring *views[] = {&hand.rx[1], &hand.nic.queues[1].rx};

		/* As if four thousand million packets had passed. */
		for (int k = 0; k < 2; k++)
			views[k]->cached_producer = views[k]->cached_consumer = 0xfffffff0u;
		hand.memory[1][1].producer = hand.memory[1][1].consumer = 0xfffffff0u;
		port_stats(port, &s);
		s.rx_ring_produced = 0;
		for (int k = 0; k < 32; k++)
			T_CHECK(hand_arrive(1, &f));
		T_EQ(receive(port), 32);
		done(port);
		memset(&s, 0, sizeof(s));
		T_EQ(port_stats(port, &s), 0);
		T_EQ((uint32_t)s.rx_ring_produced, 16);
		T_CHECK(s.rx_ring_produced > UINT32_MAX);
		T_EQ(s.kernel_rx_dropped, 3);
	}
	finish(port, NULL);
}

/* Each port reports its own datagrams; census and queues are the device's. */
static void statistics_tell_ports_apart(void)
{
	struct qx_port *a = fresh_port(), *b;
	struct qx_addr local_b = v4(1, 444);
	struct qx_stats s = {0};

	b = open_port(&local_b, &nobody);
	hear(a, 0, SECOND_NS);
	T_EQ(send_n(b, 3, 50), 3);
	port_flush(b);
	T_EQ(port_stats(a, &s), 0);
	T_EQ(s.lane[QX_LANE_XDP].rx_packets, 1);
	T_EQ(s.lane[QX_LANE_XDP].rx_bytes, 10);
	T_EQ(s.lane[QX_LANE_XDP].tx_packets, 0);
	T_EQ(s.lane[QX_LANE_XDP].tx_syscalls, 1);
	T_EQ(s.tx_wakeups, 1);
	T_EQ(s.queue_cnt, HAND_QUEUES);
	T_EQ(s.frame_cnt, HAND_QUEUES * HAND_RX + HAND_TX);
	memset(&s, 0, sizeof(s));
	T_EQ(port_stats(b, &s), 0);
	T_EQ(s.lane[QX_LANE_XDP].rx_packets, 0);
	T_EQ(s.lane[QX_LANE_XDP].tx_packets, 3);
	T_EQ(s.lane[QX_LANE_XDP].tx_bytes, 150);
	T_EQ(s.completion_ring_produced, 3);
	finish(a, b);
}

static const struct t_case cases[] = {
	{"longer than the MTU is refused at once", longer_than_the_mtu_is_refused_at_once},
	{"reservations end where frames or ring end",
	 reservations_end_where_frames_or_ring_end},
	{"a short ring limits a reservation", a_short_ring_limits_a_reservation},
	{"commit takes exactly what was reserved", commit_takes_exactly_what_was_reserved},
	{"a flush is one kick per queue", a_flush_is_one_kick_per_queue},
	{"no kick if the ring does not ask", no_kick_if_the_ring_does_not_ask},
	{"\"again\" is repeated while it helps", again_is_repeated_while_it_helps},
	{"a link that is down keeps its frames", a_link_that_is_down_keeps_its_frames},
	{"a device that is gone is reported once to each port",
	 a_device_that_is_gone_is_reported_once_to_each_port},
	{"a deleted interface is noticed by a reader",
	 a_deleted_interface_is_noticed_by_a_reader},
	{"datagrams before the end are delivered", datagrams_before_the_end_are_delivered},
	{"phantom completions are counted and free nothing",
	 phantom_completions_are_counted_and_free_nothing},
	{"ring totals survive the wrap of their indices",
	 ring_totals_survive_the_wrap_of_their_indices},
	{"statistics tell ports apart", statistics_tell_ports_apart},
};

T_MAIN(cases)
