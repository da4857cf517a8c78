/* test_device_tx.c: sending through a device: the way to a peer, frames, kicks, completions
 * and every way in which the kernel can refuse, moved by hand (hand_nic.h). */
#include "device_fixture.h"
#include "neigh.h"

#define AGE_MAX_NS (30 * SECOND_NS)

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

/* ---- The way ---- */

/* A reply goes back to the MAC, the queue and from the address that the peer used. */
static void a_reply_goes_back_the_way_the_peer_came(void)
{
	struct qx_addr wild = {.family = QX_IPV4, .port = 443};
	struct qx_path path = to_peer();
	struct frame f = datagram(v4(9, 1000), v4(2, 443), 10);
	struct qx_slot slot;
	struct qx_desc desc;
	struct wire_datagram sent;
	struct qx_port *port;

	fresh();
	port = open_port(&wild, &nobody);
	T_CHECK(!port_can_reach(port, &path));
	T_CHECK(hand_arrive(1, &f));
	T_EQ(receive(port), 1);
	done(port);
	T_CHECK(port_can_reach(port, &path));
	T_EQ(port_reserve(port, &path, 500, &slot, 1), 1);
	T_EQ(slot.lane, QX_LANE_XDP);
	T_EQ(slot.ecn, QX_ECN_NOT_ECT);
	memset(slot.data, 0x5a, 500);
	slot.ecn = QX_ECN_ECT0;
	T_EQ(port_commit(port, &slot, 1), 0);
	hand.kick_moves = 0;
	port_flush(port);
	T_CHECK(!hand_sent(0, &desc));
	T_CHECK(hand_sent(1, &desc));
	/* Read it as the peer would: its MAC is the one that frames.h sends from. */
	T_EQ(wire_parse(umem_frame(&hand.nic.umem, 0) + desc.off_bytes, desc.len_bytes,
			f.bytes + 6, &sent),
	     QX_DROP_NONE);
	T_EQ(memcmp(sent.peer_mac, hand_mac, 6), 0);
	T_EQ(sent.path.local.ip[3], 9);
	T_EQ(sent.path.local.port, 1000);
	T_EQ(sent.path.peer.ip[3], 2);
	T_EQ(sent.path.peer.port, 443);
	T_EQ(sent.payload_len_bytes, 500);
	T_EQ(sent.ecn, QX_ECN_ECT0);
	hand_complete(1, desc.off_bytes);
	T_EQ(receive(port), 0);
	T_EQ(census(QX_FRAME_TX), 0);
	finish(port, NULL);
}

/* 30 s without a frame from the peer: it may have moved, the kernel socket finds out. */
static void a_peer_unheard_of_for_long_is_left_to_the_socket(void)
{
	struct qx_port *port = fresh_port();
	struct qx_path path = to_peer();

	hear(port, 0, SECOND_NS);
	recv_at(port, SECOND_NS + AGE_MAX_NS);
	T_CHECK(port_can_reach(port, &path));
	recv_at(port, SECOND_NS + AGE_MAX_NS + 1);
	T_CHECK(!port_can_reach(port, &path));
	T_EQ(port_reserve(port, &path, 10, NULL, 1), -ENETUNREACH);
	hear(port, 0, SECOND_NS + AGE_MAX_NS + 2);
	T_CHECK(port_can_reach(port, &path));
	finish(port, NULL);
}

static uint32_t ways_asked, ways_closed;

static int find_way(void *ways, const struct qx_addr *peer, uint64_t now_ns,
		    struct qx_neigh *out)
{
	ways_asked++;
	if (peer->ip[3] != 7)
		return 0;
	*out = (struct qx_neigh){.local = v4(1, 0), .heard_ns = now_ns};
	memcpy(out->mac, ways, sizeof(out->mac));
	return 1;
}

static void close_ways(void *ways)
{
	(void)ways;
	ways_closed++;
}

/* A client's first packet has no frame of the peer to go by; a system that knows is asked,
 * but not about peers that were heard. */
static void a_way_that_the_system_knows_is_used(void)
{
	uint8_t mac[6] = {2, 3, 4, 5, 6, 7};
	struct qx_port *port = fresh_port();
	struct qx_path path = {.peer = v4(7, 1000)};
	struct qx_slot slot;
	struct qx_desc desc;

	T_CHECK(!port_can_reach(port, &path));
	hand.nic.find_way = find_way;
	hand.nic.close_ways = close_ways;
	hand.nic.ways = mac;
	ways_asked = ways_closed = 0;
	T_CHECK(port_can_reach(port, &path));
	T_EQ(port_reserve(port, &path, 10, &slot, 1), 1);
	memset(slot.data, 1, 10);
	T_EQ(port_commit(port, &slot, 1), 0);
	hand.kick_moves = 0;
	port_flush(port);
	T_CHECK(hand_sent(0, &desc));
	T_EQ(memcmp(umem_frame(&hand.nic.umem, 0) + desc.off_bytes, mac, 6), 0);
	hand_complete(0, desc.off_bytes);
	path.peer = v4(8, 1000);
	T_CHECK(!port_can_reach(port, &path));
	T_EQ(ways_asked, 2);
	hear(port, 0, SECOND_NS);
	path = to_peer();
	T_CHECK(port_can_reach(port, &path));
	T_EQ(ways_asked, 2);
	T_EQ(receive(port), 0);
	finish(port, NULL);
	T_EQ(ways_closed, 1);
}

/* What the kernel's tables do not say for certain is the socket's, whoever was heard. */
static void without_a_way_the_peer_is_left_to_the_socket(void)
{
	struct qx_port *port = fresh_port();
	struct qx_path path = to_peer();

	hand_mirrors();
	hear(port, 0, SECOND_NS);
	T_CHECK(port_can_reach(port, &path));
	hand.no_way = true;
	hand.nic.ways_changed++;
	T_CHECK(!port_can_reach(port, &path));
	T_EQ(port_reserve(port, &path, 10, NULL, 1), -ENETUNREACH);
	hand.no_way = false;
	hand.nic.ways_changed++;
	T_CHECK(port_can_reach(port, &path));
	finish(port, NULL);
}

/* What was resolved is used again until something changes, and not for long. */
static void a_way_is_asked_for_again_when_anything_has_changed(void)
{
	struct qx_port *port = fresh_port();
	struct qx_path path = to_peer();
	uint32_t asked;

	hand_mirrors();
	hear(port, 0, SECOND_NS);
	T_CHECK(port_can_reach(port, &path));
	asked = hand.ways;
	T_CHECK(port_can_reach(port, &path));
	T_EQ(hand.ways, asked);
	hand.nic.ways_changed++;
	T_CHECK(port_can_reach(port, &path));
	T_EQ(hand.ways, asked + 1);
	hear(port, 1, SECOND_NS); /* on another queue */
	T_CHECK(port_can_reach(port, &path));
	T_EQ(hand.ways, asked + 2);
	recv_at(port, 2 * SECOND_NS);
	T_CHECK(port_can_reach(port, &path));
	T_EQ(hand.ways, asked + 3);
	finish(port, NULL);
}

/* A client is the first to speak: nobody has heard its peer yet. */
static void a_peer_never_heard_is_reached_where_the_source_is_clear(void)
{
	struct qx_addr wild = {.family = QX_IPV4, .port = 443};
	struct qx_path path = to_peer();
	struct qx_port *port = fresh_port();
	struct qx_slot slot;

	hand_mirrors();
	T_CHECK(port_can_reach(port, &path)); /* one address */
	port_close(port);
	port = open_port(&wild, &nobody);
	T_CHECK(!port_can_reach(port, &path)); /* which of two? */
	hand.way_source = v4(2, 0);
	T_EQ(port_reserve(port, &path, 10, &slot, 1), 1); /* the route's */
	T_EQ(slot.data[-42 + 26 + 3], 2);
	slot.len_bytes = 0;
	T_EQ(port_commit(port, &slot, 1), 0);
	hand.way_source = v4(7, 0); /* not ours to send from */
	hand.nic.ways_changed++;
	T_CHECK(!port_can_reach(port, &path));
	finish(port, NULL);
}

/* A route's MTU may be smaller than the interface's, and may change. */
static void the_way_says_how_long_a_datagram_may_be(void)
{
	struct qx_port *port = fresh_port();
	struct qx_path path = to_peer();
	struct qx_slot slot;

	hand_mirrors();
	hand.way_mtu_bytes = 1280;
	T_EQ(port_reserve(port, &path, 1280 - 28 + 1, &slot, 1), -EMSGSIZE);
	T_EQ(port_reserve(port, &path, 1280 - 28, &slot, 1), 1);
	slot.len_bytes = 0;
	T_EQ(port_commit(port, &slot, 1), 0);
	hand.way_mtu_bytes = 9000; /* never more than a frame holds */
	hand.nic.ways_changed++;
	T_CHECK(port_can_reach(port, &path));
	T_EQ(port_reserve(port, &path, 2048 - 42 + 1, &slot, 1), -EMSGSIZE);
	finish(port, NULL);
}

/* The socket lane does these right; this one would send nonsense. */
static void what_the_lane_cannot_do_is_unreachable(void)
{
	struct qx_port *port = fresh_port();
	struct qx_path path;

	hear(port, 0, SECOND_NS);
	path = to_peer();
	path.peer.port = 0;
	T_CHECK(!port_can_reach(port, &path));
	path = to_peer();
	path.peer = v4(8, 1000); /* never heard */
	T_CHECK(!port_can_reach(port, &path));
	path = to_peer();
	path.local = v4(2, 443); /* the interface's address, not this port's */
	T_CHECK(!port_can_reach(port, &path));
	path.local = v6(1, 443); /* other family */
	T_CHECK(!port_can_reach(port, &path));
	path.local = v4(1, 999); /* the port is always the endpoint's own */
	T_CHECK(port_can_reach(port, &path));

	hand.nic.has_peer_mac = 1;
	path = (struct qx_path){.peer = v4(1, 1000)}; /* ourselves */
	T_CHECK(!port_can_reach(port, &path));
	path.peer = (struct qx_addr){.family = QX_IPV4, .ip = {224, 0, 0, 1}, .port = 1};
	T_CHECK(!port_can_reach(port, &path));
	path.peer = (struct qx_addr){.family = QX_IPV4, .ip = {127, 0, 0, 1}, .port = 1};
	T_CHECK(!port_can_reach(port, &path));
	path.peer = v6(9, 1000); /* no IPv6 address on this port */
	T_CHECK(!port_can_reach(port, &path));
	path.peer = (struct qx_addr){0};
	T_CHECK(!port_can_reach(port, &path));
	T_EQ(port_reserve(port, &path, 0, NULL, 1), -ENETUNREACH);
	path.peer = v4(77, 1000); /* point to point: everybody else is at the other end */
	T_CHECK(port_can_reach(port, &path));
	finish(port, NULL);
}

/* A peer taught by another port is usable, but never with that port's address. */
static void a_peer_of_another_port_is_answered_from_our_own_address(void)
{
	struct qx_port *a = fresh_port(), *b;
	struct qx_addr local_b = v4(2, 444);
	struct qx_path path = to_peer();
	struct qx_slot slot;

	b = open_port(&local_b, &nobody);
	hear(a, 0, SECOND_NS);
	T_CHECK(port_can_reach(b, &path));
	T_EQ(port_reserve(b, &path, 10, &slot, 1), 1);
	T_EQ(slot.data[-42 + 26 + 3], 2); /* source address of the IPv4 header */
	slot.len_bytes = 0;
	T_EQ(port_commit(b, &slot, 1), 0);
	finish(a, b);
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
	{"a reply goes back the way the peer came", a_reply_goes_back_the_way_the_peer_came},
	{"a peer unheard of for long is left to the socket",
	 a_peer_unheard_of_for_long_is_left_to_the_socket},
	{"a way that the system knows is used", a_way_that_the_system_knows_is_used},
	{"without a way the peer is left to the socket",
	 without_a_way_the_peer_is_left_to_the_socket},
	{"a way is asked for again when anything has changed",
	 a_way_is_asked_for_again_when_anything_has_changed},
	{"a peer never heard is reached where the source is clear",
	 a_peer_never_heard_is_reached_where_the_source_is_clear},
	{"the way says how long a datagram may be", the_way_says_how_long_a_datagram_may_be},
	{"what the lane cannot do is unreachable", what_the_lane_cannot_do_is_unreachable},
	{"a peer of another port is answered from our own address",
	 a_peer_of_another_port_is_answered_from_our_own_address},
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
