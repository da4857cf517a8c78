/* cc.c: what the congestion controllers have in common (RFC 9002 section 7). */
#include "cc.h"

enum {
	INITIAL_DATAGRAMS = 10,
	INITIAL_BYTES = 14720
};

void cc_init(struct cc *cc, const struct cc_ops *ops, uint64_t datagram_bytes)
{
	uint64_t most = 2 * datagram_bytes;

	if (most < INITIAL_BYTES)
		most = INITIAL_BYTES;
	*cc = (struct cc){
		.ops = ops,
		.datagram_bytes = datagram_bytes,
		.cwnd_bytes = INITIAL_DATAGRAMS * datagram_bytes,
		.ssthresh_bytes = UINT64_MAX,
	};
	if (cc->cwnd_bytes > most)
		cc->cwnd_bytes = most;
	ops->init(cc);
}

void cc_grow(struct cc *cc, uint64_t bytes)
{
	cc->cwnd_bytes += bytes;
	if (cc->cwnd_bytes > CC_WINDOW_MAX_BYTES)
		cc->cwnd_bytes = CC_WINDOW_MAX_BYTES;
}

void cc_reduce(struct cc *cc, uint64_t bytes, uint64_t now_ns)
{
	cc->in_recovery_once = true;
	cc->recovery_start_ns = now_ns;
	cc->cwnd_bytes = bytes > cc_min_bytes(cc) ? bytes : cc_min_bytes(cc);
	cc->ssthresh_bytes = cc->cwnd_bytes;
}

void cc_collapse(struct cc *cc)
{
	cc->cwnd_bytes = cc_min_bytes(cc);
	/* The window may grow at once: what is acknowledged now has survived. */
	cc->in_recovery_once = false;
}
