/* pcap_read.h: reads pcapng as strictly as the format is written, for tests and the fuzzer:
 * any bytes are legal input, and the first wrong one ends it. */
#ifndef QX_PCAP_READ_H
#define QX_PCAP_READ_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct pcap_block {
	uint32_t type;
	const uint8_t *body;
	uint32_t body_bytes;
};

struct pcap_record {
	uint32_t interface;
	uint64_t time_ns;
	const uint8_t *data;
	uint32_t len_bytes;
	uint32_t original_bytes;
	uint32_t flags;
	const char *comment; /* not terminated */
	uint32_t comment_bytes;
};

enum {
	READ_SECTION = 0x0a0d0d0a,
	READ_INTERFACE = 1,
	READ_COUNTERS = 5,
	READ_PACKET = 6,
	READ_SECRETS = 10
};

static inline uint32_t read_u32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline uint32_t read_u16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* Takes the block at *off.  Returns false at the end or at the first thing that is wrong. */
static inline bool pcap_next(const uint8_t *file, uint64_t file_bytes, uint64_t *off,
			     struct pcap_block *b)
{
	const uint8_t *at = file + *off;
	uint64_t left = file_bytes - *off;
	uint32_t len;

	if (left < 12)
		return false;
	len = read_u32(at + 4);
	if (len < 12 || len % 4 || len > left || read_u32(at + len - 4) != len)
		return false;
	*b = (struct pcap_block){read_u32(at), at + 8, len - 12};
	*off += len;
	return true;
}

/* Finds an option from at on.  Returns its length, or -1; *whole says whether the list is
 * well formed up to there. */
static inline int64_t pcap_option(const uint8_t *at, uint32_t left, uint32_t code,
				  const uint8_t **value, bool *whole)
{
	*whole = false;
	while (left >= 4) {
		uint32_t this_code = read_u16(at), len = read_u16(at + 2);
		uint32_t room = (len + 3) & ~3u;

		if (room > left - 4)
			return -1;
		*whole = true;
		if (this_code == code && code != 0) {
			*value = at + 4;
			return len;
		}
		if (this_code == 0)
			return -1;
		*whole = false;
		at += 4 + room;
		left -= 4 + room;
	}
	*whole = left == 0;
	return -1;
}

/* Reads an enhanced packet block; false if it is not one. */
static inline bool pcap_packet(const struct pcap_block *b, struct pcap_record *r)
{
	const uint8_t *options, *value;
	uint32_t padded, options_bytes;
	bool whole;
	int64_t len;

	if (b->type != READ_PACKET || b->body_bytes < 20)
		return false;
	*r = (struct pcap_record){.interface = read_u32(b->body),
				  .time_ns = (uint64_t)read_u32(b->body + 4) << 32 |
					     read_u32(b->body + 8),
				  .len_bytes = read_u32(b->body + 12),
				  .original_bytes = read_u32(b->body + 16),
				  .data = b->body + 20};
	if (r->len_bytes > b->body_bytes - 20)
		return false;
	padded = (r->len_bytes + 3) & ~3u;
	if (padded > b->body_bytes - 20)
		return false;
	options = r->data + padded;
	options_bytes = b->body_bytes - 20 - padded;
	len = pcap_option(options, options_bytes, 2, &value, &whole);
	if (len >= 0 && len != 4)
		return false;
	if (len == 4)
		r->flags = read_u32(value);
	len = pcap_option(options, options_bytes, 1, &value, &whole);
	if (len >= 0) {
		r->comment = (const char *)value;
		r->comment_bytes = (uint32_t)len;
	}
	return whole;
}

#endif
