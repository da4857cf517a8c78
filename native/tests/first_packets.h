/* first_packets.h: Initials as a client would begin with, and what a gate answers them.
 *
 * Nothing opens these packets, so what stands behind their headers is noise. */
#ifndef QX_FIRST_PACKETS_H
#define QX_FIRST_PACKETS_H

#include "first_packet.h"
#include "quicxdp_admission.h"
#include "t.h"
#include "varint.h"

/* As in sim.h and hosts.h. */
#define MS_NS 1000000ull
#define S_NS UINT64_C(1000000000)

enum {
	CID_BYTES = 8,
	DATAGRAM_BYTES = 1200
};

static struct qx_admission *gate;
static uint64_t gate_now_ns;
static uint8_t answer[QX_ANSWER_MAX_BYTES];
static uint32_t answer_len_bytes;
static const uint8_t client_cid[CID_BYTES] = {'c', 'l', 'i', 'e', 'n', 't', 's', 1};

struct initial {
	uint32_t version; /* 0: version 1 */
	uint8_t first;    /* 0: of an Initial */
	const uint8_t *dcid;
	uint32_t dcid_len_bytes;
	const uint8_t *token;
	uint32_t token_len_bytes;
	uint32_t len_bytes; /* 0: DATAGRAM_BYTES */
};

static inline uint32_t initial_write(const struct initial *i, uint8_t out[DATAGRAM_BYTES])
{
	const uint32_t len_bytes = i->len_bytes ? i->len_bytes : DATAGRAM_BYTES;
	uint8_t *p = out;

	*p++ = i->first ? i->first : (uint8_t)(LONG_HEADER_BIT | FIXED_BIT);
	store_be32(p, i->version ? i->version : VERSION_1);
	p += 4;
	*p++ = (uint8_t)i->dcid_len_bytes;
	memcpy(p, i->dcid, i->dcid_len_bytes);
	p += i->dcid_len_bytes;
	*p++ = CID_BYTES;
	memcpy(p, client_cid, CID_BYTES);
	p += CID_BYTES;
	p = write_varint(p, i->token_len_bytes);
	if (i->token_len_bytes > 0)
		memcpy(p, i->token, i->token_len_bytes);
	p += i->token_len_bytes;
	p = write_varint2(p, len_bytes - (uint32_t)(p + 2 - out));
	memset(p, 0xa5, len_bytes - (uint32_t)(p - out));
	return len_bytes;
}

static inline struct qx_addr source4(uint32_t ip, uint16_t port)
{
	struct qx_addr a = {.family = QX_IPV4, .port = port};

	store_be32(a.ip, ip);
	return a;
}

static inline int judge(const uint8_t *data, uint32_t len_bytes, struct qx_addr peer)
{
	return qx_admission_judge(gate, data, len_bytes, &peer, gate_now_ns, answer,
				  &answer_len_bytes);
}

static inline int judge_initial(const struct initial *i, struct qx_addr peer)
{
	uint8_t data[DATAGRAM_BYTES];

	return judge(data, initial_write(i, data), peer);
}

/* The n-th first connection ID of some client. */
static inline const uint8_t *first_cid(uint64_t n)
{
	static uint8_t cid[CID_BYTES];

	store_be64(cid, n * 0x9e3779b97f4a7c15u + 1);
	return cid;
}

static inline int judge_nth(uint64_t n, struct qx_addr peer)
{
	const struct initial i = {.dcid = first_cid(n), .dcid_len_bytes = CID_BYTES};

	return judge_initial(&i, peer);
}

static inline struct qx_admission_config gate_config(void)
{
	return (struct qx_admission_config){
		.cid_len_bytes = CID_BYTES,
		.max_connections = 1000,
		.max_handshakes = 100,
		.retry_from_cnt = 50,
		.prefix_cnt = 4096,
		.prefix_burst_cnt = 20,
		.prefix_interval_ns = 10 * MS_NS,
		.token_lifetime_ns = 30 * S_NS,
		.retry_key = {1, 2, 3},
		.version_cnt = 2,
		.versions = {VERSION_1, VERSION_2},
	};
}

static inline void gate_open(struct qx_admission_config cfg)
{
	qx_admission_close(gate); /* of a test that failed */
	gate = NULL;
	gate_now_ns = 5 * S_NS;
	T_EQ(qx_admission_open(&gate, &cfg), 0);
}

static inline struct qx_admission_stats gate_stats(void)
{
	struct qx_admission_stats st;

	qx_admission_get_stats(gate, &st);
	return st;
}

/* The token and the new connection ID of the Retry packet in answer. */
struct retry_read {
	const uint8_t *cid, *token;
	uint32_t token_len_bytes;
};

static inline struct retry_read read_retry(uint32_t version)
{
	struct first_packet p;

	T_CHECK(first_packet_invariants(&p, answer, answer_len_bytes));
	T_EQ(p.version, version);
	T_EQ(p.first >> 4, version == VERSION_2 ? 0xc : 0xf);
	T_EQ(p.dcid_len_bytes, CID_BYTES);
	T_EQ(memcmp(p.dcid, client_cid, CID_BYTES), 0);
	T_EQ(p.scid_len_bytes, CID_BYTES);
	return (struct retry_read){
		.cid = p.scid,
		.token = p.scid + CID_BYTES,
		.token_len_bytes =
			answer_len_bytes - 16 - (uint32_t)(p.scid + CID_BYTES - answer),
	};
}

#endif
