/* protect_aead.c: libcrypto's AEADs, the short way where there is one.
 *
 * Some facts about libcrypto 3: a cipher context keeps the provider's state with the
 * expanded key; setting only an IV afterwards allocates nothing.  A provider is asked for
 * everything by parameters with names, and 3.0 compares these one by one as strings: once to
 * learn how long an IV is whenever one is set, once for the tag.  That is a fifth of what a
 * packet costs.  The same cipher without a provider, as a method that libcrypto dispatches
 * to, has numbers for names: 110 ns less for a packet of 1200 bytes, sealing (534 -> 424) as
 * well as opening (543 -> 427; AMD EPYC with AVX2, OpenSSL 3.0.19).  Later versions look
 * names up quickly (3.5: 390 by the provider, 410 by the method), and a method can be had
 * from 3.x only, so this is for 3.0 alone.  docs/decisions/0010. */
#define OPENSSL_SUPPRESS_DEPRECATED /* of methods */
#include "protect_aead.h"

#include <errno.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/opensslv.h>
#include <openssl/params.h>

#include "protect_keys.h"

int cipher_open(EVP_CIPHER_CTX **out, const char *name, const uint8_t *key, bool encrypting)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
	EVP_CIPHER_CTX *ctx;
	int err = -EIO;

	if (!cipher)
		return -EIO;
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		err = -ENOMEM;
	else if (EVP_CipherInit_ex2(ctx, cipher, key, NULL, encrypting, NULL) == 1)
		err = 0;
	EVP_CIPHER_free(cipher);
	if (err == 0)
		*out = ctx;
	else
		EVP_CIPHER_CTX_free(ctx);
	return err;
}

/* ---- Methods ---- */

#if OPENSSL_VERSION_MAJOR == 3 && OPENSSL_VERSION_MINOR == 0 &&                              \
	!defined(OPENSSL_NO_DEPRECATED_3_0)

/* Contexts hold no reference to a method, so these live as long as the process. */
static EVP_CIPHER *methods[SUITE_CNT];
static CRYPTO_ONCE methods_once = CRYPTO_ONCE_STATIC_INIT;

static void make_methods(void)
{
	/* The library that is loaded may be a newer one; and where the administrator allows
	 * only ciphers with a certificate, only providers know which these are. */
	if (OPENSSL_version_major() != 3 || OPENSSL_version_minor() != 0 ||
	    EVP_default_properties_is_fips_enabled(NULL))
		return;
	methods[SUITE_AES_128_GCM] = EVP_CIPHER_meth_dup(EVP_aes_128_gcm());
	methods[SUITE_AES_256_GCM] = EVP_CIPHER_meth_dup(EVP_aes_256_gcm());
	methods[SUITE_CHACHA20_POLY1305] = EVP_CIPHER_meth_dup(EVP_chacha20_poly1305());
}

/* NULL: only providers have it. */
static const EVP_CIPHER *method_of(const struct suite *suite)
{
	return CRYPTO_THREAD_run_once(&methods_once, make_methods) == 1
		       ? methods[suite->index]
		       : NULL;
}

#else

static const EVP_CIPHER *method_of(const struct suite *suite)
{
	(void)suite;
	return NULL;
}

#endif

static int method_open(EVP_CIPHER_CTX **out, const EVP_CIPHER *method, const uint8_t *key,
		       bool sealing)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (!ctx)
		return -ENOMEM;
	if (EVP_CipherInit_ex(ctx, method, NULL, key, NULL, sealing) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		return -EIO;
	}
	*out = ctx;
	return 0;
}

/* ---- The two calls that differ: beginning a packet, and its tag ---- */

/* The tag is read and given as a parameter made on the spot: EVP_CIPHER_CTX_ctrl would make
 * the same one behind a switch (64 against 49 ns with OpenSSL 3.0). */
#define TAG_PARAMS(at)                                                                       \
	{OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (at),                 \
					   PROTECT_TAG_BYTES),                               \
	 OSSL_PARAM_construct_end()}

static bool begin(const struct aead *a, const uint8_t *nonce, uint8_t *expected_tag)
{
	if (a->is_method)
		return EVP_CipherInit_ex(a->ctx, NULL, NULL, NULL, nonce, -1) == 1 &&
		       (!expected_tag ||
			EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, PROTECT_TAG_BYTES,
					    expected_tag) == 1);
	if (expected_tag) {
		const OSSL_PARAM tag[] = TAG_PARAMS(expected_tag);

		return EVP_CipherInit_ex2(a->ctx, NULL, NULL, nonce, -1, tag) == 1;
	}
	return EVP_CipherInit_ex2(a->ctx, NULL, NULL, nonce, -1, NULL) == 1;
}

static bool get_tag(const struct aead *a, uint8_t *at)
{
	if (!a->is_method) {
		OSSL_PARAM tag[] = TAG_PARAMS(at);

		return EVP_CIPHER_CTX_get_params(a->ctx, tag) == 1;
	}
	return EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_GET_TAG, PROTECT_TAG_BYTES, at) == 1;
}

/* ---- Interface ---- */

int aead_open(struct aead *a, const struct suite *suite, const uint8_t *key, bool sealing)
{
	const EVP_CIPHER *method = method_of(suite);

	a->is_method = method && method_open(&a->ctx, method, key, sealing) == 0;
	return a->is_method ? 0 : cipher_open(&a->ctx, suite->aead, key, sealing);
}

void aead_close(struct aead *a)
{
	EVP_CIPHER_CTX_free(a->ctx); /* which clears the key */
	a->ctx = NULL;
}

bool aead_seal(const struct aead *a, const uint8_t *nonce, uint8_t *packet,
	       uint32_t header_len_bytes, uint32_t payload_len_bytes)
{
	uint8_t *payload = packet + header_len_bytes;
	int n;

	return begin(a, nonce, NULL) &&
	       EVP_EncryptUpdate(a->ctx, NULL, &n, packet, (int)header_len_bytes) == 1 &&
	       EVP_EncryptUpdate(a->ctx, payload, &n, payload, (int)payload_len_bytes) == 1 &&
	       EVP_EncryptFinal_ex(a->ctx, payload + payload_len_bytes, &n) == 1 &&
	       get_tag(a, payload + payload_len_bytes);
}

bool aead_unseal(const struct aead *a, const uint8_t *nonce, uint8_t *packet,
		 uint32_t header_len_bytes, uint32_t payload_len_bytes)
{
	uint8_t *payload = packet + header_len_bytes;
	int n;

	return begin(a, nonce, payload + payload_len_bytes) &&
	       EVP_DecryptUpdate(a->ctx, NULL, &n, packet, (int)header_len_bytes) == 1 &&
	       EVP_DecryptUpdate(a->ctx, payload, &n, payload, (int)payload_len_bytes) == 1 &&
	       EVP_DecryptFinal_ex(a->ctx, payload + payload_len_bytes, &n) == 1;
}
