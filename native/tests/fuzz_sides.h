/* fuzz_sides.h: two connections behind null encryption and the network between them, which
 * loses, delays, doubles and makes up packets; what must hold of their events always. */
#ifndef QX_FUZZ_SIDES_H
#define QX_FUZZ_SIDES_H

#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "engine.h"
#include "fuzz_frames.h"
#include "protect_keys.h"
#include "quicxdp_engine.h"

#define REQUIRE(cond)                                                                        \
	do {                                                                                 \
		if (!(cond))                                                                 \
			abort();                                                             \
	} while (0)

enum {
	CID_BYTES = 4,
	PACKET_MAX = 1350,
	WIRE_MAX = 64,
	TOKENS = 256,
	TAGS = 4,
	STREAMS = 64, /* whose bytes are followed */
	TIMERS_AT_ONCE = 30
};

struct wire_packet {
	uint32_t to, len_bytes;
	uint8_t bytes[PACKET_MAX];
};

struct side {
	struct qx_engine *e;
	struct qx_conn *c;
	bool held[TOKENS];
	uint64_t written[STREAMS]; /* of this side, by stream ID */
	uint64_t received[STREAMS];
	bool over[STREAMS]; /* FIN or reset came */
	bool failed;
	bool remembers; /* larger limits, of a ticket: 0-RTT is rejected with the real ones */
	struct qx_peer_limits limits;
	uint64_t hostile_pn;
};

static struct side sides[2];
static struct wire_packet wire[WIRE_MAX];
static uint32_t wire_cnt;
static uint64_t now_ns;
static bool hostile;
static uint8_t pattern[4096];
static uint8_t tags[TAGS][PROTECT_TAG_BYTES]; /* of the generations of keys */
static const uint8_t cids[2][CID_BYTES] = {{1, 1, 1, 1}, {2, 2, 2, 2}};

/* ---- Both sides ---- */

static struct qx_conn_config config(uint32_t s, uint32_t options)
{
	return (struct qx_conn_config){
		.id = s,
		.is_client = s == 0,
		.cc = options & 1,
		.manual_consume = options >> 1 & 1,
		.cid_len_bytes = CID_BYTES,
		.max_datagram_bytes = PACKET_MAX,
		.max_data_bytes = options & 4 ? 3000 : 200000,
		.max_stream_data_bytes = options & 4 ? 1000 : 100000,
		.window_max_bytes = 300000,
		.max_streams_bidi = options & 8 ? 2 : 30,
		.max_streams_uni = 3,
		.max_datagram_frame_bytes = options & 16 ? 0 : 1200,
		.ack_delay_ns = 1000000,
		.flags = options >> 5 & 3,
	};
}

static struct qx_peer_limits limits_of(uint32_t s, uint32_t options)
{
	const struct qx_conn_config peer = config(s, options);

	return (struct qx_peer_limits){
		.max_data = peer.max_data_bytes,
		.max_stream_data_bidi_local = peer.max_stream_data_bytes,
		.max_stream_data_bidi_remote = peer.max_stream_data_bytes,
		.max_stream_data_uni = peer.max_stream_data_bytes,
		.max_streams_bidi = peer.max_streams_bidi,
		.max_streams_uni = peer.max_streams_uni,
		.max_datagram_frame_bytes = peer.max_datagram_frame_bytes,
		.max_ack_delay_ns = peer.ack_delay_ns,
		.ack_delay_exponent = 3,
	};
}

static void open_side(uint32_t s, uint32_t options, uint32_t peers_options, bool remembers)
{
	const struct qx_conn_config cfg = config(s, options);
	const struct qx_peer_limits remembered = limits_of(1 - s, 0);

	memset(&sides[s], 0, sizeof(sides[s]));
	sides[s].limits = limits_of(1 - s, peers_options);
	sides[s].remembers = remembers;
	REQUIRE(qx_engine_open(&sides[s].e, NULL, CID_BYTES) == 0);
	REQUIRE(qx_conn_open(&sides[s].c, sides[s].e, &cfg) == 0);
	qx_conn_set_host_cid(sides[s].c, cids[s], CID_BYTES);
	REQUIRE(qx_conn_set_peer_cid(sides[s].c, cids[1 - s], CID_BYTES) == 0);
	qx_conn_set_peer_limits(sides[s].c, remembers ? &remembered : &sides[s].limits);
}

static const uint8_t secret[32];

static void make_tags(void)
{
	struct protect_half *h;

	REQUIRE(protect_open(&h, QX_NULL_CIPHER, 1, true, true, secret, sizeof(secret)) == 0);
	for (uint32_t i = 0; i < TAGS; i++) {
		memcpy(tags[i], h->now.iv, PROTECT_IV_BYTES);
		REQUIRE(protect_update(h) == 0);
	}
	protect_close(h);
}

static void set_keys(uint32_t s, uint32_t epoch, uint32_t sending)
{
	if (qx_conn_has_keys(sides[s].c, epoch, sending))
		return;
	if (sides[s].remembers && epoch == QX_EPOCH_ONE_RTT && sending) {
		sides[s].remembers = false;
		REQUIRE(qx_conn_reject_zero_rtt(sides[s].c, &sides[s].limits, now_ns) == 0);
	}
	REQUIRE(qx_conn_set_secret(sides[s].c, epoch, sending, QX_NULL_CIPHER, 1, secret,
				   sizeof(secret)) == 0);
}

static void on_data(struct side *s, struct side *peer, const struct qx_event *ev)
{
	const uint64_t id = ev->stream_id;

	for (uint32_t i = 0; i < ev->len_bytes && !hostile && id < STREAMS; i++)
		REQUIRE(ev->data[i] == pattern[(s->received[id] + i) % sizeof(pattern)]);
	if (id >= STREAMS)
		return;
	s->received[id] += ev->len_bytes;
	if (hostile)
		return;
	REQUIRE(!s->over[id]);
	REQUIRE(s->received[id] <= peer->written[id]);
	if (ev->flags & QX_EV_FIN) {
		REQUIRE(s->received[id] == peer->written[id]);
		s->over[id] = true;
	}
}

static void on_event(uint32_t number, const struct qx_event *ev)
{
	struct side *s = &sides[number];
	volatile uint8_t sum = 0;

	for (uint32_t i = 0; i < ev->len_bytes; i++)
		sum = (uint8_t)(sum + ev->data[i]);
	REQUIRE(ev->conn == number);
	switch (ev->type) {
	case QX_EV_STREAM_DATA:
		on_data(s, &sides[1 - number], ev);
		break;
	case QX_EV_STREAM_RESET:
		if (ev->stream_id < STREAMS && !hostile) {
			REQUIRE(!s->over[ev->stream_id]);
			s->over[ev->stream_id] = true;
		}
		break;
	case QX_EV_RELEASED:
		REQUIRE(ev->value < TOKENS && s->held[ev->value]);
		s->held[ev->value] = false;
		break;
	case QX_EV_ERROR:
		REQUIRE(hostile && !s->failed);
		s->failed = true;
		break;
	default:
		break;
	}
}

static void hear(uint32_t s)
{
	const struct qx_event *events;
	const uint32_t n = qx_engine_events(sides[s].e, &events, NULL);

	for (uint32_t i = 0; i < n; i++)
		on_event(s, &events[i]);
	qx_engine_events_done(sides[s].e);
}

static void close_side(uint32_t s)
{
	struct qx_engine *e = sides[s].e;

	qx_conn_close(sides[s].c);
	hear(s);
	for (uint32_t t = 0; t < TOKENS; t++)
		REQUIRE(!sides[s].held[t]);
	REQUIRE(e->memory.streams.lent_cnt == 0 && e->memory.chunks.lent_cnt == 0);
	REQUIRE(e->memory.nodes.lent_cnt == 0 && e->memory.bufs.lent_cnt == 0);
	REQUIRE(e->frames.lent_cnt == 0 && e->deadlines.cnt == 0);
	qx_engine_close(e);
}

/* ---- Network ---- */

/* Returns whether that was all. */
static bool send_some(uint32_t s)
{
	static uint8_t buf[16 * PACKET_MAX];
	uint32_t lens[16];
	uint8_t *p = buf;
	const int n = qx_conn_send(sides[s].c, now_ns, buf, sizeof(buf), lens, 16);

	for (int i = 0; i < n; p += lens[i++]) {
		if (wire_cnt == WIRE_MAX)
			continue; /* lost */
		wire[wire_cnt].to = 1 - s;
		wire[wire_cnt].len_bytes = lens[i];
		memcpy(wire[wire_cnt++].bytes, p, lens[i]);
	}
	hear(s);
	return n < 16;
}

/* When all has been sent and all that was due handled, nothing may be due: no timer stands
 * still.  An RTT that has fallen may put several backed-off PTOs into the past. */
static void send_all(uint32_t s)
{
	uint32_t turns = 0;

	while (send_some(s) && qx_conn_deadline(sides[s].c) <= now_ns) {
		REQUIRE(++turns < TIMERS_AT_ONCE);
		qx_conn_handle_timer(sides[s].c, now_ns);
		hear(s);
	}
}

static void receive(uint32_t s, uint8_t *packet, uint32_t len_bytes)
{
	const bool is_long = len_bytes > 0 && packet[0] & 0x80;
	const uint32_t off =
		is_long ? 1 + 4 + 1 + CID_BYTES + 1 + 2 + CID_BYTES : 1 + CID_BYTES;

	qx_conn_receive(sides[s].c, is_long ? QX_EPOCH_ZERO_RTT : QX_EPOCH_ONE_RTT, packet,
			len_bytes, off, (uint8_t)(len_bytes & 3), now_ns);
	hear(s);
}

static void deliver(uint32_t which, bool keep)
{
	struct wire_packet copy;

	if (wire_cnt == 0)
		return;
	which %= wire_cnt;
	copy = wire[which];
	if (!keep)
		wire[which] = wire[--wire_cnt];
	receive(copy.to, copy.bytes, copy.len_bytes);
}

/* A packet that a peer with keys made up, up to its frames: any first byte, or the right one
 * of a short header.  Returns the place behind. */
static uint32_t begin_packet(uint32_t s, uint8_t *packet, uint8_t first)
{
	uint32_t at = 1 + CID_BYTES;

	packet[0] = first;
	memcpy(packet + 1, cids[s], CID_BYTES);
	if (first & 0x80)
		at = 1 + 4 + 1 + CID_BYTES + 1 + CID_BYTES + 2;
	for (int shift = 8 * (first & 3); shift >= 0; shift -= 8)
		packet[at++] = (uint8_t)(sides[s].hostile_pn >> shift);
	return at;
}

static void end_packet(uint32_t s, uint8_t *packet, uint32_t at, uint32_t generation)
{
	uint8_t tag[PROTECT_TAG_BYTES];

	memcpy(tag, tags[generation % TAGS], sizeof(tag));
	memcpy(packet + at, tag, sizeof(tag));
	receive(s, packet, at + PROTECT_TAG_BYTES);
}

/* Any number, frames and keys. */
static void make_up(uint32_t s, struct input *in)
{
	uint8_t packet[PACKET_MAX] = {0};
	const uint32_t len = take2(in);
	const uint8_t first = (uint8_t)take(in);
	uint32_t at;

	sides[s].hostile_pn += take(in) % 8;
	if ((first & 3) == 3)
		sides[s].hostile_pn += take2(in);
	at = begin_packet(s, packet, first);
	for (uint32_t i = 0; i < len % (PACKET_MAX - 64) && in->at < in->end; i++)
		packet[at++] = *in->at++;
	end_packet(s, packet, at, len >> 12);
}

/* A new number, the keys of now, and frames of the right form with fields at their limits. */
static void make_up_frames(uint32_t s, struct input *in)
{
	struct qx_conn *c = sides[s].c;
	const struct protect_half *half = c->keys[QX_EPOCH_ONE_RTT][0];
	uint8_t packet[PACKET_MAX] = {0};
	const uint32_t how = take(in);
	uint32_t generation = 0, at;
	bool last = false;

	if (!half)
		return;
	while (generation < TAGS - 1 &&
	       memcmp(tags[generation], half->now.iv, PROTECT_IV_BYTES) != 0)
		generation++;
	sides[s].hostile_pn = c->ack.largest + 1 + (how >> 3 & 3);
	at = begin_packet(s, packet, (uint8_t)(0x43 | half->phase << 2));
	for (uint32_t i = 0; i <= (how & 7) && !last && at < PACKET_MAX - 400; i++)
		at = (uint32_t)(fuzz_frame(c, in, packet + at, &last) - packet);
	end_packet(s, packet, at, generation);
}

#endif
