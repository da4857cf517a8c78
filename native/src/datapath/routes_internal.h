/* routes_internal.h: what routes.c (routes of a prefix, and asking) and routes_trie.c (prefixes)
 * share.
 *
 * Blocks lie in an arena of eight-byte units and are named by their unit.  A node's block
 * holds its children, lowest nibble first, and behind them one word for each of its own
 * prefixes, shortest first.  It is exactly as long as it needs to be: a change makes a block
 * one longer or shorter, copies, and puts the old one on the free list of its size.  Freed
 * blocks are only reused for their own size, of which there are 24; that costs little, since
 * prefixes come and go in the same shapes.
 *
 * A leaf is a node that stands for a single prefix, however many bits further down that
 * ends: its block holds the address to compare with.  When a second prefix comes to the same
 * place, the leaf becomes a node and moves one step down. */
#ifndef QX_ROUTES_INTERNAL_H
#define QX_ROUTES_INTERNAL_H

#include <string.h>

#include "quicxdp.h"
#include "routes.h"

enum {
	STRIDE_BITS = 4,
	FANOUT = 1 << STRIDE_BITS,
	NETS = FANOUT - 1, /* prefixes of 0 to 3 more bits */
	LEAF = 1 << NETS,
	UNIT_BYTES = 8,
	UNITS = 3 << 20,
	BLOCK_UNITS_MAX = FANOUT + (NETS + 1) / 2,
	FIRST_UNIT = 1, /* unit 0 means "no block" */
	DEPTH_MAX = 128 / STRIDE_BITS,

	/* A prefix's word: its first entry, and the hop that lookups answer. */
	ENTRY_BITS = 22,
	NO_ENTRY = (1 << ENTRY_BITS) - 1
};

struct node {
	uint16_t kids; /* bit n: the child for nibble n.  Leaf: how many bits it has */
	uint16_t nets; /* bit 2^l - 1 + the l bits: that prefix.  LEAF: this is a leaf */
	uint32_t block;
};

_Static_assert(sizeof(struct node) == UNIT_BYTES, "a node is a unit");
_Static_assert(BLOCK_UNITS_MAX == 24, "the comment above says so");
_Static_assert((uint32_t)ROUTES_MAX < NO_ENTRY, "every entry has a number");

struct entry {
	uint32_t next; /* of the same prefix, metric not lower; or NO_ENTRY */
	struct route route;
};

struct qx_routes {
	struct node root_ipv4;
	struct node root_ipv6;
	uint32_t cnt;
	uint32_t units_used; /* the arena's end so far */
	uint32_t entries_used;
	uint32_t free_entries;
	uint32_t free_blocks[BLOCK_UNITS_MAX + 1]; /* by size */
	struct entry entries[ROUTES_MAX];
	struct node units[UNITS];
};

/* A prefix that is being changed, and the nodes on the way to it. */
struct place {
	uint8_t family;
	const uint8_t *ip;
	uint32_t bits;
	uint32_t depth;
	struct node *path[DEPTH_MAX + 1];
};

/* Of 16 bits.  The processor's own instruction is not on all of them, and without being told
 * to use it the compiler would make a call. */
static inline uint32_t bits_set(uint32_t x)
{
	x -= x >> 1 & 0x5555;
	x = (x & 0x3333) + (x >> 2 & 0x3333);
	x = (x + (x >> 4)) & 0x0f0f;
	return (x + (x >> 8)) & 0x1f;
}

static inline uint32_t index_of(uint32_t set, uint32_t bit)
{
	return bits_set(set & ((1u << bit) - 1));
}

static inline uint32_t nibble_at(const uint8_t *ip, uint32_t depth)
{
	return depth & 1 ? ip[depth / 2] & 15u : ip[depth / 2] >> 4;
}

static inline const uint32_t *nets_of(const struct qx_routes *r, const struct node *n)
{
	return (const uint32_t *)(const void *)(r->units + n->block + bits_set(n->kids));
}

static inline uint32_t ip_bytes(uint8_t family)
{
	return family == QX_IPV4 ? 4 : 16;
}

static inline const uint32_t *net_of_leaf(const struct qx_routes *r, const struct node *n,
					  uint8_t family)
{
	const uint8_t *block = (const uint8_t *)(r->units + n->block);

	return (const uint32_t *)(const void *)(block + ip_bytes(family));
}

/* The first bits of two addresses, at least one; on little-endian machines, as all are that we
 * build for. */
static inline bool same_bits_ipv4(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return __builtin_bswap32(x ^ y) >> (32 - bits) == 0;
}

static inline bool same_bits_ipv6(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	if (bits <= 64)
		return __builtin_bswap64(x[0] ^ y[0]) >> (64 - bits) == 0;
	return x[0] == y[0] && __builtin_bswap64(x[1] ^ y[1]) >> (128 - bits) == 0;
}

static inline bool leaf_covers(const struct qx_routes *r, const struct node *n,
			       uint8_t family, const uint8_t *ip)
{
	const uint8_t *of_leaf = (const uint8_t *)(r->units + n->block);

	return family == QX_IPV4 ? same_bits_ipv4(of_leaf, ip, n->kids)
				 : same_bits_ipv6(of_leaf, ip, n->kids);
}

/* trie_place begins at the root.  0, or -EINVAL: no such length or family. */
int trie_place(struct place *p, struct qx_routes *r, uint8_t family, const uint8_t *ip,
	       uint32_t bits);

/* trie_find finds the word of a prefix, and makes it (NO_ENTRY) if asked to.  NULL if there
 * is none, or no memory; the path leads to where it would be. */
uint32_t *trie_find(struct qx_routes *r, struct place *p, bool make);

/* trie_drop takes out the word of the prefix that trie_find has found. */
void trie_drop(struct qx_routes *r, struct place *p);

/* trie_prune takes out the nodes at the end of the path that hold nothing.  Without memory
 * for a shorter block an empty node stays: harmless. */
void trie_prune(struct qx_routes *r, struct place *p);

#endif
