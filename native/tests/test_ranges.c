/* test_ranges.c: the set behaves as a set, whatever the order, within its bound. */
#include "ranges.h"

#include "t.h"

enum {
	SPACE = 400
};

static void same_as(const struct ranges *r, const struct range *want, uint32_t cnt)
{
	T_EQ(r->cnt, cnt);
	for (uint32_t i = 0; i < cnt; i++) {
		T_EQ(r->ranges[i].start, want[i].start);
		T_EQ(r->ranges[i].end, want[i].end);
	}
}

/* Descending, disjoint, never adjacent: what the ACK frame's gaps rely on. */
static void well_formed(const struct ranges *r)
{
	T_CHECK(r->cnt <= RANGES_MAX);
	for (uint32_t i = 0; i < r->cnt; i++) {
		T_CHECK(r->ranges[i].start < r->ranges[i].end);
		if (i > 0)
			T_CHECK(r->ranges[i].end < r->ranges[i - 1].start);
	}
}

static void full(struct ranges *r)
{
	r->cnt = 0;
	for (uint64_t i = 0; i < RANGES_MAX; i++)
		T_CHECK(ranges_add(r, 100 + 10 * i, 105 + 10 * i));
	T_EQ(r->cnt, RANGES_MAX);
}

static void neighbours_become_one(void)
{
	struct ranges r = {0};

	T_CHECK(ranges_add(&r, 10, 20));
	T_CHECK(ranges_add(&r, 30, 40));
	same_as(&r, (struct range[]){{30, 40}, {10, 20}}, 2);
	T_CHECK(ranges_add(&r, 20, 30));
	same_as(&r, (struct range[]){{10, 40}}, 1);
	T_CHECK(ranges_add(&r, 9, 10));
	T_CHECK(ranges_add(&r, 40, 41));
	same_as(&r, (struct range[]){{9, 41}}, 1);
}

static void overlaps_are_swallowed(void)
{
	struct ranges r = {0};

	T_CHECK(ranges_add(&r, 10, 12));
	T_CHECK(ranges_add(&r, 14, 16));
	T_CHECK(ranges_add(&r, 18, 20));
	T_CHECK(ranges_add(&r, 11, 19));
	same_as(&r, (struct range[]){{10, 20}}, 1);
	T_CHECK(ranges_add(&r, 12, 13));
	same_as(&r, (struct range[]){{10, 20}}, 1);
	T_CHECK(ranges_add(&r, 5, 5));
	same_as(&r, (struct range[]){{10, 20}}, 1);
	T_CHECK(ranges_add(&r, 0, UINT64_MAX));
	same_as(&r, (struct range[]){{0, UINT64_MAX}}, 1);
}

static void a_full_set_gives_up_its_lowest_range(void)
{
	struct ranges r;

	full(&r);
	T_CHECK(!ranges_add(&r, 1000, 1001));
	well_formed(&r);
	T_EQ(r.cnt, RANGES_MAX);
	T_CHECK(!ranges_contain(&r, 100) && ranges_contain(&r, 110) &&
		ranges_contain(&r, 1000));
	/* In the middle too. */
	T_CHECK(!ranges_add(&r, 206, 207));
	well_formed(&r);
	T_CHECK(!ranges_contain(&r, 110) && ranges_contain(&r, 120) &&
		ranges_contain(&r, 206));
	/* Below all others the new one is the lowest. */
	T_CHECK(!ranges_add(&r, 0, 1));
	T_CHECK(!ranges_contain(&r, 0) && ranges_contain(&r, 120));
}

static void a_full_set_still_grows_its_ranges(void)
{
	struct ranges r;

	full(&r);
	T_CHECK(ranges_add(&r, 105, 106));
	T_CHECK(ranges_add(&r, 99, 100));
	T_EQ(r.cnt, RANGES_MAX);
	T_CHECK(ranges_add(&r, 106, 110));
	T_EQ(r.cnt, RANGES_MAX - 1);
	well_formed(&r);
}

/* Against a plain array of flags. */
static void random_use_agrees_with_a_bitmap(void)
{
	uint64_t seed = 20240;

	for (int round = 0; round < 200; round++) {
		bool have[SPACE] = {false};
		struct ranges r = {0};

		for (int step = 0; step < 300; step++) {
			uint64_t start = t_random(&seed) % SPACE;
			uint64_t end = start + t_random(&seed) % (round % 2 ? 6 : 3);

			if (end > SPACE)
				end = SPACE;
			memset(have + start, 1, end - start);
			if (!ranges_add(&r, start, end)) /* everything below what is left */
				memset(have, 0, r.ranges[r.cnt - 1].start);
			well_formed(&r);
			for (uint64_t v = 0; v < SPACE; v++)
				T_EQ(ranges_contain(&r, v), have[v]);
		}
	}
}

static const struct t_case cases[] = {
	{"neighbours become one", neighbours_become_one},
	{"overlaps are swallowed", overlaps_are_swallowed},
	{"a full set gives up its lowest range", a_full_set_gives_up_its_lowest_range},
	{"a full set still grows its ranges", a_full_set_still_grows_its_ranges},
	{"random use agrees with a bitmap", random_use_agrees_with_a_bitmap},
};

T_MAIN(cases)
