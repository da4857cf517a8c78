/* routes.c: see routes.h.
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
#include "routes.h"

#include <errno.h>
#include <string.h>

#include "os.h"
#include "quicxdp.h"

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

/* ---- Memory ---- */

int routes_open(struct qx_routes **out)
{
	*out = os_map(sizeof(struct qx_routes));
	if (!*out)
		return -ENOMEM;
	routes_clear(*out);
	return 0;
}

void routes_close(struct qx_routes *r)
{
	if (r)
		os_unmap(r, sizeof(*r));
}

void routes_clear(struct qx_routes *r)
{
	r->root_ipv4 = r->root_ipv6 = (struct node){0};
	r->cnt = 0;
	r->units_used = FIRST_UNIT;
	r->entries_used = 0;
	r->free_entries = NO_ENTRY;
	memset(r->free_blocks, 0, sizeof(r->free_blocks));
}

/* take_block returns a block of so many units, 0 if there is no memory. */
static uint32_t take_block(struct qx_routes *r, uint32_t units)
{
	uint32_t block = r->free_blocks[units];

	if (block != 0) {
		r->free_blocks[units] = r->units[block].block;
		return block;
	}
	if (units > UNITS - r->units_used)
		return 0;
	block = r->units_used;
	r->units_used += units;
	return block;
}

static void give_block(struct qx_routes *r, uint32_t block, uint32_t units)
{
	if (units == 0)
		return;
	r->units[block].block = r->free_blocks[units];
	r->free_blocks[units] = block;
}

static uint32_t units_for(uint32_t kids, uint32_t nets)
{
	return bits_set(kids) + (bits_set(nets) + 1) / 2;
}

static uint32_t units_of_leaf(uint8_t family)
{
	return (ip_bytes(family) + (uint32_t)sizeof(uint32_t) + UNIT_BYTES - 1) / UNIT_BYTES;
}

/* reshape gives a node other children and prefixes; those that it keeps are copied, new ones
 * are empty.  0, or -ENOSPC with the node as it was. */
static int reshape(struct qx_routes *r, struct node *n, uint32_t kids, uint32_t nets)
{
	uint32_t units = units_for(kids, nets), at = 0;
	struct node now = {.kids = (uint16_t)kids, .nets = (uint16_t)nets};
	const uint32_t *from;
	uint32_t *to;

	if (units > 0 && (now.block = take_block(r, units)) == 0)
		return -ENOSPC;
	for (uint32_t k = 0; k < FANOUT; k++)
		if (kids >> k & 1)
			r->units[now.block + at++] =
				n->kids >> k & 1 ? r->units[n->block + index_of(n->kids, k)]
						 : (struct node){0};
	to = (uint32_t *)(void *)(r->units + now.block + at);
	from = nets_of(r, n);
	for (uint32_t k = 0; k < NETS; k++)
		if (nets >> k & 1)
			*to++ = n->nets >> k & 1 ? from[index_of(n->nets, k)] : NO_ENTRY;
	give_block(r, n->block, units_for(n->kids, n->nets));
	*n = now;
	return 0;
}

/* ---- Finding the place of a prefix ---- */

static int place_init(struct place *p, struct qx_routes *r, uint8_t family, const uint8_t *ip,
		      uint32_t bits)
{
	if (!(family == QX_IPV4 && bits <= 32) && !(family == QX_IPV6 && bits <= 128))
		return -EINVAL;
	p->family = family;
	p->ip = ip;
	p->bits = bits;
	p->depth = 0;
	p->path[0] = family == QX_IPV4 ? &r->root_ipv4 : &r->root_ipv6;
	return 0;
}

/* Where in its node a prefix is: bit 2^l - 1 + its last l bits. */
static uint32_t net_bit(const uint8_t *ip, uint32_t bits)
{
	uint32_t more = bits % STRIDE_BITS;
	uint32_t nibble = more ? nibble_at(ip, bits / STRIDE_BITS) : 0;

	return (1u << more) - 1 + (nibble >> (STRIDE_BITS - more));
}

/* split makes a node of a leaf, which then is below it or one of its prefixes. */
static int split(struct qx_routes *r, struct node *n, uint8_t family, uint32_t depth)
{
	struct node leaf = *n;
	uint32_t net = *net_of_leaf(r, n, family), kid = 0, bit = 0;
	const uint8_t *ip = (const uint8_t *)(r->units + n->block);
	bool ends_here = leaf.kids / STRIDE_BITS == depth;

	if (ends_here)
		bit = 1u << net_bit(ip, leaf.kids);
	else
		kid = 1u << nibble_at(ip, depth);
	*n = (struct node){0};
	if (reshape(r, n, kid, bit) < 0) {
		*n = leaf;
		return -ENOSPC;
	}
	if (ends_here) {
		*(uint32_t *)(void *)(r->units + n->block) = net;
		give_block(r, leaf.block, units_of_leaf(family));
	} else {
		r->units[n->block] = leaf;
	}
	return 0;
}

/* make_leaf makes a leaf for the prefix of an empty node. */
static uint32_t *make_leaf(struct qx_routes *r, struct node *n, const struct place *p)
{
	uint32_t block = take_block(r, units_of_leaf(p->family)), *net;
	uint8_t *to = (uint8_t *)(r->units + block);

	if (block == 0)
		return NULL;
	*n = (struct node){.kids = (uint16_t)p->bits, .nets = LEAF, .block = block};
	memcpy(to, p->ip, ip_bytes(p->family));
	net = (uint32_t *)(void *)(to + ip_bytes(p->family));
	*net = NO_ENTRY;
	return net;
}

/* step goes one node further towards the prefix, and makes it if asked to.  False if there
 * is none. */
static bool step(struct qx_routes *r, struct place *p, bool make)
{
	struct node *n = p->path[p->depth];
	uint32_t nibble = nibble_at(p->ip, p->depth), kid = 1u << nibble;

	if (!(n->kids & kid) && (!make || reshape(r, n, n->kids | kid, n->nets) < 0))
		return false;
	p->path[++p->depth] = &r->units[n->block + index_of(n->kids, nibble)];
	return true;
}

/* find_net finds the word of a prefix, and makes it (empty) if asked to.  NULL if there is
 * none; the path leads to where it would be. */
static uint32_t *find_net(struct qx_routes *r, struct place *p, bool make)
{
	uint32_t end = p->bits / STRIDE_BITS, bit = net_bit(p->ip, p->bits);
	struct node *n;

	for (;;) {
		n = p->path[p->depth];
		if (n->nets & LEAF) {
			if (n->kids == p->bits && leaf_covers(r, n, p->family, p->ip))
				return (uint32_t *)net_of_leaf(r, n, p->family);
			if (!make || split(r, n, p->family, p->depth) < 0)
				return NULL;
		}
		if (p->depth > 0 && n->kids == 0 && n->nets == 0)
			return make ? make_leaf(r, n, p) : NULL;
		if (p->depth == end)
			break;
		if (!step(r, p, make))
			return NULL;
	}
	if (!(n->nets >> bit & 1) &&
	    (!make || reshape(r, n, n->kids, n->nets | 1u << bit) < 0))
		return NULL;
	return (uint32_t *)nets_of(r, n) + index_of(n->nets, bit);
}

/* prune takes out the nodes at the end of the path that hold nothing.  Without memory for a
 * shorter block an empty node stays: harmless. */
static void prune(struct qx_routes *r, struct place *p)
{
	struct node *n = p->path[p->depth];

	while (p->depth > 0 && n->kids == 0 && n->nets == 0) {
		n = p->path[--p->depth];
		if (reshape(r, n, n->kids & ~(1u << nibble_at(p->ip, p->depth)), n->nets) < 0)
			return;
	}
}

/* drop_net takes out the word of the prefix that find_net has found. */
static void drop_net(struct qx_routes *r, struct place *p)
{
	struct node *n = p->path[p->depth];

	if (n->nets & LEAF) {
		give_block(r, n->block, units_of_leaf(p->family));
		*n = (struct node){0};
	} else if (reshape(r, n, n->kids, n->nets & ~(1u << net_bit(p->ip, p->bits))) < 0) {
		return;
	}
	prune(r, p);
}

/* ---- Routes of a prefix ---- */

static uint32_t take_entry(struct qx_routes *r)
{
	uint32_t entry = r->free_entries;

	if (entry != NO_ENTRY)
		r->free_entries = r->entries[entry].next;
	else if (r->entries_used < ROUTES_MAX)
		entry = r->entries_used++;
	return entry;
}

static void give_entry(struct qx_routes *r, uint32_t entry)
{
	r->entries[entry].next = r->free_entries;
	r->free_entries = entry;
	r->cnt--;
}

/* The word of a prefix whose first entry this is. */
static uint32_t word_for(const struct qx_routes *r, uint32_t first)
{
	const struct entry *e;
	uint32_t hop;

	if (first == NO_ENTRY)
		return NO_ENTRY;
	e = &r->entries[first];
	hop = e->route.hop;
	if (e->next != NO_ENTRY && r->entries[e->next].route.metric == e->route.metric)
		hop = ROUTES_HOP_SHARED;
	return first | hop << ENTRY_BITS;
}

int routes_add(struct qx_routes *r, uint8_t family, const uint8_t *ip, uint32_t prefix_bits,
	       const struct route *route)
{
	uint32_t *net, first, entry, *at = &first;
	struct place p;
	int added = 0;

	if (place_init(&p, r, family, ip, prefix_bits) < 0 || route->hop > ROUTES_HOP_MAX)
		return -EINVAL;
	/* First, so that nothing is left over when there is none. */
	if (r->cnt == ROUTES_MAX)
		return -ENOSPC;
	net = find_net(r, &p, true);
	if (!net) {
		prune(r, &p);
		return -ENOSPC;
	}
	first = *net & NO_ENTRY;
	while (*at != NO_ENTRY && r->entries[*at].route.metric <= route->metric &&
	       !(r->entries[*at].route.metric == route->metric &&
		 r->entries[*at].route.sign == route->sign))
		at = &r->entries[*at].next;
	entry = *at;
	if (entry == NO_ENTRY || r->entries[entry].route.metric != route->metric) {
		entry = take_entry(r);
		r->entries[entry].next = *at;
		*at = entry;
		r->cnt++;
		added = 1;
	}
	r->entries[entry].route = *route;
	*net = word_for(r, first);
	return added;
}

static int remove_where(struct qx_routes *r, uint8_t family, const uint8_t *ip,
			uint32_t prefix_bits, uint32_t metric, const uint32_t *sign)
{
	uint32_t *net, first, *at = &first;
	struct place p;
	int gone = 0;

	if (place_init(&p, r, family, ip, prefix_bits) < 0)
		return -EINVAL;
	net = find_net(r, &p, false);
	if (!net)
		return 0;
	first = *net & NO_ENTRY;
	while (*at != NO_ENTRY) {
		uint32_t entry = *at;
		const struct entry *e = &r->entries[entry];

		if (e->route.metric != metric || (sign && e->route.sign != *sign)) {
			at = &r->entries[entry].next;
			continue;
		}
		*at = e->next;
		give_entry(r, entry);
		gone++;
	}
	*net = word_for(r, first);
	if (first == NO_ENTRY)
		drop_net(r, &p);
	return gone;
}

int routes_remove(struct qx_routes *r, uint8_t family, const uint8_t *ip,
		  uint32_t prefix_bits, uint32_t metric, uint32_t sign)
{
	return remove_where(r, family, ip, prefix_bits, metric, &sign);
}

int routes_remove_all(struct qx_routes *r, uint8_t family, const uint8_t *ip,
		      uint32_t prefix_bits, uint32_t metric)
{
	return remove_where(r, family, ip, prefix_bits, metric, NULL);
}

/* ---- Asking ---- */

/* The prefixes of a node that cover an address whose next nibble is this. */
#define COVERING(n) (1 | 2 << ((n) >> 3) | 8 << ((n) >> 2) | 128 << ((n) >> 1))
static const uint16_t covering[FANOUT] = {
	COVERING(0),  COVERING(1),  COVERING(2),  COVERING(3), COVERING(4),  COVERING(5),
	COVERING(6),  COVERING(7),  COVERING(8),  COVERING(9), COVERING(10), COVERING(11),
	COVERING(12), COVERING(13), COVERING(14), COVERING(15)};

uint32_t routes_find(const struct qx_routes *r, uint8_t family, const uint8_t *ip)
{
	const struct node *n = family == QX_IPV4 ? &r->root_ipv4 : &r->root_ipv6;
	uint32_t end = ip_bytes(family) * 8 / STRIDE_BITS, word;
	const uint32_t *best = NULL;

	for (uint32_t depth = 0;; depth++) {
		/* Below the last bit there is only the prefix of no more bits. */
		uint32_t nibble = depth < end ? nibble_at(ip, depth) : 0, covers;

		if (n->nets & LEAF) {
			if (leaf_covers(r, n, family, ip))
				best = net_of_leaf(r, n, family);
			break;
		}
		covers = n->nets & covering[nibble];
		if (covers)
			best = nets_of(r, n) +
			       index_of(n->nets, 31u - (uint32_t)__builtin_clz(covers));
		if (depth == end || !(n->kids >> nibble & 1))
			break;
		n = &r->units[n->block + index_of(n->kids, nibble)];
	}
	if (!best)
		return ROUTES_NOT_FOUND;
	word = *best;
	return (word & NO_ENTRY) == NO_ENTRY ? ROUTES_NOT_FOUND : word >> ENTRY_BITS;
}

uint32_t routes_cnt(const struct qx_routes *r)
{
	return r->cnt;
}

size_t routes_bytes(const struct qx_routes *r)
{
	return offsetof(struct qx_routes, entries) + sizeof(r->entries[0]) * r->entries_used +
	       sizeof(r->units[0]) * r->units_used;
}
