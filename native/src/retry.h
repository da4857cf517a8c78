/* retry.h: address validation without state (RFC 9000 section 8.1.2): Retry packets, their
 * tokens, and Version Negotiation.
 *
 * A token is nonce (12) and AES-128-GCM of: address and port, the client's first destination
 * connection ID, the Retry's source connection ID, each behind a byte of length, and the
 * time in milliseconds; the form of aioquic's QuicRetryTokenHandler.  Our nonces are numbers
 * that count up, under a key of this process alone, so none comes twice, and a bit for each
 * of the last RETRY_WINDOW_CNT says whether its token was used. */
#ifndef QX_RETRY_H
#define QX_RETRY_H

#include "first_packet.h"
#include "protect_aead.h"
#include "quicxdp_admission.h"

enum {
	RETRY_CID_BYTES = 8,
	RETRY_WINDOW_CNT = 1 << 20, /* half a minute of 30,000 a second */
	RETRY_ENTROPY_BYTES = 512
};

enum retry_token {
	RETRY_TOKEN_VALID,
	RETRY_TOKEN_FOREIGN, /* not ours, or damaged */
	RETRY_TOKEN_ADDRESS, /* of another address, or for another connection ID */
	RETRY_TOKEN_EXPIRED,
	RETRY_TOKEN_REPLAYED
};

struct retry {
	struct aead seal, open; /* tokens */
	struct aead tag1, tag2; /* of Retry packets, RFC 9001 section 5.8 */
	uint64_t lifetime_ms;
	uint64_t next_number;
	uint64_t *used; /* bit per number, modulo RETRY_WINDOW_CNT */
	uint8_t entropy[RETRY_ENTROPY_BYTES];
	uint32_t entropy_bytes; /* what is left of it, from the front */
};

/* retry_open: -ENOMEM, -EIO libcrypto refuses. */
int retry_open(struct retry *r, const uint8_t key[QX_RETRY_KEY_BYTES], uint64_t lifetime_ns);
void retry_close(struct retry *r);

/* retry_packet writes the answer to an Initial; 0 if there is no randomness, or libcrypto
 * fails.  Cost: two AEADs over some 100 bytes, and a system call for every 64th. */
uint32_t retry_packet(struct retry *r, const struct first_packet *p,
		      const struct qx_addr *peer, uint64_t now_ns,
		      uint8_t out[QX_ANSWER_MAX_BYTES]);

/* retry_check says what an Initial's token is worth. */
enum retry_token retry_check(struct retry *r, const struct first_packet *p,
			     const struct qx_addr *peer, uint64_t now_ns);

/* retry_use: from here on that token is replayed. */
void retry_use(struct retry *r, const uint8_t *token, uint32_t len_bytes);

/* version_packet writes a Version Negotiation packet (RFC 9000 section 17.2.1). */
uint32_t version_packet(const struct first_packet *p, const uint32_t *versions,
			uint32_t version_cnt, uint8_t out[QX_ANSWER_MAX_BYTES]);

#endif
