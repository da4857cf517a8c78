/* recovery.c: the window, the timers, and the events that are not ACKs (RFC 9002). */
#include "recovery_internal.h"

enum {
	BACKOFF_MAX = 20,
	INITIAL_WINDOW_DATAGRAMS = 10, /* aioquic's */
	SPAN_MAX = 8192 /* numbers, most of them of packets that elicit nothing */
};

static void start_path(struct recovery *r, const struct cc_ops *cc, uint64_t datagram_bytes,
		       uint64_t initial_rtt_ns)
{
	cc_init(&r->cc, cc, datagram_bytes);
	rtt_init(&r->rtt, initial_rtt_ns);
	pacer_init(&r->pacer, PACER_BURST_DATAGRAMS * datagram_bytes);
	r->path_start_pn = r->sent.next;
	r->lost_run_start_ns = QX_NEVER_NS;
	r->pto_cnt = 0;
	r->ecn_failed = false;
}

int recovery_init(struct recovery *r, const struct cc_ops *cc, uint64_t datagram_bytes,
		  uint64_t initial_rtt_ns,
		  void (*fate)(void *, const struct sent_item *, bool), void *arg)
{
	*r = (struct recovery){
		.largest_acked = UINT64_MAX,
		.loss_time_ns = QX_NEVER_NS,
		.max_ack_delay_ns = 25000000, /* the defaults of RFC 9000 section 18.2 */
		.ack_delay_exponent = 3,
		.foreign_cwnd_bytes = INITIAL_WINDOW_DATAGRAMS * datagram_bytes,
		.fate = fate,
		.arg = arg,
	};
	start_path(r, cc, datagram_bytes, initial_rtt_ns);
	return sent_init(&r->sent);
}

void recovery_free(struct recovery *r)
{
	sent_free(&r->sent);
}

void recovery_tell(struct recovery *r, const struct sent_packet *p, bool acked)
{
	for (uint32_t i = 0; i < p->item_cnt; i++)
		r->fate(r->arg, &p->items[i], acked);
	for (const struct sent_chain *c = p->chain; c; c = c->next)
		r->fate(r->arg, &c->item, acked);
}

void recovery_pace(struct recovery *r, uint64_t now_ns)
{
	if (r->rtt.sampled)
		pacer_set_rate(&r->pacer, r->cc.cwnd_bytes, r->rtt.smoothed_ns, now_ns);
}

void recovery_set_foreign_window(struct recovery *r, uint64_t cwnd_bytes)
{
	if (cwnd_bytes <= r->foreign_cwnd_bytes)
		return;
	cc_grow(&r->cc, cwnd_bytes - r->foreign_cwnd_bytes);
	r->foreign_cwnd_bytes = cwnd_bytes;
}

void recovery_confirm(struct recovery *r, uint64_t cwnd_bytes, uint64_t now_ns)
{
	r->confirmed = true;
	recovery_set_foreign_window(r, cwnd_bytes);
	recovery_pace(r, now_ns);
}

/* ---- Sending ---- */

static uint64_t used_bytes(const struct recovery *r)
{
	return r->sent.in_flight_bytes + r->foreign_in_flight_bytes;
}

uint64_t recovery_window(const struct recovery *r)
{
	const uint64_t used = used_bytes(r), cwnd = r->cc.cwnd_bytes;
	const uint64_t room = used < cwnd ? cwnd - used : 0;

	return r->probes && room < r->cc.datagram_bytes ? r->cc.datagram_bytes : room;
}

/* Section 7.8: is it the window that holds us back, or the pacer on the way to filling it?
 * Half full, because the pacer may not keep a sender from doubling its window, and one
 * burst of an application's is no reason to. */
static bool window_is_the_limit(const struct recovery *r)
{
	const uint64_t used = used_bytes(r), datagram = r->cc.datagram_bytes;
	const struct pacer *p = &r->pacer;

	if (used + datagram > r->cc.cwnd_bytes)
		return true;
	return p->rate_bytes_per_s && p->tokens_bytes < datagram &&
	       2 * used >= r->cc.cwnd_bytes;
}

void recovery_on_sent(struct recovery *r, const struct sent_packet *p, uint64_t now_ns)
{
	if (p->flags & SENT_ELICITING) {
		r->last_eliciting_ns = now_ns;
		if (r->probes > 0)
			r->probes--;
	}
	if (p->flags & SENT_ECT)
		r->ect_sent++;
	if (!(p->flags & SENT_IN_FLIGHT))
		return;
	pacer_sent(&r->pacer, p->size_bytes);
	/* Whatever is under way now was so while the window was used up: its ACKs may make
	 * the window grow.  During the handshake every ACK does, as in aioquic, whose packets
	 * share the window. */
	if (!r->confirmed || window_is_the_limit(r))
		r->window_full_before = r->sent.next;
}

void recovery_adopt(struct recovery *r, uint64_t pn, struct sent_packet *draft,
		    uint64_t now_ns, uint32_t size_bytes, uint8_t flags)
{
	const struct sent_packet *p =
		sent_adopt(&r->sent, pn, draft, now_ns, size_bytes, flags);

	if (p) {
		recovery_on_sent(r, p, now_ns);
	} else if (draft) {
		recovery_tell(r, draft, false);
		sent_cancel(&r->sent, draft);
	}
}

/* ---- Timers ---- */

static bool pto_is_armed(const struct recovery *r)
{
	return r->confirmed && r->sent.eliciting_cnt > 0;
}

uint64_t recovery_deadline(const struct recovery *r)
{
	const uint32_t backoff = r->pto_cnt < BACKOFF_MAX ? r->pto_cnt : BACKOFF_MAX;
	uint64_t pto_ns;

	if (r->loss_time_ns != QX_NEVER_NS)
		return r->loss_time_ns;
	if (!pto_is_armed(r))
		return QX_NEVER_NS;
	pto_ns = rtt_pto(&r->rtt, r->max_ack_delay_ns);
	if (pto_ns > (QX_NEVER_NS - r->last_eliciting_ns) >> backoff)
		return QX_NEVER_NS;
	return r->last_eliciting_ns + (pto_ns << backoff);
}

/* Hands back what the oldest packet carried, so that the probe repeats it. */
static void resend_oldest(struct recovery *r)
{
	struct sent *s = &r->sent;

	for (uint64_t pn = s->oldest; pn != s->next; pn++) {
		struct sent_packet *p = sent_at(s, pn);

		if (!(p->flags & SENT_ELICITING) || p->flags & SENT_RESENT)
			continue;
		p->flags |= SENT_RESENT;
		recovery_tell(r, p, false);
		sent_drop_items(s, p);
		return;
	}
}

void recovery_on_timer(struct recovery *r, uint64_t now_ns)
{
	if (now_ns < recovery_deadline(r))
		return;
	if (r->loss_time_ns != QX_NEVER_NS) {
		recovery_resolve(r, now_ns);
		recovery_pace(r, now_ns);
	} else if (pto_is_armed(r)) {
		r->pto_cnt++;
		r->ptos++;
		r->probes = 1;
		resend_oldest(r);
	}
}

/* ---- Other ends ---- */

void recovery_trim(struct recovery *r)
{
	struct sent *s = &r->sent;
	const uint64_t span = s->next - s->oldest, end = s->oldest + span / 2;

	if (span < SPAN_MAX || s->eliciting_cnt > span / 4)
		return;
	for (uint64_t pn = s->oldest; pn < end; pn++) {
		struct sent_packet *p = sent_at(s, pn);

		if (p->flags & SENT_ELICITING) {
			r->lost_packets++;
			r->lost_bytes += p->size_bytes;
		}
		if (p->flags & SENT_USED)
			recovery_tell(r, p, false);
		sent_forget(s, pn);
	}
}

void recovery_lose_zero_rtt(struct recovery *r, uint64_t now_ns)
{
	struct sent *s = &r->sent;

	(void)now_ns;
	for (uint64_t pn = s->oldest; pn != s->next; pn++) {
		struct sent_packet *p = sent_at(s, pn);

		if (!(p->flags & SENT_ZERO_RTT))
			continue;
		recovery_tell(r, p, false);
		sent_forget(s, pn);
	}
}

void recovery_reject_zero_rtt(struct recovery *r, uint64_t now_ns)
{
	recovery_lose_zero_rtt(r, now_ns);
	r->rejected_below = r->sent.next;
}

void recovery_reset_path(struct recovery *r, uint64_t now_ns)
{
	(void)now_ns;
	for (uint64_t pn = r->sent.oldest; pn != r->sent.next; pn++)
		sent_leave_flight(&r->sent, sent_at(&r->sent, pn));
	start_path(r, r->cc.ops, r->cc.datagram_bytes, r->rtt.initial_ns);
}
