/* test_winxdp_faults.c: XDP for Windows in trouble while it runs: adapters that vanish, waits
 * that end for nothing, rings that lie; over the simulator. */
#include "winxdp_traffic.h"

/* ---- Adapters that vanish ---- */

/* Pulled while packets are under way: reported once, frames accounted for, sockets go on. */
static void an_adapter_that_vanishes_is_reported_once(void)
{
	char why[QX_WHY_BYTES];
	struct qx_config cfg = {.socket_fd = -1};
	struct qx_datapath *late;
	uint64_t calls;

	sim_reset();
	open_ends(QX_IPV4);
	transfer(0, 100);
	send_numbered(0, 0, 20);
	sim_remove(0);
	step();
	T_EQ(qx_recv(ends[0], &batch, now_ns), -ENETDOWN);
	calls = sim_counts.calls;
	for (int i = 0; i < 10; i++) {
		step();
		T_EQ(receive_numbered(0, 0), 0);
		T_CHECK(qx_flush(ends[0]) >= 0);
	}
	T_EQ(sim_counts.calls, calls); /* nobody asks a driver that is gone */
	T_EQ(stats_of(0).frames[QX_FRAME_TX], 0);
	T_EQ(drops(0, QX_DROP_DEVICE_GONE), 20);
	/* No rule is left behind, should the adapter come back. */
	T_EQ(sim_held().programs, SIM_QUEUE_CNT);
	/* A new endpoint must not be given the dead NIC's rings. */
	cfg.local = addrs[0];
	cfg.local.port++;
	winxdp_nics[0] = NULL;
	T_EQ(winxdp_pair_open(&late, 0, &cfg, why), -ENODEV);
}

/* A receiver that only sleeps: whenever it next looks, it is told. */
static void an_adapter_that_vanishes_under_a_wait_is_noticed_at_the_next_look(void)
{
	sim_reset();
	open_ends(QX_IPV6);
	transfer(0, 10);
	T_CHECK(sim_held().waits > 0);
	sim_remove(1);
	step();
	T_EQ(qx_recv(ends[1], &batch, now_ns), -ENETDOWN);
	step();
	T_EQ(receive_numbered(1, 0), 0);
}

/* The driver refuses the poke before any flag says why. */
static void a_poke_that_fails_ends_the_lane(void)
{
	struct qx_path path = {.peer = addrs[1]};
	struct qx_slot slot;

	sim_reset();
	open_ends(QX_IPV4);
	transfer(0, 10);
	path.peer = addrs[1];
	sim_config.fail_at = 1;
	sim_config.fail_status = NT_DEVICE_REMOVED;
	T_EQ(send_numbered(0, 0, 1), 1);
	T_EQ(qx_reserve(ends[0], &path, 10, &slot, 1), -ENETUNREACH);
	T_EQ(qx_recv(ends[0], &batch, now_ns), -ENETDOWN);
	T_EQ(drops(0, QX_DROP_DEVICE_GONE), 1);
}

/* ---- Waits ---- */

/* Somebody else's wait, or a bug: sleeping without one would be for ever. */
static void a_wait_that_is_refused_ends_the_lane(void)
{
	sim_reset();
	sim_config.spurious_every = 0;
	open_ends(QX_IPV4);
	transfer(0, 10);
	T_EQ(send_numbered(0, 0, 1), 1);
	step();
	sim_config.fail_at = 1; /* the wait that follows the packet */
	sim_config.fail_status = NT_INVALID_DEVICE_STATE;
	T_EQ(receive_numbered(1, 0), 1);
	step();
	T_EQ(qx_recv(ends[1], &batch, now_ns), -ENETDOWN);
}

/* One wait a socket: asked for again and again, started once. */
static void there_is_one_wait_a_socket_however_often_one_looks(void)
{
	uint64_t waits;

	sim_reset();
	sim_config.spurious_every = 0;
	open_ends(QX_IPV4);
	waits = sim_counts.waits;
	T_EQ(waits, 2 * SIM_QUEUE_CNT);
	for (int i = 0; i < 100; i++) {
		step();
		T_EQ(receive_numbered(0, 0), 0);
		T_EQ(receive_numbered(1, 0), 0);
	}
	T_EQ(sim_counts.waits, waits);
	T_EQ(sim_counts.waits_refused, 0);
}

/* A wake-up for nothing costs a look and a new wait, and confuses nobody. */
static void waits_that_end_for_nothing_are_harmless(void)
{
	sim_reset();
	sim_config.spurious_every = 1;
	open_ends(QX_IPV4);
	transfer(0, 500);
	transfer(1, 500);
	T_CHECK(sim_counts.waits_spurious > 20);
	T_EQ(sim_counts.waits_refused, 0);
}

/* A caller that never sleeps pays for no wait. */
static void a_spinning_caller_starts_no_wait(void)
{
	sim_reset();
	now_ns = 1000000000;
	open_end(0, QX_IPV4, QX_CFG_SPIN);
	open_end(1, QX_IPV4, QX_CFG_SPIN);
	transfer(0, 500);
	T_EQ(sim_counts.waits, 0);
}

/* Closing while the driver holds a wait: it ends before its memory goes. */
static void closing_ends_the_wait_that_is_under_way(void)
{
	sim_reset();
	open_ends(QX_IPV4);
	T_EQ(sim_held().waits, 2 * SIM_QUEUE_CNT);
	close_ends();
	T_EQ(sim_held().waits, 0);
}

/* ---- Rings ---- */

/* The driver may stop because nobody took its completions; taking them is not enough. */
static void a_driver_that_stopped_for_want_of_completions_is_poked(void)
{
	sim_reset();
	sim_config.completion_cap = 16;
	open_ends(QX_IPV4);
	transfer(0, 1000);
	T_EQ(sim_counts.needless_pokes, 0);
}

/* Descriptors that name what was not given, lie outside, or come twice. */
static void received_descriptors_that_lie_are_counted_and_dropped(void)
{
	struct qx_stats before, after;

	sim_reset();
	open_ends(QX_IPV4);
	transfer(0, 10);
	before = stats_of(1);
	sim_put_raw(1, 0, false, UINT64_MAX, 60);
	sim_put_raw(1, 0, false, (uint64_t)before.frame_cnt << 11, 60); /* behind the end */
	sim_put_raw(1, 0, false, 0, 60);                                /* one for sending */
	sim_put_raw(1, 0, false, 100ull << 48, 60);                     /* an offset */
	sim_put_raw(1, 1, false, (uint64_t)(before.frame_cnt - 1) << 11, 60); /* queue 0's */
	step();
	T_EQ(receive_numbered(1, 0), 0);
	after = stats_of(1);
	T_EQ(after.drop[QX_DROP_DESCRIPTOR] - before.drop[QX_DROP_DESCRIPTOR], 5);
	T_EQ(after.frames[QX_FRAME_FILL], before.frames[QX_FRAME_FILL]);
	transfer(0, 300);

	/* A length that runs out of its frame: the frame is given back. */
	sim_put_raw(1, 0, false, (uint64_t)(before.frame_cnt - 1) << 11, 2049);
	step();
	T_EQ(receive_numbered(1, 0), 0);
	T_EQ(drops(1, QX_DROP_DESCRIPTOR), after.drop[QX_DROP_DESCRIPTOR] + 1);
	check_census(1);
}

static void completions_that_lie_are_counted_and_free_nothing(void)
{
	uint64_t before;

	sim_reset();
	open_ends(QX_IPV4);
	transfer(0, 10);
	before = drops(0, QX_DROP_DESCRIPTOR);
	send_numbered(0, 0, 1); /* completions are looked at while something is sent */
	sim_put_raw(0, 0, true, UINT64_MAX, 0);
	sim_put_raw(0, 0, true, 63ull << 11, 0);
	sim_put_raw(0, 0, true, 200ull << 11, 0);
	for (int i = 0; i < 3; i++) {
		step();
		T_EQ(receive_numbered(0, 0), 0);
	}
	T_CHECK(drops(0, QX_DROP_DESCRIPTOR) >= before + 3);
	check_census(0);
	T_EQ(receive_numbered(1, 0), 1);
}

/* An index from nowhere: read as at most one ring full, of which all is checked. */
static void an_index_that_jumps_costs_at_most_a_ring(void)
{
	struct qx_stats stats;

	sim_reset();
	open_ends(QX_IPV4);
	transfer(0, 10);
	sim_skew_producer(1, 0, false, 0x80000000);
	for (int i = 0; i < 20; i++) {
		int got;

		step();
		got = qx_recv(ends[1], &batch, now_ns);
		if (got == -ENETDOWN)
			break;
		T_CHECK(got >= 0 && got <= QX_BATCH_MAX);
		qx_recv_done(ends[1], &batch);
		check_census(1);
	}
	stats = stats_of(1);
	T_CHECK(stats.drop[QX_DROP_DESCRIPTOR] > 0);
}

/* The driver checks us, too, and says so on the ring, for good. */
static void a_ring_that_the_driver_finds_invalid_ends_the_lane(void)
{
	sim_reset();
	open_ends(QX_IPV4);
	transfer(0, 10);
	sim_skew_producer(0, 0, true, 1000);
	sim_skew_producer(0, 1, true, 1000);
	send_numbered(0, 0, 20);
	step();
	step();
	T_EQ(qx_recv(ends[0], &batch, now_ns), -ENETDOWN);
	check_census(0);
}

/* Flags of things that nobody asked for, and of versions to come. */
static void other_flags_change_nothing(void)
{
	sim_reset();
	open_ends(QX_IPV4);
	transfer(0, 100);
	sim_flag_rings(0, XSK_RING_AFFINITY_CHANGED | 0xfffffff0);
	sim_flag_rings(1, XSK_RING_AFFINITY_CHANGED | 0xfffffff0);
	transfer(0, 500);
	transfer(1, 500);
	T_EQ(sim_counts.needless_pokes, 0);
	T_EQ(sim_counts.pokes_rx, 0);
}

/* Today's driver never asks for it; the flag is there. */
static void a_fill_ring_that_asks_for_a_poke_gets_one(void)
{
	sim_reset();
	open_ends(QX_IPV4);
	transfer(0, 10);
	sim_flag_rings(1, XSK_RING_NEED_POKE);
	transfer(0, 200);
	T_CHECK(sim_counts.pokes_rx >= 1);
	T_CHECK(sim_counts.pokes_rx <= SIM_QUEUE_CNT);
}

static const struct t_case cases[] = {
	{"an adapter that vanishes is reported once",
	 an_adapter_that_vanishes_is_reported_once},
	{"an adapter that vanishes under a wait is noticed at the next look",
	 an_adapter_that_vanishes_under_a_wait_is_noticed_at_the_next_look},
	{"a poke that fails ends the lane", a_poke_that_fails_ends_the_lane},
	{"a wait that is refused ends the lane", a_wait_that_is_refused_ends_the_lane},
	{"there is one wait a socket, however often one looks",
	 there_is_one_wait_a_socket_however_often_one_looks},
	{"waits that end for nothing are harmless", waits_that_end_for_nothing_are_harmless},
	{"a spinning caller starts no wait", a_spinning_caller_starts_no_wait},
	{"closing ends the wait that is under way", closing_ends_the_wait_that_is_under_way},
	{"a driver that stopped for want of completions is poked",
	 a_driver_that_stopped_for_want_of_completions_is_poked},
	{"received descriptors that lie are counted and dropped",
	 received_descriptors_that_lie_are_counted_and_dropped},
	{"completions that lie are counted and free nothing",
	 completions_that_lie_are_counted_and_free_nothing},
	{"an index that jumps costs at most a ring",
	 an_index_that_jumps_costs_at_most_a_ring},
	{"a ring that the driver finds invalid ends the lane",
	 a_ring_that_the_driver_finds_invalid_ends_the_lane},
	{"other flags change nothing", other_flags_change_nothing},
	{"a fill ring that asks for a poke gets one",
	 a_fill_ring_that_asks_for_a_poke_gets_one},
};

TRAFFIC_MAIN(cases)
