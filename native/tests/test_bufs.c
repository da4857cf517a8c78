/* test_bufs.c: receive buffers come back, and not too many of them stay. */
#include "bufs.h"

#include "t.h"

static void a_buffer_is_at_least_as_large_as_asked_and_a_power_of_two(void)
{
	struct bufs b;

	bufs_init(&b);
	for (uint64_t want = 0; want < 300000; want += 1 + want / 3) {
		uint32_t cap = 0;
		uint8_t *buf = bufs_take(&b, want, &cap);

		T_CHECK(buf != NULL && cap >= want && cap >= 1 << BUFS_MIN_SHIFT);
		T_EQ(cap & (cap - 1), 0);
		memset(buf, 1, cap);
		bufs_give(&b, buf, cap);
	}
	T_EQ(b.lent_cnt, 0);
	bufs_free(&b);
	T_EQ(b.kept_bytes, 0);
}

static void the_buffer_used_last_is_used_again(void)
{
	uint32_t cap;
	uint8_t *one, *two;
	struct bufs b;

	bufs_init(&b);
	one = bufs_take(&b, 5000, &cap);
	two = bufs_take(&b, 5000, &cap);
	bufs_give(&b, one, cap);
	bufs_give(&b, two, cap);
	T_CHECK(bufs_take(&b, 8192, &cap) == two);
	T_CHECK(bufs_take(&b, 4097, &cap) == one);
	bufs_give(&b, one, cap);
	bufs_give(&b, two, cap);
	bufs_free(&b);
}

/* After a burst of streams the engine does not keep what they needed. */
static void what_is_kept_has_a_bound(void)
{
	uint8_t *taken[64];
	uint32_t cap;
	struct bufs b;

	bufs_init(&b);
	for (int i = 0; i < 64; i++)
		taken[i] = bufs_take(&b, 1 << 18, &cap);
	for (int i = 0; i < 64; i++)
		bufs_give(&b, taken[i], cap);
	T_CHECK(b.kept_bytes <= BUFS_KEPT_MAX_BYTES && b.kept_bytes > 0);
	taken[0] = bufs_take(&b, (1 << 20) + 1, &cap);
	bufs_give(&b, taken[0], cap);
	T_CHECK(b.kept_bytes <= BUFS_KEPT_MAX_BYTES);
	bufs_free(&b);
}

static void impossible_sizes_are_refused(void)
{
	uint32_t cap;
	struct bufs b;

	bufs_init(&b);
	T_CHECK(bufs_take(&b, ((uint64_t)1 << BUFS_MAX_SHIFT) + 1, &cap) == NULL);
	T_CHECK(bufs_take(&b, UINT64_MAX, &cap) == NULL);
	T_EQ(b.lent_cnt, 0);
	bufs_free(&b);
}

static const struct t_case cases[] = {
	{"a buffer is at least as large as asked and a power of two",
	 a_buffer_is_at_least_as_large_as_asked_and_a_power_of_two},
	{"the buffer used last is used again", the_buffer_used_last_is_used_again},
	{"what is kept has a bound", what_is_kept_has_a_bound},
	{"impossible sizes are refused", impossible_sizes_are_refused},
};
T_MAIN(cases)
