/* streams_fate.c: what becomes of frames of ours (RFC 9000 section 13.3). */
#include <stddef.h>

#include "streams_internal.h"

static void stream_fate(struct streams *s, struct stream *st, const struct sent_item *item,
			bool acked)
{
	if (!acked) {
		send_stream_lost(&st->send, item->off, item->len_bytes, item->fin);
		streams_requeue(s, st);
		return;
	}
	send_stream_acked(&st->send, &s->env, item->off, item->len_bytes, item->fin);
	streams_requeue(s, st); /* nothing to resend any more, or what could not be noted */
	if (send_stream_fell(&st->send))
		s->calls->drained(s->arg, st->id);
	streams_check_over(s, st);
}

static void reset_fate(struct streams *s, struct stream *st, bool acked)
{
	send_stream_reset_event(&st->send, acked ? SEND_EV_RESET_ACKED : SEND_EV_RESET_LOST);
	streams_control(s, st);
	streams_check_over(s, st);
}

/* A lost limit is announced again only if it is the newest: the value is the current one
 * anyway, and a newer one is under way. */
static void credit_fate(struct streams *s, struct stream *st, uint64_t limit)
{
	if (limit != st->recv.flow.limit_sent)
		return;
	st->want_max_data = true;
	streams_control(s, st);
}

static void stop_fate(struct streams *s, struct stream *st)
{
	/* Only while the peer may go on sending. */
	if (st->recv.state != RECV_OPEN)
		return;
	st->recv.stop_pending = true;
	streams_control(s, st);
}

/* A lost *_BLOCKED is sent again while it is still true, which the *_due functions know. */
static void blocked_lost(struct streams *s, uint64_t scope, uint64_t limit)
{
	struct stream *st;

	if (scope == BLOCKED_DATA) {
		if (s->data_blocked_at == limit)
			s->data_blocked_at = UINT64_MAX;
	} else if (scope >= BLOCKED_STREAMS) {
		if (s->limits[scope - BLOCKED_STREAMS].blocked_at == limit)
			s->limits[scope - BLOCKED_STREAMS].blocked_at = UINT64_MAX;
	} else if ((st = streams_find(s, scope)) && st->send.blocked_at == limit) {
		st->send.blocked_at = UINT64_MAX;
		streams_control(s, st);
	}
}

static void lost(struct streams *s, struct stream *st, const struct sent_item *item)
{
	switch (item->type) {
	case ITEM_MAX_DATA:
		if (item->off == s->flow.limit_sent)
			s->want_max_data = true;
		break;
	case ITEM_MAX_STREAMS:
		if (item->off == s->limits[item->id].ours_sent)
			s->limits[item->id].want_max_streams = true;
		break;
	case ITEM_BLOCKED:
		blocked_lost(s, item->id, item->off);
		break;
	case ITEM_MAX_STREAM_DATA:
		if (st)
			credit_fate(s, st, item->off);
		break;
	case ITEM_STOP:
		if (st)
			stop_fate(s, st);
		break;
	default:
		break;
	}
}

void streams_fate(struct streams *s, const struct sent_item *item, bool acked)
{
	const bool of_stream = item->type == ITEM_STREAM || item->type == ITEM_RESET ||
			       item->type == ITEM_STOP || item->type == ITEM_MAX_STREAM_DATA;
	struct stream *st = of_stream ? streams_find(s, item->id) : NULL;

	if (st && item->type == ITEM_STREAM)
		stream_fate(s, st, item, acked);
	else if (st && item->type == ITEM_RESET)
		reset_fate(s, st, acked);
	else if (!acked)
		lost(s, st, item);
}
