/* nlattrs.h: the attributes of netlink messages, read as if they came from the network.
 *
 * Messages and attributes are aligned to 4 bytes; the top two bits of an attribute's type are
 * flags (linux/netlink.h). */
#ifndef QX_NLATTRS_H
#define QX_NLATTRS_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	ATTR_MAX = 64 /* types from here on do not matter to us */
};

/* Bytes of a message; data NULL: there are none. */
struct view {
	const uint8_t *data;
	uint32_t len_bytes;
};

static inline uint32_t aligned(uint32_t len_bytes)
{
	return (len_bytes + 3) & ~3u;
}

/* read_attrs sorts attributes by type, the last of each.  False if a length lies. */
static inline bool read_attrs(struct view from, struct view attrs[ATTR_MAX])
{
	memset(attrs, 0, sizeof(struct view) * ATTR_MAX);
	while (from.len_bytes > 0) {
		struct nlattr a;
		uint32_t step;

		if (from.len_bytes < sizeof(a))
			return false;
		memcpy(&a, from.data, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > from.len_bytes)
			return false;
		if ((a.nla_type & NLA_TYPE_MASK) < ATTR_MAX)
			attrs[a.nla_type & NLA_TYPE_MASK] = (struct view){
				from.data + sizeof(a), a.nla_len - (uint32_t)sizeof(a)};
		/* The last one may come without its padding. */
		step = aligned(a.nla_len);
		if (step > from.len_bytes)
			step = from.len_bytes;
		from.data += step;
		from.len_bytes -= step;
	}
	return true;
}

/* read_fixed copies the fixed part of a message and sorts the attributes behind it. */
static inline bool read_fixed(struct view body, void *fixed, uint32_t fixed_bytes,
			      struct view attrs[ATTR_MAX])
{
	if (body.len_bytes < fixed_bytes)
		return false;
	memcpy(fixed, body.data, fixed_bytes);
	fixed_bytes = aligned(fixed_bytes);
	if (body.len_bytes < fixed_bytes)
		fixed_bytes = body.len_bytes;
	return read_attrs(
		(struct view){body.data + fixed_bytes, body.len_bytes - fixed_bytes}, attrs);
}

static inline uint32_t u32_or(struct view v, uint32_t otherwise)
{
	uint32_t value;

	if (!v.data || v.len_bytes != sizeof(value))
		return otherwise;
	memcpy(&value, v.data, sizeof(value));
	return value;
}

#endif
