/* first_packet.c: see first_packet.h. */
#include "first_packet.h"

#include "quicxdp_engine.h"
#include "varint.h"

enum {
	VERSION_OFF = 1,
	DCID_LEN_OFF = 5,
	/* The shortest payload that header protection can take its sample of (RFC 9001
	 * section 5.4.2): number and ciphertext of four bytes, and a tag. */
	PAYLOAD_MIN_BYTES = 20
};

static const uint8_t *read_cid(struct reader *r, uint8_t *len_bytes)
{
	const uint8_t *len = read_bytes(r, 1);

	if (!len || *len > QX_CID_MAX_BYTES)
		return NULL;
	*len_bytes = *len;
	return read_bytes(r, *len);
}

bool first_packet_invariants(struct first_packet *p, const uint8_t *data, uint32_t len_bytes)
{
	struct reader r = {.at = data + DCID_LEN_OFF, .end = data + len_bytes};

	*p = (struct first_packet){0};
	if (len_bytes < DCID_LEN_OFF || !(data[0] & LONG_HEADER_BIT))
		return false;
	p->first = data[0];
	p->version = load_be32(data + VERSION_OFF);
	p->dcid = read_cid(&r, &p->dcid_len_bytes);
	p->scid = p->dcid ? read_cid(&r, &p->scid_len_bytes) : NULL;
	return p->scid != NULL;
}

/* RFC 9000 section 17.2, RFC 9369 section 3.2: the types have other numbers in version 2. */
bool first_packet_is_initial(const struct first_packet *p)
{
	const uint8_t type = p->first >> 4 & 3;

	return type == (p->version == VERSION_2 ? 1 : 0);
}

bool first_packet_token(struct first_packet *p, const uint8_t *data, uint32_t len_bytes)
{
	struct reader r = {.at = p->scid + p->scid_len_bytes, .end = data + len_bytes};
	const uint64_t token_len_bytes = read_varint(&r);
	uint64_t payload_bytes;

	p->token = read_bytes(&r, token_len_bytes);
	if (!p->token)
		return false;
	p->token_len_bytes = (uint32_t)token_len_bytes;
	payload_bytes = read_varint(&r);
	return !r.failed && payload_bytes >= PAYLOAD_MIN_BYTES &&
	       payload_bytes <= reader_left(&r);
}
