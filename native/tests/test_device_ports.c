/* test_device_ports.c: the ports of a device, their opening and closing, over a kernel moved
 * by hand (hand_nic.h). */
#include "device.h"

#include <pthread.h>

#include "device_fixture.h"

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

/* One datagram to an address; how many came. */
static int heard_at(struct qx_port *port, uint8_t host)
{
	struct frame f = datagram(v4(9, 1000), v4(host, 443), 10);
	int n;

	T_CHECK(hand_arrive(0, &f));
	n = receive(port);
	done(port);
	return n;
}

/* A server on 0.0.0.0 serves an address that is added later, as with any socket; one that is
 * taken away is nobody's, and what somebody else has is not taken over. */
static void addresses_that_come_and_go_are_followed(void)
{
	struct qx_addr any = {.family = QX_IPV4, .port = 443}, own = v4(4, 443);
	struct qx_port *all, *one;
	uint64_t now_ns = SECOND_NS;

	fresh();
	hand_mirrors();
	all = open_port(&any, &nobody);
	one = open_port(&own, &nobody);
	T_EQ(hand.admits, 3); /* 10.0.0.1, .2; .4 */
	hand.addrs[0] = v4(3, 0);
	hand.addrs[1] = v4(4, 0);
	hand.nic.addrs_changed++;
	hand.addrs_answer = -EAGAIN;
	recv_at(all, now_ns += SECOND_NS);
	T_EQ(hand.admits, 3);
	hand.addrs_answer = 0;
	hand.admit_answer = -ENOSPC;
	hand.admit_fails_at = 4;
	recv_at(all, now_ns += SECOND_NS);
	T_EQ(hand.admits, 4);
	T_EQ(hand.dismisses, 1); /* 10.0.0.1 */
	T_EQ(heard_at(all, 1), 0);
	T_EQ(heard_at(all, 2), 1);
	T_EQ(heard_at(all, 3), 0); /* no room */
	hand.nic.addrs_changed++;
	recv_at(all, now_ns += SECOND_NS);
	T_EQ(hand.admits, 5);
	T_EQ(heard_at(all, 3), 1);
	T_EQ(heard_at(one, 4), 1);
	T_EQ(hand.dismisses, 1);
	/* Nothing is asked without news. */
	recv_at(all, now_ns += SECOND_NS);
	T_EQ(hand.admits, 5);
	finish(all, one);
	T_EQ(hand.dismisses, 4);
}

/* Who looks for the reason of a stall sees on which side the frames are. */
static void statistics_tell_what_stands_in_the_rings(void)
{
	struct qx_port *port = fresh_port();
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 100);
	struct qx_stats s = {0};

	T_CHECK(hand_arrive(0, &f) && hand_arrive(1, &f) && hand_arrive(1, &f));
	T_EQ(port_stats(port, &s), 0);
	T_EQ(s.rings[QX_RING_FILL], HAND_QUEUES * HAND_RX - 3);
	T_EQ(s.rings[QX_RING_RX], 3);
	T_EQ(s.rings[QX_RING_TX] + s.rings[QX_RING_COMPLETION], 0);
	T_EQ(s.tx_wakeups, 0);
	T_EQ(receive(port), 3);
	done(port);
	s = (struct qx_stats){0};
	T_EQ(port_stats(port, &s), 0);
	T_EQ(s.rings[QX_RING_FILL], HAND_QUEUES * HAND_RX);
	T_EQ(s.rings[QX_RING_RX], 0);
	finish(port, NULL);
}

static const struct t_case cases[] = {
	{"addresses that come and go are followed", addresses_that_come_and_go_are_followed},
	{"statistics tell what stands in the rings",
	 statistics_tell_what_stands_in_the_rings},
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
