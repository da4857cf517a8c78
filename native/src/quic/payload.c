/* payload.c: the frames of one packet, in aioquic's order: ACK, control frames, PING,
 * DATAGRAM, then limits and data of streams. */
#include <string.h>

#include "engine.h"
#include "frame.h"
#include "varint.h"

enum {
	ACK_DELAY_EXPONENT = 3, /* what aioquic's transport parameters promise */
	ACK_RANGES_MANY = 16
};

static uint32_t room(const struct payload *p)
{
	return (uint32_t)(p->end - p->at);
}

static void write_ack(struct qx_conn *c, struct payload *p, uint64_t now_ns)
{
	const struct sent_item item = {.type = ITEM_ACK, .off = c->ack.largest};
	/* A PATH_CHALLENGE goes along: near the amplification limit many ranges would crowd
	 * it out, and only its answer raises the limit. */
	const uint32_t urgent = c->urgent.head ? c->urgent.head->len_bytes : 0;
	const uint32_t left = room(p) > urgent ? room(p) - urgent : room(p);
	const uint32_t len = ack_write(&c->ack, p->at, left, ACK_DELAY_EXPONENT, now_ns);

	if (len == 0)
		return;
	p->at += len;
	/* Without memory for it, the peer is only told the same numbers once more. */
	(void)sent_add(&c->recovery.sent, p->sent, &item);
	if (c->ack.largest >= c->peer_update_pn)
		c->peer_updates_open = 0;
}

static void write_control(struct qx_conn *c, struct payload *p, struct frame_queue *q)
{
	struct sent_item item = {.type = ITEM_CONTROL};

	for (struct queued_frame *f; (f = q->head); frame_queue_pop(q, &c->engine->frames)) {
		if (f->len_bytes > room(p))
			return;
		item.off = f->token;
		if (f->token && sent_add(&c->recovery.sent, p->sent, &item) < 0)
			return;
		memcpy(p->at, f->bytes, f->len_bytes);
		p->at += f->len_bytes;
		if (f->flags & QX_CTL_ELICITING)
			p->flags |= SENT_ELICITING;
		if (f->flags & QX_CTL_IN_FLIGHT)
			p->flags |= SENT_IN_FLIGHT;
		p->pad |= (f->flags & QX_CTL_PAD) != 0;
		c->stats.control_frames++;
	}
}

static void write_datagrams(struct qx_conn *c, struct payload *p)
{
	struct frame_queue *q = &c->datagrams;
	const uint8_t *before = p->at;

	for (struct queued_frame *f; (f = q->head); frame_queue_pop(q, &c->engine->frames)) {
		const uint32_t frame_bytes = 1 + varint_bytes(f->len_bytes) + f->len_bytes;

		/* The peer takes none so large (RFC 9221 section 3), or the path does not. */
		if (frame_bytes > c->peer_datagram_bytes ||
		    (frame_bytes > room(p) && p->at == p->start && p->is_full_size))
			continue;
		if (frame_bytes > room(p))
			break;
		*p->at++ = FRAME_DATAGRAM_LEN;
		p->at = write_varint(p->at, f->len_bytes);
		memcpy(p->at, f->bytes, f->len_bytes);
		p->at += f->len_bytes;
	}
	if (p->at != before)
		p->flags |= SENT_ELICITING | SENT_IN_FLIGHT;
}

static void write_data(struct qx_conn *c, struct payload *p)
{
	const uint8_t *before;

	if (c->recovery.probes > 0 && room(p) > 0) {
		*p->at++ = FRAME_PING;
		p->flags |= SENT_ELICITING | SENT_IN_FLIGHT;
	}
	if (c->complete || c->peer_datagram_bytes > 0)
		write_datagrams(c, p);
	before = p->at;
	p->at = streams_write_frames(&c->streams, &c->recovery.sent, p->sent, p->at, p->end,
				     c->complete);
	if (p->at != before)
		p->flags |= SENT_ELICITING | SENT_IN_FLIGHT;
}

/* Nobody acknowledges the ACKs of a side that only receives, so they would name the same
 * numbers for ever: once per round trip one asks to be (RFC 9000 section 13.2.4). */
static void ask_for_ack(const struct qx_conn *c, struct payload *p)
{
	struct range named[ACK_RANGES_MANY];

	if (p->at == p->start || p->flags & SENT_ELICITING || room(p) == 0 ||
	    c->recovery.sent.eliciting_cnt > 0)
		return;
	/* Not those that are only remembered: their number does not fall, and two sides that
	 * have had losses would ask each other for ever. */
	if (ack_ranges(&c->ack, named, ACK_RANGES_MANY) < ACK_RANGES_MANY)
		return;
	*p->at++ = FRAME_PING;
	p->flags |= SENT_ELICITING | SENT_IN_FLIGHT;
}

void conn_write_payload(struct qx_conn *c, struct payload *p, uint64_t now_ns)
{
	if (!p->zero_rtt) {
		if (ack_is_due(&c->ack, now_ns))
			write_ack(c, p, now_ns);
		write_control(c, p, &c->urgent);
		if (p->data_allowed)
			write_control(c, p, &c->control);
	}
	if (!p->data_allowed)
		return;
	write_data(c, p);
	ask_for_ack(c, p);
}
