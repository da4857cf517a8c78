/* streams_turn.c: what a turn tells the application, and what it takes back after. */
#include <stddef.h>

#include "streams_internal.h"

/* settle takes back the memory of streams that have had data, but for those lent. */
static void settle(struct streams *s, bool lent_too)
{
	struct stream **at = &s->touched;

	while (*at) {
		struct stream *st = *at;

		if (st->lent && !lent_too) {
			at = &st->next_touched;
			continue;
		}
		*at = st->next_touched;
		st->touched = false;
		st->lent = false;
		if (st->dead)
			streams_drop(s, st);
		else
			recv_stream_settle(&st->recv, &s->memory->bufs);
	}
}

void streams_settle(struct streams *s)
{
	settle(s, true);
}

bool streams_news(struct streams *s, struct stream_news *news, uint64_t smoothed_rtt_ns,
		  uint64_t now_ns)
{
	struct stream *st;

	while ((st = streams_pop(&s->news))) {
		struct recv_stream *recv = &st->recv;

		st->has_news = false;
		*news = (struct stream_news){.id = st->id};
		news->len_bytes = recv_stream_readable(recv, &news->data, &news->fin);
		recv_stream_did_read(recv, news->len_bytes, news->fin);
		if (recv->state == RECV_RESET && !recv->reset_told) {
			recv->reset_told = true;
			news->reset = true;
			news->reset_code = recv->reset_code;
		}
		if (news->len_bytes > 0) {
			st->lent = true;
			streams_touch(s, st);
		}
		streams_credit(s, st, s->manual_consume ? 0 : news->len_bytes,
			       smoothed_rtt_ns, now_ns);
		streams_check_over(s, st);
		/* Otherwise it was stopped since. */
		if (news->len_bytes > 0 || news->fin || news->reset)
			return true;
	}
	/* Nobody was told of data behind a hole, so nobody will call streams_settle for it. */
	settle(s, false);
	return false;
}

static void give_credit(struct stream_limits *l)
{
	l->peer_closed++;
	l->ours = l->peer_closed + l->window;
	if (l->ours > STREAMS_NUMBER_MAX)
		l->ours = STREAMS_NUMBER_MAX;
	streams_offer(l);
}

void streams_reap(struct streams *s)
{
	while (s->over.head) {
		struct stream *st = s->over.head;
		struct stream_limits *l = &s->limits[id_kind(st->id)];
		const bool ours = id_is_ours(s, st->id);
		const uint64_t number = id_number(st->id), id = st->id;

		/* Forgetting without remembering that it is over would open it again.  Between two
		 * ranges lies a stream that is not over, so their number has a bound already. */
		if (!spans_add(&l->closed[ours], number, number + 1, UINT32_MAX))
			return; /* no memory: next time */
		streams_pop(&s->over);
		streams_remove(s, st);
		if (!ours)
			give_credit(l);
		if (st->touched)
			st->dead = true;
		else
			streams_drop(s, st);
		s->calls->gone(s->arg, id);
	}
}
