/* fuzz_admission.c: any bytes as what arrives from nobody we know.
 *
 * Invariant.  For every datagram d:
 *   1. qx_admission_judge reads only d (the address sanitizer watches), gives one verdict,
 *      and exactly one counter grows by one, or none for what is known.
 *   2. What is admitted or asked to retry is an Initial of a version that we speak, in at
 *      least 1200 bytes, with a first connection ID of 8 to 20 bytes.
 *   3. An answer is at most a third of d, so that nobody can be flooded by way of us.
 *   4. A Retry's token, returned from the same address to the connection ID of the Retry,
 *      is valid until it was used, and then replayed.
 *
 * Input: a byte of flags, one that is the source's last, then d; PAD fills it up to 1200. */
#include <stdlib.h>
#include <string.h>

#include "first_packet.h"
#include "quicxdp_admission.h"
#include "varint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	PAD = 1,
	KNOW = 2,   /* that d's destination belongs to a connection */
	LOADED = 4, /* more handshakes than go without Retry */
	LATER = 8,
	IPV6 = 16,
	DATAGRAM_MAX_BYTES = 2048
};

static struct qx_admission *gate;
static uint64_t now_ns = UINT64_C(1) << 40;

#define REQUIRE(cond)                                                                        \
	do {                                                                                 \
		if (!(cond))                                                                 \
			abort();                                                             \
	} while (0)

static void open_once(void)
{
	const struct qx_admission_config cfg = {
		.cid_len_bytes = 8,
		.max_connections = 1000,
		.max_handshakes = 100,
		.retry_from_cnt = 10,
		.prefix_cnt = 64,
		.prefix_burst_cnt = 50,
		.prefix_interval_ns = 1000,
		.token_lifetime_ns = UINT64_C(30000000000),
		.version_cnt = 2,
		.versions = {VERSION_1, VERSION_2},
	};

	if (!gate)
		REQUIRE(qx_admission_open(&gate, &cfg) == 0);
}

static uint64_t sum(const struct qx_admission_stats *st)
{
	uint64_t n = st->admitted + st->retries_sent + st->versions_sent;

	for (int i = 0; i < QX_REFUSAL_CNT; i++)
		n += st->refused[i];
	return n;
}

static int judge(const uint8_t *d, uint32_t len_bytes, const struct qx_addr *peer,
		 uint8_t *answer, uint32_t *answer_len_bytes)
{
	struct qx_admission_stats before, after;
	int verdict;

	qx_admission_get_stats(gate, &before);
	verdict = qx_admission_judge(gate, d, len_bytes, peer, now_ns, answer,
				     answer_len_bytes);
	qx_admission_get_stats(gate, &after);
	REQUIRE(sum(&after) - sum(&before) == (verdict != QX_VERDICT_KNOWN));
	if (verdict >= QX_VERDICT_REFUSED) {
		const uint32_t why = (uint32_t)verdict - QX_VERDICT_REFUSED;

		REQUIRE(why < QX_REFUSAL_CNT);
		REQUIRE(after.refused[why] == before.refused[why] + 1);
	}
	return verdict;
}

/* A second reading of what may begin a connection, by offsets. */
static bool may_begin(const uint8_t *d, uint32_t len_bytes)
{
	const uint8_t types[2] = {0, 1};
	uint32_t version;

	if (len_bytes < 1200 || (d[0] & 0xc0) != 0xc0)
		return false;
	version = load_be32(d + 1);
	return (version == VERSION_1 || version == VERSION_2) &&
	       (d[0] >> 4 & 3) == types[version == VERSION_2] && d[5] >= 8 && d[5] <= 20 &&
	       d[6 + d[5]] <= 20;
}

/* The client's part: its Initial again, with what the Retry said. */
static void return_token(const uint8_t *d, const struct qx_addr *peer, const uint8_t *answer,
			 uint32_t answer_len_bytes)
{
	uint8_t again[1200] = {0}, unused[QX_ANSWER_MAX_BYTES], *p = again;
	struct first_packet retry;
	uint32_t token_bytes, unused_bytes;
	const uint8_t *token;
	int verdict;

	REQUIRE(first_packet_invariants(&retry, answer, answer_len_bytes));
	token = retry.scid + retry.scid_len_bytes;
	token_bytes = answer_len_bytes - 16 - (uint32_t)(token - answer);
	memcpy(p, d, 5);
	p += 5;
	*p++ = retry.scid_len_bytes;
	memcpy(p, retry.scid, retry.scid_len_bytes);
	p += retry.scid_len_bytes;
	*p++ = 0;
	p = write_varint(p, token_bytes);
	memcpy(p, token, token_bytes);
	p = write_varint2(p + token_bytes, 100);
	qx_admission_set_load(gate, 0, 0, 0);
	REQUIRE(judge(again, sizeof(again), peer, unused, &unused_bytes) ==
		QX_VERDICT_RETRIED);
	qx_admission_use_token(gate, token, token_bytes);
	verdict = judge(again, sizeof(again), peer, unused, &unused_bytes);
	REQUIRE(verdict == QX_VERDICT_BAD_TOKEN ||
		verdict == QX_VERDICT_REFUSED + QX_REFUSED_TOKEN_REPLAYED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qx_addr peer = {.family = QX_IPV4, .port = 4000};
	uint8_t answer[QX_ANSWER_MAX_BYTES], *d, cid_len;
	uint32_t len_bytes, answer_len_bytes = 0;
	struct first_packet p = {0};
	bool knows = false;
	int verdict;

	if (size < 2 || size - 2 > DATAGRAM_MAX_BYTES)
		return 0;
	open_once();
	len_bytes = (uint32_t)(size - 2);
	if (data[0] & PAD && len_bytes < 1200)
		len_bytes = 1200;
	d = calloc(1, len_bytes ? len_bytes : 1); /* of the right size, to be watched */
	REQUIRE(d);
	if (size > 2)
		memcpy(d, data + 2, size - 2);
	peer.family = data[0] & IPV6 ? QX_IPV6 : QX_IPV4;
	peer.ip[2] = data[1];
	now_ns += data[0] & LATER ? 1000000 : 10;
	qx_admission_set_load(gate, 0, data[0] & LOADED ? 50 : 0, 0);
	if (data[0] & KNOW && first_packet_invariants(&p, d, len_bytes))
		knows = qx_admission_know(gate, p.dcid, p.dcid_len_bytes) == 0;
	verdict = judge(d, len_bytes, &peer, answer, &answer_len_bytes);
	REQUIRE(!knows || verdict == QX_VERDICT_KNOWN);
	if (verdict >= QX_VERDICT_ADMIT && verdict <= QX_VERDICT_RETRY)
		REQUIRE(may_begin(d, len_bytes));
	if (verdict == QX_VERDICT_RETRY || verdict == QX_VERDICT_VERSION)
		REQUIRE(answer_len_bytes <= QX_ANSWER_MAX_BYTES &&
			answer_len_bytes <= len_bytes / 3);
	if (verdict == QX_VERDICT_RETRY)
		return_token(d, &peer, answer, answer_len_bytes);
	if (knows) {
		cid_len = p.dcid_len_bytes;
		qx_admission_forget(gate, p.dcid, cid_len);
		REQUIRE(judge(d, len_bytes, &peer, answer, &answer_len_bytes) !=
			QX_VERDICT_KNOWN);
	}
	free(d);
	return 0;
}
