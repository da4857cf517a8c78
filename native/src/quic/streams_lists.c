/* streams_lists.c: which list a stream belongs to, so that nobody has to look for work. */
#include <stddef.h>

#include "streams_internal.h"

/* ---- Data to send ---- */

static struct stream_queue *queue_of(struct streams *s, const struct stream *st,
				     uint32_t list)
{
	switch (list) {
	case LIST_RESEND:
		return &s->resend;
	case LIST_NEW:
		return &s->fresh;
	case LIST_FIN:
		return &s->fins;
	case LIST_LIMITED:
		return &s->limits[id_kind(st->id)].limited;
	default:
		return NULL;
	}
}

/* In RESEND and NEW, send_stream_peek must find something: a stream in a list where it can do
 * nothing would be visited for each packet, or make its connection look busy for ever. */
static uint8_t list_for(const struct streams *s, const struct stream *st)
{
	const struct send_stream *send = &st->send;

	if (id_is_ours(s, st->id) && id_number(st->id) >= s->limits[id_kind(st->id)].theirs)
		return LIST_LIMITED;
	if (!st->has_send || send_stream_is_reset(send))
		return LIST_NONE;
	if (send->resend.cnt > 0)
		return LIST_RESEND;
	if (send->fin_pending && send->next == send->written)
		return send->state == SEND_OPEN ? LIST_FIN : LIST_RESEND;
	if (send->next < send->written && send->next < send->limit)
		return LIST_NEW;
	return LIST_NONE;
}

/* Ascending, so that MAX_STREAMS lets go from the front.  Applications open in that order,
 * so the place is at the end. */
static void insert_limited(struct stream_queue *q, struct stream *st)
{
	struct stream *behind = q->tail;
	struct stream_link *l = &st->links[LINK_SEND];

	while (behind && behind->id > st->id)
		behind = behind->links[LINK_SEND].prev;
	l->prev = behind;
	l->next = behind ? behind->links[LINK_SEND].next : q->head;
	if (l->next)
		l->next->links[LINK_SEND].prev = st;
	else
		q->tail = st;
	if (behind)
		behind->links[LINK_SEND].next = st;
	else
		q->head = st;
}

static void put(struct streams *s, struct stream *st, uint8_t list)
{
	if (st->list != LIST_NONE)
		queue_remove(queue_of(s, st, st->list), st, LINK_SEND);
	st->list = list;
	if (list == LIST_LIMITED)
		insert_limited(queue_of(s, st, list), st);
	else if (list != LIST_NONE)
		queue_append(queue_of(s, st, list), st, LINK_SEND);
}

void streams_requeue(struct streams *s, struct stream *st)
{
	const uint8_t list = list_for(s, st);

	if (list == st->list)
		return;
	put(s, st, list);
	st->turn = s->next_turn++;
}

void streams_rotate(struct streams *s, struct stream *st)
{
	st->turn = s->next_turn++;
	/* A lone stream is its own successor. */
	if (st->links[LINK_SEND].next || st->links[LINK_SEND].prev)
		put(s, st, st->list);
}

void streams_admit(struct streams *s, uint32_t kind)
{
	struct stream_limits *l = &s->limits[kind];

	while (l->limited.head && id_number(l->limited.head->id) < l->theirs) {
		struct stream *st = l->limited.head;

		streams_requeue(s, st);
		streams_control(s, st); /* it may have been reset meanwhile */
	}
}

/* ---- Control frames ---- */

static bool control_due(const struct stream *st)
{
	return wants_stream_credit(st) || st->recv.stop_pending ||
	       st->send.state == SEND_RESET_QUEUED ||
	       (send_stream_blocked(&st->send) && st->send.blocked_at != st->send.limit);
}

void streams_control(struct streams *s, struct stream *st)
{
	/* To name a stream beyond MAX_STREAMS, even to reset it, would be an error. */
	if (st->in_control || st->list == LIST_LIMITED || !control_due(st))
		return;
	st->in_control = true;
	queue_append(&s->control, st, LINK_CONTROL);
}

void streams_control_done(struct streams *s, struct stream *st)
{
	if (!st->in_control)
		return;
	st->in_control = false;
	queue_remove(&s->control, st, LINK_CONTROL);
}

void streams_unlist(struct streams *s, struct stream *st)
{
	put(s, st, LIST_NONE);
	streams_control_done(s, st);
}

/* ---- News, and streams that are over ---- */

static void push(struct stream_queue *q, struct stream *st)
{
	st->next_news = NULL;
	if (q->tail)
		q->tail->next_news = st;
	else
		q->head = st;
	q->tail = st;
}

struct stream *streams_pop(struct stream_queue *q)
{
	struct stream *st = q->head;

	if (!st)
		return NULL;
	q->head = st->next_news;
	if (!q->head)
		q->tail = NULL;
	return st;
}

void streams_touch(struct streams *s, struct stream *st)
{
	if (st->touched)
		return;
	st->touched = true;
	st->next_touched = s->touched;
	s->touched = st;
}

void streams_signal(struct streams *s, struct stream *st)
{
	/* Of a stream that is over, nothing is news: a reset that follows STOP_SENDING and FIN. */
	if (st->has_news || st->is_over || !recv_stream_has_news(&st->recv))
		return;
	st->has_news = true;
	push(&s->news, st);
}

void streams_check_over(struct streams *s, struct stream *st)
{
	if (st->is_over || st->has_news || (st->has_send && !send_stream_over(&st->send)) ||
	    (st->has_recv && !recv_stream_over(&st->recv)))
		return;
	st->is_over = true;
	push(&s->over, st);
}
