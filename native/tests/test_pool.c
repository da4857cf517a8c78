/* test_pool.c: blocks are reused, counted and bounded. */
#include "pool.h"

#include "t.h"

/* The packet path relies on it: once warm, nothing is allocated. */
static void a_block_given_back_is_the_next_one_taken(void)
{
	struct pool p;
	void *a, *b;

	pool_init(&p, 64, 8);
	a = pool_take(&p);
	b = pool_take(&p);
	T_CHECK(a && b && a != b);
	T_EQ(p.lent_cnt, 2);
	memset(a, 1, 64);
	pool_give(&p, a);
	pool_give(&p, b);
	T_EQ(p.lent_cnt, 0);
	T_EQ(p.free_cnt, 2);
	T_CHECK(pool_take(&p) == b);
	T_CHECK(pool_take(&p) == a);
	memset(a, 2, 64);
	T_EQ(p.free_cnt, 0);
	pool_give(&p, a);
	pool_give(&p, b);
	pool_free(&p);
	T_CHECK(p.free == NULL);
	T_EQ(p.free_cnt, 0);
}

/* A burst must not hold its memory for ever. */
static void no_more_than_max_free_blocks_are_kept(void)
{
	void *blocks[10];
	struct pool p;

	pool_init(&p, sizeof(struct pool_block), 3);
	for (int i = 0; i < 10; i++)
		T_CHECK((blocks[i] = pool_take(&p)) != NULL);
	T_EQ(p.lent_cnt, 10);
	for (int i = 0; i < 10; i++)
		pool_give(&p, blocks[i]);
	T_EQ(p.free_cnt, 3);
	T_EQ(p.lent_cnt, 0);
	pool_free(&p);
}

static void nothing_given_back_is_nothing(void)
{
	struct pool p;

	pool_init(&p, 64, 8);
	pool_give(&p, NULL);
	T_EQ(p.free_cnt, 0);
	pool_free(&p);
	pool_free(&p);
}

static const struct t_case cases[] = {
	{"a block given back is the next one taken",
	 a_block_given_back_is_the_next_one_taken},
	{"no more than max_free blocks are kept", no_more_than_max_free_blocks_are_kept},
	{"nothing given back is nothing", nothing_given_back_is_nothing},
};

T_MAIN(cases)
