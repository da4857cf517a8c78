/* protect_keys.h: what protect.c uses packet by packet, and protect_keys.c makes of secrets:
 * cipher suites and generations of keys.  Else only retry.c includes it, for a suite, and tests. */
#ifndef QX_PROTECT_KEYS_H
#define QX_PROTECT_KEYS_H

#include "protect.h"
#include "protect_aead.h"

enum {
	PROTECT_KEY_MAX_BYTES = 32
};

#define PROTECT_NO_PN UINT64_MAX

enum hp_kind {
	HP_NONE = 0,
	HP_AES,
	HP_CHACHA20
};

enum suite_index {
	SUITE_AES_128_GCM,
	SUITE_AES_256_GCM,
	SUITE_CHACHA20_POLY1305,
	SUITE_NULL, /* fuzzing only */
	SUITE_CNT
};

struct suite {
	enum suite_index index;
	uint32_t number; /* enum qx_cipher_suite */
	uint32_t key_bytes;
	uint32_t secret_bytes; /* output of the hash */
	enum hp_kind hp_kind;
	const char *aead; /* libcrypto's names; NULL: the null cipher */
	const char *hp;
	const char *digest;
	uint64_t seal_limit; /* packets per key, RFC 9001 section 6.6 */
	uint64_t open_limit; /* failed opens of a connection */
};

/* Keys between two key updates. */
struct generation {
	bool ready;
	uint8_t iv[PROTECT_IV_BYTES];
	struct aead aead;
};

struct protect_half {
	const struct suite *suite;
	uint32_t version;
	bool one_rtt; /* short header, key phases */
	bool sending;
	uint32_t phase; /* of now */
	EVP_CIPHER_CTX *hp;
	struct generation now;
	struct generation next;  /* receiving 1-RTT only */
	struct generation after; /* follows next; only since protect_expect_skip */
	struct generation old;   /* receiving, until protect_drop_old */
	uint64_t next_pn;        /* sending: the least number that may be sealed */
	uint64_t sealed_cnt;     /* with now */
	uint64_t failed_cnt;     /* opens that failed, with any keys */
	uint64_t first_pn;       /* least and largest number opened with now, or */
	uint64_t last_pn;        /* PROTECT_NO_PN */
	uint64_t older_last_pn;  /* largest number opened with older keys, or the same */
	uint8_t secret[PROTECT_SECRET_MAX_BYTES]; /* of the newest generation made */
};

/* suite_find gives the suite of a number, or NULL. */
const struct suite *suite_find(uint32_t number);
bool suite_knows_version(uint32_t version);

/* hp_open makes the header protection context of a half from its secret. */
int hp_open(struct protect_half *h);

/* generation_open makes the keys of h->secret. */
int generation_open(struct generation *g, const struct protect_half *h);
/* generation_advance makes the keys that follow those of h->secret, which moves on with
 * them.  On failure nothing has changed. */
int generation_advance(struct generation *g, struct protect_half *h);
void generation_close(struct generation *g);

/* decode_pn is RFC 9000 appendix A.3. */
uint64_t decode_pn(uint64_t expected_pn, uint64_t truncated, uint32_t pn_len_bytes);

#endif
