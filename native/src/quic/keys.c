/* keys.c: which keys a connection has, and key updates (RFC 9001 section 6). */
#include <errno.h>

#include "engine.h"

enum {
	OLD_KEYS_PTOS = 3, /* section 6.5 */
	/* Updates of the peer's that no ACK of ours has answered.  Section 6.2 lets us refuse
	 * the second; aioquic does not wait, and a few are followed without harm. */
	PEER_UPDATES_OPEN_MAX = 8,
	/* Packets that the keys may still seal when everything but a close has to end: close
	 * and probes of paths, a few times each (section 6.6). */
	SEALS_FOR_CLOSE = 64
};

void conn_free_keys(struct qx_conn *c)
{
	for (uint32_t epoch = 0; epoch < 2; epoch++)
		for (uint32_t sending = 0; sending < 2; sending++)
			qx_conn_teardown(c, epoch, sending);
}

int qx_conn_set_secret(struct qx_conn *c, uint32_t epoch, uint32_t sending,
		       uint32_t cipher_suite, uint32_t version, const uint8_t *secret,
		       uint32_t len_bytes)
{
	const bool one_rtt = epoch == QX_EPOCH_ONE_RTT;
	struct protect_half *half;
	int err;

	if (epoch > QX_EPOCH_ONE_RTT || sending > 1)
		return -EINVAL;
	err = protect_open(&half, cipher_suite, version, one_rtt, sending, secret, len_bytes);
	if (err < 0)
		return err;
	protect_close(c->keys[epoch][sending]);
	c->keys[epoch][sending] = half;
	c->version = version;
	if (one_rtt && sending) {
		/* Section 4.9.3: no more 0-RTT packets from here on. */
		qx_conn_teardown(c, QX_EPOCH_ZERO_RTT, 1);
		c->one_rtt_start_pn = c->phase_start_pn = c->recovery.sent.next;
		c->peer_updates_open = 0;
	}
	engine_dirty(c);
	return 0;
}

void qx_conn_teardown(struct qx_conn *c, uint32_t epoch, uint32_t sending)
{
	if (epoch > QX_EPOCH_ONE_RTT || sending > 1 || !c->keys[epoch][sending])
		return;
	protect_close(c->keys[epoch][sending]);
	c->keys[epoch][sending] = NULL;
	if (epoch == QX_EPOCH_ONE_RTT && !sending) {
		c->receiving_over = true;
		c->old_keys_until_ns = QX_NEVER_NS;
	}
}

int qx_conn_has_keys(const struct qx_conn *c, uint32_t epoch, uint32_t sending)
{
	return epoch <= QX_EPOCH_ONE_RTT && sending <= 1 && c->keys[epoch][sending] != NULL;
}

uint32_t qx_conn_key_phase(const struct qx_conn *c, uint32_t sending)
{
	const struct protect_half *half = c->keys[QX_EPOCH_ONE_RTT][sending != 0];

	return half ? protect_phase(half) : 0;
}

/* ---- Updates ---- */

/* The sending half moves on, begun here or in answer to the peer. */
static int update_sending(struct qx_conn *c, bool by_peer)
{
	int err = protect_update(c->keys[QX_EPOCH_ONE_RTT][1]);
	struct qx_event *ev;

	if (err < 0)
		return err;
	if (!by_peer)
		protect_expect_skip(c->keys[QX_EPOCH_ONE_RTT][0]);
	c->phase_start_pn = c->recovery.sent.next;
	c->update_wanted = false;
	c->stats.key_updates++;
	ev = engine_event(c->engine, c, QX_EV_KEY_UPDATED);
	ev->value = c->stats.key_updates;
	ev->flags = by_peer ? QX_EV_BY_PEER : 0;
	return 0;
}

/* Section 6.1: after the handshake is confirmed, and when a packet of this phase has been
 * acknowledged.  The receiving half follows when the peer answers. */
static bool may_update(const struct qx_conn *c)
{
	return c->confirmed && c->keys[QX_EPOCH_ONE_RTT][1] && c->keys[QX_EPOCH_ONE_RTT][0] &&
	       c->recovery.largest_acked != UINT64_MAX &&
	       c->recovery.largest_acked >= c->phase_start_pn &&
	       protect_phase(c->keys[QX_EPOCH_ONE_RTT][1]) ==
		       protect_phase(c->keys[QX_EPOCH_ONE_RTT][0]);
}

int qx_conn_update_key(struct qx_conn *c, uint64_t now_ns)
{
	int err;

	(void)now_ns;
	if (!c->keys[QX_EPOCH_ONE_RTT][1])
		return -ENOKEY;
	if (!may_update(c)) {
		c->update_wanted = true;
		return 1;
	}
	err = update_sending(c, false);
	return err < 0 ? err : 0;
}

bool conn_keys_tend(struct qx_conn *c)
{
	const struct protect_half *half = c->keys[QX_EPOCH_ONE_RTT][1];
	const uint64_t limit = protect_seal_limit(half);

	/* Early enough for the peer's answer to our last update to arrive first. */
	if (!c->update_wanted && protect_sealed_cnt(half) < limit - limit / 4)
		return true;
	if (may_update(c))
		update_sending(c, false);
	return protect_sealed_cnt(half) < limit - SEALS_FOR_CLOSE;
}

uint64_t conn_keys_opened(struct qx_conn *c, const struct protect_opened *o, uint64_t now_ns)
{
	struct protect_half *receiving = c->keys[QX_EPOCH_ONE_RTT][0];
	struct protect_half *sending = c->keys[QX_EPOCH_ONE_RTT][1];

	if (!o->updated)
		return 0;
	c->old_keys_until_ns = now_ns + OLD_KEYS_PTOS * rtt_pto(&c->recovery.rtt,
								c->recovery.max_ack_delay_ns);
	/* The answer to an update of ours, or one that the peer began. */
	if (!sending || protect_phase(sending) == protect_phase(receiving))
		return 0;
	if (c->peer_updates_open == PEER_UPDATES_OPEN_MAX)
		return ERR_KEY_UPDATE;
	c->peer_updates_open++;
	c->peer_update_pn = o->pn;
	return update_sending(c, true) < 0 ? ERR_INTERNAL : 0;
}
