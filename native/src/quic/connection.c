/* connection.c: life of a connection, and what aioquic tells it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum {
	DATAGRAM_MIN_BYTES = 1200, /* RFC 9000 section 14 */
	INITIAL_RTT_NS = 333000000 /* RFC 9002 section 6.2.2 */
};

/* ---- What recovery and streams report ---- */

static void fate(void *arg, const struct sent_item *item, bool acked)
{
	struct qx_conn *c = arg;

	switch (item->type) {
	case ITEM_ACK:
		if (acked)
			ack_confirmed(&c->ack, item->off);
		break;
	case ITEM_CONTROL:
		engine_promised(c, acked ? QX_EV_CONTROL_ACKED : QX_EV_CONTROL_LOST)->value =
			item->off;
		break;
	default:
		streams_fate(&c->streams, item, acked);
		break;
	}
}

static void released(void *arg, uint64_t token)
{
	struct qx_conn *c = arg;

	engine_promised(c, QX_EV_RELEASED)->value = token;
}

static void drained(void *arg, uint64_t id)
{
	struct qx_conn *c = arg;

	engine_event(c->engine, c, QX_EV_DRAINED)->stream_id = id;
}

static void gone(void *arg, uint64_t id)
{
	struct qx_conn *c = arg;

	engine_event(c->engine, c, QX_EV_STREAM_GONE)->stream_id = id;
}

static const struct streams_calls calls = {released, drained, gone};

/* ---- Life ---- */

static bool config_is_valid(const struct qx_engine *e, const struct qx_conn_config *cfg)
{
	return cfg->cid_len_bytes == e->cid_len_bytes && cfg->cc <= QX_CC_CUBIC &&
	       cfg->max_datagram_bytes >= DATAGRAM_MIN_BYTES &&
	       cfg->max_datagram_bytes <= QX_UDP_PAYLOAD_MAX;
}

int qx_conn_open(struct qx_conn **out, struct qx_engine *e, const struct qx_conn_config *cfg)
{
	struct qx_conn *c;
	int err;

	if (!config_is_valid(e, cfg))
		return -EINVAL;
	err = deadlines_reserve(&e->deadlines, e->conn_cnt + 1);
	if (err < 0)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->engine = e;
	c->cfg = *cfg;
	err = recovery_init(&c->recovery, cfg->cc == QX_CC_CUBIC ? &cc_cubic : &cc_reno,
			    cfg->max_datagram_bytes,
			    cfg->initial_rtt_ns ? cfg->initial_rtt_ns : INITIAL_RTT_NS, fate,
			    c);
	if (err < 0)
		goto free_conn;
	/* One place is for the error that may end it. */
	err = engine_promise(c);
	if (err < 0)
		goto free_recovery;
	ack_init(&c->ack, cfg->ack_delay_ns);
	if (cfg->ack_every_cnt)
		c->ack.every_cnt = cfg->ack_every_cnt;
	streams_init(&c->streams, &c->cfg, &e->memory, &calls, c);
	c->datagram_bytes = c->datagram_max_bytes = cfg->max_datagram_bytes;
	c->budget_bytes = UINT64_MAX;
	c->old_keys_until_ns = QX_NEVER_NS;
	c->one_rtt_start_pn = UINT64_MAX;
	c->heap_index = DEADLINES_NOWHERE;
	e->conn_cnt++;
	*out = c;
	return 0;

free_recovery:
	recovery_free(&c->recovery);
free_conn:
	free(c);
	return err;
}

/* Whatever happens to the memory, nobody waits for a buffer any longer than now. */
static void release_tokens(struct qx_conn *c)
{
	for (struct stream *st = c->streams.all.head; st; st = st->links[LINK_ALL].next)
		send_stream_free(&st->send, &c->streams.env);
}

void qx_conn_close(struct qx_conn *c)
{
	struct qx_engine *e = c->engine;
	const bool lends = c->in_list[CONN_TOLD];

	if (c->cid_cnt > CONN_CIDS_MAX)
		cid_table_remove_all(&e->cids, c);
	else
		while (c->cid_cnt > 0)
			cid_table_remove(&e->cids, c->cids[--c->cid_cnt].bytes, c);
	deadlines_set(&e->deadlines, c, QX_NEVER_NS);
	for (uint32_t list = 0; list < CONN_LIST_CNT; list++)
		engine_unlist(c, list);
	conn_free_keys(c);
	release_tokens(c);
	e->conn_cnt--;
	if (!lends) {
		conn_destroy(c);
		return;
	}
	/* Events that the caller has not looked at yet point into its streams. */
	c->links[CONN_TOLD].next = e->closed;
	e->closed = c;
}

void conn_destroy(struct qx_conn *c)
{
	engine_unpromise(c, c->promised_cnt);
	conn_free_control(c);
	streams_free(&c->streams);
	recovery_free(&c->recovery);
	free(c);
}

/* ---- Connection IDs ---- */

int qx_conn_add_cid(struct qx_conn *c, const uint8_t *cid, uint32_t len_bytes)
{
	struct qx_engine *e = c->engine;
	int err;

	if (len_bytes != e->cid_len_bytes)
		return -EINVAL;
	for (uint32_t i = 0; i < c->cid_cnt && i < CONN_CIDS_MAX; i++)
		if (memcmp(c->cids[i].bytes, cid, len_bytes) == 0)
			return 0;
	err = cid_table_add(&e->cids, cid, c);
	if (err < 0)
		return err;
	if (c->cid_cnt < CONN_CIDS_MAX)
		memcpy(c->cids[c->cid_cnt].bytes, cid, len_bytes);
	c->cid_cnt++;
	return 0;
}

void qx_conn_remove_cid(struct qx_conn *c, const uint8_t *cid, uint32_t len_bytes)
{
	if (len_bytes != c->engine->cid_len_bytes)
		return;
	cid_table_remove(&c->engine->cids, cid, c);
	if (c->cid_cnt > CONN_CIDS_MAX)
		return; /* the list is no longer complete, and stays so */
	for (uint32_t i = 0; i < c->cid_cnt; i++)
		if (memcmp(c->cids[i].bytes, cid, len_bytes) == 0) {
			c->cids[i] = c->cids[--c->cid_cnt];
			return;
		}
}

int qx_conn_set_peer_cid(struct qx_conn *c, const uint8_t *cid, uint32_t len_bytes)
{
	if (len_bytes > QX_CID_MAX_BYTES)
		return -EINVAL;
	if (len_bytes != c->peer_cid_len || memcmp(c->peer_cid, cid, len_bytes) != 0)
		c->spin = false; /* RFC 9000 section 17.4 */
	c->peer_cid_len = (uint8_t)len_bytes;
	memcpy(c->peer_cid, cid, len_bytes);
	return 0;
}

void qx_conn_set_host_cid(struct qx_conn *c, const uint8_t *cid, uint32_t len_bytes)
{
	if (len_bytes > QX_CID_MAX_BYTES)
		return;
	c->host_cid_len = (uint8_t)len_bytes;
	memcpy(c->host_cid, cid, len_bytes);
}

/* ---- What the handshake found out ---- */

void qx_conn_set_peer_limits(struct qx_conn *c, const struct qx_peer_limits *limits)
{
	streams_set_peer_limits(&c->streams, limits);
	c->recovery.max_ack_delay_ns = limits->max_ack_delay_ns;
	c->recovery.ack_delay_exponent = limits->ack_delay_exponent;
	if (limits->max_datagram_frame_bytes > c->peer_datagram_bytes)
		c->peer_datagram_bytes = limits->max_datagram_frame_bytes;
	/* Values below 1200 are invalid (RFC 9000 section 18.2); 0: not known. */
	if (limits->max_udp_payload_bytes >= DATAGRAM_MIN_BYTES &&
	    limits->max_udp_payload_bytes < c->datagram_max_bytes) {
		c->datagram_max_bytes = limits->max_udp_payload_bytes;
		if (c->datagram_bytes > c->datagram_max_bytes)
			c->datagram_bytes = c->datagram_max_bytes;
	}
	engine_dirty(c);
}

void qx_conn_set_complete(struct qx_conn *c, uint64_t now_ns)
{
	(void)now_ns;
	c->complete = true;
	engine_dirty(c);
}

void qx_conn_set_confirmed(struct qx_conn *c, uint64_t cwnd_bytes, uint64_t now_ns)
{
	if (c->confirmed)
		return;
	c->complete = c->confirmed = true;
	recovery_confirm(&c->recovery, cwnd_bytes, now_ns);
	engine_dirty(c);
}

/* ---- The path ---- */

void qx_conn_set_path(struct qx_conn *c, const struct qx_path *path)
{
	c->path = *path;
	c->has_path = true;
	engine_dirty(c);
}

void qx_conn_reset_path(struct qx_conn *c, uint64_t now_ns)
{
	recovery_reset_path(&c->recovery, now_ns);
	c->datagram_bytes = c->datagram_max_bytes;
	engine_dirty(c);
}

void qx_conn_abandon_path(struct qx_conn *c, uint64_t first_pn)
{
	struct sent *s = &c->recovery.sent;

	for (uint64_t pn = first_pn > s->oldest ? first_pn : s->oldest; pn < s->next; pn++)
		sent_leave_flight(s, sent_at(s, pn));
	engine_dirty(c);
}

void qx_conn_set_budget(struct qx_conn *c, uint64_t budget_bytes)
{
	if (budget_bytes > c->budget_bytes) {
		if (c->wait == WAIT_BUDGET)
			c->wait = WAIT_NOTHING; /* another attempt */
		engine_dirty(c);
	}
	c->budget_bytes = budget_bytes;
}

uint64_t qx_conn_budget(const struct qx_conn *c)
{
	return c->budget_bytes;
}

void qx_conn_set_foreign_in_flight(struct qx_conn *c, uint64_t bytes)
{
	if (bytes < c->recovery.foreign_in_flight_bytes)
		engine_dirty(c);
	c->recovery.foreign_in_flight_bytes = bytes;
}

void qx_conn_set_foreign_window(struct qx_conn *c, uint64_t cwnd_bytes)
{
	if (c->confirmed)
		return;
	recovery_set_foreign_window(&c->recovery, cwnd_bytes);
	engine_dirty(c);
}

void qx_conn_set_rtt(struct qx_conn *c, uint64_t latest_ns, uint64_t smoothed_ns,
		     uint64_t variance_ns, uint64_t min_ns)
{
	rtt_set(&c->recovery.rtt, latest_ns, smoothed_ns, variance_ns, min_ns);
}
