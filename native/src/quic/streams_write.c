/* streams_write.c: frames of streams and their limits into a packet. */
#include <assert.h>
#include <stddef.h>

#include "frame.h"
#include "streams_internal.h"

/* A piece of a stream's data smaller than this waits for the next packet, unless it is all
 * there is: a header would be as long. */
enum {
	FRAGMENT_MIN_BYTES = 32
};
/* What a length of two bytes can say. */
enum {
	FRAME_LEN_MAX = (1 << 14) - 1
};

struct packet_room {
	uint8_t *at, *end;
	struct sent *sent;
	struct sent_packet *packet;
};

/* begin_frame notes what is about to be written; false: there is no room, or no memory to
 * note it, and then nothing may be written. */
static bool begin_frame(struct packet_room *r, uint32_t len_bytes,
			const struct sent_item *item)
{
	return (uint64_t)(r->end - r->at) >= len_bytes &&
	       sent_add(r->sent, r->packet, item) == 0;
}

/* A type and one, two or three numbers: all control frames are that. */
static bool write_frame(struct packet_room *r, uint64_t type, const uint64_t *fields,
			uint32_t field_cnt, const struct sent_item *item)
{
	uint32_t len = varint_bytes(type);

	for (uint32_t i = 0; i < field_cnt; i++)
		len += varint_bytes(fields[i]);
	if (!begin_frame(r, len, item))
		return false;
	r->at = write_varint(r->at, type);
	for (uint32_t i = 0; i < field_cnt; i++)
		r->at = write_varint(r->at, fields[i]);
	return true;
}

/* ---- Limits of the connection ---- */

static void write_limits(struct streams *s, struct packet_room *r)
{
	if (s->want_max_data) {
		const struct sent_item item = {.type = ITEM_MAX_DATA, .off = s->flow.limit};

		if (!write_frame(r, FRAME_MAX_DATA, &s->flow.limit, 1, &item))
			return;
		s->flow.limit_sent = s->flow.limit;
		s->want_max_data = false;
	}
	for (uint32_t kind = 0; kind < KIND_CNT; kind++) {
		struct stream_limits *l = &s->limits[kind];
		const struct sent_item item = {
			.type = ITEM_MAX_STREAMS, .id = kind, .off = l->ours};

		if (!l->want_max_streams)
			continue;
		if (!write_frame(r, FRAME_MAX_STREAMS_BIDI + kind, &l->ours, 1, &item))
			return;
		l->ours_sent = l->ours;
		l->want_max_streams = false;
	}
}

static void write_blocked(struct streams *s, struct packet_room *r)
{
	if (data_blocked_due(s)) {
		const struct sent_item item = {
			.type = ITEM_BLOCKED, .id = BLOCKED_DATA, .off = s->peer_max_data};

		if (!write_frame(r, FRAME_DATA_BLOCKED, &s->peer_max_data, 1, &item))
			return;
		s->data_blocked_at = s->peer_max_data;
	}
	for (uint32_t kind = 0; kind < KIND_CNT; kind++) {
		struct stream_limits *l = &s->limits[kind];
		const struct sent_item item = {
			.type = ITEM_BLOCKED, .id = BLOCKED_STREAMS + kind, .off = l->theirs};

		if (!streams_blocked_due(l))
			continue;
		if (!write_frame(r, FRAME_STREAMS_BLOCKED_BIDI + kind, &l->theirs, 1, &item))
			return;
		l->blocked_at = l->theirs;
	}
}

/* ---- Control frames of streams ---- */

static bool write_reset(struct packet_room *r, struct stream *st)
{
	const uint64_t fields[] = {st->id, st->send.reset_code, st->send.next};
	const struct sent_item item = {.type = ITEM_RESET, .id = st->id};

	if (st->send.state != SEND_RESET_QUEUED)
		return true;
	if (!write_frame(r, FRAME_RESET_STREAM, fields, 3, &item))
		return false;
	send_stream_reset_event(&st->send, SEND_EV_RESET_SENT);
	return true;
}

static bool write_stop(struct packet_room *r, struct stream *st)
{
	const uint64_t fields[] = {st->id, st->recv.stop_code};
	const struct sent_item item = {.type = ITEM_STOP, .id = st->id};

	if (!st->recv.stop_pending)
		return true;
	if (!write_frame(r, FRAME_STOP_SENDING, fields, 2, &item))
		return false;
	st->recv.stop_pending = false;
	return true;
}

static bool write_credit(struct packet_room *r, struct stream *st)
{
	const uint64_t fields[] = {st->id, st->recv.flow.limit};
	const struct sent_item item = {
		.type = ITEM_MAX_STREAM_DATA, .id = st->id, .off = st->recv.flow.limit};

	if (wants_stream_credit(st)) {
		if (!write_frame(r, FRAME_MAX_STREAM_DATA, fields, 2, &item))
			return false;
		st->recv.flow.limit_sent = st->recv.flow.limit;
	}
	st->want_max_data = false;
	return true;
}

static bool write_stream_blocked(struct packet_room *r, struct stream *st)
{
	const uint64_t fields[] = {st->id, st->send.limit};
	const struct sent_item item = {
		.type = ITEM_BLOCKED, .id = st->id, .off = st->send.limit};

	if (!send_stream_blocked(&st->send) || st->send.blocked_at == st->send.limit)
		return true;
	if (!write_frame(r, FRAME_STREAM_DATA_BLOCKED, fields, 2, &item))
		return false;
	st->send.blocked_at = st->send.limit;
	return true;
}

/* write_control: false if the packet is full. */
static bool write_control(struct streams *s, struct packet_room *r)
{
	while (s->control.head) {
		struct stream *st = s->control.head;

		if (!write_reset(r, st) || !write_stop(r, st) || !write_credit(r, st) ||
		    !write_stream_blocked(r, st))
			return false;
		streams_control_done(s, st);
		streams_check_over(s, st); /* it may have waited only for STOP_SENDING */
	}
	return true;
}

/* ---- STREAM ---- */

/* write_data writes one frame: false if the packet is full. */
static bool write_data(struct streams *s, struct packet_room *r, struct stream *st,
		       bool is_first)
{
	struct send_piece piece;
	struct sent_item item = {.type = ITEM_STREAM, .id = st->id};
	uint32_t header_bytes;
	uint64_t room;
	uint8_t type = FRAME_STREAM | 2; /* with a length */
	const bool found = send_stream_peek(&st->send, connection_room(s), &piece);

	assert(found); /* that is what being in a list means */
	(void)found;
	header_bytes = 1 + varint_bytes(st->id) + 2;
	if (piece.off > 0) {
		header_bytes += varint_bytes(piece.off);
		type |= 4;
	}
	room = (uint64_t)(r->end - r->at);
	if (room < header_bytes)
		return false;
	room -= header_bytes;
	if (room > FRAME_LEN_MAX)
		room = FRAME_LEN_MAX;
	if (piece.len_bytes > room) {
		if (room == 0 || (room < FRAGMENT_MIN_BYTES && !is_first))
			return false;
		piece.len_bytes = room;
		piece.fin = false;
	}
	item.off = piece.off;
	item.len_bytes = (uint32_t)piece.len_bytes;
	item.fin = piece.fin;
	if (!begin_frame(r, header_bytes, &item))
		return false;

	*r->at++ = type | piece.fin;
	r->at = write_varint(r->at, st->id);
	if (piece.off > 0)
		r->at = write_varint(r->at, piece.off);
	r->at = write_varint2(r->at, piece.len_bytes);
	send_stream_take(&st->send, &piece, r->at);
	r->at += piece.len_bytes;
	if (piece.is_new) {
		s->sent_data += piece.len_bytes;
		s->unsent_bytes -= piece.len_bytes;
	}
	streams_requeue(s, st);
	streams_rotate(s, st);
	streams_control(s, st); /* STREAM_DATA_BLOCKED */
	return true;
}

/* Whose turn it is, of streams with new data and of those with nothing but their end. */
static struct stream *next_in_turn(const struct streams *s)
{
	struct stream *data = connection_room(s) > 0 ? s->fresh.head : NULL;
	struct stream *end = s->fins.head;

	if (!data || !end)
		return data ? data : end;
	return data->turn < end->turn ? data : end;
}

static bool write_streams(struct streams *s, struct packet_room *r)
{
	bool is_first = true;

	for (;;) {
		struct stream *st = s->resend.head ? s->resend.head : next_in_turn(s);

		if (!st)
			return true;
		if (!write_data(s, r, st, is_first))
			return false;
		is_first = false;
	}
}

uint8_t *streams_write_frames(struct streams *s, struct sent *sent, struct sent_packet *p,
			      uint8_t *out, uint8_t *end, bool handshake_complete)
{
	struct packet_room r = {out, end, sent, p};

	if (handshake_complete)
		write_limits(s, &r);
	/* What the data leaves behind blocked is said in the same packet. */
	if (write_control(s, &r) && write_streams(s, &r) && write_control(s, &r) &&
	    handshake_complete)
		write_blocked(s, &r);
	return r.at;
}

bool streams_have_work(const struct streams *s, bool handshake_complete)
{
	if (s->control.head || s->resend.head || s->fins.head ||
	    (s->fresh.head && connection_room(s) > 0))
		return true;
	if (!handshake_complete)
		return false;
	return s->want_max_data || data_blocked_due(s) ||
	       s->limits[KIND_BIDI].want_max_streams ||
	       s->limits[KIND_UNI].want_max_streams ||
	       streams_blocked_due(&s->limits[KIND_BIDI]) ||
	       streams_blocked_due(&s->limits[KIND_UNI]);
}
