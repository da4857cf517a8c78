/* receive.c: one packet in: opened in place, its frames run, what is left of it passed up.
 *
 * A packet is acknowledged only after its frames were handled (RFC 9000 section 13.1), and
 * then it must not be lost on its way up, as the peer will not send it again. */
#include <errno.h>
#include <string.h>

#include "engine.h"

enum {
	SPIN_BIT = 0x20,
	RESERVED_SHORT = 0x18,
	RESERVED_LONG = 0x0c
};

void conn_fail(struct qx_conn *c, uint64_t code, uint64_t frame_type, const char *reason)
{
	struct qx_event *ev;

	if (c->failed)
		return;
	c->failed = true;
	ev = engine_promised(c, QX_EV_ERROR);
	ev->value = code;
	ev->stream_id = frame_type;
	ev->data = (const uint8_t *)reason; /* a literal: it outlives all turns */
	ev->len_bytes = (uint32_t)strlen(reason);
}

/* ---- Up ---- */

/* pass_up appends an UPCALL: struct qx_upcall, header, frames. */
static void pass_up(struct qx_conn *c, const struct packet_in *p, uint64_t pn,
		    uint64_t largest_before, uint8_t flags, uint32_t header_bytes,
		    const uint8_t *frames, uint32_t frames_bytes)
{
	const struct qx_upcall up = {header_bytes, frames_bytes, largest_before};
	struct qx_event *ev = engine_event(c->engine, c, QX_EV_UPCALL);
	uint8_t *at = engine_event_bytes(c->engine, ev,
					 (uint32_t)sizeof(up) + header_bytes + frames_bytes);

	ev->flags = flags;
	ev->path = p->path;
	ev->value = pn;
	ev->stream_id = p->len_bytes;
	ev->more = (uint32_t)(largest_before + 1);
	ev->time_ns = p->now_ns;
	c->stats.up_packets++;
	if (!at) {
		conn_fail(c, ERR_INTERNAL, FRAME_TYPE_NONE, "Out of memory");
		return;
	}
	memcpy(at, &up, sizeof(up));
	memcpy(at + sizeof(up), p->data, header_bytes);
	if (frames_bytes > 0)
		memcpy(at + sizeof(up) + header_bytes, frames, frames_bytes);
}

static uint8_t address_flags(const struct qx_conn *c, const struct packet_in *p)
{
	uint8_t flags = p->new_path ? QX_EV_NEW_PATH : 0;

	/* A client's peer may use any of its connection IDs; a server's peer that changes it
	 * has moved (RFC 9000 section 9.5). */
	if (!c->cfg.is_client && p->epoch == QX_EPOCH_ONE_RTT &&
	    p->pn_off_bytes == 1u + c->host_cid_len &&
	    memcmp(p->data + 1, c->host_cid, c->host_cid_len) != 0)
		flags |= QX_EV_NEW_CID;
	return flags;
}

/* A packet that ends here.  Returns as qx_conn_receive. */
static int drop(struct qx_conn *c, const struct packet_in *p, uint64_t pn, uint8_t why,
		uint32_t header_bytes)
{
	/* Bytes on a path that is not validated count even so (RFC 9000 section 8.1). */
	if (!p->always_up && !(c->cfg.flags & QX_CONN_REPORT_DROPS) &&
	    c->budget_bytes == UINT64_MAX)
		return 1;
	pass_up(c, p, pn, c->ack.largest, why | address_flags(c, p), header_bytes, NULL, 0);
	return 0;
}

static int fail(struct qx_conn *c, uint64_t code, uint64_t frame_type, const char *reason)
{
	conn_fail(c, code, frame_type, reason);
	return 0;
}

/* ---- Opening ---- */

static int not_opened(struct qx_conn *c, const struct packet_in *p, int err)
{
	if (err == -EKEYEXPIRED)
		return fail(c, ERR_AEAD_LIMIT, FRAME_TYPE_NONE, "AEAD limit reached");
	if (err == -EPROTO)
		return fail(c, ERR_KEY_UPDATE, FRAME_TYPE_NONE, "Old keys after newer ones");
	c->stats.undecryptable++;
	return drop(c, p, 0, QX_EV_UNDECRYPTABLE,
		    p->pn_off_bytes < p->len_bytes ? p->pn_off_bytes : p->len_bytes);
}

static void note_spin(struct qx_conn *c, uint8_t first, uint64_t pn)
{
	if (pn < c->spin_next_pn)
		return;
	c->spin = ((first & SPIN_BIT) != 0) != (c->cfg.is_client != 0);
	c->spin_next_pn = pn + 1;
}

/* What follows from an authentic packet that is new, before its frames. */
static uint64_t accept(struct qx_conn *c, const struct packet_in *p,
		       const struct protect_opened *o)
{
	if (p->epoch != QX_EPOCH_ONE_RTT)
		return 0;
	/* RFC 9001 section 4.9.3 */
	if (!c->cfg.is_client)
		qx_conn_teardown(c, QX_EPOCH_ZERO_RTT, 0);
	note_spin(c, p->data[0], o->pn);
	return conn_keys_opened(c, o, p->now_ns);
}

static void tell_first_ack(struct qx_conn *c)
{
	if (c->first_ack_told || c->recovery.largest_acked == UINT64_MAX ||
	    c->recovery.largest_acked < c->one_rtt_start_pn)
		return;
	c->first_ack_told = true;
	engine_event(c->engine, c, QX_EV_FIRST_ACK);
}

static int handle(struct qx_conn *c, const struct packet_in *p,
		  const struct protect_opened *o)
{
	const uint64_t largest_before = c->ack.largest, lost = c->recovery.lost_packets;
	uint8_t *payload = p->data + o->header_len_bytes;
	uint8_t flags = address_flags(c, p);
	struct frames_in f = {.epoch = p->epoch, .path = p->path, .now_ns = p->now_ns};
	uint64_t code;

	if (c->in_list[CONN_TOLD]) {
		engine_unlist(c, CONN_TOLD);
		streams_settle(&c->streams);
	}
	code = conn_frames(c, payload, o->payload_len_bytes, &f);
	engine_turn(c);
	engine_dirty(c);
	conn_tell_lost(c, lost);
	if (code)
		return fail(c, code, f.error_type, f.reason);
	ack_received(&c->ack, o->pn, f.eliciting, p->ecn, p->now_ns);
	tell_first_ack(c);
	c->last_open_ns = p->now_ns;
	c->first_eliciting_ns = 0;
	if (!f.left_bytes && !flags && !p->always_up && c->budget_bytes == UINT64_MAX)
		return 1;
	flags |= (f.eliciting ? QX_EV_ELICITING : 0) | (f.probing ? QX_EV_PROBING : 0);
	pass_up(c, p, o->pn, largest_before, flags, o->header_len_bytes, payload,
		f.left_bytes);
	return 0;
}

int conn_receive(struct qx_conn *c, const struct packet_in *p)
{
	struct protect_half *half = c->keys[p->epoch][0];
	struct protect_opened o = {0};
	uint64_t code;
	int err;

	if (!half)
		return -ENOKEY;
	if (c->failed || !engine_make_room(c->engine, p->len_bytes))
		return 1;
	err = protect_open_packet(half, p->data, p->len_bytes, p->pn_off_bytes,
				  c->ack.largest + 1, &o);
	if (err < 0)
		return not_opened(c, p, err);
	c->stats.rx_packets++;
	c->stats.rx_bytes += p->len_bytes;
	if (ack_is_duplicate(&c->ack, o.pn)) {
		c->stats.duplicates++;
		return drop(c, p, o.pn, QX_EV_DUPLICATE, o.header_len_bytes);
	}
	if (p->data[0] & (p->epoch == QX_EPOCH_ONE_RTT ? RESERVED_SHORT : RESERVED_LONG))
		return fail(c, ERR_PROTOCOL_VIOLATION, 0, "Reserved bits must be zero");
	code = accept(c, p, &o);
	if (code)
		return fail(c, code, FRAME_TYPE_NONE, "Key update without acknowledgment");
	return handle(c, p, &o);
}

int qx_conn_receive(struct qx_conn *c, uint32_t epoch, uint8_t *packet, uint32_t len_bytes,
		    uint32_t off_bytes, uint8_t ecn, uint64_t now_ns)
{
	const struct packet_in p = {
		.epoch = epoch & ~(uint32_t)QX_RECEIVE_UP,
		.data = packet,
		.len_bytes = len_bytes,
		.pn_off_bytes = off_bytes,
		.ecn = ecn,
		.always_up = (epoch & QX_RECEIVE_UP) != 0,
		.now_ns = now_ns,
	};
	int err;

	if (p.epoch > QX_EPOCH_ONE_RTT)
		return -EINVAL;
	err = conn_receive(c, &p);
	engine_end_turn(c->engine, now_ns);
	return err;
}
