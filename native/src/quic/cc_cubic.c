/* cc_cubic.c: CUBIC (RFC 9438) in integers: windows in bytes, the curve in milliseconds.
 *
 *   W_cubic(t) = C * (t - K)^3 + W_max,   K = cbrt((W_max - cwnd_epoch) / C)
 *
 * with C = 0.4 datagrams/s^3.  A millisecond is coarse only where the curve is flat: 0.1 s
 * from its plateau it has moved half a byte. */
#include "cc.h"

enum {
	NS_PER_MS = 1000000,
	/* Further than this from K any window of ours has been left behind (section 4.2's
	 * curve rises 50 million datagrams in that time), and its cube fits. */
	SPAN_MAX_MS = 500000,
};

/* The largest y with y^3 <= x, for x < 2^63. */
static uint64_t cube_root(uint64_t x)
{
	uint64_t y = 0;

	for (uint64_t bit = 1 << 20; bit > 0; bit >>= 1) {
		const uint64_t z = y | bit;

		if (z * z * z <= x)
			y = z;
	}
	return y;
}

/* C * span^3 in bytes. */
static uint64_t rise_bytes(const struct cc *cc, uint64_t span_ms)
{
	const uint64_t s = span_ms < SPAN_MAX_MS ? span_ms : SPAN_MAX_MS;

	return s * s * s / 1000 * (cc->datagram_bytes * 2 / 5) / 1000000;
}

static uint64_t w_cubic(const struct cc *cc, uint64_t t_ns)
{
	const uint64_t t_ms = t_ns / NS_PER_MS;
	const uint64_t k_ms = cc->u.cubic.k_ms, w_max = cc->u.cubic.w_max_bytes;
	uint64_t fall;

	if (t_ms >= k_ms)
		return w_max + rise_bytes(cc, t_ms - k_ms);
	fall = rise_bytes(cc, k_ms - t_ms);
	return fall < w_max ? w_max - fall : 0;
}

static void start_epoch(struct cc *cc, uint64_t now_ns)
{
	/* After slow start without a loss and after persistent congestion the curve starts
	 * at its plateau: K is 0 (section 4.8). */
	if (cc->u.cubic.w_max_bytes < cc->cwnd_bytes)
		cc->u.cubic.w_max_bytes = cc->cwnd_bytes;
	/* Datagrams / 0.4 in s^3; 1 s^3 is 10^9 ms^3. */
	cc->u.cubic.k_ms = cube_root((cc->u.cubic.w_max_bytes - cc->cwnd_bytes) *
				     UINT64_C(2500000000) / cc->datagram_bytes);
	cc->u.cubic.in_epoch = true;
	cc->u.cubic.epoch_start_ns = now_ns;
	cc->u.cubic.w_est_bytes = cc->cwnd_bytes;
	cc->u.cubic.w_est_credit = 0;
	cc->u.cubic.credit = 0;
}

/* What Reno would have by now (section 4.3): alpha is 9/17 = 3(1 - 0.7)/(1 + 0.7) until
 * the window of before the reduction is reached, then 1. */
static void grow_estimate(struct cc *cc, uint64_t bytes)
{
	const bool caught_up = cc->u.cubic.w_est_bytes >= cc->u.cubic.prior_bytes;
	const uint64_t alpha_17ths = caught_up ? 17 : 9;
	const uint64_t per_byte = 17 * cc->cwnd_bytes;
	const uint64_t sum =
		cc->u.cubic.w_est_credit + alpha_17ths * cc->datagram_bytes * bytes;

	cc->u.cubic.w_est_bytes += sum / per_byte;
	cc->u.cubic.w_est_credit = sum % per_byte;
}

/* Idle and application-limited time does not count (section 5.8), or the curve would have
 * run away when the flow comes back.  A flow that is not limited so hears an ACK within a
 * round trip. */
static void leave_out_idle_time(struct cc *cc, bool app_limited, const struct rtt *rtt,
				uint64_t now_ns)
{
	const uint64_t elapsed_ns = now_ns - cc->u.cubic.last_ack_ns;
	const uint64_t counted_max_ns = app_limited ? 0 : rtt->smoothed_ns;

	cc->u.cubic.last_ack_ns = now_ns;
	if (cc->u.cubic.in_epoch && elapsed_ns > counted_max_ns)
		cc->u.cubic.epoch_start_ns += elapsed_ns - counted_max_ns;
}

static void avoid_congestion(struct cc *cc, uint64_t bytes, const struct rtt *rtt,
			     uint64_t now_ns)
{
	const uint64_t cwnd = cc->cwnd_bytes;
	uint64_t t_ns, target, sum;

	if (!cc->u.cubic.in_epoch)
		start_epoch(cc, now_ns);
	t_ns = now_ns - cc->u.cubic.epoch_start_ns;
	grow_estimate(cc, bytes);
	if (w_cubic(cc, t_ns) < cc->u.cubic.w_est_bytes) {
		/* Reno-friendly region (section 4.3). */
		if (cc->u.cubic.w_est_bytes > cwnd)
			cc_grow(cc, cc->u.cubic.w_est_bytes - cwnd);
		return;
	}
	/* Concave and convex region (4.4, 4.5): towards where the curve will be one round
	 * trip from now. */
	target = w_cubic(cc, t_ns + rtt->smoothed_ns);
	if (target > cwnd + cwnd / 2)
		target = cwnd + cwnd / 2;
	if (target < cwnd)
		return;
	if (bytes > cwnd)
		bytes = cwnd;
	sum = cc->u.cubic.credit + (target - cwnd) * bytes;
	cc->u.cubic.credit = sum % cwnd;
	cc_grow(cc, sum / cwnd);
}

static void init(struct cc *cc)
{
	cc->u.cubic.in_epoch = false;
	cc->u.cubic.w_max_bytes = 0;
	cc->u.cubic.prior_bytes = 0;
	cc->u.cubic.last_ack_ns = 0;
}

static void acked(struct cc *cc, uint64_t bytes, uint64_t sent_ns, bool app_limited,
		  const struct rtt *rtt, uint64_t now_ns)
{
	leave_out_idle_time(cc, app_limited, rtt, now_ns);
	if (app_limited || cc_predates_recovery(cc, sent_ns))
		return;
	if (cc_in_slow_start(cc))
		cc_grow(cc, bytes);
	else
		avoid_congestion(cc, bytes, rtt, now_ns);
}

static void congested(struct cc *cc, uint64_t sent_ns, uint64_t now_ns)
{
	const uint64_t cwnd = cc->cwnd_bytes;

	if (cc_predates_recovery(cc, sent_ns))
		return;
	/* Fast convergence (section 4.7): a flow that did not get back to where it was
	 * makes room for newer ones. */
	cc->u.cubic.w_max_bytes = cwnd < cc->u.cubic.w_max_bytes ? cwnd * 17 / 20 : cwnd;
	cc->u.cubic.prior_bytes = cwnd;
	cc->u.cubic.in_epoch = false;
	cc_reduce(cc, cwnd * 7 / 10, now_ns);
}

static void persistent(struct cc *cc)
{
	cc_collapse(cc);
	cc->u.cubic.in_epoch = false;
	cc->u.cubic.w_max_bytes = 0;
	cc->u.cubic.prior_bytes = 0;
}

const struct cc_ops cc_cubic = {
	.name = "cubic",
	.init = init,
	.acked = acked,
	.congested = congested,
	.persistent = persistent,
};
