/* streams_app.c: what the application does with streams. */
#include <errno.h>
#include <stddef.h>

#include "streams_internal.h"

uint64_t streams_next_id(const struct streams *s, uint32_t kind)
{
	return s->limits[kind].we_opened << 2 | kind << 1 | (s->is_client ? 0 : 1);
}

/* find gives a stream that was named, or one that a higher one has opened (RFC 9000 section
 * 3.2), or with may_open any of ours. */
static int find(struct streams *s, uint64_t id, bool may_open, struct stream **out)
{
	struct stream_limits *l = &s->limits[id_kind(id)];
	const uint64_t number = id_number(id);
	const bool ours = id_is_ours(s, id);

	*out = NULL;
	if (id > QX_VARINT_MAX)
		return -EINVAL;
	*out = streams_find(s, id);
	if (*out)
		return 0;
	if (streams_forgotten(s, id))
		return -EPIPE;
	if (number >= (ours ? l->we_opened : l->peer_opened) && !(ours && may_open))
		return -EINVAL;
	*out = streams_open(s, id);
	if (!*out)
		return -ENOMEM;
	if (ours && number >= l->we_opened)
		l->we_opened = number + 1;
	streams_requeue(s, *out); /* it may have to wait for MAX_STREAMS */
	return 0;
}

int streams_for_write(struct streams *s, uint64_t id, struct stream **out)
{
	if (id_kind(id) == KIND_UNI && !id_is_ours(s, id))
		return -EINVAL;
	return find(s, id, true, out);
}

int streams_write(struct streams *s, uint64_t id, const uint8_t *data, uint32_t len_bytes,
		  bool fin, uint64_t token)
{
	struct stream *st;
	int err = streams_for_write(s, id, &st);

	if (err < 0)
		return err;
	err = send_stream_write(&st->send, &s->env, data, len_bytes, fin, token);
	if (err < 0)
		return err;
	s->unsent_bytes += len_bytes;
	streams_requeue(s, st);
	streams_control(s, st);
	return 0;
}

int streams_reset(struct streams *s, uint64_t id, uint64_t code)
{
	struct stream *st;
	int err;

	if (code > QX_VARINT_MAX)
		return -EINVAL;
	err = streams_for_write(s, id, &st);
	if (err < 0)
		return err;
	return streams_reset_send(s, st, code) ? 0 : -EPIPE;
}

int streams_stop(struct streams *s, uint64_t id, uint64_t code)
{
	struct stream *st;
	int err;

	if (code > QX_VARINT_MAX || (id_kind(id) == KIND_UNI && id_is_ours(s, id)))
		return -EINVAL;
	err = find(s, id, false, &st);
	if (err < 0)
		return err;
	if (!recv_stream_stop(&st->recv, code))
		return -EPIPE;
	/* Now, since no turn may ever come back to it; what was lent stays. */
	if (!st->lent)
		recv_stream_settle(&st->recv, &s->memory->bufs);
	streams_discard(s, st);
	streams_control(s, st);
	streams_check_over(s, st);
	return 0;
}

int streams_consume(struct streams *s, uint64_t id, uint64_t bytes, uint64_t smoothed_rtt_ns,
		    uint64_t now_ns)
{
	struct stream *st = streams_find(s, id);

	if (!st)
		return streams_forgotten(s, id) ? 0 : -EINVAL;
	if (!st->has_recv)
		return -EINVAL;
	streams_credit(s, st, bytes, smoothed_rtt_ns, now_ns);
	streams_check_over(s, st);
	return 0;
}

uint64_t streams_buffered(const struct streams *s, uint64_t id)
{
	const struct stream *st;

	if (id > QX_VARINT_MAX)
		return s->unsent_bytes;
	st = streams_find(s, id);
	return st ? send_stream_unsent(&st->send) : 0;
}

int streams_set_low_mark(struct streams *s, uint64_t id, uint64_t low_bytes)
{
	struct stream *st;
	int err = streams_for_write(s, id, &st);

	if (err < 0)
		return err;
	send_stream_set_low(&st->send, low_bytes);
	return 0;
}
