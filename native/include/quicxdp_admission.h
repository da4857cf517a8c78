/* quicxdp_admission.h: who may begin a connection, as cffi sees it (after quicxdp_engine.h).
 *
 * A struct qx_admission stands before a server: it looks at each datagram that belongs to no
 * connection of the engine and decides, before anything expensive is done with it, whether
 * it goes up, is answered on the spot (Version Negotiation, Retry) or is dropped and counted.
 * A flood of Initials then costs what receiving it costs.
 *
 * It reads what RFC 8999 promises for all versions, and of an Initial of a version that we
 * speak the token and the length (RFC 9000 section 17.2.2); no packet is opened.  Retry
 * tokens have the form of aioquic's QuicRetryTokenHandler, so that either side can read
 * what the other wrote.
 *
 * Sans-IO: time is an argument.  Memory: fixed by the configuration, but for the connection
 * IDs, of which there are as many as the server's connections have.
 * Conventions as in quicxdp.h: -errno, one thread, nanoseconds, nothing logged. */
#ifndef QUICXDP_ADMISSION_H
#define QUICXDP_ADMISSION_H

#include "quicxdp_engine.h"

#define QX_RETRY_KEY_BYTES 16
#define QX_ANSWER_MAX_BYTES 192 /* the longest Retry or Version Negotiation packet */
#define QX_VERSIONS_MAX 8

/* Why a datagram that belongs to no connection was dropped, in the order of the checks. */
enum qx_refusal {
	QX_REFUSED_MALFORMED = 0,      /* no header that could begin a connection */
	QX_REFUSED_UNKNOWN = 1,        /* of a connection that is not, or no longer, known */
	QX_REFUSED_SMALL = 2,          /* a long header in less than 1200 bytes */
	QX_REFUSED_VERSION = 3,        /* version 0: Version Negotiation, sent to a server */
	QX_REFUSED_CLOSED = 4,         /* the server takes no new connections any more */
	QX_REFUSED_CONNECTIONS = 5,    /* max_connections */
	QX_REFUSED_TOKEN_ADDRESS = 6,  /* a Retry token of another address or connection ID */
	QX_REFUSED_TOKEN_EXPIRED = 7,  /* a Retry token that is too old */
	QX_REFUSED_TOKEN_REPLAYED = 8, /* a Retry token that has opened a connection before */
	QX_REFUSED_HANDSHAKES = 9,     /* max_handshakes */
	QX_REFUSED_PREFIX_RATE = 10,   /* too many from one network */
	QX_REFUSED_NO_ROOM = 11,       /* an answer that found no buffer to leave in */
	QX_REFUSAL_CNT = 12
};

/* What becomes of a datagram. */
enum qx_verdict {
	QX_VERDICT_KNOWN = 0,   /* goes up: of a connection that has that ID */
	QX_VERDICT_ADMIT = 1,   /* goes up: may begin a connection */
	QX_VERDICT_RETRIED = 2, /* goes up: likewise, with a valid Retry token */
	QX_VERDICT_BAD_TOKEN =
		3,               /* goes up, to be closed with INVALID_TOKEN (RFC 9000 section
				   * 8.1.3); few of those that are refused for their token */
	QX_VERDICT_RETRY = 4,    /* is answered with Retry */
	QX_VERDICT_VERSION = 5,  /* is answered with Version Negotiation */
	QX_VERDICT_REFUSED = 256 /* and above: dropped; enum qx_refusal is added */
};

struct qx_admission_config {
	uint32_t cid_len_bytes; /* of our own connection IDs */
	uint32_t max_connections;
	uint32_t max_handshakes;
	uint32_t retry_from_cnt;     /* open handshakes from which on Retry is demanded; 0:
				      * always, ~0: never */
	uint32_t prefix_cnt;         /* networks that are remembered, about */
	uint32_t prefix_burst_cnt;   /* new connections of a network at once */
	uint64_t prefix_interval_ns; /* and one more after each of these; 0: no limit */
	uint64_t token_lifetime_ns;
	uint8_t retry_key[QX_RETRY_KEY_BYTES];
	uint32_t version_cnt;
	uint32_t versions[QX_VERSIONS_MAX]; /* that we speak */
};

struct qx_admission_stats {
	uint64_t admitted; /* datagrams that may begin a connection, with or without token */
	uint64_t retries_sent; /* answers, of either kind */
	uint64_t versions_sent;
	uint64_t tokens_valid; /* of admitted, those that came with a valid Retry token */
	uint64_t refused[QX_REFUSAL_CNT];
};

struct qx_admission;

/* Owner: the caller, who closes it after the engine that uses it.
 * Errors: -EINVAL the configuration, -ENOMEM, -EIO libcrypto has no AES-GCM. */
int qx_admission_open(struct qx_admission **out, const struct qx_admission_config *cfg);
void qx_admission_close(struct qx_admission *a);

/* qx_engine_set_admission puts a before what the engine passes up (NULL: nothing). */
void qx_engine_set_admission(struct qx_engine *e, struct qx_admission *a);

/* Which connection IDs lead to a connection, whoever chose them; -ENOMEM. */
int qx_admission_know(struct qx_admission *a, const uint8_t *cid, uint32_t len_bytes);
void qx_admission_forget(struct qx_admission *a, const uint8_t *cid, uint32_t len_bytes);

/* qx_admission_set_load tells how many connections and open handshakes there are.  What is
 * admitted afterwards is added until the next call.  closed: take no new ones. */
void qx_admission_set_load(struct qx_admission *a, uint32_t connection_cnt,
			   uint32_t handshake_cnt, uint32_t closed);

/* qx_admission_use_token takes note that a token has opened a connection: it does so once.
 * Nothing happens if it is none of ours. */
void qx_admission_use_token(struct qx_admission *a, const uint8_t *token, uint32_t len_bytes);

/* qx_admission_judge decides about one datagram, and counts.
 * Returns  enum qx_verdict.  With RETRY and VERSION answer holds *answer_len_bytes to send
 *          to peer; it has room for QX_ANSWER_MAX_BYTES. */
int qx_admission_judge(struct qx_admission *a, const uint8_t *data, uint32_t len_bytes,
		       const struct qx_addr *peer, uint64_t now_ns, uint8_t *answer,
		       uint32_t *answer_len_bytes);

void qx_admission_get_stats(const struct qx_admission *a, struct qx_admission_stats *out);

/* The short lower-case name of a reason, for metrics; NULL past the last one. */
const char *qx_refusal_name(uint32_t reason);

#endif
