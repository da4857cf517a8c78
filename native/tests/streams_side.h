/* streams_side.h: one end of a connection, streams only: packets of frames in and out, and
 * a record of what the connection would have heard. */
#ifndef QX_STREAMS_SIDE_H
#define QX_STREAMS_SIDE_H

#include <stdint.h>

#include "frame.h"
#include "stream_memory.h"
#include "streams.h"
#include "varint.h"

enum {
	PACKET_BYTES = 1200,
	HEARD_MAX = 4096
};

struct side {
	struct stream_memory memory;
	struct streams s;
	struct sent sent;
	uint32_t released_cnt, drained_cnt, gone_cnt;
	uint64_t gone[HEARD_MAX]; /* the last of them */
	uint64_t drained_id;
};

static inline void side_released(void *arg, uint64_t token)
{
	((struct side *)arg)->released_cnt++;
	token_released(NULL, token);
}

static inline void side_drained(void *arg, uint64_t id)
{
	struct side *side = arg;

	side->drained_cnt++;
	side->drained_id = id;
}

static inline void side_gone(void *arg, uint64_t id)
{
	struct side *side = arg;

	side->gone[side->gone_cnt++ % HEARD_MAX] = id;
}

static const struct streams_calls side_calls = {side_released, side_drained, side_gone};

static const struct qx_conn_config side_config = {
	.max_data_bytes = 1 << 20,
	.max_stream_data_bytes = 1 << 18,
	.max_streams_bidi = 128,
	.max_streams_uni = 128,
};

static const struct qx_peer_limits side_limits = {
	.max_data = 1 << 20,
	.max_stream_data_bidi_local = 1 << 18,
	.max_stream_data_bidi_remote = 1 << 18,
	.max_stream_data_uni = 1 << 18,
	.max_streams_bidi = 128,
	.max_streams_uni = 128,
};

static inline void side_open(struct side *side, struct qx_conn_config cfg, bool is_client)
{
	memset(side, 0, sizeof(*side));
	memset(tokens_released, 0, sizeof(tokens_released));
	cfg.is_client = is_client;
	stream_memory_init(&side->memory);
	T_EQ(sent_init(&side->sent), 0);
	streams_init(&side->s, &cfg, &side->memory, &side_calls, side);
}

/* side_close fails the test unless all memory came back. */
static inline void side_close(struct side *side)
{
	streams_free(&side->s);
	T_EQ(side->memory.streams.lent_cnt, 0);
	T_EQ(side->memory.chunks.lent_cnt, 0);
	T_EQ(side->memory.nodes.lent_cnt, 0);
	T_EQ(side->memory.bufs.lent_cnt, 0);
	stream_memory_free(&side->memory);
	sent_free(&side->sent);
}

/* ---- Packets out ---- */

/* side_write fills a packet and returns its length; 0: nothing was to be sent. */
static inline uint32_t side_write(struct side *side, uint8_t *out, uint32_t room,
				  bool complete)
{
	struct sent_packet *p = sent_begin(&side->sent);
	uint8_t *end;

	T_CHECK(p != NULL);
	end = streams_write_frames(&side->s, &side->sent, p, out, out + room, complete);
	T_CHECK(end <= out + room);
	if (end == out) {
		T_EQ(p->item_cnt, 0);
		return 0;
	}
	sent_end(&side->sent, p, 0, (uint32_t)(end - out), SENT_ELICITING);
	return (uint32_t)(end - out);
}

/* side_fate tells the items of a packet sent, as recovery would. */
static inline void side_fate(struct side *side, uint64_t pn, bool acked)
{
	struct sent_packet *p = sent_at(&side->sent, pn);

	T_CHECK(p->flags & SENT_USED);
	for (uint32_t i = 0; i < p->item_cnt; i++)
		streams_fate(&side->s, &p->items[i], acked);
	for (struct sent_chain *c = p->chain; c; c = c->next)
		streams_fate(&side->s, &c->item, acked);
	sent_forget(&side->sent, pn);
}

/* ---- Packets in ---- */

struct got_frame {
	uint64_t type;      /* of STREAM: FRAME_STREAM without flags */
	uint64_t fields[3]; /* STREAM: id, offset */
	const uint8_t *data;
	uint32_t len_bytes;
	bool fin;
};

static inline bool next_frame(struct reader *r, struct got_frame *f)
{
	static const uint8_t field_cnt[] = {[FRAME_RESET_STREAM] = 3,
					    [FRAME_STOP_SENDING] = 2,
					    [FRAME_MAX_DATA] = 1,
					    [FRAME_MAX_STREAM_DATA] = 2,
					    [FRAME_MAX_STREAMS_BIDI] = 1,
					    [FRAME_MAX_STREAMS_UNI] = 1,
					    [FRAME_DATA_BLOCKED] = 1,
					    [FRAME_STREAM_DATA_BLOCKED] = 2,
					    [FRAME_STREAMS_BLOCKED_BIDI] = 1,
					    [FRAME_STREAMS_BLOCKED_UNI] = 1};
	uint64_t type;

	if (r->at == r->end)
		return false;
	type = read_varint(r);
	memset(f, 0, sizeof(*f));
	f->type = type;
	if (type >= FRAME_STREAM && type <= FRAME_STREAM_LAST) {
		f->type = FRAME_STREAM;
		f->fin = type & 1;
		f->fields[0] = read_varint(r);
		f->fields[1] = type & 4 ? read_varint(r) : 0;
		f->len_bytes = type & 2 ? (uint32_t)read_varint(r) : reader_left(r);
		f->data = read_bytes(r, f->len_bytes);
	} else {
		T_CHECK(type < sizeof(field_cnt) && field_cnt[type] > 0);
		for (uint32_t i = 0; i < field_cnt[type]; i++)
			f->fields[i] = read_varint(r);
	}
	T_CHECK(!r->failed);
	return true;
}

/* side_frame is one frame of the peer: a transport error code, or 0.  *stopped: the
 * application would hear of STOP_SENDING. */
static inline uint64_t side_frame(struct side *side, const struct got_frame *f, bool *stopped)
{
	struct streams *s = &side->s;
	const bool receiving = f->type == FRAME_STREAM || f->type == FRAME_RESET_STREAM ||
			       f->type == FRAME_STREAM_DATA_BLOCKED;
	struct stream *st = NULL;
	uint64_t err;

	*stopped = false;
	switch (f->type) {
	case FRAME_MAX_DATA:
		streams_on_max_data(s, f->fields[0]);
		return 0;
	case FRAME_MAX_STREAMS_BIDI:
	case FRAME_MAX_STREAMS_UNI:
		return streams_on_max_streams(s, (uint32_t)(f->type & 1), f->fields[0]);
	case FRAME_STREAMS_BLOCKED_BIDI:
	case FRAME_STREAMS_BLOCKED_UNI:
		return streams_on_streams_blocked(f->fields[0]);
	case FRAME_DATA_BLOCKED:
		return 0;
	default:
		break;
	}
	err = streams_for_frame(s, f->fields[0], receiving, &st);
	if (err || !st)
		return err;
	switch (f->type) {
	case FRAME_STREAM:
		return streams_on_data(s, st, f->fields[1], f->data, f->len_bytes, f->fin);
	case FRAME_RESET_STREAM:
		return streams_on_reset(s, st, f->fields[1], f->fields[2]);
	case FRAME_STOP_SENDING:
		streams_on_stop(s, st, f->fields[1]);
		*stopped = true;
		return 0;
	case FRAME_MAX_STREAM_DATA:
		streams_on_max_stream_data(s, st, f->fields[1]);
		return 0;
	default:
		return 0;
	}
}

/* Shorthands for frames that tests make up. */
static inline uint64_t got_data(struct side *side, uint64_t id, uint64_t off, uint32_t len,
				bool fin)
{
	static uint8_t data[1 << 16];
	struct got_frame f = {FRAME_STREAM, {id, off}, data, len, fin};
	bool stopped;

	bytes_at(data, off, len);
	return side_frame(side, &f, &stopped);
}

static inline uint64_t got(struct side *side, uint64_t type, uint64_t a, uint64_t b,
			   uint64_t c)
{
	struct got_frame f = {.type = type, .fields = {a, b, c}};
	bool stopped;

	return side_frame(side, &f, &stopped);
}

#endif
