/* varint.h: QUIC's variable-length integers (RFC 9000 section 16), and a bounded reader
 * over hostile bytes.
 *
 * A reader that runs out sets failed and from then on yields zeros; callers check once per
 * frame instead of once per field. */
#ifndef QX_VARINT_H
#define QX_VARINT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define QX_VARINT_MAX ((UINT64_C(1) << 62) - 1)

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

static inline uint32_t reader_left(const struct reader *r)
{
	return (uint32_t)(r->end - r->at);
}

/* Big-endian words at any address; every platform we build for is little-endian. */
static inline uint32_t load_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint64_t load_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint64_t read_varint(struct reader *r)
{
	uint32_t len;
	uint64_t v;

	if (r->at == r->end) {
		r->failed = true;
		return 0;
	}
	len = 1u << (*r->at >> 6);
	if (reader_left(r) < len) {
		r->failed = true;
		r->at = r->end;
		return 0;
	}
	/* One load of the right width: byte loops were a hundred instructions a packet. */
	switch (len) {
	case 1:
		v = r->at[0];
		break;
	case 2:
		v = (uint64_t)r->at[0] << 8 | r->at[1];
		v &= 0x3fff;
		break;
	case 4:
		v = load_be32(r->at) & 0x3fffffff;
		break;
	default:
		v = load_be64(r->at) & QX_VARINT_MAX;
		break;
	}
	r->at += len;
	return v;
}

/* read_bytes gives len bytes, or NULL. */
static inline const uint8_t *read_bytes(struct reader *r, uint64_t len_bytes)
{
	const uint8_t *p = r->at;

	if (len_bytes > reader_left(r)) {
		r->failed = true;
		r->at = r->end;
		return NULL;
	}
	r->at += len_bytes;
	return p;
}

static inline uint32_t varint_bytes(uint64_t v)
{
	return v < 64 ? 1 : v < 16384 ? 2 : v < 1073741824 ? 4 : 8;
}

/* A length that is known only later: always two bytes. */
static inline uint8_t *write_varint2(uint8_t *p, uint64_t v)
{
	p[0] = (uint8_t)(0x40 | v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

/* write_varint writes v in varint_bytes(v) bytes and returns the place behind it; the
 * caller has checked the room. */
static inline uint8_t *write_varint(uint8_t *p, uint64_t v)
{
	if (v < 64) {
		*p = (uint8_t)v;
		return p + 1;
	}
	if (v < 16384)
		return write_varint2(p, v);
	if (v < 1073741824) {
		store_be32(p, (uint32_t)v | 0x80000000);
		return p + 4;
	}
	store_be64(p, v | UINT64_C(0xc0) << 56);
	return p + 8;
}

#endif
