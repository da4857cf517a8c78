/* timers.c: when a connection must be looked at again, and what is done then. */
#include "engine.h"

enum {
	/* After so many PTOs in a row, larger datagrams may be what gets lost (RFC 8899
	 * section 4.3). */
	BLACK_HOLE_PTOS = 3,
	DATAGRAM_MIN_BYTES = 1200,
	PAYLOAD_MIN_BYTES = 9, /* as packetize.c has it */
	ACK_ROOM_BYTES = 33    /* as aioquic keeps for an ACK frame */
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool budget_has(const struct qx_conn *c, uint32_t payload_bytes)
{
	return c->budget_bytes >= 1u + c->peer_cid_len + PACKET_NUMBER_MIN_BYTES +
					  PROTECT_TAG_BYTES + payload_bytes;
}

/* At the amplification limit, or so close that no packet fits: what was sent last may have
 * used it up without a further attempt having failed. */
static bool at_budget(const struct qx_conn *c)
{
	return c->wait == WAIT_BUDGET || !budget_has(c, PAYLOAD_MIN_BYTES);
}

/* A probe carries the ACK that is due by then, and a PATH_CHALLENGE or data. */
static bool probe_has_room(const struct qx_conn *c)
{
	return c->wait != WAIT_BUDGET &&
	       budget_has(c,
			  PAYLOAD_MIN_BYTES +
				  (c->ack.deadline_ns == QX_NEVER_NS ? 0 : ACK_ROOM_BYTES));
}

/* Sending is out of the question until something else happens: then no timer that is for
 * sending is armed, or it would fire for ever. */
static bool cannot_send(const struct qx_conn *c)
{
	return at_budget(c) || c->wait == WAIT_RECORD || c->wait == WAIT_PATH;
}

uint64_t conn_deadline(const struct qx_conn *c)
{
	const struct recovery *r = &c->recovery;
	uint64_t at_ns = c->old_keys_until_ns;

	if (c->failed || conn_send_epoch(c) < 0)
		return at_ns;
	/* Loss detection needs no packet; a PTO is not armed at the amplification limit
	 * (RFC 9002 section 6.2.2.1). */
	if (r->loss_time_ns != QX_NEVER_NS)
		at_ns = earlier(at_ns, r->loss_time_ns);
	else if (probe_has_room(c))
		at_ns = earlier(at_ns, recovery_deadline(r));
	if (cannot_send(c))
		return at_ns;
	if (c->keys[QX_EPOCH_ONE_RTT][1] && budget_has(c, ACK_ROOM_BYTES))
		at_ns = earlier(at_ns, c->ack.deadline_ns);
	if (c->wait == WAIT_PACER)
		at_ns = earlier(at_ns, pacer_wake_ns(&r->pacer, c->datagram_bytes,
						     r->pacer.updated_ns));
	return at_ns;
}

void conn_tell_lost(struct qx_conn *c, uint64_t lost_before)
{
	const uint64_t lost = c->recovery.lost_packets - lost_before;

	if (lost > 0)
		engine_event(c->engine, c, QX_EV_LOST)->value = lost;
}

void conn_handle_timer(struct qx_conn *c, uint64_t now_ns)
{
	const uint64_t lost = c->recovery.lost_packets;

	if (now_ns >= c->old_keys_until_ns) {
		protect_drop_old(c->keys[QX_EPOCH_ONE_RTT][0]);
		c->old_keys_until_ns = QX_NEVER_NS;
	}
	/* Only what conn_deadline arms. */
	if (!c->failed && conn_send_epoch(c) >= 0 &&
	    (c->recovery.loss_time_ns != QX_NEVER_NS || probe_has_room(c)))
		recovery_on_timer(&c->recovery, now_ns);
	conn_tell_lost(c, lost);
	if (c->recovery.pto_cnt >= BLACK_HOLE_PTOS && c->datagram_bytes > DATAGRAM_MIN_BYTES)
		c->datagram_bytes = DATAGRAM_MIN_BYTES;
	if (c->wait == WAIT_PATH || c->wait == WAIT_RECORD)
		c->wait = WAIT_NOTHING; /* another attempt */
	engine_dirty(c);
}

/* ---- Without a datapath ---- */

uint64_t qx_conn_deadline(struct qx_conn *c)
{
	return conn_deadline(c);
}

void qx_conn_handle_timer(struct qx_conn *c, uint64_t now_ns)
{
	conn_handle_timer(c, now_ns);
}
