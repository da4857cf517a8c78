/* test_spans.c: the growing range set keeps every member, or says that it cannot. */
#include "spans.h"

#include "t.h"

enum {
	MODEL = 400
};

static bool model[MODEL];

static void check_shape(const struct spans *s)
{
	for (uint32_t i = 0; i < s->cnt; i++) {
		T_CHECK(spans_get(s, i)->start < spans_get(s, i)->end);
		if (i > 0)
			T_CHECK(spans_get(s, i - 1)->end < spans_get(s, i)->start);
	}
}

/* Whatever is added and removed, the set holds exactly what a bitmap would. */
static void a_set_agrees_with_a_bitmap(void)
{
	uint64_t seed = 0x5eed0001;

	printf("  seed %#llx\n", (unsigned long long)seed);
	for (int round = 0; round < 200; round++) {
		struct spans s;

		spans_init(&s);
		memset(model, 0, sizeof(model));
		for (int op = 0; op < 300; op++) {
			uint64_t r = t_random(&seed);
			uint64_t start = r % MODEL, len = r >> 32 & 15, end = start + len;

			if (end > MODEL)
				end = MODEL;
			switch (r >> 40 & 7) {
			case 0:
			case 1:
				spans_remove(&s, start, end, 1000);
				for (uint64_t i = start; i < end; i++)
					model[i] = false;
				break;
			case 2:
				start /= 8;
				spans_drop_below(&s, start);
				for (uint64_t i = 0; i < start; i++)
					model[i] = false;
				break;
			default:
				T_CHECK(spans_add(&s, start, end, 1000));
				for (uint64_t i = start; i < end; i++)
					model[i] = true;
			}
			check_shape(&s);
			for (uint64_t i = 0; i < MODEL; i++)
				T_EQ(spans_contain(&s, i), model[i]);
		}
		spans_free(&s);
	}
}

/* A full set refuses a new range and stays as it was, but still takes what touches one. */
static void a_full_set_refuses_and_stays_as_it_was(void)
{
	struct spans s;

	spans_init(&s);
	for (uint64_t i = 0; i < 4; i++)
		T_CHECK(spans_add(&s, i * 10, i * 10 + 2, 4));
	T_CHECK(!spans_add(&s, 5, 6, 4));
	T_CHECK(!spans_add(&s, 90, 91, 4));
	T_EQ(s.cnt, 4);
	T_CHECK(!spans_contain(&s, 5));
	T_CHECK(spans_add(&s, 2, 5, 4));
	T_CHECK(spans_contain(&s, 4));
	T_CHECK(spans_add(&s, 5, 10, 4));
	T_EQ(s.cnt, 3);
	spans_free(&s);
}

/* Covering never loses what it was given, and takes the nearest range to do so. */
static void covering_in_a_full_set_widens_the_nearest_range(void)
{
	struct spans s;

	spans_init(&s);
	spans_cover(&s, 100, 110, 2);
	spans_cover(&s, 200, 210, 2);
	spans_cover(&s, 120, 125, 2);
	T_EQ(s.cnt, 2);
	T_EQ(spans_get(&s, 0)->end, 125);
	spans_cover(&s, 190, 195, 2);
	T_EQ(spans_get(&s, 1)->start, 190);
	spans_cover(&s, 0, 1, 2);
	T_EQ(spans_get(&s, 0)->start, 0);
	spans_cover(&s, 1000, 1001, 2);
	T_EQ(spans_get(&s, 1)->end, 1001);
	check_shape(&s);
	spans_free(&s);
}

/* Removing from a full set may leave too much, never too little. */
static void removing_without_room_to_split_leaves_the_range_whole(void)
{
	struct spans s;

	spans_init(&s);
	spans_cover(&s, 0, 100, 1);
	spans_remove(&s, 40, 50, 1);
	T_EQ(s.cnt, 1);
	T_CHECK(spans_contain(&s, 45));
	spans_remove(&s, 0, 50, 1);
	T_CHECK(!spans_contain(&s, 49));
	T_CHECK(spans_contain(&s, 50));
	spans_free(&s);
}

/* Working through from the front costs no moving and no growth. */
static void a_set_used_from_the_front_stays_small(void)
{
	struct spans s;

	spans_init(&s);
	for (uint64_t i = 0; i < 100000; i++) {
		T_CHECK(spans_add(&s, i * 4, i * 4 + 1, 1000));
		if (i >= 3)
			spans_drop_below(&s, (i - 2) * 4);
	}
	T_CHECK(s.cap <= 8);
	spans_free(&s);
}

static const struct t_case cases[] = {
	{"a set agrees with a bitmap", a_set_agrees_with_a_bitmap},
	{"a full set refuses and stays as it was", a_full_set_refuses_and_stays_as_it_was},
	{"covering in a full set widens the nearest range",
	 covering_in_a_full_set_widens_the_nearest_range},
	{"removing without room to split leaves the range whole",
	 removing_without_room_to_split_leaves_the_range_whole},
	{"a set used from the front stays small", a_set_used_from_the_front_stays_small},
};
T_MAIN(cases)
