/* routes.h: the longest-prefix match: which routes cover an address.
 *
 * A trie of four bits a step (a tree bitmap: Eatherton, Varghese, Dittia 2004) whose lone
 * branches end in leaves.  A node is eight bytes: which of its sixteen children exist, which
 * of the fifteen prefixes that end inside it exist, and where the block is that holds both,
 * side by side.  A lookup goes as deep as it takes to tell the prefix from its neighbours,
 * about five nodes in a table of 100,000, and never goes back; decision 0009 says why this
 * and not another structure, bench/route_load.c measures it.
 *
 * A prefix may have several routes.  What a lookup answers is the hop of the one with the
 * lowest metric, or ROUTES_HOP_SHARED if several have that metric.
 *
 * Memory is one mapping of fixed size, touched only as far as it is used: the kernel decides
 * how many routes there are, and the packet path must not wait for an allocation. */
#ifndef QX_ROUTES_H
#define QX_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/* Above the 100,000 routes that must fit, of any lengths in either family. */
	ROUTES_MAX = 1 << 17,
	ROUTES_HOP_SHARED = 0, /* several routes are equally good */
	ROUTES_HOP_MAX = 1023
};

#define ROUTES_NOT_FOUND UINT32_MAX

/* Two routes of a prefix with the same metric and sign are the same. */
struct route {
	uint32_t metric;
	uint32_t sign; /* of all that the kernel tells about it, for finding it again */
	uint16_t hop;  /* the caller's, at most ROUTES_HOP_MAX */
};

struct qx_routes;

/* routes_open.  -ENOMEM.  Cost: a mapping of 26 MiB of address space, a few pages used. */
int routes_open(struct qx_routes **out);
void routes_close(struct qx_routes *r);

/* routes_clear forgets all. */
void routes_clear(struct qx_routes *r);

/* routes_add enters a route; prefix_bits of ip count, the rest is ignored.
 * Returns  1 entered, 0 it was there already (its hop is replaced), -EINVAL no such length
 *          or family, -ENOSPC the table is full. */
int routes_add(struct qx_routes *r, uint8_t family, const uint8_t *ip, uint32_t prefix_bits,
	       const struct route *route);

/* routes_remove takes the route with this metric and sign out of a prefix; routes_remove_all
 * takes all with this metric.  Returns how many went, or -EINVAL. */
int routes_remove(struct qx_routes *r, uint8_t family, const uint8_t *ip,
		  uint32_t prefix_bits, uint32_t metric, uint32_t sign);
int routes_remove_all(struct qx_routes *r, uint8_t family, const uint8_t *ip,
		      uint32_t prefix_bits, uint32_t metric);

/* routes_find returns the hop of the longest prefix that covers ip, or ROUTES_NOT_FOUND. */
uint32_t routes_find(const struct qx_routes *r, uint8_t family, const uint8_t *ip);

uint32_t routes_cnt(const struct qx_routes *r);

/* routes_bytes is how much memory has been touched. */
size_t routes_bytes(const struct qx_routes *r);

#endif
