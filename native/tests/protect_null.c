/* protect_null.c: protect.h without protection, for programs that are linked without libcrypto:
 * those for Windows, made where no libcrypto for Windows is at hand.
 *
 * Nothing is encrypted, headers neither, and the tag says only which secret it was made with:
 * a packet of another connection is refused, and so is one whose bytes were cut off.  Packet
 * numbers go through the same rules as in protect.c.  There is one generation of keys. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protect.h"

enum {
	PN_MAX_BYTES = 4
};

struct protect_half {
	uint8_t tag[PROTECT_TAG_BYTES];
	uint64_t next_pn;
	uint64_t sealed_cnt;
};

int protect_open(struct protect_half **out, uint32_t cipher_suite, uint32_t version,
		 bool one_rtt, bool sending, const uint8_t *secret, uint32_t len_bytes)
{
	struct protect_half *h;

	(void)cipher_suite;
	(void)version;
	(void)one_rtt;
	(void)sending;
	if (len_bytes < PROTECT_TAG_BYTES)
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	memcpy(h->tag, secret, sizeof(h->tag));
	*out = h;
	return 0;
}

void protect_close(struct protect_half *h)
{
	free(h);
}

int protect_seal(struct protect_half *h, uint8_t *packet, uint32_t header_len_bytes,
		 uint32_t pn_len_bytes, uint32_t payload_len_bytes, uint64_t pn)
{
	if (pn < h->next_pn || pn_len_bytes - 1 >= PN_MAX_BYTES ||
	    header_len_bytes <= pn_len_bytes ||
	    pn_len_bytes + payload_len_bytes < PN_MAX_BYTES)
		return -EINVAL;
	h->next_pn = pn + 1;
	h->sealed_cnt++;
	memcpy(packet + header_len_bytes + payload_len_bytes, h->tag, sizeof(h->tag));
	return (int)(header_len_bytes + payload_len_bytes + PROTECT_TAG_BYTES);
}

/* RFC 9000 appendix A.3. */
static uint64_t whole_pn(uint64_t expected_pn, uint64_t truncated, uint32_t pn_len_bytes)
{
	const uint64_t window = UINT64_C(1) << 8 * pn_len_bytes;
	const uint64_t pn = (expected_pn & ~(window - 1)) | truncated;

	if (pn + window / 2 <= expected_pn)
		return pn + window;
	return pn > expected_pn + window / 2 && pn >= window ? pn - window : pn;
}

int protect_open_packet(struct protect_half *h, uint8_t *packet, uint32_t len_bytes,
			uint32_t pn_off_bytes, uint64_t expected_pn,
			struct protect_opened *out)
{
	uint32_t pn_len_bytes = (packet[0] & 3u) + 1;
	uint64_t truncated = 0;

	if (pn_off_bytes == 0 || len_bytes < pn_off_bytes ||
	    len_bytes - pn_off_bytes < PN_MAX_BYTES + PROTECT_SAMPLE_BYTES)
		return -EINVAL;
	if (memcmp(packet + len_bytes - PROTECT_TAG_BYTES, h->tag, sizeof(h->tag)) != 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < pn_len_bytes; i++)
		truncated = truncated << 8 | packet[pn_off_bytes + i];
	*out = (struct protect_opened){
		.pn = whole_pn(expected_pn, truncated, pn_len_bytes),
		.header_len_bytes = pn_off_bytes + pn_len_bytes,
		.payload_len_bytes =
			len_bytes - pn_off_bytes - pn_len_bytes - PROTECT_TAG_BYTES,
	};
	return 0;
}

int protect_update(struct protect_half *h)
{
	(void)h;
	return -EINVAL;
}

void protect_drop_old(struct protect_half *h)
{
	(void)h;
}

/* There is one generation of keys: nothing to skip. */
void protect_expect_skip(struct protect_half *h)
{
	(void)h;
}

uint32_t protect_phase(const struct protect_half *h)
{
	(void)h;
	return 0;
}

uint64_t protect_sealed_cnt(const struct protect_half *h)
{
	return h->sealed_cnt;
}

uint64_t protect_seal_limit(const struct protect_half *h)
{
	(void)h;
	return UINT64_MAX;
}
