/* winxdp_traffic.h: numbered datagrams between two datapaths over the simulated cable, each
 * checked to arrive once and in order. */
#ifndef QX_WINXDP_TRAFFIC_H
#define QX_WINXDP_TRAFFIC_H

#include <stdio.h>

#include "winxdp_rig.h"

#include "winxdp_pair.h"

enum {
	PAYLOAD_BYTES = 100,
	ROUNDS_MAX = 2000
};

static struct qx_datapath *ends[2];
static struct qx_addr addrs[2];
static struct qx_batch batch;
static uint64_t now_ns;

static void close_ends(void)
{
	for (int end = 0; end < 2; end++) {
		qx_close(ends[end]);
		ends[end] = NULL;
	}
}

static void after_each(void)
{
	close_ends();
	rig_after_each();
}

static void open_end(uint32_t end, uint8_t family, uint32_t flags)
{
	struct qx_config cfg = {
		.socket_fd = -1, .flags = flags, .rx_frame_cnt = 256, .tx_frame_cnt = 64};
	char why[QX_WHY_BYTES];

	addrs[end] = sim_addr(end, family, 0);
	addrs[end].port = (uint16_t)(4433 + end);
	cfg.local = addrs[end];
	if (winxdp_pair_open(&ends[end], end, &cfg, why) < 0)
		T_FAIL("%s", why);
}

static void open_ends(uint8_t family)
{
	now_ns = 1000000000;
	open_end(0, family, 0);
	open_end(1, family, 0);
}

static struct qx_stats stats_of(uint32_t end)
{
	struct qx_stats stats;

	T_CHECK(qx_get_stats(ends[end], &stats) <= 0);
	return stats;
}

static void check_census(uint32_t end)
{
	struct qx_stats stats = stats_of(end);
	uint32_t sum = 0;

	for (int i = 0; i < QX_FRAME_STATE_CNT; i++)
		sum += stats.frames[i];
	T_EQ(sum, stats.frame_cnt);
}

/* send_numbered sends so many datagrams that carry numbers from first on. */
static uint32_t send_numbered(uint32_t from, uint32_t first, uint32_t cnt)
{
	static uint8_t payload[QX_BATCH_MAX * PAYLOAD_BYTES];
	struct qx_send_item items[QX_BATCH_MAX];
	struct qx_path path = {.peer = addrs[1 - from]};
	int taken;

	memset(payload, 0, sizeof(payload));
	for (uint32_t i = 0; i < cnt; i++) {
		uint32_t number = first + i;

		memcpy(payload + i * PAYLOAD_BYTES, &number, sizeof(number));
		items[i] = (struct qx_send_item){.len_bytes = PAYLOAD_BYTES};
	}
	taken = qx_send(ends[from], payload, items, cnt, &path, 1);
	T_CHECK(taken >= 0);
	return (uint32_t)taken;
}

/* receive_numbered takes what is there and checks the numbers.  Returns how many. */
static uint32_t receive_numbered(uint32_t at, uint32_t expected)
{
	int got = qx_recv(ends[at], &batch, now_ns);

	T_CHECK(got >= 0);
	for (int i = 0; i < got; i++) {
		uint32_t number;

		T_EQ(batch.datagrams[i].len_bytes, PAYLOAD_BYTES);
		memcpy(&number, batch.datagrams[i].data, sizeof(number));
		T_EQ(number, expected + (uint32_t)i);
	}
	qx_recv_done(ends[at], &batch);
	check_census(at);
	return (uint32_t)got;
}

static void step(void)
{
	now_ns += 2000000;
	sim_step();
}

/* transfer moves cnt datagrams and checks that each arrives once, in order. */
static void transfer(uint32_t from, uint32_t cnt)
{
	uint32_t sent = 0, got = 0;

	for (int round = 0; got < cnt; round++) {
		uint32_t offer = cnt - sent < 48 ? cnt - sent : 48;

		if (round == ROUNDS_MAX)
			T_FAIL("%u of %u sent, %u arrived, no more come", sent, cnt, got);
		if (offer && sent - got < 96)
			sent += send_numbered(from, sent, offer);
		step();
		got += receive_numbered(1 - from, got);
		T_EQ(receive_numbered(from, 0), 0);
	}
	for (int i = 0; i < 4; i++) {
		step();
		T_EQ(receive_numbered(from, 0), 0);
	}
	T_EQ(stats_of(from).frames[QX_FRAME_TX], 0);
}

static uint64_t drops(uint32_t end, enum qx_drop reason)
{
	return stats_of(end).drop[reason];
}

#define TRAFFIC_MAIN(cases)                                                                  \
	int main(int argc, char **argv)                                                      \
	{                                                                                    \
		t_after_each = after_each;                                                   \
		return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv) |         \
		       rig_leaks;                                                            \
	}

#endif
