/* ranges.c: the set of ranges, searched from the top.
 *
 * Numbers arrive mostly in order, so what is looked for is nearly always in the first range
 * or two: the linear walk from the top is the fast one, and the bound on the count is the
 * bound on the cost that a hostile order can cause. */
#include "ranges.h"

#include <assert.h>
#include <string.h>

/* Index of the first range, from the top, whose start is not above value: the one that holds
 * value, ends at it, or lies below it. */
static uint32_t first_not_above(const struct ranges *r, uint64_t value)
{
	uint32_t i = 0;

	while (i < r->cnt && r->ranges[i].start > value)
		i++;
	return i;
}

static void insert_range(struct ranges *r, uint32_t at, uint64_t start, uint64_t end)
{
	memmove(&r->ranges[at + 1], &r->ranges[at], sizeof(r->ranges[0]) * (r->cnt - at));
	r->ranges[at] = (struct range){start, end};
	r->cnt++;
}

/* Joins [start, end) and the ranges [from, to) that it touches into one. */
static void join_ranges(struct ranges *r, uint32_t from, uint32_t to, uint64_t start,
			uint64_t end)
{
	struct range *joined = &r->ranges[from];
	const uint64_t lowest = r->ranges[to - 1].start;

	joined->start = lowest < start ? lowest : start;
	if (joined->end < end)
		joined->end = end;
	memmove(joined + 1, &r->ranges[to], sizeof(*joined) * (r->cnt - to));
	r->cnt -= to - from - 1;
}

bool ranges_add(struct ranges *r, uint64_t start, uint64_t end)
{
	bool evicted = false;
	uint32_t from, to;

	assert(start <= end);
	if (start == end)
		return true;
	from = first_not_above(r, end);
	to = from;
	while (to < r->cnt && r->ranges[to].end >= start)
		to++;
	if (from < to) {
		join_ranges(r, from, to, start, end);
		return true;
	}
	if (r->cnt == RANGES_MAX) {
		if (from == r->cnt)
			return false;
		r->cnt--;
		evicted = true;
	}
	insert_range(r, from, start, end);
	return !evicted;
}

bool ranges_contain(const struct ranges *r, uint64_t value)
{
	uint32_t i = first_not_above(r, value);

	return i < r->cnt && value < r->ranges[i].end;
}
