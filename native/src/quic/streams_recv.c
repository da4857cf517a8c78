/* streams_recv.c: stream frames of the peer, who may be hostile. */
#include <stddef.h>

#include "streams_internal.h"

void streams_offer(struct stream_limits *l)
{
	/* Once there is more to offer than the peer has left: an idle peer hears seldom, and
	 * one that has used its streams up hears of each that it gets back. */
	if (l->ours - l->ours_sent > l->ours_sent - l->peer_opened)
		l->want_max_streams = true;
}

uint64_t streams_for_frame(struct streams *s, uint64_t id, bool receiving,
			   struct stream **out)
{
	struct stream_limits *l = &s->limits[id_kind(id)];
	const uint64_t number = id_number(id);
	const bool ours = id_is_ours(s, id);

	/* RFC 9000 sections 19.4, 19.5, 19.8, 19.10, 19.13: the half must exist, and a stream of
	 * ours must have been opened. */
	if (id_kind(id) == KIND_UNI && ours == receiving)
		return STREAM_ERR_STATE;
	*out = streams_find(s, id);
	if (*out)
		return 0;
	if (ours ? number >= l->we_opened : number >= l->ours_sent)
		return ours ? STREAM_ERR_STATE : STREAM_ERR_LIMIT;
	if (!ours && number >= l->peer_opened) {
		/* Opens all below as well (section 3.2), which takes no more than this. */
		l->peer_opened = number + 1;
		streams_offer(l);
	} else if (streams_forgotten(s, id)) {
		return 0;
	}
	*out = streams_open(s, id);
	if (!*out)
		return STREAM_ERR_INTERNAL;
	streams_requeue(s, *out); /* one of ours may have to wait for MAX_STREAMS */
	return 0;
}

/* ---- Receiving half ---- */

void streams_credit(struct streams *s, struct stream *st, uint64_t bytes,
		    uint64_t smoothed_rtt_ns, uint64_t now_ns)
{
	bool announce;

	bytes = recv_stream_consume(&st->recv, bytes, smoothed_rtt_ns, now_ns, &announce);
	if (announce) {
		st->want_max_data = true;
		streams_control(s, st);
	}
	if (flow_consumed(&s->flow, bytes, smoothed_rtt_ns, now_ns))
		s->want_max_data = true;
}

void streams_discard(struct streams *s, struct stream *st)
{
	const uint64_t rest = st->recv.flow.received - st->recv.flow.consumed;

	/* Counted against the connection, and nobody will read it: without this, a peer whose
	 * streams are stopped would run out of credit. */
	st->recv.flow.consumed += rest;
	if (flow_discarded(&s->flow, rest))
		s->want_max_data = true;
}

/* count_to checks both limits for data up to end and counts what is new. */
static bool count_to(struct streams *s, struct stream *st, uint64_t end)
{
	const uint64_t had = st->recv.flow.received, more = end > had ? end - had : 0;

	return flow_received(&st->recv.flow, more) && flow_received(&s->flow, more);
}

uint64_t streams_on_data(struct streams *s, struct stream *st, uint64_t off,
			 const uint8_t *data, uint32_t len_bytes, bool fin)
{
	uint64_t err;

	if (off > QX_VARINT_MAX || len_bytes > QX_VARINT_MAX - off)
		return STREAM_ERR_ENCODING;
	if (!count_to(s, st, off + len_bytes))
		return STREAM_ERR_FLOW_CONTROL;
	err = recv_stream_data(&st->recv, &s->memory->bufs, off, data, len_bytes, fin);
	if (err)
		return err;
	if (st->recv.buf)
		streams_touch(s, st);
	if (st->recv.stopped)
		streams_discard(s, st);
	streams_signal(s, st);
	streams_check_over(s, st);
	return 0;
}

uint64_t streams_on_reset(struct streams *s, struct stream *st, uint64_t code,
			  uint64_t final_size)
{
	uint64_t err;

	if (!count_to(s, st, final_size))
		return STREAM_ERR_FLOW_CONTROL;
	err = recv_stream_reset(&st->recv, code, final_size);
	if (err)
		return err;
	if (st->recv.state == RECV_RESET)
		streams_discard(s, st);
	streams_signal(s, st);
	streams_check_over(s, st);
	return 0;
}

/* ---- Sending half ---- */

bool streams_reset_send(struct streams *s, struct stream *st, uint64_t code)
{
	const uint64_t unsent = send_stream_unsent(&st->send);

	if (!send_stream_reset(&st->send, &s->env, code))
		return false;
	s->unsent_bytes -= unsent;
	streams_requeue(s, st);
	streams_control(s, st);
	if (send_stream_fell(&st->send))
		s->calls->drained(s->arg, st->id);
	return true;
}

void streams_on_stop(struct streams *s, struct stream *st, uint64_t code)
{
	streams_reset_send(s, st, code); /* or it is too late: nothing is left to stop */
}

void streams_raise(struct streams *s, struct stream *st, uint64_t limit)
{
	if (limit <= st->send.limit)
		return;
	st->send.limit = limit;
	streams_requeue(s, st);
}

void streams_on_max_stream_data(struct streams *s, struct stream *st, uint64_t limit)
{
	streams_raise(s, st, limit);
}

void streams_on_max_data(struct streams *s, uint64_t limit)
{
	/* Streams that waited for this are in their list already. */
	if (limit > s->peer_max_data)
		s->peer_max_data = limit;
}

uint64_t streams_on_max_streams(struct streams *s, uint32_t kind, uint64_t limit)
{
	if (limit > STREAMS_NUMBER_MAX)
		return STREAM_ERR_ENCODING;
	if (limit > s->limits[kind].theirs) {
		s->limits[kind].theirs = limit;
		streams_admit(s, kind);
	}
	return 0;
}

uint64_t streams_on_streams_blocked(uint64_t limit)
{
	return limit > STREAMS_NUMBER_MAX ? STREAM_ERR_ENCODING : 0;
}
