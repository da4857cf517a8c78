/* pair.h: two connections joined by a network in memory, on virtual time.
 *
 * The network loses, duplicates and reorders by a generator with a fixed seed.  Everything
 * that is sent passes a tap that holds the sender's keys: each packet must open, and its
 * number must be above all before it, so that no (key, number) pair is ever sealed twice.
 * Streams carry bytes that follow from their ID and offset, and are checked. */
#ifndef QX_PAIR_H
#define QX_PAIR_H

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

/* ---- The network ---- */

static inline void pair_tap(uint32_t from, const uint8_t *data, uint32_t len_bytes)
{
	struct side *s = &sides[from];
	const bool is_long = data[0] & 0x80;
	const uint32_t off =
		is_long ? 1 + 4 + 1 + CID_BYTES + 1 + CID_BYTES + 2 : 1 + CID_BYTES;
	struct protect_opened o;
	uint8_t copy[MTU_MAX];

	memcpy(copy, data, len_bytes);
	T_CHECK(s->tap[!is_long]);
	T_EQ(protect_open_packet(s->tap[!is_long], copy, len_bytes, off, s->tap_next_pn, &o),
	     0);
	T_CHECK(o.pn >= s->tap_next_pn);
	T_CHECK(!o.old_phase);
	s->tap_next_pn = o.pn + 1;
	s->packets++;
	s->packet_bytes += len_bytes;
}

static inline bool net_chance(uint32_t ppm)
{
	return ppm && t_random(&net.seed) % 1000000 < ppm;
}

static inline void net_put(uint32_t to, const uint8_t *data, uint32_t len_bytes, uint8_t ecn)
{
	struct wire_datagram *d = net.wire[net.cnt];

	T_CHECK(net.cnt < NET_MAX);
	d->at_ns = now_ns + net.delay_ns;
	d->order = net.order++;
	d->to = to;
	d->ecn = ecn;
	d->len_bytes = len_bytes;
	memcpy(d->bytes, data, len_bytes);
	if (net_chance(net.reorder_ppm))
		d->at_ns += net.delay_ns / 2;
	net.cnt++;
}

static inline void net_send(uint32_t from, const uint8_t *data, uint32_t len_bytes)
{
	pair_tap(from, data, len_bytes);
	if (net.cut[from] || len_bytes > net.mtu_bytes || net_chance(net.loss_ppm))
		return;
	net_put(1 - from, data, len_bytes, 0);
	if (net_chance(net.dup_ppm))
		net_put(1 - from, data, len_bytes, 0);
}

/* The next datagram to arrive, or NET_MAX. */
static inline uint32_t net_next(void)
{
	uint32_t best = NET_MAX;

	for (uint32_t i = 0; i < net.cnt; i++)
		if (best == NET_MAX || net.wire[i]->at_ns < net.wire[best]->at_ns ||
		    (net.wire[i]->at_ns == net.wire[best]->at_ns &&
		     net.wire[i]->order < net.wire[best]->order))
			best = i;
	return best;
}

static inline void pair_flush(uint32_t side)
{
	static uint8_t buf[64 * MTU_MAX];
	uint32_t lens[64], n;

	do {
		uint8_t *p = buf;

		n = (uint32_t)qx_conn_send(sides[side].c, now_ns, buf, sizeof(buf), lens, 64);
		for (uint32_t i = 0; i < n; i++, p += lens[i - 1])
			net_send(side, p, lens[i]);
	} while (n == 64);
	pair_events(side);
}

/* pair_deliver gives a datagram to a side's connection, as FastConnection would. */
static inline int pair_deliver(uint32_t side, uint8_t *data, uint32_t len_bytes)
{
	const bool is_long = data[0] & 0x80;
	const uint32_t off =
		is_long ? 1 + 4 + 1 + CID_BYTES + 1 + CID_BYTES + 2 : 1 + CID_BYTES;
	int err =
		qx_conn_receive(sides[side].c, is_long ? QX_EPOCH_ZERO_RTT : QX_EPOCH_ONE_RTT,
				data, len_bytes, off, 0, now_ns);

	pair_events(side);
	return err;
}

static inline uint64_t pair_next_ns(void)
{
	const uint32_t i = net_next();
	uint64_t next = i == NET_MAX ? QX_NEVER_NS : net.wire[i]->at_ns;

	for (uint32_t s = 0; s < 2; s++)
		if (qx_conn_deadline(sides[s].c) < next)
			next = qx_conn_deadline(sides[s].c);
	return next;
}

/* pair_step moves to the next moment at which anything happens; false: nothing will. */
static inline bool pair_step(uint64_t until_ns)
{
	uint64_t next;
	uint32_t i;

	for (uint32_t s = 0; s < 2; s++)
		pair_flush(s);
	next = pair_next_ns();
	if (next == QX_NEVER_NS || next > until_ns)
		return false;
	if (next > now_ns)
		now_ns = next;
	while ((i = net_next()) != NET_MAX && net.wire[i]->at_ns <= now_ns) {
		struct wire_datagram *d = net.wire[i];

		net.wire[i] = net.wire[--net.cnt];
		net.wire[net.cnt] = d;
		pair_deliver(d->to, d->bytes, d->len_bytes);
	}
	for (uint32_t s = 0; s < 2; s++)
		if (qx_conn_deadline(sides[s].c) <= now_ns) {
			qx_conn_handle_timer(sides[s].c, now_ns);
			pair_events(s);
		}
	return true;
}

/* pair_run lets time pass, at most so long; steps are bounded, so that a spin is found. */
static inline void pair_run(uint64_t for_ns)
{
	const uint64_t until_ns = now_ns + for_ns;
	uint32_t still = 0;

	while (true) {
		const uint64_t before_ns = now_ns;

		if (!pair_step(until_ns))
			break;
		still = now_ns == before_ns ? still + 1 : 0;
		if (still > 100)
			T_FAIL("time stands still at %llu ns", (unsigned long long)now_ns);
	}
	now_ns = until_ns;
}

/* ---- The application ---- */

/* pair_write writes len bytes of the pattern, held or copied. */
static inline void pair_write(uint32_t side, uint64_t id, uint64_t off, uint64_t len_bytes,
			      bool fin, bool held)
{
	struct side *s = &sides[side];
	static uint64_t token;

	while (len_bytes > 0 || fin) {
		const uint64_t at = off % sizeof(pattern);
		const uint64_t most = sizeof(pattern) - at;
		const uint64_t n = len_bytes < most ? len_bytes : most;
		const bool last = n == len_bytes;

		token = token % (TOKENS_MAX - 1) + 1;
		if (held && n > 0) {
			T_CHECK(!(s->held[token / 8] & 1 << token % 8));
			s->held[token / 8] |= (uint8_t)(1 << token % 8);
			s->held_cnt++;
		}
		T_EQ(qx_stream_write(s->c, id, pattern + at, (uint32_t)n, fin && last,
				     held && n > 0 ? token : 0),
		     0);
		off += n;
		len_bytes -= n;
		if (last)
			break;
	}
}

/* pair_inject sends frames as the other side's engine would not: in a packet of its own
 * keys and numbers.  Returns as qx_conn_receive. */
static inline int pair_inject_to(uint32_t to, const uint8_t *dcid, const void *frames,
				 uint32_t len_bytes)
{
	uint8_t header[1 + CID_BYTES + 2] = {0x41}, payload[MTU_MAX] = {0}, out[MTU_MAX];
	uint64_t pn;
	int n;

	memcpy(header + 1, dcid, CID_BYTES);
	memcpy(payload, frames, len_bytes);
	if (len_bytes == 1)
		len_bytes = 2; /* PADDING, for header protection */
	n = qx_conn_seal_foreign(sides[1 - to].c, header, sizeof(header), payload, len_bytes,
				 out, &pn);
	T_CHECK(n > 0);
	pair_tap(1 - to, out, (uint32_t)n);
	T_EQ(qx_conn_adopt(sides[1 - to].c, (uint32_t)n, QX_CTL_ELICITING, 0, now_ns), 0);
	return pair_deliver(to, out, (uint32_t)n);
}

static inline int pair_inject(uint32_t to, const void *frames, uint32_t len_bytes)
{
	return pair_inject_to(to, pair_cid[to], frames, len_bytes);
}

static inline struct qx_conn_stats pair_stats(uint32_t side)
{
	struct qx_conn_stats st;

	qx_conn_get_stats(sides[side].c, &st);
	return st;
}

/* check_received: all came, and the end. */
static inline void check_received(uint32_t side, uint64_t id, uint64_t bytes)
{
	T_EQ(pair_stream(side, id)->bytes, bytes);
	T_CHECK(pair_stream(side, id)->fin);
}

/* pair_check_quiet: everything is told, released and acknowledged. */
static inline void pair_check_quiet(void)
{
	for (uint32_t s = 0; s < 2; s++) {
		T_CHECK(sides[s].error[0] == 0);
		T_EQ(sides[s].held_cnt, 0);
		T_EQ(pair_stats(s).in_flight_bytes, 0);
		T_EQ(pair_stats(s).unsent_bytes, 0);
	}
}

/* pair_end closes both and checks that nothing is left of them. */
static inline void pair_end(void)
{
	for (uint32_t s = 0; s < 2; s++) {
		struct side *side = &sides[s];
		struct stream_memory *m = &side->e->memory;

		qx_conn_close(side->c);
		side->c = NULL;
		pair_events(s);
		T_EQ(side->held_cnt, 0);
		T_EQ(m->streams.lent_cnt, 0);
		T_EQ(m->chunks.lent_cnt, 0);
		T_EQ(m->nodes.lent_cnt, 0);
		T_EQ(m->bufs.lent_cnt, 0);
		T_EQ(side->e->frames.lent_cnt, 0);
		T_EQ(side->e->conn_cnt, 0);
		T_EQ(side->e->cids.cnt, 0);
		T_EQ(side->e->deadlines.cnt, 0);
		T_EQ(side->e->promised_cnt, 0);
	}
	pair_close();
}

#endif
