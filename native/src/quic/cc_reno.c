/* cc_reno.c: NewReno as RFC 9002 section 7.3 has it. */
#include "cc.h"

static void init(struct cc *cc)
{
	cc->u.reno.acked_bytes = 0;
}

static void acked(struct cc *cc, uint64_t bytes, uint64_t sent_ns, bool app_limited,
		  const struct rtt *rtt, uint64_t now_ns)
{
	(void)rtt;
	(void)now_ns;
	if (app_limited || cc_predates_recovery(cc, sent_ns))
		return;
	if (cc_in_slow_start(cc)) {
		cc_grow(cc, bytes);
		return;
	}
	/* One datagram for every window's worth (section 7.3.3). */
	cc->u.reno.acked_bytes += bytes;
	while (cc->u.reno.acked_bytes >= cc->cwnd_bytes) {
		cc->u.reno.acked_bytes -= cc->cwnd_bytes;
		cc_grow(cc, cc->datagram_bytes);
	}
}

static void congested(struct cc *cc, uint64_t sent_ns, uint64_t now_ns)
{
	if (cc_predates_recovery(cc, sent_ns))
		return;
	cc_reduce(cc, cc->cwnd_bytes / 2, now_ns); /* kLossReductionFactor */
	cc->u.reno.acked_bytes = 0;
}

static void persistent(struct cc *cc)
{
	cc_collapse(cc);
	cc->u.reno.acked_bytes = 0;
}

const struct cc_ops cc_reno = {
	.name = "reno",
	.init = init,
	.acked = acked,
	.congested = congested,
	.persistent = persistent,
};
