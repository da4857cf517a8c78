/* pair.h: two connections joined by a network in memory, and what their applications do.
 *
 * Streams carry bytes that follow from their ID and offset, and are checked. */
#ifndef QX_PAIR_H
#define QX_PAIR_H

#include "pair_net.h"

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
