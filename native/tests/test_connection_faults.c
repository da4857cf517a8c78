/* test_connection_faults.c: memory that runs out anywhere costs a connection at most, never a
 * byte, a buffer or an answer that somebody waits for. */
#include <errno.h>

#include "counting.h"
#include "frame.h"
#include "pair.h"

enum {
	BYTES = 60000,
	FRAMES = 20
};

static void fail_at(uint64_t n)
{
	counting_allocations = 0;
	counting_fail_at = n;
}

static bool failed_now(void)
{
	return counting_fail_at != 0 && counting_allocations >= counting_fail_at;
}

/* ---- Opening ---- */

static bool open_engine(struct qx_engine **e, struct qx_conn **c)
{
	const struct qx_conn_config cfg = pair_config(CLIENT);

	if (qx_engine_open(e, NULL, CID_BYTES) < 0)
		return false;
	if (qx_conn_open(c, *e, &cfg) < 0) {
		qx_engine_close(*e);
		return false;
	}
	return true;
}

static bool set_up(struct qx_conn *c)
{
	uint8_t cid[CID_BYTES] = {0};

	for (uint32_t i = 0; i < 40; i++) {
		cid[0] = (uint8_t)i;
		if (qx_conn_add_cid(c, cid, sizeof(cid)) < 0)
			return false;
	}
	for (uint32_t sending = 0; sending < 2; sending++)
		if (qx_conn_set_secret(c, QX_EPOCH_ONE_RTT, sending, QX_AES_128_GCM_SHA256, 1,
				       pair_secret[0][1], 32) < 0)
			return false;
	return true;
}

static void opening_fails_whole_or_not_at_all(void)
{
	struct qx_engine *e;
	struct qx_conn *c;
	bool ready = false;
	uint64_t n = 1;

	for (; !ready; n++) {
		fail_at(n);
		if (open_engine(&e, &c)) {
			ready = set_up(c);
			qx_conn_close(c);
			T_EQ(e->cids.cnt, 0);
			qx_engine_close(e);
		}
		T_CHECK(ready == !failed_now());
	}
	fail_at(0);
	T_CHECK(n > 6);
}

/* ---- Running ---- */

/* What fails is tried again: nothing of the first attempt may be left. */
static void write_held(uint32_t side, uint64_t id, uint32_t off, uint32_t len, bool fin,
		       uint64_t token)
{
	struct side *s = &sides[side];
	int err;

	s->held[token / 8] |= (uint8_t)(1 << token % 8);
	s->held_cnt++;
	do
		err = qx_stream_write(s->c, id, pattern + off, len, fin, token);
	while (err == -ENOMEM);
	T_EQ(err, 0);
}

static void push_frame(uint64_t token)
{
	static const uint8_t done[] = {FRAME_HANDSHAKE_DONE};
	int err;

	do
		err = qx_conn_push_control(sides[SERVER].c, done, sizeof(done), token,
					   QX_CTL_ELICITING | QX_CTL_IN_FLIGHT);
	while (err == -ENOMEM);
	T_EQ(err, 0);
}

static void act(void)
{
	for (uint32_t i = 0; i < 10; i++)
		write_held(CLIENT, 4 * i, 0, BYTES / 10, true, 1 + i);
	for (uint32_t i = 0; i < 10; i++)
		write_held(SERVER, 1 + 4 * i, 0, BYTES / 10, true, 100 + i);
	for (uint32_t i = 0; i < FRAMES; i++) {
		push_frame(1);
		qx_conn_send_datagram(sides[CLIENT].c, pattern, 500);
		if (i == FRAMES / 2)
			qx_conn_update_key(sides[CLIENT].c, now_ns);
		pair_run(20 * MS_NS);
	}
	pair_run(20 * S_NS);
}

static void memory_that_runs_out_costs_the_connection_at_most(void)
{
	uint64_t n = 1, failed = 0;
	bool more = true;

	for (; more; n++) {
		pair_start(NULL);
		net.loss_ppm = 50000;
		fail_at(n);
		act();
		more = failed_now();
		fail_at(0);
		for (uint32_t s = 0; s < 2; s++) {
			if (sides[s].error[0] == 0)
				continue;
			T_CHECK(more);
			T_EQ(sides[s].error_code, ERR_INTERNAL);
			failed++;
		}
		if (!sides[CLIENT].error[0] && !sides[SERVER].error[0]) {
			T_EQ(sides[SERVER].bytes, BYTES);
			T_EQ(sides[CLIENT].bytes, BYTES);
			/* Each push was answered; the lost ones were not pushed again. */
			T_EQ(sides[SERVER].acked_tokens + sides[SERVER].lost_tokens, FRAMES);
			pair_check_quiet();
		}
		pair_end();
	}
	printf("  %llu calls failed in turn, %llu of them cost a connection\n",
	       (unsigned long long)n - 2, (unsigned long long)failed);
	T_CHECK(n > 50);
}

static const struct t_case cases[] = {
	{"opening fails whole or not at all", opening_fails_whole_or_not_at_all},
	{"memory that runs out costs the connection at most",
	 memory_that_runs_out_costs_the_connection_at_most},
};

T_MAIN(cases)
