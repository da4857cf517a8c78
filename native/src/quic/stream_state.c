/* stream_state.c: what the application may ask about a stream's two halves. */
#include "conn.h"

static bool send_is_over(const struct send_stream *s)
{
	return s->state == SEND_ALL_ACKED || s->state == SEND_RESET_ACKED;
}

uint32_t qx_stream_state(const struct qx_conn *c, uint64_t stream_id)
{
	const struct stream *st = streams_find(&c->streams, stream_id);
	uint32_t flags = 0;

	if (!st)
		return 0;
	if (st->has_send && !st->send.fin && !send_stream_is_reset(&st->send))
		flags |= QX_STREAM_MAY_WRITE;
	if (st->has_send && !send_is_over(&st->send))
		flags |= QX_STREAM_UNDELIVERED;
	if (st->has_recv && !st->recv.fin_told && !st->recv.reset_told)
		flags |= QX_STREAM_MAY_RECEIVE;
	return flags;
}

uint64_t qx_stream_unacknowledged(const struct qx_conn *c, uint64_t stream_id)
{
	const struct stream *st = streams_find(&c->streams, stream_id);

	return st && st->has_send ? send_stream_level(&st->send) : 0;
}

uint32_t qx_conn_undelivered(const struct qx_conn *c)
{
	uint32_t cnt = 0;

	for (const struct stream *st = c->streams.all.head; st; st = st->links[LINK_ALL].next)
		cnt += (st->id & 3) == 0 && st->has_send && !send_is_over(&st->send);
	return cnt;
}
