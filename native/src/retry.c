/* retry.c: see retry.h.
 *
 * As in protect_keys.c, what libcrypto leaves in the thread's error queue is taken back. */
#include "retry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "os.h"
#include "protect_keys.h"
#include "varint.h"

enum {
	NONCE_BYTES = PROTECT_IV_BYTES,
	NUMBER_OFF = 4, /* of a nonce of ours; zeros stand before it */
	TAG_BYTES = PROTECT_TAG_BYTES,
	PLAIN_MAX_BYTES = 1 + 18 + 1 + QX_CID_MAX_BYTES + 1 + RETRY_CID_BYTES + 8,
	TOKEN_MAX_BYTES = NONCE_BYTES + PLAIN_MAX_BYTES + TAG_BYTES,
	HEADER_MAX_BYTES = 1 + 4 + 1 + QX_CID_MAX_BYTES + 1 + QX_CID_MAX_BYTES,
	NS_PER_MS = 1000000,
	BITS = 64,
	RETRY_TYPE_V1 = 3,
	RETRY_TYPE_V2 = 0
};

_Static_assert(HEADER_MAX_BYTES + TOKEN_MAX_BYTES + TAG_BYTES <= QX_ANSWER_MAX_BYTES,
	       "a Retry packet fits");
_Static_assert(HEADER_MAX_BYTES + 4 * QX_VERSIONS_MAX <= QX_ANSWER_MAX_BYTES,
	       "a Version Negotiation packet fits");

/* RFC 9001 section 5.8, RFC 9369 section 3.3.3: public, they only tell Retry packets from
 * noise. */
static const uint8_t tag_key_v1[16] = {0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a,
				       0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e};
static const uint8_t tag_nonce_v1[NONCE_BYTES] = {0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63,
						  0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb};
static const uint8_t tag_key_v2[16] = {0x8f, 0xb4, 0xb0, 0x1b, 0x56, 0xac, 0x48, 0xe2,
				       0x60, 0xfb, 0xcb, 0xce, 0xad, 0x7c, 0xcc, 0x92};
static const uint8_t tag_nonce_v2[NONCE_BYTES] = {0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c,
						  0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a};

/* ---- Life ---- */

int retry_open(struct retry *r, const uint8_t key[QX_RETRY_KEY_BYTES], uint64_t lifetime_ns)
{
	const struct suite *suite = suite_find(QX_AES_128_GCM_SHA256);
	int err;

	*r = (struct retry){.lifetime_ms = lifetime_ns / NS_PER_MS};
	r->used = calloc(RETRY_WINDOW_CNT / BITS, sizeof(*r->used));
	if (!r->used)
		return -ENOMEM;
	ERR_set_mark();
	err = aead_open(&r->seal, suite, key, true);
	if (err == 0)
		err = aead_open(&r->open, suite, key, false);
	if (err == 0)
		err = aead_open(&r->tag1, suite, tag_key_v1, true);
	if (err == 0)
		err = aead_open(&r->tag2, suite, tag_key_v2, true);
	ERR_pop_to_mark();
	if (err < 0)
		retry_close(r);
	return err;
}

void retry_close(struct retry *r)
{
	aead_close(&r->seal);
	aead_close(&r->open);
	aead_close(&r->tag1);
	aead_close(&r->tag2);
	free(r->used);
	*r = (struct retry){0};
}

/* ---- Which tokens were used ---- */

static uint64_t number_of(const uint8_t *token)
{
	return load_be64(token + NUMBER_OFF);
}

static bool is_used(const struct retry *r, uint64_t number)
{
	const uint64_t at = number % RETRY_WINDOW_CNT;

	return r->used[at / BITS] >> at % BITS & 1;
}

static void set_used(struct retry *r, uint64_t number, bool used)
{
	const uint64_t at = number % RETRY_WINDOW_CNT, bit = UINT64_C(1) << at % BITS;

	if (used)
		r->used[at / BITS] |= bit;
	else
		r->used[at / BITS] &= ~bit;
}

static bool in_window(const struct retry *r, uint64_t number)
{
	return number < r->next_number && r->next_number - number <= RETRY_WINDOW_CNT;
}

void retry_use(struct retry *r, const uint8_t *token, uint32_t len_bytes)
{
	if (len_bytes > NONCE_BYTES && in_window(r, number_of(token)))
		set_used(r, number_of(token), true);
}

/* ---- Tokens ---- */

static uint8_t *put(uint8_t *to, const void *from, uint32_t len_bytes)
{
	*to++ = (uint8_t)len_bytes;
	if (len_bytes > 0)
		memcpy(to, from, len_bytes);
	return to + len_bytes;
}

static uint32_t address_bytes(const struct qx_addr *peer, uint8_t out[18])
{
	const uint32_t ip_bytes = peer->family == QX_IPV4 ? 4 : 16;

	memcpy(out, peer->ip, ip_bytes);
	out[ip_bytes] = (uint8_t)(peer->port >> 8);
	out[ip_bytes + 1] = (uint8_t)peer->port;
	return ip_bytes + 2;
}

/* token_write returns the token's length, 0 if libcrypto fails. */
static uint32_t token_write(struct retry *r, uint8_t *token, const struct first_packet *p,
			    const struct qx_addr *peer, const uint8_t *retry_cid,
			    uint64_t now_ns)
{
	uint8_t address[18], *plain = token + NONCE_BYTES, *end;

	memset(token, 0, NUMBER_OFF);
	store_be64(token + NUMBER_OFF, r->next_number);
	set_used(r, r->next_number++, false);
	end = put(plain, address, address_bytes(peer, address));
	end = put(end, p->dcid, p->dcid_len_bytes);
	end = put(end, retry_cid, RETRY_CID_BYTES);
	store_be64(end, now_ns / NS_PER_MS);
	end += 8;
	if (!aead_seal(&r->seal, token, plain, 0, (uint32_t)(end - plain)))
		return 0;
	return (uint32_t)(end + TAG_BYTES - token);
}

/* Reads what was put; false if it is not exactly this. */
static bool is_next(struct reader *in, const void *want, uint32_t len_bytes)
{
	const uint8_t *len = read_bytes(in, 1), *got = len ? read_bytes(in, *len) : NULL;

	return got && *len == len_bytes && memcmp(got, want, len_bytes) == 0;
}

static enum retry_token token_check(const struct retry *r, const uint8_t *plain,
				    uint32_t len_bytes, const struct first_packet *p,
				    const struct qx_addr *peer, uint64_t now_ns)
{
	struct reader in = {.at = plain, .end = plain + len_bytes};
	uint8_t address[18];
	const bool same_address = is_next(&in, address, address_bytes(peer, address));
	const uint8_t *len = read_bytes(&in, 1);
	const uint8_t *first_cid = len ? read_bytes(&in, *len) : NULL;
	const uint8_t *issued;

	/* Clients send to the Retry's source connection ID (RFC 9000 section 17.2.5.2). */
	if (!same_address || !first_cid || !is_next(&in, p->dcid, p->dcid_len_bytes))
		return RETRY_TOKEN_ADDRESS;
	issued = read_bytes(&in, 8);
	if (!issued || now_ns / NS_PER_MS - load_be64(issued) > r->lifetime_ms ||
	    !in_window(r, number_of(p->token)))
		return RETRY_TOKEN_EXPIRED;
	return is_used(r, number_of(p->token)) ? RETRY_TOKEN_REPLAYED : RETRY_TOKEN_VALID;
}

enum retry_token retry_check(struct retry *r, const struct first_packet *p,
			     const struct qx_addr *peer, uint64_t now_ns)
{
	uint8_t text[TOKEN_MAX_BYTES];
	uint32_t plain_bytes;
	bool ours;

	if (p->token_len_bytes <= NONCE_BYTES + TAG_BYTES ||
	    p->token_len_bytes > sizeof(text))
		return RETRY_TOKEN_FOREIGN;
	memcpy(text, p->token, p->token_len_bytes);
	plain_bytes = p->token_len_bytes - NONCE_BYTES - TAG_BYTES;
	ERR_set_mark();
	ours = aead_unseal(&r->open, text, text + NONCE_BYTES, 0, plain_bytes);
	ERR_pop_to_mark();
	if (!ours)
		return RETRY_TOKEN_FOREIGN;
	return token_check(r, text + NONCE_BYTES, plain_bytes, p, peer, now_ns);
}

/* ---- Packets ---- */

static uint8_t *header(uint8_t *out, uint8_t first, uint32_t version, const uint8_t *dcid,
		       uint32_t dcid_len_bytes, const uint8_t *scid, uint32_t scid_len_bytes)
{
	out[0] = first;
	store_be32(out + 1, version);
	return put(put(out + 5, dcid, dcid_len_bytes), scid, scid_len_bytes);
}

/* The tag covers the client's first destination connection ID and then the packet. */
static bool integrity_tag(struct retry *r, const struct first_packet *p,
			  const uint8_t *packet, uint32_t len_bytes, uint8_t *tag)
{
	const bool v2 = p->version == VERSION_2;
	uint8_t text[1 + QX_CID_MAX_BYTES + QX_ANSWER_MAX_BYTES];
	uint8_t *at = put(text, p->dcid, p->dcid_len_bytes), *end = at + len_bytes;

	memcpy(at, packet, len_bytes);
	if (!aead_seal(v2 ? &r->tag2 : &r->tag1, v2 ? tag_nonce_v2 : tag_nonce_v1, text,
		       (uint32_t)(end - text), 0))
		return false;
	memcpy(tag, end, TAG_BYTES);
	return true;
}

static const uint8_t *new_cid(struct retry *r)
{
	if (r->entropy_bytes < RETRY_CID_BYTES) {
		if (!os_random(r->entropy, sizeof(r->entropy)))
			return NULL;
		r->entropy_bytes = sizeof(r->entropy);
	}
	r->entropy_bytes -= RETRY_CID_BYTES;
	return r->entropy + r->entropy_bytes;
}

uint32_t retry_packet(struct retry *r, const struct first_packet *p,
		      const struct qx_addr *peer, uint64_t now_ns,
		      uint8_t out[QX_ANSWER_MAX_BYTES])
{
	const uint8_t type = p->version == VERSION_2 ? RETRY_TYPE_V2 : RETRY_TYPE_V1;
	const uint8_t *cid = new_cid(r);
	uint32_t token_bytes = 0, len_bytes = 0;
	uint8_t *token;

	if (!cid)
		return 0;
	ERR_set_mark();
	token = header(out, (uint8_t)(LONG_HEADER_BIT | FIXED_BIT | type << 4), p->version,
		       p->scid, p->scid_len_bytes, cid, RETRY_CID_BYTES);
	token_bytes = token_write(r, token, p, peer, cid, now_ns);
	len_bytes = (uint32_t)(token - out) + token_bytes;
	if (token_bytes == 0 || !integrity_tag(r, p, out, len_bytes, out + len_bytes))
		len_bytes = 0;
	ERR_pop_to_mark();
	return len_bytes > 0 ? len_bytes + TAG_BYTES : 0;
}

uint32_t version_packet(const struct first_packet *p, const uint32_t *versions,
			uint32_t version_cnt, uint8_t out[QX_ANSWER_MAX_BYTES])
{
	/* What stands beside the first bit is ours to choose, and 64 lets a demultiplexer
	 * tell it from other protocols (RFC 9000 section 17.2.1). */
	uint8_t *end = header(out, LONG_HEADER_BIT | FIXED_BIT, 0, p->scid, p->scid_len_bytes,
			      p->dcid, p->dcid_len_bytes);

	for (uint32_t i = 0; i < version_cnt; i++, end += 4)
		store_be32(end, versions[i]);
	return (uint32_t)(end - out);
}
