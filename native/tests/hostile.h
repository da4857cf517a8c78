/* hostile.h: a peer that has keys and makes up its packets. */
#ifndef QX_HOSTILE_H
#define QX_HOSTILE_H

#include "frame.h"
#include "pair.h"
#include "protect_keys.h"

/* Varints of chosen sizes, for tables of bytes. */
#define V2(v) (uint8_t)(0x40 | (v) >> 8), (uint8_t)(v)
#define V4(v) (0x80 | (v) >> 24), (v) >> 16 & 0xff, (v) >> 8 & 0xff, (v) & 0xff
#define V8_MAX 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff

struct offence {
	const char *what;
	const uint8_t *frames;
	uint32_t len_bytes;
	uint64_t code;
	uint64_t type;
	const char *reason;
	bool to_client; /* otherwise to the server */
};

/* prepare: the client has opened streams 0 and 2, the server 1 and 3 and sent 10 bytes on 1;
 * 10 bytes have come on 0, and 4 ended with 3. */
static inline void prepare(const struct qx_conn_config *cfg)
{
	pair_start(cfg);
	pair_write(CLIENT, 0, 0, 10, false, false);
	pair_write(CLIENT, 2, 0, 10, false, false);
	pair_write(CLIENT, 4, 0, 3, true, false);
	pair_write(SERVER, 1, 0, 10, false, false);
	pair_write(SERVER, 3, 0, 10, false, false);
	pair_run(S_NS);
}

static inline void check_error(uint32_t side, const struct offence *o)
{
	const struct side *s = &sides[side];

	if (strcmp(s->error, o->reason) != 0 || s->error_code != o->code ||
	    s->error_type != o->type)
		T_FAIL("%s: %llx, %llx, \"%s\"", o->what, (unsigned long long)s->error_code,
		       (unsigned long long)s->error_type, s->error);
}

/* The keys to forge with; they last as long as they fit, as making them takes long. */
static inline struct protect_half *forging_half(uint32_t to, uint32_t epoch, uint32_t updates,
						uint64_t pn)
{
	static struct protect_half *half;
	static uint32_t of[3];

	if (half && of[0] == to && of[1] == epoch && of[2] == updates &&
	    pn >= half->next_pn && half->sealed_cnt < 1000000)
		return half;
	protect_close(half);
	T_EQ(protect_open(&half, QX_AES_128_GCM_SHA256, 1, epoch == QX_EPOCH_ONE_RTT, true,
			  pair_secret[1 - to][epoch], 32),
	     0);
	for (uint32_t i = 0; i < updates; i++)
		T_EQ(protect_update(half), 0);
	of[0] = to;
	of[1] = epoch;
	of[2] = updates;
	return half;
}

/* forged seals a packet with keys of the other side's as they were at first, and returns its
 * length; the header's first byte and the number are ours. */
static inline uint32_t forged(uint8_t *packet, uint32_t to, uint32_t epoch, uint32_t updates,
			      uint8_t first, uint64_t pn, const void *payload,
			      uint32_t len_bytes)
{
	const bool one_rtt = epoch == QX_EPOCH_ONE_RTT;
	struct protect_half *half = forging_half(to, epoch, updates, pn);
	uint8_t *p = packet + 1;
	int n;

	packet[0] = first;
	if (!one_rtt) {
		memcpy(p, (uint8_t[]){0, 0, 0, 1, CID_BYTES}, 5);
		memcpy(p + 5, pair_cid[to], CID_BYTES);
		p[5 + CID_BYTES] = CID_BYTES;
		memcpy(p + 6 + CID_BYTES, pair_cid[1 - to], CID_BYTES);
		p = write_varint2(p + 6 + 2 * CID_BYTES, 4 + len_bytes + 16);
	} else {
		memcpy(p, pair_cid[to], CID_BYTES);
		p += CID_BYTES;
	}
	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (uint8_t)(pn >> shift);
	memcpy(p, payload, len_bytes);
	n = protect_seal(half, packet, (uint32_t)(p - packet), 4, len_bytes, pn);
	T_CHECK(n > 0);
	return (uint32_t)n;
}

/* forge delivers it. */
static inline int forge(uint32_t to, uint32_t epoch, uint32_t updates, uint8_t first,
			uint64_t pn, const void *payload, uint32_t len_bytes)
{
	uint8_t packet[MTU_MAX];
	const uint32_t n = forged(packet, to, epoch, updates, first, pn, payload, len_bytes);

	return pair_deliver(to, packet, n);
}

#define SHORT 0x43 /* four bytes of packet number */
#define ZERO_RTT 0xd3

#endif
