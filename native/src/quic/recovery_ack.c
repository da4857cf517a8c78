/* recovery_ack.c: ACK frames (RFC 9000 section 19.3), which a peer may fill as it likes.
 *
 * Read twice: first for its form, so that a malformed frame changes nothing; then from the
 * top to mark what it acknowledges, no further down than where we still remember anything. */
#include <string.h>

#include "recovery_internal.h"

enum {
	FRAME_ENCODING_ERROR = 0x07,
	PROTOCOL_VIOLATION = 0x0a,
	EXPONENT_MAX = 20, /* RFC 9000 section 18.2 */
};

struct ack_frame {
	uint64_t largest;
	uint64_t delay;     /* as in the frame */
	uint64_t range_cnt; /* after the first */
	uint64_t first_len;
	struct reader ranges; /* at the first gap */
	bool has_ecn;
	uint64_t ecn[4];
};

/* What became known by a frame. */
struct news {
	uint64_t cnt;
	uint64_t ect_cnt;
	uint64_t largest; /* of the newly acknowledged */
	uint64_t largest_sent_ns;
	bool eliciting;
};

/* ---- Form ---- */

/* One step down: [*lo, *hi] becomes the next range.  False: below zero. */
static bool next_range(struct reader *r, uint64_t *lo, uint64_t *hi)
{
	const uint64_t gap = read_varint(r), len = read_varint(r);

	if (r->failed || *lo < gap + 2 || *lo - gap - 2 < len)
		return false;
	*hi = *lo - gap - 2;
	*lo = *hi - len;
	return true;
}

static uint64_t parse(const struct recovery *r, struct reader *in, bool ecn,
		      struct ack_frame *f)
{
	uint64_t lo, hi;

	f->largest = read_varint(in);
	f->delay = read_varint(in);
	f->range_cnt = read_varint(in);
	f->first_len = read_varint(in);
	if (in->failed || f->first_len > f->largest)
		return FRAME_ENCODING_ERROR;
	f->ranges = *in;
	lo = f->largest - f->first_len;
	/* Any count: the frame ends first. */
	for (uint64_t i = 0; i < f->range_cnt; i++)
		if (!next_range(in, &lo, &hi))
			return FRAME_ENCODING_ERROR;
	f->has_ecn = ecn;
	if (ecn) {
		f->ecn[QX_ECN_ECT0] = read_varint(in);
		f->ecn[QX_ECN_ECT1] = read_varint(in);
		f->ecn[QX_ECN_CE] = read_varint(in);
		if (in->failed)
			return FRAME_ENCODING_ERROR;
	}
	return f->largest < r->sent.next && lo >= r->rejected_below ? 0 : PROTOCOL_VIOLATION;
}

/* ---- What it says ---- */

static void mark(struct recovery *r, uint64_t pn, struct news *news)
{
	struct sent_packet *p = sent_at(&r->sent, pn);

	if (!(p->flags & SENT_USED))
		return;
	p->flags |= SENT_ACKED;
	news->eliciting |= (p->flags & SENT_ELICITING) != 0;
	news->ect_cnt += (p->flags & SENT_ECT) != 0;
	if (news->cnt++ == 0 || pn > news->largest) {
		news->largest = pn;
		news->largest_sent_ns = p->time_ns;
	}
}

/* The logged losses in [lo, hi] were none.  *left: entries that may lie further down. */
static void check_losses(struct recovery *r, uint64_t lo, uint64_t hi, uint32_t *left)
{
	struct lost_log *log = &r->lost_log;

	while (*left > 0 && log->pns[*left - 1] >= lo) {
		const uint32_t i = --*left;

		if (log->pns[i] > hi)
			continue;
		r->spurious_losses++;
		log->cnt--;
		memmove(&log->pns[i], &log->pns[i + 1], (log->cnt - i) * sizeof(log->pns[0]));
	}
}

static void mark_all(struct recovery *r, const struct ack_frame *f, struct news *news)
{
	struct reader ranges = f->ranges;
	uint64_t hi = f->largest, lo = hi - f->first_len;
	uint32_t losses_left = r->lost_log.cnt;

	for (uint64_t i = 0;; i++) {
		const uint64_t from = lo > r->sent.oldest ? lo : r->sent.oldest;

		for (uint64_t pn = from; pn <= hi; pn++)
			mark(r, pn, news);
		check_losses(r, lo, hi, &losses_left);
		if (i == f->range_cnt || (lo <= r->sent.oldest && losses_left == 0))
			return;
		next_range(&ranges, &lo, &hi);
	}
}

static uint64_t delay_ns(const struct recovery *r, uint64_t delay)
{
	const uint32_t exponent =
		r->ack_delay_exponent < EXPONENT_MAX ? r->ack_delay_exponent : EXPONENT_MAX;
	uint64_t ns = UINT64_MAX;

	if (delay <= UINT64_MAX / 1000 >> exponent)
		ns = (delay << exponent) * 1000;
	/* Before, the peer may have been waiting for keys (RFC 9002 section 5.3). */
	if (r->confirmed && ns > r->max_ack_delay_ns)
		ns = r->max_ack_delay_ns;
	return ns;
}

static void sample_rtt(struct recovery *r, const struct ack_frame *f, const struct news *news,
		       uint64_t now_ns)
{
	/* Section 5.1; and a packet of an earlier path says nothing about this one. */
	if (news->largest != f->largest || !news->eliciting || f->largest < r->path_start_pn)
		return;
	rtt_sample(&r->rtt,
		   now_ns > news->largest_sent_ns ? now_ns - news->largest_sent_ns : 0,
		   delay_ns(r, f->delay), now_ns);
}

/* ---- ECN (RFC 9000 section 13.4.2) ---- */

/* Do the counts fit what we sent and what they said before? */
static bool ecn_is_valid(const struct recovery *r, const struct ack_frame *f,
			 const struct news *news)
{
	const uint64_t marked = f->ecn[QX_ECN_ECT0] + f->ecn[QX_ECN_CE];
	const uint64_t before = r->ecn_acked[QX_ECN_ECT0] + r->ecn_acked[QX_ECN_CE];

	if (!f->has_ecn)
		return news->ect_cnt == 0;
	return f->ecn[QX_ECN_ECT0] >= r->ecn_acked[QX_ECN_ECT0] &&
	       f->ecn[QX_ECN_CE] >= r->ecn_acked[QX_ECN_CE] && f->ecn[QX_ECN_ECT1] == 0 &&
	       marked <= r->ect_sent && marked - before >= news->ect_cnt;
}

static void take_ecn(struct recovery *r, const struct ack_frame *f, const struct news *news,
		     uint64_t now_ns)
{
	if (r->ecn_failed)
		return;
	if (!ecn_is_valid(r, f, news)) {
		r->ecn_failed = true;
		return;
	}
	if (!f->has_ecn)
		return;
	if (f->ecn[QX_ECN_CE] > r->ecn_acked[QX_ECN_CE] && news->largest >= r->path_start_pn)
		r->cc.ops->congested(&r->cc, news->largest_sent_ns, now_ns);
	memcpy(r->ecn_acked, f->ecn, sizeof(r->ecn_acked));
}

uint64_t recovery_on_ack_frame(struct recovery *r, struct reader *frame, bool ecn,
			       uint64_t now_ns)
{
	struct ack_frame f = {0};
	struct news news = {0};
	uint64_t error = parse(r, frame, ecn, &f);
	bool raised;

	if (error)
		return error;
	mark_all(r, &f, &news);
	raised = r->largest_acked == UINT64_MAX || f.largest > r->largest_acked;
	if (raised)
		r->largest_acked = f.largest;
	if (news.cnt > 0) {
		sample_rtt(r, &f, &news, now_ns);
		/* Only then: frames may overtake each other, and counts with them. */
		if (raised)
			take_ecn(r, &f, &news, now_ns);
		r->pto_cnt = 0;
	}
	if (news.cnt > 0 || raised) {
		recovery_resolve(r, now_ns);
		recovery_pace(r, now_ns);
	}
	return 0;
}
