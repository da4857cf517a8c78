/* test_access.c: what aioquic's own tests look into and change, for
 * tests/aioquic_suite_engine.  Nothing else may call it. */
#include <errno.h>

#include "engine.h"

void qx_test_get_view(struct qx_conn *c, struct qx_test_view *out)
{
	const struct streams *s = &c->streams;

	*out = (struct qx_test_view){
		.peer_max_data = s->peer_max_data,
		.max_data = s->flow.limit,
		.max_data_sent = s->flow.limit_sent,
		.data_used = s->flow.received,
	};
	for (uint32_t kind = 0; kind < KIND_CNT; kind++) {
		const struct stream_limits *l = &s->limits[kind];

		out->peer_max_streams[kind] = l->theirs;
		out->max_streams[kind] = l->ours;
		out->max_streams_sent[kind] = l->ours_sent;
		out->streams_used[kind] = l->peer_opened;
		out->streams_opened[kind] = l->we_opened;
	}
}

int qx_test_get_stream(struct qx_conn *c, uint64_t stream_id, struct qx_test_stream *out)
{
	const struct stream *st = streams_find(&c->streams, stream_id);

	*out = (struct qx_test_stream){0};
	if (!st)
		return streams_forgotten(&c->streams, stream_id) ? -ENOENT : 0;
	out->is_blocked = st->list == LIST_LIMITED;
	out->reset_pending = st->has_send && st->send.state == SEND_RESET_QUEUED;
	out->max_data_peer = st->has_send ? st->send.limit : 0;
	return 1;
}

void qx_test_set_data_used(struct qx_conn *c, uint64_t bytes)
{
	c->streams.flow.received = bytes;
}

void qx_test_consume(struct qx_conn *c)
{
	struct flow *f = &c->streams.flow;

	if (flow_consumed(f, f->received - f->consumed, 0, 0))
		c->streams.want_max_data = true;
	engine_dirty(c);
}

void qx_test_lose_all(struct qx_conn *c)
{
	struct recovery *r = &c->recovery;

	for (uint64_t pn = r->sent.oldest; pn != r->sent.next; pn++) {
		struct sent_packet *p = sent_at(&r->sent, pn);

		if (!(p->flags & SENT_USED))
			continue;
		for (uint32_t i = 0; i < p->item_cnt; i++)
			r->fate(r->arg, &p->items[i], false);
		for (const struct sent_chain *n = p->chain; n; n = n->next)
			r->fate(r->arg, &n->item, false);
		sent_forget(&r->sent, pn);
	}
	engine_dirty(c);
}

int qx_test_skip_numbers(struct qx_conn *c, uint64_t next)
{
	uint64_t pn;
	int err = 0;

	while (err == 0 && c->recovery.sent.next < next)
		err = sent_reserve(&c->recovery.sent, &pn);
	return err;
}

void qx_test_stop_pacing(struct qx_conn *c)
{
	struct pacer *p = &c->recovery.pacer;

	p->burst_bytes = p->cap_bytes = p->tokens_bytes = UINT32_MAX;
}
