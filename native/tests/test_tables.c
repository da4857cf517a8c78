/* test_tables.c: the small containers of an engine: connection IDs, deadlines, event bytes,
 * queued frames. */
#include <errno.h>
#include <string.h>

#include "arena.h"
#include "cid_table.h"
#include "conn.h"
#include "deadlines.h"
#include "frame_queue.h"
#include "t.h"

enum {
	MANY = 2000
};

static struct qx_conn conns[MANY];

/* ---- Connection IDs ---- */

static const uint8_t *cid_of(uint32_t i)
{
	static uint8_t cid[8];

	/* Alike but for a byte, so that the hash has to work. */
	memset(cid, 0x11, sizeof(cid));
	cid[2] = (uint8_t)i;
	cid[6] = (uint8_t)(i >> 8);
	return cid;
}

static void every_id_leads_to_its_connection(void)
{
	struct cid_table t;

	T_EQ(cid_table_init(&t, 8), 0);
	for (uint32_t i = 0; i < MANY; i++)
		T_EQ(cid_table_add(&t, cid_of(i), &conns[i]), 0);
	T_EQ(t.cnt, MANY);
	for (uint32_t i = 0; i < MANY; i++)
		T_CHECK(cid_table_find(&t, cid_of(i)) == &conns[i]);
	T_CHECK(!cid_table_find(&t, cid_of(MANY)));
	T_EQ(cid_table_add(&t, cid_of(5), &conns[5]), 0);
	T_EQ(cid_table_add(&t, cid_of(5), &conns[6]), -EEXIST);
	T_EQ(t.cnt, MANY);
	cid_table_free(&t);
}

/* Random additions and removals against what they must give. */
static void removals_hide_nobody(void)
{
	static bool in[MANY];
	uint64_t seed = 42;
	struct cid_table t;

	memset(in, 0, sizeof(in));
	T_EQ(cid_table_init(&t, 8), 0);
	for (uint32_t n = 0; n < 40 * MANY; n++) {
		const uint32_t i = (uint32_t)(t_random(&seed) % MANY);

		if (in[i]) {
			cid_table_remove(&t, cid_of(i), &conns[(i + 1) % MANY]);
			T_CHECK(cid_table_find(&t, cid_of(i)) == &conns[i]);
			cid_table_remove(&t, cid_of(i), &conns[i]);
		} else {
			T_EQ(cid_table_add(&t, cid_of(i), &conns[i]), 0);
		}
		in[i] = !in[i];
		if (n % MANY)
			continue;
		for (uint32_t k = 0; k < MANY; k++)
			T_CHECK(cid_table_find(&t, cid_of(k)) == (in[k] ? &conns[k] : NULL));
	}
	cid_table_free(&t);
}

static void a_connection_loses_all_its_ids_at_once(void)
{
	struct cid_table t;

	T_EQ(cid_table_init(&t, 8), 0);
	for (uint32_t i = 0; i < MANY; i++)
		T_EQ(cid_table_add(&t, cid_of(i), &conns[i % 7]), 0);
	cid_table_remove_all(&t, &conns[3]);
	for (uint32_t i = 0; i < MANY; i++)
		T_CHECK(cid_table_find(&t, cid_of(i)) == (i % 7 == 3 ? NULL : &conns[i % 7]));
	cid_table_free(&t);
}

static void ids_of_no_length_lead_to_one_connection(void)
{
	struct cid_table t;

	T_EQ(cid_table_init(&t, 0), 0);
	T_CHECK(!cid_table_find(&t, cid_of(0)));
	T_EQ(cid_table_add(&t, cid_of(0), &conns[0]), 0);
	T_CHECK(cid_table_find(&t, cid_of(1)) == &conns[0]);
	T_EQ(cid_table_add(&t, cid_of(1), &conns[1]), -EEXIST);
	cid_table_free(&t);
}

/* ---- Deadlines ---- */

static void deadlines_come_in_order_whatever_is_moved(void)
{
	static uint64_t at[MANY];
	struct deadlines d = {0};
	uint64_t seed = 99, last = 0;
	uint32_t left = 0;
	struct qx_conn *c;

	T_EQ(deadlines_reserve(&d, MANY), 0);
	T_EQ(deadlines_next(&d), QX_NEVER_NS);
	for (uint32_t i = 0; i < MANY; i++) {
		conns[i].heap_index = DEADLINES_NOWHERE;
		at[i] = QX_NEVER_NS;
	}
	for (uint32_t n = 0; n < 20 * MANY; n++) {
		const uint32_t i = (uint32_t)(t_random(&seed) % MANY);

		at[i] = t_random(&seed) % 4 ? t_random(&seed) % 1000000 : QX_NEVER_NS;
		deadlines_set(&d, &conns[i], at[i]);
	}
	for (uint32_t i = 0; i < MANY; i++)
		left += at[i] != QX_NEVER_NS;
	T_EQ(d.cnt, left);
	T_CHECK(!deadlines_pop(&d, deadlines_next(&d) - 1));
	while ((c = deadlines_pop(&d, 1000000))) {
		T_CHECK(at[c - conns] >= last);
		last = at[c - conns];
		T_EQ(c->heap_index, DEADLINES_NOWHERE);
		left--;
	}
	T_EQ(left, 0);
	deadlines_free(&d);
}

/* ---- Bytes of events ---- */

static void bytes_stay_where_they_are_until_the_end(void)
{
	static uint8_t *at[1000];
	struct arena a = {0};

	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 1000; i++) {
			const uint32_t len = i * 37 % 3000;

			at[i] = arena_take(&a, len);
			T_CHECK(at[i] && (uintptr_t)at[i] % 8 == 0);
			memset(at[i], (int)i, len);
		}
		for (uint32_t i = 0; i < 1000; i++)
			for (uint32_t k = 0; k < i * 37 % 3000; k++)
				T_EQ(at[i][k], (uint8_t)i);
		arena_empty(&a);
	}
	/* What was ensured is there; what is huge is not kept. */
	T_CHECK(arena_ensure(&a, 3 * ARENA_KEPT_BYTES));
	T_CHECK(arena_take(&a, 3 * ARENA_KEPT_BYTES));
	arena_empty(&a);
	{
		uint64_t kept = 0;

		for (const struct arena_block *b = a.first; b; b = b->next)
			kept += b->cap_bytes;
		T_CHECK(kept <= ARENA_KEPT_BYTES);
	}
	arena_free(&a);
}

/* ---- Queued frames ---- */

static void frames_come_out_as_they_went_in(void)
{
	static uint8_t data[5000];
	struct frame_queue q = {0};
	struct pool blocks;
	uint64_t bytes = 0;

	pool_init(&blocks, FRAME_BLOCK_BYTES, 10);
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 3);
	for (uint32_t len = 0; len < sizeof(data); len += 111, bytes += len - 111)
		T_EQ(frame_queue_push(&q, &blocks, data, len, len + 1, 2), 0);
	T_EQ(q.bytes, bytes);
	for (uint32_t len = 0; len < sizeof(data); len += 111) {
		T_EQ(q.head->len_bytes, len);
		T_EQ(q.head->token, len + 1);
		T_CHECK(memcmp(q.head->bytes, data, len) == 0);
		frame_queue_pop(&q, &blocks);
	}
	T_CHECK(!q.head && !q.tail);
	T_EQ(q.bytes, 0);
	T_EQ(blocks.lent_cnt, 0);
	pool_free(&blocks);
}

static const struct t_case cases[] = {
	{"every ID leads to its connection", every_id_leads_to_its_connection},
	{"removals hide nobody", removals_hide_nobody},
	{"a connection loses all its IDs at once", a_connection_loses_all_its_ids_at_once},
	{"IDs of no length lead to one connection", ids_of_no_length_lead_to_one_connection},
	{"deadlines come in order, whatever is moved",
	 deadlines_come_in_order_whatever_is_moved},
	{"bytes stay where they are until the end", bytes_stay_where_they_are_until_the_end},
	{"frames come out as they went in", frames_come_out_as_they_went_in},
};

T_MAIN(cases)
