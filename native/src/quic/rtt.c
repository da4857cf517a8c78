/* rtt.c: the RTT estimate (RFC 9002 section 5). */
#include "rtt.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void rtt_init(struct rtt *r, uint64_t initial_ns)
{
	*r = (struct rtt){
		.initial_ns = initial_ns,
		.smoothed_ns = initial_ns,
		.variance_ns = initial_ns / 2,
		.first_sample_ns = UINT64_MAX,
	};
}

static void average(struct rtt *r, uint64_t ack_delay_ns)
{
	uint64_t adjusted_ns = r->latest_ns;
	uint64_t off_ns;

	/* The delay is the peer's claim: never believed below the shortest round trip seen
	 * (section 5.3).  Subtracted so that no claim overflows. */
	if (ack_delay_ns <= r->latest_ns - r->min_ns)
		adjusted_ns -= ack_delay_ns;
	/* The RFC measures the variation around the smoothed RTT; aioquic, with which we
	 * share the estimate during the handshake, around the shortest.  Both bound the PTO;
	 * two rules in one estimate would not. */
	off_ns = adjusted_ns - r->min_ns;
	r->variance_ns = (3 * r->variance_ns + off_ns) / 4;
	r->smoothed_ns = (7 * r->smoothed_ns + adjusted_ns) / 8;
}

void rtt_sample(struct rtt *r, uint64_t latest_ns, uint64_t ack_delay_ns, uint64_t now_ns)
{
	if (r->first_sample_ns == UINT64_MAX)
		r->first_sample_ns = now_ns;
	r->latest_ns = latest_ns;
	if (!r->sampled) {
		r->sampled = true;
		r->min_ns = latest_ns;
		r->smoothed_ns = latest_ns;
		r->variance_ns = latest_ns / 2;
		return;
	}
	if (latest_ns < r->min_ns)
		r->min_ns = latest_ns;
	average(r, ack_delay_ns);
}

void rtt_set(struct rtt *r, uint64_t latest_ns, uint64_t smoothed_ns, uint64_t variance_ns,
	     uint64_t min_ns)
{
	r->sampled = true;
	r->latest_ns = latest_ns;
	r->smoothed_ns = smoothed_ns;
	r->variance_ns = variance_ns;
	r->min_ns = min_ns;
}

uint64_t rtt_pto(const struct rtt *r, uint64_t max_ack_delay_ns)
{
	return r->smoothed_ns + larger(4 * r->variance_ns, RTT_GRANULARITY_NS) +
	       max_ack_delay_ns;
}

uint64_t rtt_loss_delay(const struct rtt *r)
{
	const uint64_t rtt_ns = larger(r->latest_ns, r->smoothed_ns);

	return larger(rtt_ns + rtt_ns / 8, RTT_GRANULARITY_NS);
}
