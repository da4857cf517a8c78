/* flow.h: flow-control windows by consumption (RFC 9000 section 4), auto-tuned.
 *
 * Credit is given for what the application consumed, not for what arrived: a reader that
 * stops, stops the sender.  A window of which half is used up within two round trips
 * doubles, up to window_max: the sender was held back by us, not by the path (at half a
 * window per two round trips a window has four bandwidth-delay products, and the credit
 * left when an announcement is due lasts well over the round trip that it takes). */
#ifndef QX_FLOW_H
#define QX_FLOW_H

#include <stdbool.h>
#include <stdint.h>

/* If the configuration does not say. */
enum {
	FLOW_WINDOW_MAX_BYTES = 16 << 20
};

struct flow {
	uint64_t limit;      /* what the peer may send */
	uint64_t limit_sent; /* what it has been told */
	uint64_t received;   /* counted so far (sum of highest offsets) */
	uint64_t consumed;
	uint64_t window_bytes;
	uint64_t window_max_bytes;
	uint64_t moved_ns; /* when the limit moved last by consumption, 0 never */
};

/* window_bytes has been told the peer in the transport parameters.  A window_max_bytes
 * below it turns auto-tuning off. */
void flow_init(struct flow *f, uint64_t window_bytes, uint64_t window_max_bytes);
/* flow_received counts new bytes; false: the peer broke the limit that it was told. */
bool flow_received(struct flow *f, uint64_t new_bytes);
/* flow_consumed gives credit; returns true if the limit should be announced now (half the
 * window is used up).  flow_discarded is the same for bytes that nobody will read: they say
 * nothing about the reader's pace, so the window does not grow. */
bool flow_consumed(struct flow *f, uint64_t bytes, uint64_t smoothed_rtt_ns, uint64_t now_ns);
bool flow_discarded(struct flow *f, uint64_t bytes);

#endif
