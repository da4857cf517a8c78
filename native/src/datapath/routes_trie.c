/* routes_trie.c: prefixes in a trie: the memory of its nodes, and how they come and go.  See
 * routes_internal.h. */
#include <errno.h>

#include "routes_internal.h"

/* ---- Memory ---- */

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

int trie_place(struct place *p, struct qx_routes *r, uint8_t family, const uint8_t *ip,
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

uint32_t *trie_find(struct qx_routes *r, struct place *p, bool make)
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

void trie_prune(struct qx_routes *r, struct place *p)
{
	struct node *n = p->path[p->depth];

	while (p->depth > 0 && n->kids == 0 && n->nets == 0) {
		n = p->path[--p->depth];
		if (reshape(r, n, n->kids & ~(1u << nibble_at(p->ip, p->depth)), n->nets) < 0)
			return;
	}
}

void trie_drop(struct qx_routes *r, struct place *p)
{
	struct node *n = p->path[p->depth];

	if (n->nets & LEAF) {
		give_block(r, n->block, units_of_leaf(p->family));
		*n = (struct node){0};
	} else if (reshape(r, n, n->kids, n->nets & ~(1u << net_bit(p->ip, p->bits))) < 0) {
		return;
	}
	trie_prune(r, p);
}
