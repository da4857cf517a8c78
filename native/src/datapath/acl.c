/* acl.c: see acl.h. */
#include "acl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "why.h"

enum {
	IPV4_BITS = 32,
	IPV6_BITS = 128,
	FAMILY_CNT = 2
};

/* An address as a number, IPv4 in the highest bits, so that one arithmetic does for both
 * families. */
struct key {
	uint64_t high;
	uint64_t low;
};

/* From start on, up to the next edge. */
struct edge {
	struct key start;
	bool allow;
};

/* A rule as the range that it covers. */
struct range {
	struct key first;
	struct key last;
	bool allow;
};

struct edges {
	uint32_t cnt;
	struct edge *at;
};

struct qx_acl {
	struct edges families[FAMILY_CNT]; /* IPv4, IPv6 */
};

/* ---- Numbers ---- */

static struct key key_of(const uint8_t ip[16])
{
	struct key k = {0};

	for (int i = 0; i < 8; i++) {
		k.high = k.high << 8 | ip[i];
		k.low = k.low << 8 | ip[i + 8];
	}
	return k;
}

static int key_compare(struct key a, struct key b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return a.low == b.low ? 0 : a.low < b.low ? -1 : 1;
}

/* The bits behind a prefix, all set. */
static struct key host_mask(uint32_t prefix_bits)
{
	if (prefix_bits == 0)
		return (struct key){UINT64_MAX, UINT64_MAX};
	if (prefix_bits < 64)
		return (struct key){UINT64_MAX >> prefix_bits, UINT64_MAX};
	if (prefix_bits == 64)
		return (struct key){0, UINT64_MAX};
	return (struct key){0, prefix_bits < 128 ? UINT64_MAX >> (prefix_bits - 64) : 0};
}

/* The next address; false after the last. */
static bool key_next(struct key *k)
{
	if (++k->low == 0)
		k->high++;
	return k->low != 0 || k->high != 0;
}

/* ---- Building ---- */

static int check_rule(const struct qx_source_rule *r, uint32_t number, char *why)
{
	static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

	if ((r->family != QX_IPV4 && r->family != QX_IPV6) ||
	    r->prefix_bits > (r->family == QX_IPV4 ? IPV4_BITS : IPV6_BITS)) {
		why_set(why, "source rule %u: family %u with a prefix of %u bits is none",
			number, r->family, r->prefix_bits);
		return -EINVAL;
	}
	if (r->family == QX_IPV6 && r->prefix_bits >= 96 &&
	    memcmp(r->ip, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		why_set(why,
			"source rule %u: IPv4 in IPv6 form (::ffff:...); give it as IPv4",
			number);
		return -EINVAL;
	}
	return 0;
}

/* Outer ranges before those inside them. */
static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	int order = key_compare(x->first, y->first);

	return order ? order : key_compare(y->last, x->last);
}

static void add_edge(struct edges *e, struct key start, bool allow)
{
	if (e->cnt > 0 && key_compare(e->at[e->cnt - 1].start, start) == 0)
		e->cnt--;
	if (e->cnt > 0 && e->at[e->cnt - 1].allow == allow)
		return;
	e->at[e->cnt++] = (struct edge){start, allow};
}

/* Walks sorted ranges, with those that the walk is inside of on a stack. */
static void sweep(struct edges *e, const struct range *ranges, uint32_t cnt, bool otherwise)
{
	const struct range *inside[IPV6_BITS + 1];
	uint32_t depth = 0;

	add_edge(e, (struct key){0}, otherwise);
	for (uint32_t i = 0; i <= cnt; i++) {
		/* Ranges that end before the next one begins; at the end, all. */
		while (depth > 0 && (i == cnt || key_compare(inside[depth - 1]->last,
							     ranges[i].first) < 0)) {
			struct key after = inside[--depth]->last;

			if (key_next(&after))
				add_edge(e, after,
					 depth ? inside[depth - 1]->allow : otherwise);
		}
		if (i < cnt) {
			add_edge(e, ranges[i].first, ranges[i].allow);
			inside[depth++] = &ranges[i];
		}
	}
}

static int take_family(struct range *ranges, uint32_t *out, uint8_t family,
		       const struct qx_source_rule *rules, uint32_t cnt, char *why)
{
	uint32_t taken = 0, kept = 0;

	for (uint32_t i = 0; i < cnt; i++) {
		struct key mask = host_mask(rules[i].prefix_bits), k = key_of(rules[i].ip);

		if (rules[i].family != family)
			continue;
		ranges[taken++] = (struct range){{k.high & ~mask.high, k.low & ~mask.low},
						 {k.high | mask.high, k.low | mask.low},
						 rules[i].allow};
	}
	qsort(ranges, taken, sizeof(*ranges), compare_ranges);
	/* A rule given twice counts once, and twice with different answers is a mistake. */
	for (uint32_t i = 0; i < taken; i++) {
		if (kept == 0 || compare_ranges(&ranges[kept - 1], &ranges[i]) != 0) {
			ranges[kept++] = ranges[i];
		} else if (ranges[kept - 1].allow != ranges[i].allow) {
			why_set(why, "source rules: one block is both allowed and denied");
			return -EINVAL;
		}
	}
	*out = kept;
	return 0;
}

static int build(struct qx_acl *acl, struct range *ranges, const struct qx_source_rule *rules,
		 uint32_t cnt, char *why)
{
	static const uint8_t families[FAMILY_CNT] = {QX_IPV4, QX_IPV6};
	bool otherwise = true;

	for (uint32_t i = 0; i < cnt; i++)
		otherwise = otherwise && !rules[i].allow;
	for (int f = 0; f < FAMILY_CNT; f++) {
		struct edges *e = &acl->families[f];
		uint32_t range_cnt;
		int err = take_family(ranges, &range_cnt, families[f], rules, cnt, why);

		if (err < 0)
			return err;
		/* Each range has two ends, and something stands before the first. */
		e->at = calloc((size_t)range_cnt * 2 + 1, sizeof(*e->at));
		if (!e->at) {
			why_set(why, "no memory for %u source rules", cnt);
			return -ENOMEM;
		}
		sweep(e, ranges, range_cnt, otherwise);
	}
	return 0;
}

int acl_open(struct qx_acl **out, const struct qx_source_rule *rules, uint32_t cnt, char *why)
{
	struct range *ranges;
	int err = 0;

	*out = NULL;
	if (cnt == 0)
		return 0;
	if (cnt > QX_SOURCE_RULES_MAX) {
		why_set(why, "%u source rules; at most %d can be held", cnt,
			QX_SOURCE_RULES_MAX);
		return -E2BIG;
	}
	for (uint32_t i = 0; i < cnt; i++)
		if ((err = check_rule(&rules[i], i, why)) < 0)
			return err;
	ranges = calloc(cnt, sizeof(*ranges));
	*out = calloc(1, sizeof(**out));
	if (!ranges || !*out) {
		why_set(why, "no memory for %u source rules", cnt);
		err = -ENOMEM;
	} else {
		err = build(*out, ranges, rules, cnt, why);
	}
	free(ranges);
	if (err < 0) {
		acl_close(*out);
		*out = NULL;
	}
	return err;
}

void acl_close(struct qx_acl *acl)
{
	if (!acl)
		return;
	for (int f = 0; f < FAMILY_CNT; f++)
		free(acl->families[f].at);
	free(acl);
}

/* ---- Asking ---- */

bool acl_allows(const struct qx_acl *acl, const struct qx_addr *peer)
{
	const struct edges *e;
	uint32_t low = 0, high;
	struct key k;

	if (!acl)
		return true;
	e = &acl->families[peer->family == QX_IPV6];
	k = key_of(peer->ip);
	/* The first edge starts at zero, so edge low always holds k. */
	for (high = e->cnt; high - low > 1;) {
		uint32_t middle = low + (high - low) / 2;

		if (key_compare(e->at[middle].start, k) <= 0)
			low = middle;
		else
			high = middle;
	}
	return e->at[low].allow;
}
