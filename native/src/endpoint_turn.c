/* endpoint_turn.c: a whole turn, for callers to whom a call is dear. */
#include <errno.h>

#include "engine.h"

enum {
	LARGE_BATCH_CNT = 32,
	TURN_CNT = 192 /* no batch begins after so many datagrams */
};

/* Armed already for this or something earlier, that has not passed?  Then it stays: packets
 * put deadlines off all the time, and a turn too early costs less than as many system calls. */
static int arm(struct qx_engine *e, uint64_t deadline_ns, uint64_t now_ns)
{
	int err;

	if (e->armed_ns > now_ns && e->armed_ns <= deadline_ns)
		return 0;
	err = qx_arm(e->dp, deadline_ns);
	if (err == 0)
		e->armed_ns = deadline_ns;
	return err;
}

enum {
	/* 20,000 a second are four a look; a round trip is longer by at most this. */
	HOLD_NS = 200000,
	/* Nobody has been here for so long but the flood: whoever comes first waits longer, in
	 * return for a flood that costs half. */
	DESERTED_NS = 100000000,
	HOLD_DESERTED_NS = 2000000
};

/* When to look again, if datagrams do not wake us; QX_NEVER_NS: they do. */
static uint64_t held_until(struct qx_engine *e, bool stayed, uint64_t now_ns)
{
	const bool hold = e->holds && !stayed;
	const bool deserted = now_ns - e->welcome_ns > DESERTED_NS;

	if (qx_hold(e->dp, hold) < 0 || !hold)
		return QX_NEVER_NS;
	return now_ns + (deserted ? HOLD_DESERTED_NS : HOLD_NS);
}

int qx_engine_finish(struct qx_engine *e, uint64_t now_ns, uint64_t alarm_ns)
{
	uint64_t next_ns, held_ns;
	int stayed, err;

	if (!e->dp)
		return -EINVAL;
	stayed = qx_engine_flush(e, now_ns);
	next_ns = qx_engine_deadline(e);
	held_ns = held_until(e, stayed != 0, now_ns);
	if (held_ns < next_ns)
		next_ns = held_ns;
	/* Also where sending has failed: the timers that end connections must go on. */
	err = arm(e, next_ns < alarm_ns ? next_ns : alarm_ns, now_ns);
	/* With no timer to end a hold, datagrams must. */
	if (err < 0)
		(void)qx_hold(e->dp, false);
	if (stayed < 0 || err < 0)
		return stayed < 0 ? stayed : err;
	return (e->event_cnt > 0 ? QX_TURN_EVENTS : 0) | (stayed ? QX_TURN_STAYED : 0) |
	       (qx_error_cnt(e->dp) > 0 ? QX_TURN_ERRORS : 0);
}

/* Batches while they are large: what a turn costs its caller is shared by more packets.  A
 * socket's hold one full GRO message, whose buffer then stays in the cache
 * (udp_linux_rx.c), and with Python to hear of each an upload over loopback took 1.46 CPU
 * seconds per GB, and takes 0.98 so (bench_fastpath.py, AMD EPYC).  Not behind a datagram
 * that is aioquic's, which is slow and may be one of a flood.  Returns as qx_recv, of the
 * last one. */
static int receive(struct qx_engine *e, uint64_t now_ns)
{
	int cnt = 0, n;

	engine_begin_receiving(e);
	do {
		n = engine_receive_batch(e, now_ns);
		cnt += n > 0 ? n : 0;
	} while (n >= LARGE_BATCH_CNT && cnt < TURN_CNT && !e->has_up);
	engine_end_receiving(e, cnt, now_ns);
	return n;
}

int qx_engine_turn(struct qx_engine *e, uint64_t now_ns, uint64_t alarm_ns)
{
	const int n = e->dp ? receive(e, now_ns) : -EINVAL;
	const int more = n == QX_BATCH_MAX ? QX_TURN_MORE : 0;
	int flags;

	if (n < 0)
		return n;
	if (e->event_cnt > 0)
		return more | QX_TURN_EVENTS;
	flags = qx_engine_finish(e, now_ns, alarm_ns);
	return flags < 0 ? flags : flags | more;
}
