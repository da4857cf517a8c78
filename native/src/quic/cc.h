/* cc.h: congestion control as a table of functions over one struct (RFC 9002 section 7,
 * RFC 9438), so that adding an algorithm adds a file. */
#ifndef QX_CC_H
#define QX_CC_H

#include <stdbool.h>
#include <stdint.h>

#include "rtt.h"

/* Far above what SENT_MAX packets can hold; keeps cubic's products within 64 bits. */
#define CC_WINDOW_MAX_BYTES (UINT64_C(1) << 30)

struct cc;

struct cc_ops {
	const char *name;
	void (*init)(struct cc *cc);
	/* bytes newly acknowledged by one ACK frame, the latest of them sent at sent_ns.
	 * app_limited: the window was not the limit when they were under way, so it does
	 * not grow (RFC 9002 section 7.8). */
	void (*acked)(struct cc *cc, uint64_t bytes, uint64_t sent_ns, bool app_limited,
		      const struct rtt *rtt, uint64_t now_ns);
	/* the largest lost (or CE-marked) packet was sent at sent_ns */
	void (*congested)(struct cc *cc, uint64_t sent_ns, uint64_t now_ns);
	void (*persistent)(struct cc *cc);
};

struct cc {
	const struct cc_ops *ops;
	uint64_t datagram_bytes;
	uint64_t cwnd_bytes;
	uint64_t ssthresh_bytes; /* ~0: none yet */
	uint64_t recovery_start_ns;
	bool in_recovery_once; /* recovery_start_ns is meaningful */
	union {
		struct {
			uint64_t acked_bytes; /* towards the next increase */
		} reno;
		struct {
			bool in_epoch; /* the next four are meaningful */
			uint64_t epoch_start_ns;
			uint64_t k_ms;
			uint64_t w_est_bytes;
			uint64_t w_est_credit; /* what division left of its growth */
			uint64_t credit;       /* and of the window's */
			uint64_t w_max_bytes;
			uint64_t prior_bytes; /* window before the last reduction */
			uint64_t last_ack_ns;
		} cubic;
	} u;
};

extern const struct cc_ops cc_reno;
extern const struct cc_ops cc_cubic;

/* cc_init starts with min(10 * datagram, max(2 * datagram, 14720)) (RFC 9002 7.2). */
void cc_init(struct cc *cc, const struct cc_ops *ops, uint64_t datagram_bytes);

/* ---- For the algorithms ---- */

/* Sent before the last reduction: says nothing about the window of now (7.3.2). */
static inline bool cc_predates_recovery(const struct cc *cc, uint64_t sent_ns)
{
	return cc->in_recovery_once && sent_ns <= cc->recovery_start_ns;
}
static inline bool cc_in_slow_start(const struct cc *cc)
{
	return cc->cwnd_bytes < cc->ssthresh_bytes;
}
static inline uint64_t cc_min_bytes(const struct cc *cc)
{
	return 2 * cc->datagram_bytes; /* kMinimumWindow */
}
void cc_grow(struct cc *cc, uint64_t bytes);
/* cc_reduce starts a recovery period with a window of bytes. */
void cc_reduce(struct cc *cc, uint64_t bytes, uint64_t now_ns);
/* cc_collapse answers persistent congestion (section 7.6.2). */
void cc_collapse(struct cc *cc);

#endif
