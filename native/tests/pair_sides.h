/* pair_sides.h: the two connections of a test, their life, and what they tell. */
#ifndef QX_PAIR_SIDES_H
#define QX_PAIR_SIDES_H

#include <stdbool.h>

#include "conn.h"
#include "engine.h"
#include "protect.h"
#include "quicxdp_engine.h"
#include "t.h"

#define MS_NS UINT64_C(1000000)
#define S_NS UINT64_C(1000000000)

enum {
	CLIENT = 0,
	SERVER = 1,
	CID_BYTES = 8,
	NET_MAX = 4096,
	MTU_MAX = 1500,
	STREAMS_MAX = 512,
	TOKENS_MAX = 1 << 16,
	UPS_MAX = 64,
	LOG_MAX = 4096
};

struct wire_datagram {
	uint64_t at_ns;
	uint64_t order;
	uint32_t to;
	uint32_t len_bytes;
	uint8_t ecn;
	uint8_t bytes[MTU_MAX];
};

struct received {
	uint64_t id;
	uint64_t bytes;
	bool fin, reset, gone, stopped;
	uint64_t reset_code, stop_code;
};

struct up {
	uint64_t pn;
	uint8_t flags;
	struct qx_upcall head;
	uint8_t frames[256];
};

struct logged { /* events in order, without those about memory */
	uint8_t type;
	uint8_t flags;
	uint64_t stream_id;
	uint64_t value;
};

struct side {
	struct qx_engine *e;
	struct qx_conn *c;
	struct received streams[STREAMS_MAX];
	uint32_t stream_cnt;
	uint64_t bytes; /* received on all streams */
	uint64_t datagrams, datagram_bytes;
	uint8_t held[TOKENS_MAX / 8]; /* tokens the engine holds */
	uint64_t held_cnt;
	struct up ups[UPS_MAX];
	uint32_t up_cnt;
	struct logged log[LOG_MAX];
	uint32_t log_cnt;
	uint64_t error_code, error_type;
	char error[QX_REASON_BYTES];
	uint64_t acked_tokens, lost_tokens;
	uint64_t first_acks, key_updates, drained, lost;
	bool consumes; /* manual consumption: reads at once */
	/* the tap */
	struct protect_half *tap[2];
	uint64_t tap_next_pn;
	uint64_t packets, packet_bytes;
	uint64_t eliciting_only;
};

struct net {
	struct wire_datagram *wire[NET_MAX];
	uint32_t cnt;
	uint64_t order;
	uint64_t delay_ns;
	uint32_t loss_ppm, dup_ppm, reorder_ppm;
	uint32_t mtu_bytes;
	bool cut[2]; /* what this side sends is lost */
	uint64_t seed;
};

/* Bytes and how many, for two arguments. */
#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static struct side sides[2];
static struct net net;
static struct wire_datagram wire_datagrams[NET_MAX];
static uint64_t now_ns;
static uint8_t pattern[1 << 16]; /* held buffers: sent bytes follow from the offset */

static const uint8_t pair_secret[2][2][48] = {
	{{1, 2, 3}, {4, 5, 6}},
	{{7, 8, 9}, {10, 11, 12}},
};
static uint8_t pair_cid[2][CID_BYTES] = {"client_", "server_"};

static inline struct qx_conn_config pair_config(uint32_t side)
{
	return (struct qx_conn_config){
		.id = side,
		.is_client = side == CLIENT,
		.cid_len_bytes = CID_BYTES,
		.max_datagram_bytes = 1350,
		.max_data_bytes = 1 << 20,
		.max_stream_data_bytes = 1 << 18,
		.max_streams_bidi = 100,
		.max_streams_uni = 100,
		.max_datagram_frame_bytes = 65536,
		.ack_delay_ns = MS_NS,
		.initial_rtt_ns = 100 * MS_NS,
	};
}

static inline struct qx_peer_limits pair_limits(const struct qx_conn_config *peer)
{
	return (struct qx_peer_limits){
		.max_data = peer->max_data_bytes,
		.max_stream_data_bidi_local = peer->max_stream_data_bytes,
		.max_stream_data_bidi_remote = peer->max_stream_data_bytes,
		.max_stream_data_uni = peer->max_stream_data_bytes,
		.max_streams_bidi = peer->max_streams_bidi,
		.max_streams_uni = peer->max_streams_uni,
		.max_datagram_frame_bytes = peer->max_datagram_frame_bytes,
		.max_ack_delay_ns = peer->ack_delay_ns,
		.ack_delay_exponent = 3,
	};
}

static inline void pair_set_secret(uint32_t side, uint32_t epoch, uint32_t sending)
{
	const uint32_t from = sending ? side : 1 - side;

	T_EQ(qx_conn_set_secret(sides[side].c, epoch, sending, QX_AES_128_GCM_SHA256, 1,
				pair_secret[from][epoch], 32),
	     0);
	if (sending && !sides[side].tap[epoch])
		T_EQ(protect_open(&sides[side].tap[epoch], QX_AES_128_GCM_SHA256, 1,
				  epoch == QX_EPOCH_ONE_RTT, false, pair_secret[from][epoch],
				  32),
		     0);
}

static inline void pair_close_side(uint32_t side);

static inline void net_empty(void)
{
	net.cnt = 0;
	for (uint32_t i = 0; i < NET_MAX; i++)
		net.wire[i] = &wire_datagrams[i];
}

static inline void pair_close(void)
{
	for (uint32_t s = 0; s < 2; s++)
		pair_close_side(s);
	net_empty();
}

/* pair_open makes both sides without keys; config may be NULL. */
static inline void pair_open(const struct qx_conn_config *config)
{
	struct qx_conn_config cfg[2] = {pair_config(CLIENT), pair_config(SERVER)};

	pair_close(); /* of a test that failed */
	for (uint32_t s = 0; s < 2; s++)
		memset(&sides[s], 0, sizeof(sides[s]));
	now_ns = S_NS;
	net = (struct net){.delay_ns = 10 * MS_NS, .mtu_bytes = MTU_MAX, .seed = 20240607};
	net_empty();
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 256);
	for (uint32_t s = 0; s < 2 && config; s++) {
		const struct qx_conn_config own = cfg[s];

		cfg[s] = *config;
		cfg[s].id = own.id;
		cfg[s].is_client = own.is_client;
	}
	for (uint32_t s = 0; s < 2; s++) {
		struct qx_peer_limits limits = pair_limits(&cfg[1 - s]);

		T_EQ(qx_engine_open(&sides[s].e, NULL, CID_BYTES), 0);
		T_EQ(qx_conn_open(&sides[s].c, sides[s].e, &cfg[s]), 0);
		T_EQ(qx_conn_add_cid(sides[s].c, pair_cid[s], CID_BYTES), 0);
		qx_conn_set_host_cid(sides[s].c, pair_cid[s], CID_BYTES);
		T_EQ(qx_conn_set_peer_cid(sides[s].c, pair_cid[1 - s], CID_BYTES), 0);
		qx_conn_set_peer_limits(sides[s].c, &limits);
		sides[s].consumes = true;
	}
}

static inline void pair_confirm(uint32_t side)
{
	qx_conn_set_complete(sides[side].c, now_ns);
	qx_conn_set_confirmed(sides[side].c, 0, now_ns);
}

/* pair_start: both handshakes are over. */
static inline void pair_start(const struct qx_conn_config *config)
{
	pair_open(config);
	for (uint32_t s = 0; s < 2; s++) {
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 0);
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 1);
		pair_confirm(s);
	}
}

/* ---- What a side hears ---- */

static inline struct received *pair_stream(uint32_t side, uint64_t id)
{
	struct side *s = &sides[side];

	for (uint32_t i = 0; i < s->stream_cnt; i++)
		if (s->streams[i].id == id)
			return &s->streams[i];
	T_CHECK(s->stream_cnt < STREAMS_MAX);
	s->streams[s->stream_cnt] = (struct received){.id = id};
	return &s->streams[s->stream_cnt++];
}

static inline void pair_on_data(uint32_t side, const struct qx_event *ev)
{
	struct received *r = pair_stream(side, ev->stream_id);

	T_CHECK(!r->fin && !r->reset);
	for (uint32_t i = 0; i < ev->len_bytes; i++)
		if (ev->data[i] != pattern[(r->bytes + i) % sizeof(pattern)])
			T_FAIL("stream %llu is wrong at %llu", (unsigned long long)r->id,
			       (unsigned long long)(r->bytes + i));
	r->bytes += ev->len_bytes;
	sides[side].bytes += ev->len_bytes;
	r->fin = ev->flags & QX_EV_FIN;
	if (sides[side].c->cfg.manual_consume && sides[side].consumes)
		qx_stream_consume(sides[side].c, ev->stream_id, ev->len_bytes);
}

static inline void pair_on_up(struct side *s, const struct qx_event *ev)
{
	struct up *up = &s->ups[s->up_cnt++ % UPS_MAX];

	up->pn = ev->value;
	up->flags = ev->flags;
	memcpy(&up->head, ev->data, sizeof(up->head));
	T_EQ(ev->len_bytes,
	     sizeof(up->head) + up->head.header_len_bytes + up->head.frames_len_bytes);
	memcpy(up->frames, ev->data + sizeof(up->head) + up->head.header_len_bytes,
	       up->head.frames_len_bytes < sizeof(up->frames) ? up->head.frames_len_bytes
							      : sizeof(up->frames));
}

static inline void pair_on_event(uint32_t side, const struct qx_event *ev)
{
	struct side *s = &sides[side];
	struct received *r;

	T_EQ(ev->conn, side);
	if (ev->type != QX_EV_RELEASED && s->log_cnt < LOG_MAX)
		s->log[s->log_cnt++] =
			(struct logged){ev->type, ev->flags, ev->stream_id, ev->value};
	switch (ev->type) {
	case QX_EV_STREAM_DATA:
		pair_on_data(side, ev);
		break;
	case QX_EV_STREAM_RESET:
		r = pair_stream(side, ev->stream_id);
		T_CHECK(!r->fin && !r->reset);
		r->reset = true;
		r->reset_code = ev->value;
		break;
	case QX_EV_STOP_SENDING:
		r = pair_stream(side, ev->stream_id);
		r->stopped = true;
		r->stop_code = ev->value;
		break;
	case QX_EV_STREAM_GONE:
		r = pair_stream(side, ev->stream_id);
		T_CHECK(!r->gone);
		r->gone = true;
		break;
	case QX_EV_DATAGRAM:
		for (uint32_t i = 0; i < ev->len_bytes; i++)
			T_EQ(ev->data[i], pattern[i]);
		s->datagrams++;
		s->datagram_bytes += ev->len_bytes;
		break;
	case QX_EV_RELEASED:
		T_CHECK(s->held[ev->value / 8] & 1 << ev->value % 8);
		s->held[ev->value / 8] &= (uint8_t)~(1 << ev->value % 8);
		s->held_cnt--;
		break;
	case QX_EV_UPCALL:
		pair_on_up(s, ev);
		break;
	case QX_EV_ERROR:
		s->error_code = ev->value;
		s->error_type = ev->stream_id;
		T_CHECK(ev->len_bytes < sizeof(s->error));
		memcpy(s->error, ev->data, ev->len_bytes);
		s->error[ev->len_bytes] = 0;
		break;
	case QX_EV_CONTROL_ACKED:
		s->acked_tokens += ev->value;
		break;
	case QX_EV_CONTROL_LOST:
		s->lost_tokens += ev->value;
		break;
	case QX_EV_FIRST_ACK:
		s->first_acks++;
		break;
	case QX_EV_KEY_UPDATED:
		s->key_updates++;
		break;
	case QX_EV_DRAINED:
		s->drained++;
		break;
	case QX_EV_LOST:
		s->lost += ev->value;
		break;
	default:
		T_FAIL("event %u", ev->type);
	}
}

static inline void pair_events(uint32_t side)
{
	const struct qx_event *events;
	uint32_t n = qx_engine_events(sides[side].e, &events, NULL);

	for (uint32_t i = 0; i < n; i++)
		pair_on_event(side, &events[i]);
	qx_engine_events_done(sides[side].e);
}

static inline void pair_close_side(uint32_t side)
{
	struct side *s = &sides[side];
	const struct qx_event *events;
	uint32_t n;

	if (!s->e)
		return;
	if (s->c)
		qx_conn_close(s->c);
	s->c = NULL;
	n = qx_engine_events(s->e, &events, NULL);
	for (uint32_t i = 0; i < n; i++)
		if (events[i].type == QX_EV_RELEASED)
			s->held_cnt--;
	qx_engine_close(s->e);
	s->e = NULL;
	for (uint32_t epoch = 0; epoch < 2; epoch++)
		protect_close(s->tap[epoch]);
	s->tap[0] = s->tap[1] = NULL;
}

#endif
