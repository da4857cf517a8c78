/* streams_internal.h: what the files of streams.h share. */
#ifndef QX_STREAMS_INTERNAL_H
#define QX_STREAMS_INTERNAL_H

#include "streams.h"
#include "varint.h"

/* An ID is a number, a kind and who opened it (RFC 9000 section 2.1). */
static inline uint64_t id_number(uint64_t id)
{
	return id >> 2;
}

static inline uint32_t id_kind(uint64_t id)
{
	return id >> 1 & 1;
}

static inline bool id_is_ours(const struct streams *s, uint64_t id)
{
	return (id & 1) != (s->is_client ? 1 : 0);
}

#define STREAMS_NUMBER_MAX (UINT64_C(1) << 60) /* RFC 9000 section 4.6 */

/* What an ITEM_BLOCKED is about, besides a stream's ID. */
#define BLOCKED_DATA (UINT64_C(1) << 62)
#define BLOCKED_STREAMS (BLOCKED_DATA + 1) /* + kind */

static inline uint64_t connection_room(const struct streams *s)
{
	return s->peer_max_data - s->sent_data;
}

static inline bool data_blocked_due(const struct streams *s)
{
	return s->fresh.head && connection_room(s) == 0 &&
	       s->data_blocked_at != s->peer_max_data;
}

static inline bool streams_blocked_due(const struct stream_limits *l)
{
	return l->limited.head && l->blocked_at != l->theirs;
}

/* MAX_STREAM_DATA makes sense only while the peer may have more to send. */
static inline bool wants_stream_credit(const struct stream *st)
{
	return st->want_max_data && st->recv.state == RECV_OPEN && !st->recv.stopped;
}

/* streams_open makes the stream of an ID that is not over; NULL: no memory. */
struct stream *streams_open(struct streams *s, uint64_t id);
/* streams_drop frees a stream; streams_remove takes it out of the table and all lists. */
void streams_drop(struct streams *s, struct stream *st);
void streams_remove(struct streams *s, struct stream *st);

/* ---- streams_lists.c ---- */

/* streams_requeue puts a stream into the list where it belongs, at the end if that is a new
 * one. */
void streams_requeue(struct streams *s, struct stream *st);
/* streams_rotate puts it at the end of the list where it is. */
void streams_rotate(struct streams *s, struct stream *st);
/* streams_control puts it on the list of control frames if it has any to send. */
void streams_control(struct streams *s, struct stream *st);
void streams_control_done(struct streams *s, struct stream *st);
/* streams_unlist takes it off both. */
void streams_unlist(struct streams *s, struct stream *st);
/* streams_admit lets those of our streams go that MAX_STREAMS allows by now. */
void streams_admit(struct streams *s, uint32_t kind);
/* streams_touch puts it on the list for streams_settle. */
void streams_touch(struct streams *s, struct stream *st);
/* streams_signal notes that it may have news, streams_check_over that it may be over. */
void streams_signal(struct streams *s, struct stream *st);
void streams_check_over(struct streams *s, struct stream *st);
struct stream *streams_pop(struct stream_queue *q); /* of news or over */

static inline void queue_append(struct stream_queue *q, struct stream *st, uint32_t link)
{
	st->links[link] = (struct stream_link){q->tail, NULL};
	if (q->tail)
		q->tail->links[link].next = st;
	else
		q->head = st;
	q->tail = st;
}

static inline void queue_remove(struct stream_queue *q, struct stream *st, uint32_t link)
{
	const struct stream_link *l = &st->links[link];

	if (l->prev)
		l->prev->links[link].next = l->next;
	else
		q->head = l->next;
	if (l->next)
		l->next->links[link].prev = l->prev;
	else
		q->tail = l->prev;
}

/* ---- streams_recv.c ---- */

/* streams_raise is MAX_STREAM_DATA of the peer, announced or implied. */
void streams_raise(struct streams *s, struct stream *st, uint64_t limit);
/* streams_reset_send resets our half; false: too late. */
bool streams_reset_send(struct streams *s, struct stream *st, uint64_t code);
/* streams_credit is for bytes that were read, streams_discard for those nobody will. */
void streams_credit(struct streams *s, struct stream *st, uint64_t bytes,
		    uint64_t smoothed_rtt_ns, uint64_t now_ns);
void streams_discard(struct streams *s, struct stream *st);
/* streams_offer decides whether MAX_STREAMS is due. */
void streams_offer(struct stream_limits *l);

#endif
