/* frames_in.c: the frames of an opened packet.  A peer that has keys may still send
 * anything.
 *
 * Ours are handled; aioquic's are moved to the front of the payload, whose bytes there have
 * been read by then.  Reasons are worded as aioquic words them, since applications and its
 * tests see them. */
#include <string.h>

#include "engine.h"
#include "frame.h"
#include "varint.h"

struct frame_in {
	struct qx_conn *c;
	const struct frames_in *packet;
	struct reader r;
	uint64_t type;
	const char *reason;
};

#define TRUNCATED "Failed to parse frame"
#define STREAMS_TOO_MANY "Maximum Streams cannot exceed 2^60"

static uint64_t error(struct frame_in *f, uint64_t code, const char *reason)
{
	f->reason = reason;
	return code;
}

static uint64_t truncated(struct frame_in *f)
{
	return error(f, ERR_FRAME_ENCODING, TRUNCATED);
}

/* ---- Streams ---- */

/* find_stream: as streams_for_frame, with a reason. */
static uint64_t find_stream(struct frame_in *f, uint64_t id, bool receiving,
			    struct stream **out)
{
	const uint64_t code = streams_for_frame(&f->c->streams, id, receiving, out);
	const bool one_way = (id & 2) != 0;
	const bool ours = (id & 1) != (f->c->cfg.is_client ? 1 : 0);

	if (code == STREAM_ERR_STATE)
		f->reason = !one_way || ours != receiving ? "Wrong stream initiator"
			    : receiving                   ? "Stream is send-only"
							  : "Stream is receive-only";
	else if (code == STREAM_ERR_LIMIT)
		f->reason = "Too many streams open";
	else if (code)
		f->reason = "Out of memory";
	return code;
}

static const char *data_reason(const struct stream *st, uint64_t code, uint64_t end)
{
	switch (code) {
	case STREAM_ERR_FLOW_CONTROL:
		return end > st->recv.flow.limit_sent ? "Over stream data limit"
						      : "Over connection data limit";
	case STREAM_ERR_FINAL_SIZE:
		return st->recv.final_size != RECV_SIZE_UNKNOWN && end <= st->recv.final_size
			       ? "Cannot change final size"
			       : "Data received beyond final size";
	case STREAM_ERR_ENCODING:
		return "offset + length cannot exceed 2^62 - 1";
	default:
		return "Out of memory";
	}
}

static uint64_t on_stream(struct frame_in *f)
{
	struct qx_conn *c = f->c;
	const uint64_t id = read_varint(&f->r);
	const uint64_t off = f->type & 4 ? read_varint(&f->r) : 0;
	const uint64_t len = f->type & 2 ? read_varint(&f->r) : reader_left(&f->r);
	const uint8_t *data;
	struct stream *st;
	bool had_news;
	uint64_t code;

	if (!f->r.failed && off + len > QX_VARINT_MAX)
		return error(f, ERR_FRAME_ENCODING, "offset + length cannot exceed 2^62 - 1");
	data = read_bytes(&f->r, len);
	if (f->r.failed)
		return truncated(f);
	code = find_stream(f, id, true, &st);
	if (code || !st)
		return code;
	had_news = st->has_news;
	code = streams_on_data(&c->streams, st, off, data, (uint32_t)len, f->type & 1);
	if (code)
		return error(f, code, data_reason(st, code, off + len));
	if (st->has_news && !had_news)
		engine_stream_event(c, id, f->packet->path, f->packet->now_ns);
	return 0;
}

static uint64_t on_reset(struct frame_in *f)
{
	const uint64_t id = read_varint(&f->r), reset = read_varint(&f->r);
	const uint64_t final_size = read_varint(&f->r);
	struct qx_event *ev;
	struct stream *st;
	uint64_t code;
	bool was_told;

	if (f->r.failed)
		return truncated(f);
	code = find_stream(f, id, true, &st);
	if (code || !st)
		return code;
	was_told = st->recv.state == RECV_RESET;
	code = streams_on_reset(&f->c->streams, st, reset, final_size);
	if (code == STREAM_ERR_FINAL_SIZE)
		return error(f, code,
			     st->recv.final_size != RECV_SIZE_UNKNOWN
				     ? "Cannot change final size"
				     : "Data received beyond final size");
	if (code)
		return error(f, code, data_reason(st, code, final_size));
	/* Nothing follows an end that was told, though a stream that was stopped behind it
	 * may still be reset. */
	if (st->recv.state != RECV_RESET || was_told || st->recv.fin_told)
		return 0;
	ev = engine_event(f->c->engine, f->c, QX_EV_STREAM_RESET);
	ev->stream_id = id;
	ev->value = reset;
	ev->path = f->packet->path;
	ev->time_ns = f->packet->now_ns;
	return 0;
}

static uint64_t on_stop(struct frame_in *f)
{
	const uint64_t id = read_varint(&f->r), stop = read_varint(&f->r);
	struct qx_event *ev;
	struct stream *st;
	uint64_t code;

	if (f->r.failed)
		return truncated(f);
	code = find_stream(f, id, false, &st);
	if (code || !st)
		return code;
	streams_on_stop(&f->c->streams, st, stop);
	ev = engine_event(f->c->engine, f->c, QX_EV_STOP_SENDING);
	ev->stream_id = id;
	ev->value = stop;
	ev->path = f->packet->path;
	ev->time_ns = f->packet->now_ns;
	return 0;
}

static uint64_t on_stream_limit(struct frame_in *f)
{
	const bool blocked = f->type == FRAME_STREAM_DATA_BLOCKED;
	const uint64_t id = read_varint(&f->r), limit = read_varint(&f->r);
	struct stream *st;
	uint64_t code;

	if (f->r.failed)
		return truncated(f);
	code = find_stream(f, id, blocked, &st);
	if (code == 0 && st && !blocked)
		streams_on_max_stream_data(&f->c->streams, st, limit);
	return code;
}

/* ---- Limits of the connection ---- */

static uint64_t on_limit(struct frame_in *f)
{
	const uint64_t limit = read_varint(&f->r);
	uint64_t code = 0;

	if (f->r.failed)
		return truncated(f);
	switch (f->type) {
	case FRAME_MAX_DATA:
		streams_on_max_data(&f->c->streams, limit);
		return 0;
	case FRAME_MAX_STREAMS_BIDI:
		code = streams_on_max_streams(&f->c->streams, KIND_BIDI, limit);
		break;
	case FRAME_MAX_STREAMS_UNI:
		code = streams_on_max_streams(&f->c->streams, KIND_UNI, limit);
		break;
	case FRAME_STREAMS_BLOCKED_BIDI:
	case FRAME_STREAMS_BLOCKED_UNI:
		code = streams_on_streams_blocked(limit);
		break;
	default: /* DATA_BLOCKED */
		break;
	}
	return code ? error(f, code, STREAMS_TOO_MANY) : 0;
}

/* ---- The rest ---- */

static uint64_t on_padding(struct frame_in *f)
{
	while (f->r.at != f->r.end && *f->r.at == FRAME_PADDING)
		f->r.at++;
	return 0;
}

static uint64_t on_ack(struct frame_in *f)
{
	const uint64_t code = recovery_on_ack_frame(
		&f->c->recovery, &f->r, f->type == FRAME_ACK_ECN, f->packet->now_ns);

	if (code == ERR_PROTOCOL_VIOLATION)
		return error(f, code, "ACK of a packet that was never sent");
	if (code)
		return error(f, code,
			     f->r.failed ? TRUNCATED
					 : "ACK range contains a negative packet "
					   "number");
	return 0;
}

static uint64_t on_datagram(struct frame_in *f)
{
	struct qx_conn *c = f->c;
	const uint8_t *start = f->r.at;
	const uint64_t len = f->type & 1 ? read_varint(&f->r) : reader_left(&f->r);
	const uint8_t *data = read_bytes(&f->r, len);
	struct qx_event *ev;
	uint8_t *copy;

	if (f->r.failed)
		return truncated(f);
	/* The limit counts the frame's type too (RFC 9221 section 3). */
	if ((uint64_t)(f->r.at - start) >= c->cfg.max_datagram_frame_bytes)
		return error(f, ERR_PROTOCOL_VIOLATION, "Unexpected DATAGRAM frame");
	copy = arena_take(&c->engine->arena, (uint32_t)len);
	if (!copy)
		return 0; /* unreliable anyway */
	if (len > 0)
		memcpy(copy, data, len);
	ev = engine_event(c->engine, c, QX_EV_DATAGRAM);
	ev->path = f->packet->path;
	ev->time_ns = f->packet->now_ns;
	ev->data = copy;
	ev->len_bytes = (uint32_t)len;
	return 0;
}

static uint64_t ours(struct frame_in *f)
{
	switch (f->type) {
	case FRAME_PADDING:
		return on_padding(f);
	case FRAME_PING:
		return 0;
	case FRAME_ACK:
	case FRAME_ACK_ECN:
		return on_ack(f);
	case FRAME_RESET_STREAM:
		return on_reset(f);
	case FRAME_STOP_SENDING:
		return on_stop(f);
	case FRAME_MAX_STREAM_DATA:
	case FRAME_STREAM_DATA_BLOCKED:
		return on_stream_limit(f);
	case FRAME_DATAGRAM:
	case FRAME_DATAGRAM_LEN:
		return on_datagram(f);
	default:
		return f->type >= FRAME_STREAM && f->type <= FRAME_STREAM_LAST ? on_stream(f)
									       : on_limit(f);
	}
}

static uint64_t check_type(struct frame_in *f, struct frame_rule rule)
{
	if (f->r.failed) {
		f->type = FRAME_TYPE_NONE;
		return error(f, ERR_FRAME_ENCODING, "Malformed frame type");
	}
	if (rule.owner == FRAME_UNKNOWN)
		return error(f, ERR_FRAME_ENCODING, "Unknown frame type");
	if (f->packet->epoch == QX_EPOCH_ZERO_RTT && !rule.zero_rtt)
		return error(f, ERR_PROTOCOL_VIOLATION, "Unexpected frame type");
	return 0;
}

uint64_t conn_frames(struct qx_conn *c, uint8_t *payload, uint32_t len_bytes,
		     struct frames_in *packet)
{
	struct frame_in f = {
		.c = c, .packet = packet, .r = {.at = payload, .end = payload + len_bytes}};
	uint64_t code = 0;

	packet->probing = true;
	if (len_bytes == 0)
		code = error(&f, ERR_PROTOCOL_VIOLATION, "Packet contains no frames");
	while (code == 0 && f.r.at != f.r.end) {
		const uint8_t *start = f.r.at;
		struct frame_rule rule;

		f.type = read_varint(&f.r);
		rule = frame_rule(f.type);
		code = check_type(&f, rule);
		if (code)
			break;
		if (rule.owner == FRAME_OURS) {
			code = ours(&f);
		} else {
			frame_skip(&f.r, f.type);
			if (f.r.failed) {
				code = truncated(&f);
				break;
			}
			memmove(payload + packet->left_bytes, start,
				(size_t)(f.r.at - start));
			packet->left_bytes += (uint32_t)(f.r.at - start);
		}
		packet->eliciting |= rule.eliciting;
		packet->probing &= rule.probing;
	}
	packet->error_type = f.type;
	packet->reason = f.reason;
	return code;
}
