/* pacer.c: the token bucket (RFC 9002 section 7.7). */
#include "pacer.h"

static const uint64_t ns_per_s = 1000000000;

enum {
	RTT_MIN_NS = 1000,
	IDLE_MAX_S = 1 << 20,
	WAKES_PER_S = 2000
};

/* So that a second's worth in billionths of a byte fits in 64 bits; 80 Gbit/s is not paced
 * by anything as coarse as a process. */
static const uint64_t rate_max = 10000000000;

void pacer_init(struct pacer *p, uint64_t burst_bytes)
{
	*p = (struct pacer){
		.tokens_bytes = burst_bytes,
		.burst_bytes = burst_bytes,
		.cap_bytes = burst_bytes,
	};
}

static void fill(struct pacer *p, uint64_t now_ns)
{
	uint64_t elapsed_ns, s, nano;

	if (now_ns <= p->updated_ns)
		return;
	elapsed_ns = now_ns - p->updated_ns;
	p->updated_ns = now_ns;
	s = elapsed_ns / ns_per_s;
	if (s > IDLE_MAX_S)
		s = IDLE_MAX_S;
	nano = p->tokens_nano + elapsed_ns % ns_per_s * p->rate_bytes_per_s;
	p->tokens_bytes += s * p->rate_bytes_per_s + nano / ns_per_s;
	p->tokens_nano = nano % ns_per_s;
	if (p->tokens_bytes >= p->cap_bytes) {
		p->tokens_bytes = p->cap_bytes;
		p->tokens_nano = 0;
	}
}

void pacer_set_rate(struct pacer *p, uint64_t cwnd_bytes, uint64_t smoothed_rtt_ns,
		    uint64_t now_ns)
{
	const uint64_t rtt_ns = smoothed_rtt_ns > RTT_MIN_NS ? smoothed_rtt_ns : RTT_MIN_NS;
	uint64_t rate;

	fill(p, now_ns);
	/* cwnd is at most CC_WINDOW_MAX_BYTES, 2^30. */
	rate = cwnd_bytes * ns_per_s / rtt_ns * 5 / 4;
	if (rate > rate_max)
		rate = rate_max;
	p->rate_bytes_per_s = rate > 0 ? rate : 1;
	p->cap_bytes = rate / 1000 > p->burst_bytes ? rate / 1000 : p->burst_bytes;
	if (p->tokens_bytes > p->cap_bytes)
		p->tokens_bytes = p->cap_bytes;
}

uint64_t pacer_room(struct pacer *p, uint64_t now_ns)
{
	if (p->rate_bytes_per_s == 0)
		return UINT64_MAX;
	fill(p, now_ns);
	return p->tokens_bytes;
}

void pacer_sent(struct pacer *p, uint64_t bytes)
{
	p->tokens_bytes = bytes < p->tokens_bytes ? p->tokens_bytes - bytes : 0;
}

uint64_t pacer_next_ns(const struct pacer *p, uint64_t bytes, uint64_t now_ns)
{
	struct pacer later = *p;
	uint64_t missing_nano;

	if (p->rate_bytes_per_s == 0)
		return now_ns;
	fill(&later, now_ns);
	if (bytes > p->cap_bytes)
		bytes = p->cap_bytes;
	if (later.tokens_bytes >= bytes)
		return now_ns;
	/* Rounded up: at that time there is room, or the caller would turn in circles.  The
	 * bucket is too small for the product to overflow. */
	missing_nano = (bytes - later.tokens_bytes) * ns_per_s - later.tokens_nano;
	return now_ns + (missing_nano + p->rate_bytes_per_s - 1) / p->rate_bytes_per_s;
}

uint64_t pacer_wake_ns(const struct pacer *p, uint64_t bytes, uint64_t now_ns)
{
	const uint64_t batch_bytes = p->rate_bytes_per_s / WAKES_PER_S;

	return pacer_next_ns(p, batch_bytes > bytes ? batch_bytes : bytes, now_ns);
}
