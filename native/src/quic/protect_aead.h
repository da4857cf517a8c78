/* protect_aead.h: sealing and opening with one key, many times over; libcrypto's AEADs.
 *
 * One thread at a time for each; opening them is for any. */
#ifndef QX_PROTECT_AEAD_H
#define QX_PROTECT_AEAD_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "protect.h"

enum {
	PROTECT_IV_BYTES = 12
};

struct suite;

struct aead {
	EVP_CIPHER_CTX *ctx; /* holds the key; NULL with the null cipher */
	bool is_method;      /* ctx runs libcrypto's cipher itself, not a provider's */
};

/* aead_open keys it.  -ENOMEM, -EIO: libcrypto failed. */
int aead_open(struct aead *a, const struct suite *suite, const uint8_t *key, bool sealing);
void aead_close(struct aead *a); /* clears the key */

/* aead_seal encrypts the payload in place and writes the tag behind it.  Returns whether
 * libcrypto did. */
bool aead_seal(const struct aead *a, const uint8_t *nonce, uint8_t *packet,
	       uint32_t header_len_bytes, uint32_t payload_len_bytes);
/* aead_unseal decrypts it; false: not authentic, and then the payload is undefined, but the
 * tag behind it as it was. */
bool aead_unseal(const struct aead *a, const uint8_t *nonce, uint8_t *packet,
		 uint32_t header_len_bytes, uint32_t payload_len_bytes);

/* cipher_open makes a keyed context of a cipher by libcrypto's name.  -ENOMEM, -EIO. */
int cipher_open(EVP_CIPHER_CTX **out, const char *name, const uint8_t *key, bool encrypting);

#endif
