/* test_device_way.c: the way to a peer through a device: by what its frames have shown, or by
 * what the system's tables say (hand_nic.h). */
#include "device_fixture.h"
#include "neigh.h"

#define AGE_MAX_NS (30 * SECOND_NS)

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
	T_EQ(hand.nic.umem.census[QX_FRAME_TX], 0);
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
};

T_MAIN(cases)
