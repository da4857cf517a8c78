/* test_device_rx.c: what a device receives, from a kernel moved by hand (hand_nic.h), which
 * also lies. */
#include "device.h"

#include <pthread.h>

#include "device_fixture.h"

/* What arrives is handed out with both addresses and goes back to its own queue. */
static void a_datagram_reaches_its_port(void)
{
	struct qx_port *port = fresh_port();
	struct qx_addr peer = v4(9, 1000), local = v4(1, 443);
	struct frame f = datagram(peer, local, 100);
	uint8_t *base;

	f.bytes[15] = QX_ECN_CE;
	frame_fix_ip_sum(&f);
	T_EQ(hand.nic.umem.census[QX_FRAME_FILL], HAND_QUEUES * HAND_RX);
	T_CHECK(hand_arrive(1, &f));
	T_EQ(receive(port), 1);
	T_EQ(batch.datagrams[0].len_bytes, 100);
	T_EQ(batch.datagrams[0].ecn, QX_ECN_CE);
	T_EQ(batch.datagrams[0].lane, QX_LANE_XDP);
	T_EQ(memcmp(&batch.paths[0].peer, &peer, sizeof(peer)), 0);
	T_EQ(memcmp(&batch.paths[0].local, &local, sizeof(local)), 0);
	device_memory(dev, &base);
	T_CHECK(batch.datagrams[0].data == base + batch.datagrams[0].off_bytes);
	T_EQ(memcmp(batch.datagrams[0].data, f.bytes + f.len_bytes - 100, 100), 0);
	T_EQ(hand.nic.umem.census[QX_FRAME_LENT], 1);
	T_EQ(fill_level(1), HAND_RX - 1);
	done(port);
	check_all_filled();
	finish(port, NULL);
}

/* Descriptors that lie about where or how long a packet is. */
static void lying_descriptors_are_counted_and_harmless(void)
{
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 100);
	uint64_t of_0 = hand_fill(0), of_1 = hand_fill(1);
	uint64_t tx_frame = 0; /* those for sending come first */

	T_CHECK(of_0 != UINT64_MAX && of_1 != UINT64_MAX);
	hand_desc(0, UINT64_MAX, 100, 0);
	hand_desc(0, (uint64_t)hand.nic.umem.len_bytes, 100, 0);
	hand_desc(0, 1ull << 43, 100, 0); /* frame 2^32: no narrowing */
	hand_desc(0, tx_frame, 100, 0);   /* not the kernel's: FREE */
	hand_desc(0, of_1, 100, 0);       /* given to the other queue */
	hand_desc(0, of_0 + 2047, 2, 0);  /* crosses into the next frame */
	T_EQ(receive(port), 0);
	T_EQ(drops(port, QX_DROP_DESCRIPTOR), 6);
	/* The last one named a frame that was the kernel's, so it is back in the ring. */
	T_EQ(fill_level(0), HAND_RX);

	of_0 = hand_fill(0);
	hand_desc(0, of_0, UINT32_MAX, 0);
	T_EQ(receive(port), 0);
	T_EQ(drops(port, QX_DROP_DESCRIPTOR), 7);
	T_CHECK(hand_arrive(0, &f));
	T_EQ(receive(port), 1);
	done(port);
	hand_desc(1, of_1, 10, 0);
	T_EQ(receive(port), 0);
	T_EQ(drops(port, QX_DROP_TRUNCATED), 1);
	check_all_filled();
	finish(port, NULL);
}

/* One frame named twice would be two packets in one buffer. */
static void a_frame_named_twice_is_delivered_once(void)
{
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 100);
	struct frame foreign = datagram(v4(9, 1000), v4(1, 444), 100);
	uint64_t off;

	T_CHECK(hand_arrive(0, &f));
	off = ((struct qx_desc *)hand.memory[0][1].elements)[0].off_bytes;
	hand_desc(0, off, f.len_bytes, 0);
	T_EQ(receive(port), 1);
	T_EQ(drops(port, QX_DROP_DESCRIPTOR), 1);
	done(port);
	/* The same with a frame that nobody wants and that goes back at once. */
	T_CHECK(hand_arrive(0, &foreign));
	off = ((struct qx_desc *)hand.memory[0][1].elements)[2].off_bytes;
	hand_desc(0, off, f.len_bytes, 0);
	T_EQ(receive(port), 0);
	T_EQ(drops(port, QX_DROP_DESCRIPTOR), 2);
	T_EQ(drops(port, QX_DROP_NOT_OURS), 1);
	check_all_filled();
	finish(port, NULL);
}

/* A ring index that jumps must not make us read past the ring for ever. */
static void a_ring_index_that_jumps_is_survived(void)
{
	struct qx_port *port = fresh_port();

	hand.memory[0][1].producer += 1000000;
	for (int i = 0; i < 100; i++) {
		T_CHECK(receive(port) >= 0);
		done(port);
	}
	T_CHECK(drops(port, QX_DROP_DESCRIPTOR) > 0);
	finish(port, NULL);
}

/* A packet in several buffers is more than this lane reads. */
static void a_packet_in_pieces_is_overlong(void)
{
	struct qx_port *port = fresh_port();
	uint64_t off = hand_fill(0);

	hand_desc(0, off + HAND_HEADROOM, 1000, 1);
	T_EQ(receive(port), 0);
	T_EQ(drops(port, QX_DROP_OVERLONG), 1);
	check_all_filled();
	finish(port, NULL);
}

/* Counters name what was wrong; the frame goes straight back. */
static void what_nobody_wants_is_counted_and_its_frame_returned(void)
{
	struct qx_port *port = fresh_port();
	struct frame other_port = datagram(v4(9, 1000), v4(1, 444), 10);
	struct frame other_ip = datagram(v4(9, 1000), v4(77, 443), 10);
	struct frame bad = datagram(v4(9, 1000), v4(1, 443), 10);

	bad.bytes[50] ^= 1;
	for (int i = 0; i < 3 * HAND_RX; i++) {
		T_CHECK(hand_arrive(0, &other_port));
		T_CHECK(hand_arrive(0, &other_ip));
		T_CHECK(hand_arrive(0, &bad));
		T_EQ(receive(port), 0);
	}
	T_EQ(drops(port, QX_DROP_NOT_OURS), 6 * HAND_RX);
	T_EQ(drops(port, QX_DROP_UDP_CHECKSUM), 3 * HAND_RX);
	check_all_filled();
	finish(port, NULL);
}

/* Bursts of one peer share one path entry; a change starts a new one. */
static void neighbours_in_a_batch_share_their_path(void)
{
	struct qx_port *port = fresh_port();
	static const uint8_t hosts[] = {9, 9, 9, 8, 9, 9};

	for (int i = 0; i < 6; i++) {
		struct frame f = datagram(v4(hosts[i], 1000), v4(1, 443), 10);

		T_CHECK(hand_arrive(0, &f));
	}
	T_EQ(receive(port), 6);
	T_EQ(batch.path_cnt, 3);
	for (int i = 0; i < 6; i++)
		T_EQ(batch.paths[batch.datagrams[i].path].peer.ip[3], hosts[i]);
	done(port);
	finish(port, NULL);
}

/* fe80:: means nothing without the interface it was heard on (RFC 4007). */
static void link_local_peers_get_the_interface_as_scope(void)
{
	struct qx_addr local = {.family = QX_IPV6, .ip = {0xfe, 0x80, [15] = 1}, .port = 443};
	struct qx_addr peer = {.family = QX_IPV6, .ip = {0xfe, 0x80, [15] = 9}, .port = 1000};
	struct frame f = datagram(peer, local, 10);
	struct qx_port *port;
	struct qx_path path;

	fresh();
	port = open_port(&local, &nobody);
	T_CHECK(hand_arrive(0, &f));
	T_EQ(receive(port), 1);
	T_EQ(batch.paths[0].peer.scope_id, 7);
	T_EQ(batch.paths[0].local.scope_id, 7);
	path = batch.paths[0];
	done(port);
	T_CHECK(port_can_reach(port, &path));
	path.peer.scope_id = 8;
	T_CHECK(!port_can_reach(port, &path));
	finish(port, NULL);
}

/* A full batch leaves the rest where it is, for the next call. */
static void a_full_batch_leaves_the_rest_in_the_ring(void)
{
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 10);
	struct qx_addr local = v4(1, 443);
	struct qx_port *port;

	dev = hand_open(512, 64);
	port = open_port(&local, &nobody);
	for (int i = 0; i < QX_BATCH_MAX + 10; i++)
		T_CHECK(hand_arrive(0, &f));
	T_EQ(receive(port), QX_BATCH_MAX);
	done(port);
	T_EQ(receive(port), 10);
	done(port);
	T_EQ(drops(port, QX_DROP_INBOX_FULL), 0);
	finish(port, NULL);
}

/* A flood on one queue, for somebody else, delays the others by one call at most. */
static void a_flood_on_one_queue_does_not_starve_the_other(void)
{
	struct frame foreign = datagram(v4(9, 1000), v4(1, 444), 10);
	struct frame ours = datagram(v4(9, 1000), v4(1, 443), 10);
	struct qx_addr local = v4(1, 443);
	struct qx_port *port;
	int heard;

	dev = hand_open(2048, 64);
	port = open_port(&local, &nobody);
	for (int i = 0; i < 2048; i++)
		T_CHECK(hand_arrive(0, &foreign));
	T_CHECK(hand_arrive(1, &ours));
	heard = receive(port);
	done(port);
	heard += receive(port);
	done(port);
	T_EQ(heard, 1);
	T_CHECK(drops(port, QX_DROP_NOT_OURS) < 2048);
	finish(port, NULL);
}

/* xsk_flush publishes a packet before the fill ring's index: for a moment the ring looks
 * full, and the frame must wait, not vanish. */
static void a_fill_ring_that_looks_full_loses_no_frame(void)
{
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 10);
	uint32_t late = hand.memory[0][0].consumer;

	for (int i = 0; i < 5; i++)
		T_CHECK(hand_arrive(0, &f));
	hand.memory[0][0].consumer = late;
	T_EQ(receive(port), 5);
	done(port);
	T_EQ(hand.nic.umem.census[QX_FRAME_LENT], 0);
	T_EQ(fill_level(0), HAND_RX);
	ring_release(&hand.fill[0]);
	port_recv_publish(port);
	check_all_filled();
	finish(port, NULL);
}

/* The kernel is woken over the fill ring exactly when it asks. */
static void the_kernel_is_woken_when_it_asks(void)
{
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 10);

	T_CHECK(hand_arrive(0, &f));
	receive(port);
	done(port);
	T_EQ(hand.wakes, 0);
	hand.memory[0][0].flags = QX_RING_NEED_WAKEUP;
	T_CHECK(hand_arrive(0, &f));
	receive(port);
	T_EQ(hand.wakes, 0);
	done(port);
	T_EQ(hand.wakes, 1);
	port_recv_publish(port);
	T_EQ(hand.wakes, 1);
	finish(port, NULL);
}

/* With busy polling nobody else makes the driver look, so every look does. */
static void busy_polling_asks_the_driver_at_every_look(void)
{
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 10);

	hand.nic.busy_poll = 1;
	receive(port);
	T_EQ(hand.wakes, HAND_QUEUES);
	T_CHECK(hand_arrive(1, &f));
	T_EQ(receive(port), 1);
	T_EQ(hand.wakes, 2 * HAND_QUEUES);
	done(port);
	finish(port, NULL);
}

/* Returning a frame that is not lent must not put it into the ring twice. */
static void a_frame_returned_twice_is_counted(void)
{
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 10);

	T_CHECK(hand_arrive(0, &f));
	receive(port);
	port_recv_done(port, batch.datagrams[0].frame);
	port_recv_done(port, batch.datagrams[0].frame);
	port_recv_done(port, UINT32_MAX);
	port_recv_publish(port);
	T_EQ(drops(port, QX_DROP_DESCRIPTOR), 2);
	check_all_filled();
	finish(port, NULL);
}

static const struct t_case cases[] = {
	{"a datagram reaches its port", a_datagram_reaches_its_port},
	{"lying descriptors are counted and harmless",
	 lying_descriptors_are_counted_and_harmless},
	{"a frame named twice is delivered once", a_frame_named_twice_is_delivered_once},
	{"a ring index that jumps is survived", a_ring_index_that_jumps_is_survived},
	{"a packet in pieces is overlong", a_packet_in_pieces_is_overlong},
	{"what nobody wants is counted and its frame returned",
	 what_nobody_wants_is_counted_and_its_frame_returned},
	{"neighbours in a batch share their path", neighbours_in_a_batch_share_their_path},
	{"link-local peers get the interface as scope",
	 link_local_peers_get_the_interface_as_scope},
	{"a full batch leaves the rest in the ring",
	 a_full_batch_leaves_the_rest_in_the_ring},
	{"a flood on one queue does not starve the other",
	 a_flood_on_one_queue_does_not_starve_the_other},
	{"a fill ring that looks full loses no frame",
	 a_fill_ring_that_looks_full_loses_no_frame},
	{"the kernel is woken when it asks", the_kernel_is_woken_when_it_asks},
	{"busy polling asks the driver at every look",
	 busy_polling_asks_the_driver_at_every_look},
	{"a frame returned twice is counted", a_frame_returned_twice_is_counted},
};

T_MAIN(cases)
