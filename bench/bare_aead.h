/* bare_aead.h: sealing and opening packets of engine_load's size by nothing but libcrypto,
 * with contexts that are kept, the quickest way that is known (protect_aead.c says which and
 * why): what the engine's encryption cannot be cheaper than. */
#ifndef BENCH_BARE_AEAD_H
#define BENCH_BARE_AEAD_H

#define OPENSSL_SUPPRESS_DEPRECATED /* of methods */
#include <openssl/evp.h>

#include "engine_costs.h"

enum {
	DATAGRAM_BYTES = 1350,
	CID_BYTES = 8,
	PN_BYTES = 2,
	HEADER_BYTES = 1 + CID_BYTES + PN_BYTES,
	TAG_BYTES = 16,
	SEALED_BYTES = DATAGRAM_BYTES - HEADER_BYTES - TAG_BYTES
};

static struct {
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *seal, *open;
	uint64_t number;
} aead;

static void must_crypto(int ok)
{
	if (ok != 1)
		die("libcrypto", EIO);
}

static EVP_CIPHER *quickest_cipher(void)
{
#if OPENSSL_VERSION_MAJOR == 3 && OPENSSL_VERSION_MINOR == 0
	if (OPENSSL_version_minor() == 0)
		return EVP_CIPHER_meth_dup(EVP_aes_128_gcm());
#endif
	return EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
}

static void open_aead(void)
{
	static const uint8_t key[16] = "a key of no use", iv[12];

	aead.cipher = quickest_cipher();
	aead.seal = EVP_CIPHER_CTX_new();
	aead.open = EVP_CIPHER_CTX_new();
	if (!aead.cipher || !aead.seal || !aead.open)
		die("libcrypto", ENOMEM);
	must_crypto(EVP_EncryptInit_ex2(aead.seal, aead.cipher, key, iv, NULL));
	must_crypto(EVP_DecryptInit_ex2(aead.open, aead.cipher, key, iv, NULL));
}

static void close_aead(void)
{
	EVP_CIPHER_CTX_free(aead.seal);
	EVP_CIPHER_CTX_free(aead.open);
	EVP_CIPHER_free(aead.cipher); /* no more than a note where it is a method */
}

static void seal_one(uint8_t *packet, uint64_t number)
{
	uint8_t iv[12] = {0}, *payload = packet + HEADER_BYTES;
	int n;

	memcpy(iv + 4, &number, sizeof number);
	must_crypto(EVP_EncryptInit_ex2(aead.seal, NULL, NULL, iv, NULL));
	must_crypto(EVP_EncryptUpdate(aead.seal, NULL, &n, packet, HEADER_BYTES));
	must_crypto(EVP_EncryptUpdate(aead.seal, payload, &n, payload, SEALED_BYTES));
	must_crypto(EVP_EncryptFinal_ex(aead.seal, payload + SEALED_BYTES, &n));
	must_crypto(EVP_CIPHER_CTX_ctrl(aead.seal, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES,
					payload + SEALED_BYTES));
}

static void open_one(uint8_t *packet, uint64_t number)
{
	uint8_t iv[12] = {0}, *payload = packet + HEADER_BYTES;
	int n;

	memcpy(iv + 4, &number, sizeof number);
	must_crypto(EVP_DecryptInit_ex2(aead.open, NULL, NULL, iv, NULL));
	must_crypto(EVP_CIPHER_CTX_ctrl(aead.open, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES,
					payload + SEALED_BYTES));
	must_crypto(EVP_DecryptUpdate(aead.open, NULL, &n, packet, HEADER_BYTES));
	must_crypto(EVP_DecryptUpdate(aead.open, payload, &n, payload, SEALED_BYTES));
	must_crypto(EVP_DecryptFinal_ex(aead.open, payload + SEALED_BYTES, &n));
}

/* round_of_aead seals `window` packets in buffer and opens them again. */
static void round_of_aead(uint8_t *buffer, uint32_t window)
{
	const uint64_t first = aead.number;

	lap_start();
	for (uint32_t i = 0; i < window; i++)
		seal_one(buffer + i * DATAGRAM_BYTES, first + i);
	lap(SEAL);
	for (uint32_t i = 0; i < window; i++)
		open_one(buffer + i * DATAGRAM_BYTES, first + i);
	lap(OPEN);
	aead.number += window;
}

#endif
