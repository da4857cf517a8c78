/* admission.c: the order of the checks; see quicxdp_admission.h. */
#include "quicxdp_admission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cid_set.h"
#include "engine.h"
#include "first_packet.h"
#include "prefix_limit.h"
#include "retry.h"

enum {
	/* Closing a connection that there is not costs aioquic 200 us. */
	BAD_TOKEN_INTERVAL_NS = 10000000,
	BAD_TOKEN_BURST_NS = 10 * BAD_TOKEN_INTERVAL_NS
};

struct qx_admission {
	struct qx_admission_config cfg;
	struct qx_admission_stats stats;
	struct cid_set known;
	struct prefix_limit limit;
	struct retry retry;
	uint32_t connection_cnt, handshake_cnt; /* as told, and admitted since */
	uint64_t bad_tokens_full_ns;            /* see rate_passes */
	bool closed;
};

int qx_admission_open(struct qx_admission **out, const struct qx_admission_config *cfg)
{
	struct qx_admission *a;
	int err;

	if (cfg->version_cnt == 0 || cfg->version_cnt > QX_VERSIONS_MAX ||
	    cfg->cid_len_bytes > QX_CID_MAX_BYTES ||
	    (cfg->prefix_interval_ns > 0 &&
	     cfg->prefix_burst_cnt > UINT64_MAX / 2 / cfg->prefix_interval_ns))
		return -EINVAL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->cfg = *cfg;
	err = cid_set_init(&a->known);
	if (err < 0)
		goto free_a;
	err = prefix_limit_open(&a->limit, cfg->prefix_cnt, cfg->prefix_interval_ns,
				cfg->prefix_burst_cnt);
	if (err < 0)
		goto free_known;
	err = retry_open(&a->retry, cfg->retry_key, cfg->token_lifetime_ns);
	if (err < 0)
		goto close_limit;
	*out = a;
	return 0;

close_limit:
	prefix_limit_close(&a->limit);
free_known:
	cid_set_free(&a->known);
free_a:
	free(a);
	return err;
}

void qx_admission_close(struct qx_admission *a)
{
	if (!a)
		return;
	retry_close(&a->retry);
	prefix_limit_close(&a->limit);
	cid_set_free(&a->known);
	free(a);
}

/* ---- What the server tells ---- */

int qx_admission_know(struct qx_admission *a, const uint8_t *cid, uint32_t len_bytes)
{
	return cid_set_add(&a->known, cid, len_bytes);
}

void qx_admission_forget(struct qx_admission *a, const uint8_t *cid, uint32_t len_bytes)
{
	cid_set_remove(&a->known, cid, len_bytes);
}

void qx_admission_set_load(struct qx_admission *a, uint32_t connection_cnt,
			   uint32_t handshake_cnt, uint32_t closed)
{
	a->connection_cnt = connection_cnt;
	a->handshake_cnt = handshake_cnt;
	a->closed = closed;
}

void qx_admission_use_token(struct qx_admission *a, const uint8_t *token, uint32_t len_bytes)
{
	retry_use(&a->retry, token, len_bytes);
}

/* ---- Verdicts ---- */

static int refuse(struct qx_admission *a, enum qx_refusal why)
{
	a->stats.refused[why]++;
	return QX_VERDICT_REFUSED + (int)why;
}

/* Who has waited for too long with a token of ours had better hear of it; who forges them
 * cannot have much of it. */
static int refuse_token(struct qx_admission *a, enum qx_refusal why, uint64_t now_ns)
{
	const int verdict = refuse(a, why);

	return rate_passes(&a->bad_tokens_full_ns, now_ns, BAD_TOKEN_INTERVAL_NS,
			   BAD_TOKEN_BURST_NS)
		       ? QX_VERDICT_BAD_TOKEN
		       : verdict;
}

static int admit(struct qx_admission *a, enum qx_verdict verdict)
{
	a->connection_cnt++;
	a->handshake_cnt++;
	a->stats.admitted++;
	if (verdict == QX_VERDICT_RETRIED)
		a->stats.tokens_valid++;
	return (int)verdict;
}

static bool speaks(const struct qx_admission *a, uint32_t version)
{
	for (uint32_t i = 0; i < a->cfg.version_cnt; i++)
		if (a->cfg.versions[i] == version)
			return true;
	return false;
}

/* An Initial that may begin a connection: is there room, and who vouches for its source? */
static int judge_initial(struct qx_admission *a, const struct first_packet *p,
			 const struct qx_addr *peer, uint64_t now_ns, uint8_t *answer,
			 uint32_t *answer_len_bytes)
{
	enum retry_token token = RETRY_TOKEN_FOREIGN;

	if (a->closed)
		return refuse(a, QX_REFUSED_CLOSED);
	if (a->connection_cnt >= a->cfg.max_connections)
		return refuse(a, QX_REFUSED_CONNECTIONS);
	if (p->token_len_bytes > 0)
		token = retry_check(&a->retry, p, peer, now_ns);
	if (token == RETRY_TOKEN_ADDRESS)
		return refuse_token(a, QX_REFUSED_TOKEN_ADDRESS, now_ns);
	if (token == RETRY_TOKEN_EXPIRED)
		return refuse_token(a, QX_REFUSED_TOKEN_EXPIRED, now_ns);
	if (token == RETRY_TOKEN_REPLAYED)
		return refuse_token(a, QX_REFUSED_TOKEN_REPLAYED, now_ns);
	if (a->handshake_cnt >= a->cfg.max_handshakes)
		return refuse(a, QX_REFUSED_HANDSHAKES);
	/* Who has shown that it is where it says is limited by its handshakes alone, so that
	 * a flood with its neighbours' addresses does not shut it out. */
	if (token == RETRY_TOKEN_VALID)
		return admit(a, QX_VERDICT_RETRIED);
	if (!prefix_limit_passes(&a->limit, peer, now_ns))
		return refuse(a, QX_REFUSED_PREFIX_RATE);
	if (a->handshake_cnt < a->cfg.retry_from_cnt)
		return admit(a, QX_VERDICT_ADMIT);
	*answer_len_bytes = retry_packet(&a->retry, p, peer, now_ns, answer);
	if (*answer_len_bytes == 0)
		return refuse(a, QX_REFUSED_NO_ROOM);
	a->stats.retries_sent++;
	return QX_VERDICT_RETRY;
}

static int judge_long(struct qx_admission *a, const uint8_t *data, uint32_t len_bytes,
		      const struct qx_addr *peer, uint64_t now_ns, uint8_t *answer,
		      uint32_t *answer_len_bytes)
{
	struct first_packet p;

	if (!first_packet_invariants(&p, data, len_bytes))
		return refuse(a, QX_REFUSED_MALFORMED);
	if (cid_set_has(&a->known, p.dcid, p.dcid_len_bytes))
		return QX_VERDICT_KNOWN;
	if (len_bytes < FIRST_DATAGRAM_MIN_BYTES)
		return refuse(a, QX_REFUSED_SMALL);
	/* Answering one would let two servers talk to each other for ever. */
	if (p.version == 0)
		return refuse(a, QX_REFUSED_VERSION);
	if (!speaks(a, p.version)) {
		if (!prefix_limit_passes(&a->limit, peer, now_ns))
			return refuse(a, QX_REFUSED_PREFIX_RATE);
		*answer_len_bytes =
			version_packet(&p, a->cfg.versions, a->cfg.version_cnt, answer);
		a->stats.versions_sent++;
		return QX_VERDICT_VERSION;
	}
	if (!(p.first & FIXED_BIT))
		return refuse(a, QX_REFUSED_MALFORMED);
	if (!first_packet_is_initial(&p))
		return refuse(a, QX_REFUSED_UNKNOWN);
	if (p.dcid_len_bytes < FIRST_DCID_MIN_BYTES ||
	    !first_packet_token(&p, data, len_bytes))
		return refuse(a, QX_REFUSED_MALFORMED);
	return judge_initial(a, &p, peer, now_ns, answer, answer_len_bytes);
}

int qx_admission_judge(struct qx_admission *a, const uint8_t *data, uint32_t len_bytes,
		       const struct qx_addr *peer, uint64_t now_ns, uint8_t *answer,
		       uint32_t *answer_len_bytes)
{
	if (len_bytes > 0 && data[0] & LONG_HEADER_BIT)
		return judge_long(a, data, len_bytes, peer, now_ns, answer, answer_len_bytes);
	if (len_bytes <= a->cfg.cid_len_bytes)
		return refuse(a, QX_REFUSED_MALFORMED);
	return cid_set_has(&a->known, data + 1, a->cfg.cid_len_bytes)
		       ? QX_VERDICT_KNOWN
		       : refuse(a, QX_REFUSED_UNKNOWN);
}

static void answer_lost(struct qx_admission *a, int verdict)
{
	if (verdict == QX_VERDICT_RETRY)
		a->stats.retries_sent--;
	else
		a->stats.versions_sent--;
	refuse(a, QX_REFUSED_NO_ROOM);
}

void qx_engine_set_admission(struct qx_engine *e, struct qx_admission *a)
{
	static const struct admission_calls calls = {.judge = qx_admission_judge,
						     .answer_lost = answer_lost};

	e->admission = a;
	e->admission_calls = &calls;
}

/* ---- Statistics ---- */

static const char *const refusal_names[QX_REFUSAL_CNT] = {
	[QX_REFUSED_MALFORMED] = "malformed",
	[QX_REFUSED_UNKNOWN] = "unknown",
	[QX_REFUSED_SMALL] = "small",
	[QX_REFUSED_VERSION] = "version",
	[QX_REFUSED_CLOSED] = "closed",
	[QX_REFUSED_CONNECTIONS] = "connections",
	[QX_REFUSED_TOKEN_ADDRESS] = "token_address",
	[QX_REFUSED_TOKEN_EXPIRED] = "token_expired",
	[QX_REFUSED_TOKEN_REPLAYED] = "token_replayed",
	[QX_REFUSED_HANDSHAKES] = "handshakes",
	[QX_REFUSED_PREFIX_RATE] = "prefix_rate",
	[QX_REFUSED_NO_ROOM] = "no_room",
};

const char *qx_refusal_name(uint32_t reason)
{
	return reason < QX_REFUSAL_CNT ? refusal_names[reason] : NULL;
}

void qx_admission_get_stats(const struct qx_admission *a, struct qx_admission_stats *out)
{
	*out = a->stats;
}
