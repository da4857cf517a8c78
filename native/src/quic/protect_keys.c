/* protect_keys.c: from traffic secrets to cipher contexts (RFC 9001 section 5.1, RFC 9369
 * section 3.3.1).
 *
 * Failures of libcrypto leave entries in the thread's error queue, which belongs to whoever
 * else uses it in this process (Python's ssl), so the entry points take back what they
 * caused. */
#include "protect_keys.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

enum {
	VERSION_1 = 0x00000001,
	VERSION_2 = 0x6b3343cf /* RFC 9369 section 3.1 */
};

enum label {
	LABEL_KEY,
	LABEL_IV,
	LABEL_HP,
	LABEL_UPDATE,
	LABEL_CNT
};

static const char *const labels_v1[LABEL_CNT] = {
	[LABEL_KEY] = "tls13 quic key",
	[LABEL_IV] = "tls13 quic iv",
	[LABEL_HP] = "tls13 quic hp",
	[LABEL_UPDATE] = "tls13 quic ku",
};
static const char *const labels_v2[LABEL_CNT] = {
	[LABEL_KEY] = "tls13 quicv2 key",
	[LABEL_IV] = "tls13 quicv2 iv",
	[LABEL_HP] = "tls13 quicv2 hp",
	[LABEL_UPDATE] = "tls13 quicv2 ku",
};

/* Limits: RFC 9001 section 6.6.  ChaCha20-Poly1305 outlasts the packet numbers. */
static const struct suite suites[] = {
	{
		.index = SUITE_AES_128_GCM,
		.number = QX_AES_128_GCM_SHA256,
		.key_bytes = 16,
		.secret_bytes = 32,
		.hp_kind = HP_AES,
		.aead = "AES-128-GCM",
		.hp = "AES-128-ECB",
		.digest = "SHA256",
		.seal_limit = UINT64_C(1) << 23,
		.open_limit = UINT64_C(1) << 52,
	},
	{
		.index = SUITE_AES_256_GCM,
		.number = QX_AES_256_GCM_SHA384,
		.key_bytes = 32,
		.secret_bytes = 48,
		.hp_kind = HP_AES,
		.aead = "AES-256-GCM",
		.hp = "AES-256-ECB",
		.digest = "SHA384",
		.seal_limit = UINT64_C(1) << 23,
		.open_limit = UINT64_C(1) << 52,
	},
	{
		.index = SUITE_CHACHA20_POLY1305,
		.number = QX_CHACHA20_POLY1305_SHA256,
		.key_bytes = 32,
		.secret_bytes = 32,
		.hp_kind = HP_CHACHA20,
		.aead = "ChaCha20-Poly1305",
		.hp = "ChaCha20",
		.digest = "SHA256",
		.seal_limit = UINT64_C(1) << 62,
		.open_limit = UINT64_C(1) << 36,
	},
#ifdef QX_FUZZING
	{
		.index = SUITE_NULL,
		.number = QX_NULL_CIPHER,
		.secret_bytes = 32,
		.hp_kind = HP_NONE,
		.digest = "SHA256",
		.seal_limit = UINT64_C(1) << 62,
		.open_limit = UINT64_C(1) << 62,
	},
#endif
};

const struct suite *suite_find(uint32_t number)
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (suites[i].number == number)
			return &suites[i];
	return NULL;
}

bool suite_knows_version(uint32_t version)
{
	return version == VERSION_1 || version == VERSION_2;
}

/* HKDF-Expand-Label with an empty context (RFC 8446 section 7.1). */
static int expand_label(const struct protect_half *h, enum label which, uint8_t *out,
			uint32_t out_bytes)
{
	const char *label = (h->version == VERSION_2 ? labels_v2 : labels_v1)[which];
	const size_t label_bytes = strlen(label);
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	uint8_t info[32] = {0, (uint8_t)out_bytes, (uint8_t)label_bytes};
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						 (char *)(uintptr_t)h->suite->digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
						  (uint8_t *)(uintptr_t)h->secret,
						  h->suite->secret_bytes),
		/* Two bytes of length, the label behind its length, an empty context: the
		 * label's terminating zero. */
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info,
						  3 + label_bytes + 1),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF_CTX *ctx = NULL;
	EVP_KDF *kdf;
	int err = -EIO;

	assert(3 + label_bytes + 1 <= sizeof(info) && out_bytes < 256);
	memcpy(info + 3, label, label_bytes + 1);
	kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	if (!kdf)
		return -EIO;
	ctx = EVP_KDF_CTX_new(kdf);
	if (!ctx)
		err = -ENOMEM;
	else if (EVP_KDF_derive(ctx, out, out_bytes, params) == 1)
		err = 0;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return err;
}

int hp_open(struct protect_half *h)
{
	uint8_t key[PROTECT_KEY_MAX_BYTES];
	int err;

	if (h->suite->hp_kind == HP_NONE)
		return 0;
	err = expand_label(h, LABEL_HP, key, h->suite->key_bytes);
	/* The mask is an encryption in both directions. */
	if (err == 0)
		err = cipher_open(&h->hp, h->suite->hp, key, true);
	if (err == 0)
		EVP_CIPHER_CTX_set_padding(h->hp, 0);
	OPENSSL_cleanse(key, sizeof(key));
	return err;
}

int generation_open(struct generation *g, const struct protect_half *h)
{
	struct generation made = {.ready = true};
	uint8_t key[PROTECT_KEY_MAX_BYTES];
	int err = expand_label(h, LABEL_IV, made.iv, sizeof(made.iv));

	if (err == 0 && h->suite->aead) {
		err = expand_label(h, LABEL_KEY, key, h->suite->key_bytes);
		if (err == 0)
			err = aead_open(&made.aead, h->suite, key, h->sending);
		OPENSSL_cleanse(key, sizeof(key));
	}
	if (err == 0)
		*g = made;
	return err;
}

int generation_advance(struct generation *g, struct protect_half *h)
{
	uint8_t before[PROTECT_SECRET_MAX_BYTES], after[PROTECT_SECRET_MAX_BYTES];
	int err;

	ERR_set_mark();
	memcpy(before, h->secret, sizeof(before));
	err = expand_label(h, LABEL_UPDATE, after, h->suite->secret_bytes);
	if (err == 0) {
		memcpy(h->secret, after, h->suite->secret_bytes);
		err = generation_open(g, h);
		if (err < 0)
			memcpy(h->secret, before, sizeof(before));
	}
	OPENSSL_cleanse(before, sizeof(before));
	OPENSSL_cleanse(after, sizeof(after));
	ERR_pop_to_mark();
	return err;
}

void generation_close(struct generation *g)
{
	aead_close(&g->aead);
	OPENSSL_cleanse(g, sizeof(*g));
}
