/* control.c: the way down: what aioquic wants to send in our packet number space. */
#include <errno.h>
#include <string.h>

#include "engine.h"

enum {
	FOREIGN_PN_BYTES = 2, /* what aioquic's builder writes */
	FOREIGN_PN_MAX_BYTES = 4,
	KEY_PHASE_BIT = 0x04,
	PN_LEN_MASK = 0x03
};

void conn_free_control(struct qx_conn *c)
{
	struct frame_queue *const queues[] = {&c->urgent, &c->control, &c->datagrams};

	for (uint32_t i = 0; i < 3; i++)
		while (queues[i]->head)
			frame_queue_pop(queues[i], &c->engine->frames);
	sent_drop_items(&c->recovery.sent, &c->draft);
}

int qx_conn_push_control(struct qx_conn *c, const uint8_t *frame, uint32_t len_bytes,
			 uint64_t token, uint32_t flags)
{
	struct frame_queue *q = flags & QX_CTL_URGENT ? &c->urgent : &c->control;
	int err;

	if (len_bytes == 0)
		return -EINVAL;
	if (len_bytes > CONTROL_MAX_BYTES)
		return -EMSGSIZE;
	/* A peer that makes aioquic answer, and does not let the answers out. */
	if (q->bytes + len_bytes > CONTROL_QUEUE_MAX_BYTES)
		return -ENOBUFS;
	err = token ? engine_promise(c) : 0;
	if (err < 0)
		return err;
	err = frame_queue_push(q, &c->engine->frames, frame, len_bytes, token, flags);
	if (err == 0)
		engine_dirty(c);
	else if (token)
		engine_unpromise(c, 1);
	return err;
}

/* ---- Packets that aioquic's builder wrote ---- */

/* What a draft holds is lost with it. */
void conn_drop_draft(struct qx_conn *c)
{
	struct sent_packet *d = &c->draft;

	for (uint32_t i = 0; i < d->item_cnt; i++)
		c->recovery.fate(c, &d->items[i], false);
	for (const struct sent_chain *n = d->chain; n; n = n->next)
		c->recovery.fate(c, &n->item, false);
	sent_drop_items(&c->recovery.sent, d);
	c->draft_state = DRAFT_NONE;
	for (uint32_t i = 0; i < c->foreign_cnt; i++)
		c->foreign[i].has_draft = false;
}

static void forget_oldest(struct qx_conn *c)
{
	if (c->foreign[0].has_draft)
		conn_drop_draft(c);
	c->foreign_cnt--;
	memmove(&c->foreign[0], &c->foreign[1], c->foreign_cnt * sizeof(c->foreign[0]));
}

/* put_header copies it with our packet number and key phase in place of aioquic's.  Returns
 * its length: a number that two bytes cannot tell gets four. */
static uint32_t put_header(const struct qx_conn *c, int epoch, const uint8_t *header,
			   uint32_t header_len, uint64_t pn, uint32_t *pn_len, uint8_t *out)
{
	*pn_len = FOREIGN_PN_BYTES;
	/* A long header has told its length already; 0-RTT flights are not that long. */
	if (epoch == QX_EPOCH_ONE_RTT && conn_pn_bytes(c, pn) > FOREIGN_PN_BYTES)
		*pn_len = FOREIGN_PN_MAX_BYTES;
	memcpy(out, header, header_len);
	header_len += *pn_len - FOREIGN_PN_BYTES;
	for (uint32_t i = 0; i < *pn_len; i++)
		out[header_len - 1 - i] = (uint8_t)(pn >> 8 * i);
	out[0] = (uint8_t)((out[0] & ~(uint32_t)PN_LEN_MASK) | (*pn_len - 1));
	if (epoch == QX_EPOCH_ONE_RTT)
		out[0] = (uint8_t)((out[0] & ~KEY_PHASE_BIT) |
				   (protect_phase(c->keys[epoch][1]) ? KEY_PHASE_BIT : 0));
	return header_len;
}

int qx_conn_seal_foreign(struct qx_conn *c, const uint8_t *header, uint32_t header_len,
			 const uint8_t *payload, uint32_t payload_len, uint8_t *out,
			 uint64_t *pn)
{
	const int epoch = conn_send_epoch(c);
	uint32_t pn_len;
	int err;

	if (epoch < 0)
		return -ENOKEY;
	if (header_len <= FOREIGN_PN_BYTES)
		return -EINVAL;
	err = sent_reserve(&c->recovery.sent, pn);
	if (err < 0)
		return err;
	header_len = put_header(c, epoch, header, header_len, *pn, &pn_len, out);
	memcpy(out + header_len, payload, payload_len);
	err = protect_seal(c->keys[epoch][1], out, header_len, pn_len, payload_len, *pn);
	if (err < 0)
		return err;
	if (c->foreign_cnt == FOREIGN_MAX)
		forget_oldest(c);
	c->foreign[c->foreign_cnt++] =
		(struct foreign){.pn = *pn, .has_draft = c->draft_state == DRAFT_FILLED};
	if (c->draft_state == DRAFT_FILLED)
		c->draft_state = DRAFT_SEALED;
	return err;
}

static uint8_t sent_flags(const struct qx_conn *c, uint32_t flags)
{
	uint8_t out = 0;

	if (flags & QX_CTL_ELICITING)
		out |= SENT_ELICITING;
	if (flags & QX_CTL_IN_FLIGHT)
		out |= SENT_IN_FLIGHT;
	if (conn_send_epoch(c) == QX_EPOCH_ZERO_RTT)
		out |= SENT_ZERO_RTT;
	return out;
}

int qx_conn_adopt(struct qx_conn *c, uint32_t size_bytes, uint32_t flags, uint64_t token,
		  uint64_t now_ns)
{
	const struct sent_item item = {.type = ITEM_CONTROL, .off = token};
	struct sent_packet draft = {0};
	const uint8_t sent = sent_flags(c, flags);
	uint64_t pn;
	int err = 0;

	if (c->foreign_cnt == 0)
		return -EINVAL;
	if (token && engine_promise(c) < 0)
		return -ENOMEM;
	pn = c->foreign[0].pn;
	if (c->foreign[0].has_draft) {
		draft = c->draft;
		c->draft = (struct sent_packet){0};
		c->draft_state = DRAFT_NONE;
		c->foreign[0].has_draft = false;
	}
	forget_oldest(c);
	if (token)
		err = sent_add(&c->recovery.sent, &draft, &item);
	recovery_adopt(&c->recovery, pn, &draft, now_ns, size_bytes, sent);
	conn_count_sent(c, sent, size_bytes, now_ns);
	if (err < 0) /* nobody will report it: once more, then */
		engine_promised(c, QX_EV_CONTROL_LOST)->value = token;
	engine_dirty(c);
	return 0;
}

int qx_conn_fill(struct qx_conn *c, uint64_t now_ns, uint32_t room_bytes, uint8_t *out,
		 uint32_t *flags)
{
	const int epoch = conn_send_epoch(c);
	uint32_t limit_bytes = room_bytes;
	struct payload p;

	*flags = 0;
	if (c->draft_state == DRAFT_FILLED)
		conn_drop_draft(c); /* aioquic's builder had no use for it */
	if (c->draft_state != DRAFT_NONE || epoch < 0 || c->failed)
		return 0;
	streams_reap(&c->streams);
	p = (struct payload){
		.start = out,
		.at = out,
		.end = out + room_bytes,
		.sent = &c->draft,
		.zero_rtt = epoch == QX_EPOCH_ZERO_RTT,
		.data_allowed = conn_window_open(c, 0, room_bytes, &limit_bytes),
	};
	if (p.data_allowed)
		p.end = out + limit_bytes;
	c->draft = (struct sent_packet){0};
	conn_write_payload(c, &p, now_ns);
	if (p.at == out)
		return 0;
	c->draft_state = DRAFT_FILLED;
	*flags = (p.flags & SENT_ELICITING ? (uint32_t)QX_CTL_ELICITING : 0) |
		 (p.flags & SENT_IN_FLIGHT ? (uint32_t)QX_CTL_IN_FLIGHT : 0) |
		 (p.pad ? (uint32_t)QX_CTL_PAD : 0);
	return (int)(p.at - out);
}
