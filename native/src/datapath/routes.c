/* routes.c: see routes.h; routes_trie.c holds the prefixes. */
#include "routes.h"

#include <errno.h>

#include "os.h"
#include "routes_internal.h"

/* ---- Life ---- */

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

	if (trie_place(&p, r, family, ip, prefix_bits) < 0 || route->hop > ROUTES_HOP_MAX)
		return -EINVAL;
	/* First, so that nothing is left over when there is none. */
	if (r->cnt == ROUTES_MAX)
		return -ENOSPC;
	net = trie_find(r, &p, true);
	if (!net) {
		trie_prune(r, &p);
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

	if (trie_place(&p, r, family, ip, prefix_bits) < 0)
		return -EINVAL;
	net = trie_find(r, &p, false);
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
		trie_drop(r, &p);
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
