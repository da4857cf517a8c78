/* ack.h: which packets arrived, which of them are duplicates, and when to say so.
 *
 * RFC 9000 section 13.2: an ACK goes out at once for an ack-eliciting packet out of order or
 * with a CE mark and for every second one (every_cnt); otherwise within max_ack_delay.  "At
 * once" is a deadline that has passed: whoever builds packets asks ack_is_due, and sends no
 * ACK ahead of its deadline, as aioquic does not.
 *
 * Two questions, one set.  What is a duplicate: every number in the set, and all below
 * floor, where ranges had to go: those were received, or are so old that the peer has
 * declared them lost.  What an ACK frame says: the part of the set from report_from on,
 * because the peer knows the rest (section 13.2.4).  Numbers the peer knows about stay in
 * the set, so a packet that was overtaken by a round trip is still welcome. */
#ifndef QX_ACK_H
#define QX_ACK_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp_engine.h"
#include "ranges.h"

enum {
	ACK_EVERY_CNT = 2 /* RFC 9000 section 13.2.2 */
};

struct ack {
	struct ranges received;
	uint64_t largest;         /* ~0: none yet */
	uint64_t largest_time_ns; /* when it arrived */
	uint64_t floor;           /* everything below is a duplicate */
	uint64_t report_from;     /* the peer has heard about everything below */
	uint64_t lowest_unsent;   /* lowest number received since the last ACK; ~0: none */
	uint64_t next_eliciting;  /* largest ack-eliciting number + 1; 0: none yet */
	uint64_t deadline_ns;     /* QX_NEVER_NS: nothing to acknowledge */
	uint32_t eliciting_cnt;   /* since the last ACK we sent */
	uint32_t every_cnt;       /* so many are acknowledged at once */
	uint64_t ecn[4];          /* received, by codepoint */
	uint64_t delay_ns;        /* max_ack_delay */
};

void ack_init(struct ack *a, uint64_t delay_ns);
bool ack_is_duplicate(const struct ack *a, uint64_t pn);
/* ack_received takes a packet that was opened, is no duplicate and was handled (section
 * 13.1: only then may it be acknowledged). */
void ack_received(struct ack *a, uint64_t pn, bool eliciting, uint8_t ecn, uint64_t now_ns);

static inline bool ack_is_due(const struct ack *a, uint64_t now_ns)
{
	return a->deadline_ns <= now_ns;
}

/* ack_ranges gives what an ACK frame would say, descending.  Returns how many. */
uint32_t ack_ranges(const struct ack *a, struct range *out, uint32_t max);

/* ack_write writes an ACK (or ACK_ECN) frame into at most room bytes, leaving out the
 * oldest ranges that do not fit, and clears the deadline, which need not have passed.
 * Returns its length; 0 if there is no deadline, so nothing to say, or no room for the
 * smallest frame. */
uint32_t ack_write(struct ack *a, uint8_t *out, uint32_t room_bytes, uint32_t delay_exponent,
		   uint64_t now_ns);

/* ack_confirmed: the peer has seen an ACK of ours up to largest (RFC 9000 13.2.4). */
void ack_confirmed(struct ack *a, uint64_t largest);

#endif
