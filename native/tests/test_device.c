/* test_device.c: a device's ports and receiving, against a kernel moved by hand (hand_nic.h),
 * which also lies. */
#include "device.h"

#include <pthread.h>

#include "device_fixture.h"

/* ---- Receiving ---- */

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
	uint64_t tx_frame = (uint64_t)(hand.nic.umem.frame_cnt - 1) << 11;

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

/* ---- Several ports ---- */

/* Whoever polls leaves the others' datagrams in their inboxes and wakes them. */
static void each_port_gets_its_own_whoever_polls(void)
{
	struct qx_port *a = fresh_port(), *b;
	struct qx_addr local_b = v4(1, 444);

	b = open_port(&local_b, &nobody);
	for (uint32_t i = 0; i < 12; i++) {
		struct frame f =
			datagram(v4(9, 1000), v4(1, (uint16_t)(443 + i % 3)), 10 + i);

		T_CHECK(hand_arrive(i % 2, &f));
	}
	T_EQ(receive(a), 4);
	for (int i = 0; i < 4; i++)
		T_EQ((batch.datagrams[i].len_bytes - 10) % 3, 0);
	T_EQ(wakes, 1);
	done(a);
	T_EQ(receive(b), 4);
	for (int i = 0; i < 4; i++)
		T_EQ((batch.datagrams[i].len_bytes - 10) % 3, 1);
	done(b);
	T_EQ(drops(a, QX_DROP_NOT_OURS), 4);
	T_EQ(receive(b), 0);
	check_all_filled();
	finish(a, b);
}

/* An inbox keeps arrival order. */
static void an_inbox_keeps_the_order(void)
{
	struct qx_port *a = fresh_port(), *b;
	struct qx_addr local_b = v4(1, 444);

	b = open_port(&local_b, &nobody);
	for (uint32_t i = 0; i < 20; i++) {
		struct frame f = datagram(v4(9, 1000), local_b, 10 + i);

		T_CHECK(hand_arrive(0, &f));
		if (i % 3 == 0)
			T_EQ(receive(a), 0);
	}
	T_EQ(receive(b), 20);
	for (uint32_t i = 0; i < 20; i++)
		T_EQ(batch.datagrams[i].len_bytes, 10 + i);
	done(b);
	finish(a, b);
}

/* An endpoint that stops reading loses its own datagrams, not its neighbours'. */
static void an_endpoint_that_does_not_read_harms_only_itself(void)
{
	struct qx_port *a = fresh_port(), *b;
	struct qx_addr local_b = v4(1, 444);
	struct frame for_a = datagram(v4(9, 1000), v4(1, 443), 10);
	struct frame for_b = datagram(v4(9, 1000), local_b, 10);
	uint32_t heard = 0;

	b = open_port(&local_b, &nobody);
	for (int i = 0; i < 10 * HAND_RX; i++) {
		T_CHECK(hand_arrive(0, &for_b));
		T_CHECK(hand_arrive(0, &for_a));
		heard += (uint32_t)receive(a);
		done(a);
	}
	T_EQ(heard, 10 * HAND_RX);
	T_EQ(hand.nic.umem.census[QX_FRAME_LENT], HAND_RX / 3);
	T_EQ(drops(b, QX_DROP_INBOX_FULL), 10 * HAND_RX - HAND_RX / 3);
	T_EQ(drops(a, QX_DROP_INBOX_FULL), 0);
	/* When it reads again, it has its whole share again. */
	for (int round = 0; round < 3; round++) {
		T_EQ(receive(b), HAND_RX / 3);
		done(b);
		for (int i = 0; i < HAND_RX / 3; i++)
			T_CHECK(hand_arrive(0, &for_b));
		T_EQ(receive(a), 0);
	}
	T_EQ(drops(b, QX_DROP_INBOX_FULL), 10 * HAND_RX - HAND_RX / 3);
	T_EQ(receive(b), HAND_RX / 3);
	done(b);
	check_all_filled();
	finish(a, b);
}

/* Closing gives everything back: inbox, unreturned batch, uncommitted slots. */
static void closing_a_port_returns_all_it_holds(void)
{
	struct qx_port *a = fresh_port(), *b;
	struct qx_addr local_b = v4(1, 444);
	struct frame for_b = datagram(v4(9, 1000), local_b, 10);
	struct qx_path path = to_peer();
	struct qx_slot slots[8];

	b = open_port(&local_b, &nobody);
	for (int i = 0; i < 3; i++)
		T_CHECK(hand_arrive(0, &for_b));
	T_EQ(receive(b), 3); /* and never returned */
	for (int i = 0; i < 3; i++)
		T_CHECK(hand_arrive(1, &for_b));
	T_EQ(receive(a), 0); /* into b's inbox */
	T_CHECK(port_can_reach(b, &path));
	T_EQ(port_reserve(b, &path, 100, slots, 8), 8);
	port_close(b);
	check_all_filled();
	T_EQ(hand.nic.umem.census[QX_FRAME_FREE], HAND_TX);
	T_EQ(hand.detaches, 0);
	T_CHECK(hand_arrive(0, &for_b));
	T_EQ(receive(a), 0);
	T_EQ(drops(a, QX_DROP_NOT_OURS), 1);
	finish(a, NULL);
	T_EQ(hand.detaches, 1);
	T_EQ(hand.admits, hand.dismisses);
}

/* A connected endpoint ignores everybody else, by address and by port. */
static void a_connected_port_hears_only_its_peer(void)
{
	struct qx_addr local = v4(1, 443), remote = v4(9, 1000);
	struct frame right = datagram(v4(9, 1000), local, 1);
	struct frame wrong_port = datagram(v4(9, 1001), local, 2);
	struct frame wrong_ip = datagram(v4(8, 1000), local, 3);
	struct qx_port *port;

	fresh();
	port = open_port(&local, &remote);
	T_CHECK(hand_arrive(0, &wrong_port) && hand_arrive(0, &right) &&
		hand_arrive(0, &wrong_ip));
	T_EQ(receive(port), 1);
	T_EQ(batch.datagrams[0].len_bytes, 1);
	done(port);
	T_EQ(drops(port, QX_DROP_WRONG_PEER), 2);
	check_all_filled();
	finish(port, NULL);
}

/* 0.0.0.0 is every IPv4 address of the interface, :: every IPv6 one, both for dual stack. */
static void a_wildcard_port_answers_to_every_address(void)
{
	const struct qx_addr wild[] = {{.family = QX_IPV4, .port = 443},
				       {.family = QX_IPV6, .port = 443},
				       {.family = QX_UNSPEC, .port = 443}};
	static const int heard[] = {2, 1, 3};

	for (int i = 0; i < 3; i++) {
		struct frame f[] = {
			datagram(v4(9, 1), v4(1, 443), 1), datagram(v6(9, 1), v6(1, 443), 1),
			datagram(v4(9, 1), v4(2, 443), 1), datagram(v4(9, 1), v4(3, 443), 1)};
		struct qx_port *port;

		fresh();
		port = open_port(&wild[i], &nobody);
		for (int k = 0; k < 4; k++)
			T_CHECK(hand_arrive(0, &f[k]));
		T_EQ(receive(port), heard[i]);
		done(port);
		T_EQ(drops(port, QX_DROP_NOT_OURS), 4 - heard[i]);
		T_EQ(hand.admits, heard[i]);
		finish(port, NULL);
	}
}

/* Hundreds of endpoints on one interface: the table grows, closes and still finds. */
static void many_ports_are_told_apart(void)
{
	enum {
		N = 500
	};
	static struct qx_port *ports[N];

	fresh();
	for (int i = 0; i < N; i++) {
		struct qx_addr local = v4(1, (uint16_t)(1000 + i * 37));

		ports[i] = open_port(&local, &nobody);
	}
	for (int i = 1; i < N; i += 2) {
		port_close(ports[i]);
		ports[i] = NULL;
	}
	for (int i = 0; i < N; i++) {
		struct frame f = datagram(v4(9, 1), v4(1, (uint16_t)(1000 + i * 37)), 1);
		struct qx_port *reader = ports[i] ? ports[i] : ports[0];

		T_CHECK(hand_arrive(0, &f));
		T_EQ(receive(reader), ports[i] != NULL);
		done(reader);
	}
	T_EQ(drops(ports[0], QX_DROP_NOT_OURS), N / 2);
	for (int i = 0; i < N; i += 2)
		port_close(ports[i]);
	T_EQ(hand.admits, hand.dismisses);
	finish(NULL, NULL);
}

/* ---- Opening ---- */

static int try_open(const struct qx_addr *local, const struct qx_addr *remote)
{
	struct qx_port *port;

	memset(hand_why, 0, sizeof(hand_why));
	return port_open(&port, dev, local, remote, count_wake, NULL, hand_why);
}

/* Every refusal has its errno and a sentence, and leaves nothing admitted. */
static void refused_ports_leave_nothing_behind(void)
{
	struct qx_port *port = fresh_port();
	struct qx_addr same = v4(1, 443), no_port = v4(1, 0), good = v4(1, 444);
	struct qx_addr loopback = {.family = QX_IPV4, .ip = {127, 0, 0, 1}, .port = 443};
	struct qx_addr wild = {.family = QX_IPV4, .port = 443}, other = v6(9, 1);

	T_EQ(try_open(&same, &nobody), -EADDRINUSE);
	T_CHECK(strstr(hand_why, "10.0.0.1:443") != NULL);
	T_EQ(try_open(&wild, &nobody), -EADDRINUSE);
	T_EQ(try_open(&no_port, &nobody), -EINVAL);
	T_EQ(try_open(&loopback, &nobody), -EADDRNOTAVAIL);
	T_CHECK(strlen(hand_why) > 10);
	T_EQ(try_open(&good, &other), -EINVAL);
	wild.port = 500;
	hand.admit_answer = -ENOSPC;
	hand.admit_fails_at = hand.admits + 2;
	T_EQ(try_open(&wild, &nobody), -ENOSPC);
	T_CHECK(strlen(hand_why) > 10);
	T_EQ(hand.admits - 1, hand.dismisses + 1); /* the open port's, and the refused call */
	hand.addr_cnt = 0;
	T_EQ(try_open(&wild, &nobody), -EADDRNOTAVAIL);
	T_CHECK(strstr(hand_why, "no IPv4 address") != NULL);
	finish(port, NULL);
}

/* If the filter cannot be attached, the first port fails and the device is closed. */
static void a_failed_attach_is_undone(void)
{
	struct qx_addr local = v4(1, 443);
	struct qx_port *port;

	fresh();
	hand.attach_answer = -EBUSY;
	T_EQ(try_open(&local, &nobody), -EBUSY);
	T_CHECK(strstr(hand_why, "refused by the test") != NULL);
	T_EQ(hand.admits, hand.dismisses);
	hand.attach_answer = 0;
	port = open_port(&local, &nobody);
	T_EQ(hand.attaches, 2);
	finish(port, NULL);
	T_EQ(hand.detaches, 1);
}

static void *wrap_elsewhere(void *arg)
{
	struct qx_device *other;
	static int rc;

	(void)arg;
	rc = device_wrap(&other, &hand.nic, hand_why);
	return &rc;
}

/* The rings have no locks: a second thread is told so at opening. */
static void another_thread_is_refused(void)
{
	struct qx_device *again;
	pthread_t thread;
	void *rc;

	fresh();
	T_EQ(pthread_create(&thread, NULL, wrap_elsewhere, NULL), 0);
	T_EQ(pthread_join(thread, &rc), 0);
	T_EQ(*(int *)rc, -EBUSY);
	T_CHECK(strstr(hand_why, "thread") != NULL);
	T_EQ(hand.closes, 0);
	T_EQ(device_wrap(&again, &hand.nic, hand_why), 0);
	T_CHECK(again == dev);
	device_put(again);
	T_EQ(hand.closes, 0);
	finish(NULL, NULL);
}

/* A NIC that promises more frames than it has is refused and closed. */
static void a_nic_with_too_few_frames_is_refused(void)
{
	struct qx_device *none;

	fresh();
	device_put(dev);
	T_EQ(umem_open(&hand.nic.umem, HAND_RX, 2048), 0);
	T_EQ(device_wrap(&none, &hand.nic, hand_why), -EINVAL);
	T_EQ(hand.closes, 2);
	T_CHECK(strlen(hand_why) > 10);
}

/* In a forked child the rings are the parent's: nothing is touched, only freed. */
static void a_forked_child_keeps_its_hands_off(void)
{
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 10);
	struct qx_path path = to_peer();
	uint32_t producer;

	T_CHECK(hand_arrive(0, &f));
	producer = hand.memory[0][0].producer;
	device_forked();
	T_EQ(receive(port), 0);
	T_CHECK(!port_can_reach(port, &path));
	T_EQ(port_flush(port), -EPERM);
	port_recv_publish(port);
	port_close(port);
	device_put(dev);
	T_EQ(hand.closes, 1);
	T_EQ(hand.detaches, 0);
	T_EQ(hand.dismisses, 0);
	T_EQ(hand.memory[0][0].producer, producer);
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
	{"a frame returned twice is counted", a_frame_returned_twice_is_counted},
	{"each port gets its own, whoever polls", each_port_gets_its_own_whoever_polls},
	{"an inbox keeps the order", an_inbox_keeps_the_order},
	{"an endpoint that does not read harms only itself",
	 an_endpoint_that_does_not_read_harms_only_itself},
	{"closing a port returns all it holds", closing_a_port_returns_all_it_holds},
	{"a connected port hears only its peer", a_connected_port_hears_only_its_peer},
	{"a wildcard port answers to every address",
	 a_wildcard_port_answers_to_every_address},
	{"many ports are told apart", many_ports_are_told_apart},
	{"refused ports leave nothing behind", refused_ports_leave_nothing_behind},
	{"a failed attach is undone", a_failed_attach_is_undone},
	{"another thread is refused", another_thread_is_refused},
	{"a NIC with too few frames is refused", a_nic_with_too_few_frames_is_refused},
	{"a forked child keeps its hands off", a_forked_child_keeps_its_hands_off},
};

T_MAIN(cases)
