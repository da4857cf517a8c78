/* fuzz_frames.h: frames that are well formed, with fields at the limits of the connection that
 * they go to: what a fuzzer finds by chance too seldom. */
#ifndef QX_FUZZ_FRAMES_H
#define QX_FUZZ_FRAMES_H

#include <string.h>

#include "conn.h"
#include "varint.h"

struct input {
	const uint8_t *at, *end;
};

static inline uint32_t take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint32_t take2(struct input *in)
{
	const uint32_t high = take(in);

	return high << 8 | take(in);
}

/* What follows a frame's type.  i stream ID, n number, d length and so many bytes, c one-byte
 * length of a connection ID and the ID, 8 and t: 8 and 16 bytes, r the rest, a ACK ranges,
 * e ECN counts.  STREAM: by its flags. */
static const struct {
	uint8_t type;
	const char *fields;
} fuzz_forms[] = {
	{0x00, ""},    {0x01, ""},   {0x02, "nna"}, {0x03, "nnae"}, {0x04, "inn"},
	{0x05, "in"},  {0x06, "nd"}, {0x07, "d"},   {0x08, "ir"},   {0x09, "ir"},
	{0x0a, "id"},  {0x0b, "id"}, {0x0c, "inr"}, {0x0d, "inr"},  {0x0e, "ind"},
	{0x0f, "ind"}, {0x10, "n"},  {0x11, "in"},  {0x12, "n"},    {0x13, "n"},
	{0x14, "n"},   {0x15, "in"}, {0x16, "n"},   {0x17, "n"},    {0x18, "nnct"},
	{0x19, "n"},   {0x1a, "8"},  {0x1b, "8"},   {0x1c, "nnd"},  {0x1d, "nd"},
	{0x1e, ""},    {0x30, "r"},  {0x31, "d"},
};

enum {
	FUZZ_FORMS = sizeof(fuzz_forms) / sizeof(fuzz_forms[0]),
	FUZZ_FRAME_MAX = 256 /* bytes */
};

/* A number that matters to c, or to its stream; small ones stand for themselves. */
static inline uint64_t fuzz_number(const struct qx_conn *c, const struct stream *st,
				   uint32_t how)
{
	static const struct stream none;
	const struct streams *s = &c->streams;
	const struct recv_stream *recv = st ? &st->recv : &none.recv;
	const struct send_stream *send = st ? &st->send : &none.send;
	const uint64_t edges[] = {
		recv->flow.limit_sent,
		recv->flow.received,
		recv->final_size,
		recv->ready,
		recv->read,
		recv->flow.received + s->flow.limit_sent - s->flow.received,
		send->limit,
		send->next,
		send->written,
		s->peer_max_data,
		s->limits[KIND_BIDI].ours_sent,
		s->limits[KIND_UNI].ours_sent,
		s->limits[KIND_BIDI].theirs,
		c->recovery.sent.next,
		c->recovery.sent.oldest,
		c->recovery.largest_acked,
		c->one_rtt_start_pn,
		UINT64_C(1) << 14,
		UINT64_C(1) << 32,
		UINT64_C(1) << 60,
		QX_VARINT_MAX,
	};
	const uint32_t cnt = sizeof(edges) / sizeof(edges[0]);

	if (how < 128)
		return how;
	/* One less, itself, one more. */
	return (edges[(how - 128) / 3 % cnt] + (how - 128) % 3 - 1) & QX_VARINT_MAX;
}

/* Streams of both kinds and sides, few, so that frames meet on one; and those at a limit. */
static inline uint64_t fuzz_stream_id(const struct qx_conn *c, uint32_t how)
{
	const struct stream_limits *l = &c->streams.limits[how >> 1 & 1];

	if (how < 192)
		return how % 48;
	if (how < 224)
		return (l->ours_sent - how % 3) << 2 | (how & 3);
	return (l->we_opened - how % 3) << 2 | (how & 3);
}

static inline uint8_t *fuzz_bytes(uint8_t *at, uint32_t cnt, struct input *in)
{
	const uint32_t byte = take(in);

	/* From one byte of input, or data would fill it. */
	for (uint32_t i = 0; i < cnt; i++)
		*at++ = (uint8_t)(byte + i);
	return at;
}

static inline uint8_t *fuzz_ranges(const struct qx_conn *c, struct input *in, uint8_t *at)
{
	const uint32_t cnt = take(in) % 8;

	at = write_varint(at, cnt);
	at = write_varint(at, fuzz_number(c, NULL, take(in)));
	for (uint32_t i = 0; i < 2 * cnt; i++)
		at = write_varint(at, fuzz_number(c, NULL, take(in)));
	return at;
}

/* fuzz_frame writes one frame for c; at most FUZZ_FRAME_MAX bytes.  *last: nothing may
 * follow. */
static inline uint8_t *fuzz_frame(const struct qx_conn *c, struct input *in, uint8_t *at,
				  bool *last)
{
	const uint32_t form = take(in) % FUZZ_FORMS;
	const struct stream *st = NULL;
	uint64_t id, cnt;

	at = write_varint(at, fuzz_forms[form].type);
	for (const char *f = fuzz_forms[form].fields; *f; f++)
		switch (*f) {
		case 'i':
			id = fuzz_stream_id(c, take(in)) & QX_VARINT_MAX;
			st = streams_find(&c->streams, id);
			at = write_varint(at, id);
			break;
		case 'n':
			at = write_varint(at, fuzz_number(c, st, take(in)));
			break;
		case 'd':
			cnt = take(in) % 100;
			at = fuzz_bytes(write_varint(at, cnt), (uint32_t)cnt, in);
			break;
		case 'c':
			cnt = take(in) % 24;
			*at++ = (uint8_t)cnt;
			at = fuzz_bytes(at, (uint32_t)cnt, in);
			break;
		case '8':
			at = fuzz_bytes(at, 8, in);
			break;
		case 't':
			at = fuzz_bytes(at, 16, in);
			break;
		case 'r':
			at = fuzz_bytes(at, take(in) % 100, in);
			*last = true;
			break;
		case 'a':
			at = fuzz_ranges(c, in, at);
			break;
		default: /* e */
			for (uint32_t i = 0; i < 3; i++)
				at = write_varint(at, take(in));
		}
	return at;
}

#endif
