/* test_winxdp_counts.c: what XDP for Windows costs in calls of the driver, counted by the
 * simulator; prints the table of docs/windows.md.
 *
 * A turn of the sender's loop sends a batch; the receiver takes it, answers with one small
 * datagram, as QUIC does, and sleeps.  Other than pokes and waits, no call may be made. */
#include <stdio.h>

#include "winxdp_rig.h"

#include "winxdp_pair.h"

enum {
	PACKETS = 6400,
	PAYLOAD_BYTES = 1200
};

struct cost {
	uint64_t pokes;
	uint64_t waits;
	uint64_t others;
	uint64_t turns;
};

static struct qx_datapath *ends[2];
static struct qx_addr addrs[2];
static struct qx_batch batch;
static uint64_t now_ns;

static void open_ends(uint32_t flags)
{
	char why[QX_WHY_BYTES];

	for (uint32_t end = 0; end < 2; end++) {
		struct qx_config cfg = {.socket_fd = -1, .flags = flags};

		addrs[end] = sim_addr(end, QX_IPV4, 0);
		addrs[end].port = (uint16_t)(443 + end);
		cfg.local = addrs[end];
		if (winxdp_pair_open(&ends[end], end, &cfg, why) < 0)
			T_FAIL("%s", why);
	}
}

static void close_ends(void)
{
	for (uint32_t end = 0; end < 2; end++) {
		qx_close(ends[end]);
		ends[end] = NULL;
	}
}

static void after_each(void)
{
	close_ends();
	rig_after_each();
}

static void send_batch(uint32_t from, uint32_t cnt, uint32_t len_bytes)
{
	static uint8_t payload[QX_BATCH_MAX * PAYLOAD_BYTES];
	struct qx_send_item items[QX_BATCH_MAX];
	const struct qx_path path = {.peer = addrs[1 - from]};

	for (uint32_t i = 0; i < cnt; i++)
		items[i] = (struct qx_send_item){.len_bytes = len_bytes};
	T_EQ(qx_send(ends[from], payload, items, cnt, &path, 1), cnt);
}

static uint32_t receive(uint32_t at)
{
	int got = qx_recv(ends[at], &batch, now_ns);

	T_CHECK(got >= 0);
	qx_recv_done(ends[at], &batch);
	return (uint32_t)got;
}

static struct cost run(uint32_t batch_cnt, uint32_t flags)
{
	struct sim_counts before;
	struct cost cost = {0};

	sim_reset();
	sim_config.spurious_every = 0;
	sim_config.tx_budget = QX_BATCH_MAX;
	open_ends(flags);
	send_batch(0, 1, 1);
	sim_step();
	T_EQ(receive(1), 1);
	before = sim_counts;
	for (uint32_t sent = 0; sent < PACKETS; sent += batch_cnt) {
		now_ns += 1000000;
		send_batch(0, batch_cnt, PAYLOAD_BYTES);
		sim_step();
		T_EQ(receive(1), batch_cnt);
		send_batch(1, 1, 40);
		sim_step();
		T_EQ(receive(0), 1);
		sim_step();
		cost.turns++;
	}
	T_EQ(sim_counts.packets - before.packets, PACKETS + cost.turns);
	T_EQ(sim_counts.pokes_rx, 0);
	T_EQ(sim_counts.needless_pokes, 0);
	T_EQ(sim_counts.waits_refused, 0);
	cost.pokes = sim_counts.pokes_tx - before.pokes_tx;
	cost.waits = sim_counts.waits - before.waits;
	cost.others = sim_counts.calls - before.calls - cost.pokes - cost.waits;
	close_ends();
	return cost;
}

static double per_thousand(uint64_t calls)
{
	return (double)calls * 1000 / PACKETS;
}

/* No call a packet: one poke for what a turn sends, one wait for each sleep. */
static void pokes_and_waits_are_per_turn_and_nothing_else_is_called(void)
{
	static const uint32_t batch_cnts[] = {1, 8, 32, 64, 128};

	printf("     calls for 1,000 packets received, both ends together\n"
	       "     batch   pokes   waits   pokes, spinning   waits, spinning   others\n");
	for (size_t i = 0; i < sizeof(batch_cnts) / sizeof(batch_cnts[0]); i++) {
		struct cost asleep = run(batch_cnts[i], 0);
		struct cost spinning = run(batch_cnts[i], QX_CFG_SPIN);

		printf("     %5u  %6.1f  %6.1f            %6.1f            %6.1f   %6.1f\n",
		       batch_cnts[i], per_thousand(asleep.pokes), per_thousand(asleep.waits),
		       per_thousand(spinning.pokes), per_thousand(spinning.waits),
		       per_thousand(asleep.others + spinning.others));
		T_EQ(asleep.others, 0);
		T_EQ(spinning.others, 0);
		T_EQ(spinning.waits, 0);
		/* Both ends send once a turn and sleep once a turn. */
		T_CHECK(asleep.pokes <= 2 * asleep.turns);
		T_CHECK(asleep.waits <= 2 * asleep.turns);
		T_CHECK(spinning.pokes <= 2 * spinning.turns);
	}
}

/* While the driver is at work it looks at the ring by itself: nothing to tell it. */
static void a_driver_at_work_is_not_poked(void)
{
	struct sim_counts before;

	sim_reset();
	sim_config.spurious_every = 0;
	sim_config.tx_budget = 8;
	open_ends(0);
	send_batch(0, 64, PAYLOAD_BYTES);
	before = sim_counts;
	for (int i = 0; i < 4; i++) {
		sim_step();
		send_batch(0, 4, PAYLOAD_BYTES);
	}
	T_EQ(sim_counts.pokes_tx, before.pokes_tx);
	for (int i = 0; i < 30; i++) {
		sim_step();
		now_ns += 1000000;
		receive(1);
		receive(0);
	}
	T_EQ(sim_counts.packets, 80);
	T_EQ(sim_counts.pokes_tx, before.pokes_tx);
}

/* Packets are handed up where the driver put them, and sent from where they were written. */
static void no_packet_is_copied_between_ring_and_caller(void)
{
	const struct qx_path path = {.peer = addrs[1]};
	uint8_t *memory;
	struct qx_slot slot;
	size_t len_bytes;

	sim_reset();
	open_ends(0);
	len_bytes = qx_memory(ends[0], QX_LANE_XDP, &memory);
	T_EQ(qx_reserve(ends[0], &path, 100, &slot, 1), 1);
	T_CHECK(slot.data >= memory && slot.data + 100 <= memory + len_bytes);
	memset(slot.data, 7, 100);
	T_EQ(qx_commit(ends[0], &slot, 1), 0);
	T_EQ(qx_flush(ends[0]), 0);
	sim_step();
	len_bytes = qx_memory(ends[1], QX_LANE_XDP, &memory);
	T_EQ(qx_recv(ends[1], &batch, now_ns), 1);
	T_CHECK(batch.datagrams[0].data >= memory &&
		batch.datagrams[0].data + 100 <= memory + len_bytes);
	T_EQ(batch.datagrams[0].data[99], 7);
	qx_recv_done(ends[1], &batch);
}

static const struct t_case cases[] = {
	{"pokes and waits are per turn, and nothing else is called",
	 pokes_and_waits_are_per_turn_and_nothing_else_is_called},
	{"a driver at work is not poked", a_driver_at_work_is_not_poked},
	{"no packet is copied between ring and caller",
	 no_packet_is_copied_between_ring_and_caller},
};

int main(int argc, char **argv)
{
	t_after_each = after_each;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv) | rig_leaks;
}
