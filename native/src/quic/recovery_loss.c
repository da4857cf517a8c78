/* recovery_loss.c: which packets are over, and what that says about the path
 * (RFC 9002 sections 6.1, 7.6). */
#include <string.h>

#include "recovery_internal.h"

enum {
	PACKET_THRESHOLD = 3, /* kPacketThreshold */
	PERSISTENT_PTOS = 3,  /* kPersistentCongestionThreshold */
};

/* What one walk found, for the congestion controller. */
struct findings {
	uint64_t grow_bytes;    /* acknowledged, and the window was the limit */
	uint64_t limited_bytes; /* acknowledged, and it was not */
	uint64_t acked_sent_ns; /* when the latest of them was sent */
	uint64_t lost_sent_ns;
	bool lost;
	bool persistent;
};

static void log_lost(struct lost_log *log, uint64_t pn)
{
	uint32_t i;

	if (log->cnt == LOST_LOG_CNT)
		memmove(log->pns, log->pns + 1, --log->cnt * sizeof(log->pns[0]));
	/* Nearly always the largest; not so after a hole was filled late. */
	for (i = log->cnt++; i > 0 && log->pns[i - 1] > pn; i--)
		log->pns[i] = log->pns[i - 1];
	log->pns[i] = pn;
}

/* Section 7.6.2: everything sent between two ack-eliciting packets is lost, both were sent
 * with an RTT known, and they are further apart than a few PTOs.  The run goes on from one
 * walk to the next; any number in between that was not lost, or that we cannot tell about,
 * ends it.  Packets of an earlier path were sent before this path's first sample. */
static bool persists(struct recovery *r, uint64_t pn, const struct sent_packet *p)
{
	uint64_t limit_ns;

	if (pn != r->lost_run_next)
		r->lost_run_start_ns = QX_NEVER_NS;
	r->lost_run_next = pn + 1;
	if (!(p->flags & SENT_ELICITING) || p->time_ns <= r->rtt.first_sample_ns)
		return false;
	if (r->lost_run_start_ns == QX_NEVER_NS) {
		r->lost_run_start_ns = p->time_ns;
		return false;
	}
	limit_ns = PERSISTENT_PTOS * rtt_pto(&r->rtt, r->max_ack_delay_ns);
	if (p->time_ns - r->lost_run_start_ns <= limit_ns)
		return false;
	r->lost_run_start_ns = QX_NEVER_NS;
	return true;
}

static void end_lost(struct recovery *r, uint64_t pn, struct sent_packet *p,
		     struct findings *f)
{
	/* What elicits nothing and is not in flight is mostly not acknowledged at all. */
	if (p->flags & (SENT_ELICITING | SENT_IN_FLIGHT)) {
		r->lost_packets++;
		r->lost_bytes += p->size_bytes;
		log_lost(&r->lost_log, pn);
	}
	if (p->flags & SENT_IN_FLIGHT) {
		f->lost = true;
		f->lost_sent_ns = p->time_ns;
	}
	if (persists(r, pn, p))
		f->persistent = true;
	recovery_tell(r, p, false);
	sent_forget(&r->sent, pn);
}

static void end_acked(struct recovery *r, uint64_t pn, struct sent_packet *p,
		      struct findings *f)
{
	r->acked_packets++;
	if (p->flags & SENT_IN_FLIGHT) {
		f->acked_sent_ns = p->time_ns;
		if (pn < r->window_full_before)
			f->grow_bytes += p->size_bytes;
		else
			f->limited_bytes += p->size_bytes;
	}
	recovery_tell(r, p, true);
	sent_forget(&r->sent, pn);
}

static void walk(struct recovery *r, struct findings *f, uint64_t now_ns)
{
	const uint64_t delay_ns = rtt_loss_delay(&r->rtt);
	struct sent *s = &r->sent;

	for (uint64_t pn = s->oldest; pn <= r->largest_acked; pn++) {
		struct sent_packet *p = sent_at(s, pn);
		const bool far_behind = pn + PACKET_THRESHOLD <= r->largest_acked;

		if (p->flags & SENT_ACKED) {
			end_acked(r, pn, p, f);
		} else if (!(p->flags & SENT_USED)) {
			if (far_behind && p->flags & SENT_RESERVED)
				sent_forget(s, pn);
		} else if (far_behind || p->time_ns + delay_ns <= now_ns) {
			end_lost(r, pn, p, f);
		} else if (p->time_ns + delay_ns < r->loss_time_ns) {
			r->loss_time_ns = p->time_ns + delay_ns;
		}
	}
}

void recovery_resolve(struct recovery *r, uint64_t now_ns)
{
	struct findings f = {0};
	struct cc *cc = &r->cc;

	r->loss_time_ns = QX_NEVER_NS;
	if (r->largest_acked == UINT64_MAX)
		return;
	walk(r, &f, now_ns);
	if (f.lost)
		cc->ops->congested(cc, f.lost_sent_ns, now_ns);
	if (f.lost && f.persistent) {
		cc->ops->persistent(cc);
		r->persistent_cnt++;
		/* The path may have changed under us (section 5.2). */
		r->rtt.min_ns = r->rtt.latest_ns;
	}
	/* After the losses, as in appendix A.7: a packet that was sent before the reduction
	 * must not undo a part of it. */
	if (f.grow_bytes)
		cc->ops->acked(cc, f.grow_bytes, f.acked_sent_ns, false, &r->rtt, now_ns);
	else if (f.limited_bytes)
		cc->ops->acked(cc, f.limited_bytes, f.acked_sent_ns, true, &r->rtt, now_ns);
}
