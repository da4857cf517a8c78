/* protect.c: sealing and opening packets, and which keys for which packet. */
#include "protect_keys.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "varint.h"

enum {
	SHORT_HEADER_MASK = 0x1f, /* RFC 9001 section 5.4.1 */
	LONG_HEADER_MASK = 0x0f,
	KEY_PHASE_BIT = 0x04,
	/* The sample begins where the packet number would end if it had its full length
	 * (section 5.4.2). */
	SAMPLE_OFF = 4,
	HP_MASK_BYTES = 5
};

int protect_open(struct protect_half **out, uint32_t cipher_suite, uint32_t version,
		 bool one_rtt, bool sending, const uint8_t *secret, uint32_t len_bytes)
{
	const struct suite *suite = suite_find(cipher_suite);
	struct protect_half *h;
	int err;

	if (!suite || len_bytes != suite->secret_bytes || !suite_knows_version(version))
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->suite = suite;
	h->version = version;
	h->one_rtt = one_rtt;
	h->sending = sending;
	h->first_pn = PROTECT_NO_PN;
	h->last_pn = PROTECT_NO_PN;
	h->older_last_pn = PROTECT_NO_PN;
	memcpy(h->secret, secret, len_bytes);

	ERR_set_mark();
	err = hp_open(h);
	if (err == 0)
		err = generation_open(&h->now, h);
	if (err == 0 && one_rtt && !sending)
		err = generation_advance(&h->next, h);
	ERR_pop_to_mark();
	if (err < 0)
		protect_close(h);
	else
		*out = h;
	return err;
}

void protect_close(struct protect_half *h)
{
	if (!h)
		return;
	generation_close(&h->now);
	generation_close(&h->next);
	generation_close(&h->after);
	generation_close(&h->old);
	EVP_CIPHER_CTX_free(h->hp);
	OPENSSL_cleanse(h, sizeof(*h));
	free(h);
}

static void make_nonce(const struct generation *g, uint64_t pn, uint8_t *nonce)
{
	uint64_t low_be;

	memcpy(nonce, g->iv, PROTECT_IV_BYTES);
	memcpy(&low_be, nonce + PROTECT_IV_BYTES - sizeof(low_be), sizeof(low_be));
	low_be ^= htobe64(pn);
	memcpy(nonce + PROTECT_IV_BYTES - sizeof(low_be), &low_be, sizeof(low_be));
}

/* The first five bytes that the header is masked with (RFC 9001 section 5.4). */
static bool hp_mask(struct protect_half *h, const uint8_t *sample, uint8_t *mask)
{
	static const uint8_t zeros[HP_MASK_BYTES];
	int n;

	switch (h->suite->hp_kind) {
	case HP_AES:
		return EVP_EncryptUpdate(h->hp, mask, &n, sample, PROTECT_SAMPLE_BYTES) == 1;
	case HP_CHACHA20:
		/* libcrypto's ChaCha20 takes counter and nonce as one 16-byte IV. */
		return EVP_EncryptInit_ex2(h->hp, NULL, NULL, sample, NULL) == 1 &&
		       EVP_EncryptUpdate(h->hp, mask, &n, zeros, HP_MASK_BYTES) == 1;
	case HP_NONE:
		break;
	}
	memset(mask, 0, HP_MASK_BYTES);
	return true;
}

static uint8_t first_byte_mask(const struct protect_half *h)
{
	return h->one_rtt ? SHORT_HEADER_MASK : LONG_HEADER_MASK;
}

/* The null cipher's: it tells generations of keys apart, as a real tag does, and nothing
 * else. */
static void null_tag(const struct generation *g, uint8_t *tag)
{
	memset(tag, 0, PROTECT_TAG_BYTES);
	memcpy(tag, g->iv, PROTECT_IV_BYTES);
}

static bool seal(const struct generation *g, uint8_t *packet, uint32_t header_len_bytes,
		 uint32_t payload_len_bytes, uint64_t pn)
{
	uint8_t nonce[PROTECT_IV_BYTES];

	if (!g->aead.ctx) {
		null_tag(g, packet + header_len_bytes + payload_len_bytes);
		return true;
	}
	make_nonce(g, pn, nonce);
	return aead_seal(&g->aead, nonce, packet, header_len_bytes, payload_len_bytes);
}

static bool unseal(const struct generation *g, uint8_t *packet, uint32_t header_len_bytes,
		   uint32_t payload_len_bytes, uint64_t pn)
{
	uint8_t nonce[PROTECT_IV_BYTES], expected[PROTECT_TAG_BYTES];

	if (!g->aead.ctx) {
		null_tag(g, expected);
		return memcmp(packet + header_len_bytes + payload_len_bytes, expected,
			      sizeof(expected)) == 0;
	}
	make_nonce(g, pn, nonce);
	return aead_unseal(&g->aead, nonce, packet, header_len_bytes, payload_len_bytes);
}

int protect_seal(struct protect_half *h, uint8_t *packet, uint32_t header_len_bytes,
		 uint32_t pn_len_bytes, uint32_t payload_len_bytes, uint64_t pn)
{
	uint8_t mask[PROTECT_SAMPLE_BYTES];
	uint8_t *pn_at;

	/* A number that was sealed before would repeat a nonce, which gives away the
	 * plaintexts and the authentication key: refused here, whatever the callers do. */
	if (pn < h->next_pn || pn > QX_VARINT_MAX || pn_len_bytes - 1 > 3 ||
	    header_len_bytes <= pn_len_bytes || pn_len_bytes + payload_len_bytes < SAMPLE_OFF)
		return -EINVAL;
	if (h->sealed_cnt >= h->suite->seal_limit)
		return -EKEYEXPIRED;
	h->next_pn = pn + 1;
	h->sealed_cnt++;
	pn_at = packet + header_len_bytes - pn_len_bytes;
	if (!seal(&h->now, packet, header_len_bytes, payload_len_bytes, pn) ||
	    !hp_mask(h, pn_at + SAMPLE_OFF, mask))
		return -EIO;
	packet[0] ^= mask[0] & first_byte_mask(h);
	for (uint32_t i = 0; i < pn_len_bytes; i++)
		pn_at[i] ^= mask[1 + i];
	return (int)(header_len_bytes + payload_len_bytes + PROTECT_TAG_BYTES);
}

uint64_t decode_pn(uint64_t expected_pn, uint64_t truncated, uint32_t pn_len_bytes)
{
	const uint64_t window = UINT64_C(1) << 8 * pn_len_bytes;
	const uint64_t candidate = (expected_pn & ~(window - 1)) | truncated;

	if (candidate + window / 2 <= expected_pn && candidate <= QX_VARINT_MAX - window)
		return candidate + window;
	if (candidate > expected_pn + window / 2 && candidate >= window)
		return candidate - window;
	return candidate;
}

/* RFC 9001 section 6.5: with the other phase bit, a number below the first of the current
 * phase belongs to the keys before it, and one above to the keys after it.  As the next
 * keys stand ready, a forged phase bit costs what any forged packet does. */
static struct generation *keys_for(struct protect_half *h, uint32_t phase, uint64_t pn)
{
	if (!h->one_rtt || phase == h->phase)
		return &h->now;
	if (h->old.ready && pn < h->first_pn)
		return &h->old;
	/* Missing only after memory ran out during an update. */
	if (!h->next.ready && generation_advance(&h->next, h) < 0)
		return NULL;
	return &h->next;
}

static void raise_to(uint64_t *largest, uint64_t pn)
{
	if (*largest == PROTECT_NO_PN || pn > *largest)
		*largest = pn;
}

/* Everything behind the tag's verification: only now may the phase be believed. */
static int accept_packet(struct protect_half *h, const struct generation *g, uint64_t pn,
			 struct protect_opened *out)
{
	out->pn = pn;
	out->old_phase = g == &h->old;
	out->updated = g == &h->next || g == &h->after;
	if (out->old_phase) {
		raise_to(&h->older_last_pn, pn);
		return 0;
	}
	if (out->updated) {
		if (h->last_pn != PROTECT_NO_PN && pn <= h->last_pn)
			return -EPROTO;
		if (g == &h->after)
			protect_update(h); /* to keys that the peer never used */
		protect_update(h);
	} else if (h->older_last_pn != PROTECT_NO_PN && pn <= h->older_last_pn) {
		return -EPROTO;
	}
	if (pn < h->first_pn)
		h->first_pn = pn; /* PROTECT_NO_PN is above all */
	raise_to(&h->last_pn, pn);
	return 0;
}

/* What g did not open may be of the generation that protect_expect_skip is about. */
static bool opens_after(struct protect_half *h, struct generation *g, uint8_t *packet,
			const struct protect_opened *o, uint64_t pn)
{
	const uint32_t phase = (packet[0] & KEY_PHASE_BIT) != 0;

	if (!h->after.ready)
		return false;
	/* Both AEADs xor with a key stream: once more, and the packet is as it was. */
	(void)unseal(g, packet, o->header_len_bytes, o->payload_len_bytes, pn);
	return unseal(&h->after, packet, o->header_len_bytes, o->payload_len_bytes, pn) &&
	       phase == h->phase;
}

int protect_open_packet(struct protect_half *h, uint8_t *packet, uint32_t len_bytes,
			uint32_t pn_off_bytes, uint64_t expected_pn,
			struct protect_opened *out)
{
	uint8_t mask[PROTECT_SAMPLE_BYTES];
	uint32_t pn_len_bytes;
	struct generation *g;
	uint64_t pn = 0;
	uint8_t *pn_at;

	if (pn_off_bytes == 0 || len_bytes < pn_off_bytes ||
	    len_bytes - pn_off_bytes < SAMPLE_OFF + PROTECT_SAMPLE_BYTES)
		return -EINVAL;
	if (h->failed_cnt >= h->suite->open_limit)
		return -EKEYEXPIRED;
	pn_at = packet + pn_off_bytes;
	if (!hp_mask(h, pn_at + SAMPLE_OFF, mask))
		return -EBADMSG;
	packet[0] ^= mask[0] & first_byte_mask(h);
	pn_len_bytes = (packet[0] & 3u) + 1;
	for (uint32_t i = 0; i < pn_len_bytes; i++) {
		pn_at[i] ^= mask[1 + i];
		pn = pn << 8 | pn_at[i];
	}
	pn = decode_pn(expected_pn, pn, pn_len_bytes);
	out->header_len_bytes = pn_off_bytes + pn_len_bytes;
	out->payload_len_bytes = len_bytes - out->header_len_bytes - PROTECT_TAG_BYTES;
	g = keys_for(h, (packet[0] & KEY_PHASE_BIT) != 0, pn);
	if (g && pn <= QX_VARINT_MAX) {
		if (unseal(g, packet, out->header_len_bytes, out->payload_len_bytes, pn))
			return accept_packet(h, g, pn, out);
		if (opens_after(h, g, packet, out, pn))
			return accept_packet(h, &h->after, pn, out);
	}
	h->failed_cnt++;
	return -EBADMSG;
}

int protect_update(struct protect_half *h)
{
	int err;

	if (!h->one_rtt)
		return -EINVAL;
	if (!h->next.ready && (err = generation_advance(&h->next, h)) < 0)
		return err;
	generation_close(&h->old);
	if (h->sending)
		generation_close(&h->now);
	else
		h->old = h->now;
	h->now = h->next;
	h->next = h->after;
	h->after = (struct generation){.ready = false};
	h->phase ^= 1;
	h->sealed_cnt = 0;
	if (h->last_pn != PROTECT_NO_PN)
		raise_to(&h->older_last_pn, h->last_pn);
	h->first_pn = PROTECT_NO_PN;
	h->last_pn = PROTECT_NO_PN;
	/* If that fails, keys_for tries again when they are needed. */
	if (!h->sending && !h->next.ready)
		(void)generation_advance(&h->next, h);
	return 0;
}

void protect_expect_skip(struct protect_half *h)
{
	/* In this order, because a half remembers the secret of its newest keys alone. */
	if (h->next.ready && !h->after.ready)
		(void)generation_advance(&h->after, h);
}

void protect_drop_old(struct protect_half *h)
{
	generation_close(&h->old);
}

uint32_t protect_phase(const struct protect_half *h)
{
	return h->phase;
}

uint64_t protect_sealed_cnt(const struct protect_half *h)
{
	return h->sealed_cnt;
}

uint64_t protect_seal_limit(const struct protect_half *h)
{
	return h->suite->seal_limit;
}
