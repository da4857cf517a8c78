/* ranges.h: a bounded set of received packet numbers as sorted disjoint ranges.
 *
 * Fixed capacity, no allocation: the lowest range goes when a new one needs its place, so
 * that a peer that leaves gaps costs neither memory nor much time. */
#ifndef QX_RANGES_H
#define QX_RANGES_H

#include <stdbool.h>
#include <stdint.h>

enum {
	RANGES_MAX = 64
};

struct range {
	uint64_t start;
	uint64_t end; /* exclusive */
};

/* Descending: ranges[0] holds the largest numbers, as the ACK frame wants them. */
struct ranges {
	uint32_t cnt;
	struct range ranges[RANGES_MAX];
};

/* ranges_add adds [start, end).  Returns false if that forced the lowest range out, which
 * is the new one if all others lie above it. */
bool ranges_add(struct ranges *r, uint64_t start, uint64_t end);
bool ranges_contain(const struct ranges *r, uint64_t value);

#endif
