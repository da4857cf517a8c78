/* test_addr_table.c: what is put is found, and floods cost neither memory nor the newest. */
#include "addr_table.h"

#include "t.h"

static struct qx_addr peer(uint32_t n, uint16_t port)
{
	return (struct qx_addr){.family = QX_IPV4,
				.ip = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n},
				.port = port};
}

static struct qx_addr_table *open_table(uint32_t entry_cnt)
{
	struct qx_addr_table *t;

	T_EQ(addr_table_open(&t, entry_cnt, sizeof(uint32_t)), 0);
	return t;
}

static void put(struct qx_addr_table *t, struct qx_addr key, uint64_t stamp, uint32_t value)
{
	*(uint32_t *)addr_table_put(t, &key, stamp) = value;
}

/* The value, UINT32_MAX if there is none. */
static uint32_t find(struct qx_addr_table *t, struct qx_addr key)
{
	const uint32_t *value = addr_table_find(t, &key);

	return value ? *value : UINT32_MAX;
}

static void what_was_put_last_is_found(void)
{
	struct qx_addr_table *t = open_table(64);
	struct qx_addr a = peer(1, 0);

	T_EQ(find(t, a), UINT32_MAX);
	T_EQ(*(uint32_t *)addr_table_put(t, &a, 1), 0);
	put(t, a, 1, 7);
	T_EQ(find(t, peer(2, 0)), UINT32_MAX);
	put(t, a, 2, 8);
	T_EQ(find(t, a), 8);
	addr_table_remove(t, &a);
	addr_table_remove(t, &a);
	T_EQ(find(t, a), UINT32_MAX);
	put(t, a, 3, 9);
	addr_table_clear(t);
	T_EQ(find(t, a), UINT32_MAX);
	addr_table_close(t);
}

/* fe80:: addresses repeat on every interface, and a host has many ports. */
static void port_and_scope_are_part_of_the_key(void)
{
	struct qx_addr_table *t = open_table(64);
	struct qx_addr a = {.family = QX_IPV6, .ip = {0xfe, 0x80, [15] = 1}, .scope_id = 2};
	struct qx_addr b = a;

	b.scope_id = 3;
	put(t, a, 1, 1);
	put(t, peer(1, 1000), 1, 2);
	T_EQ(find(t, a), 1);
	T_EQ(find(t, b), UINT32_MAX);
	T_EQ(find(t, peer(1, 1000)), 2);
	T_EQ(find(t, peer(1, 1001)), UINT32_MAX);
	addr_table_close(t);
}

/* Forged sources cost memory nothing, and whoever was put last is there. */
static void a_flood_is_bounded_and_the_newest_survive(void)
{
	enum {
		ENTRIES = 256,
		FLOOD = 100000
	};
	struct qx_addr_table *t = open_table(ENTRIES);
	uint32_t known = 0;

	for (uint32_t i = 0; i < FLOOD; i++) {
		put(t, peer(i, 1), i + 1, i);
		T_EQ(find(t, peer(i, 1)), i);
	}
	for (uint32_t i = 0; i < FLOOD; i++)
		known += find(t, peer(i, 1)) == i;
	T_EQ(known, ENTRIES);
	/* The latest are among them: the one with the oldest stamp makes room. */
	known = 0;
	for (uint32_t i = FLOOD - ENTRIES / 4; i < FLOOD; i++)
		known += find(t, peer(i, 1)) == i;
	T_CHECK(known >= ENTRIES / 4 - 4);
	addr_table_close(t);
}

/* A table that is not full forgets nobody it has room for: hashing spreads. */
static void a_quarter_full_table_forgets_few(void)
{
	enum {
		ENTRIES = 4096,
		PEERS = 1024
	};
	struct qx_addr_table *t = open_table(ENTRIES);
	uint32_t known = 0;

	for (uint32_t i = 0; i < PEERS; i++)
		put(t, peer(i, 1), 1, i);
	for (uint32_t i = 0; i < PEERS; i++)
		known += find(t, peer(i, 1)) == i;
	T_CHECK(known >= PEERS * 98 / 100);
	addr_table_close(t);
}

/* An address without a family (a mistake, or zeroed memory) is never found. */
static void the_empty_address_is_nobody(void)
{
	struct qx_addr_table *t = open_table(8);
	struct qx_addr none = {0};

	T_CHECK(!addr_table_find(t, &none));
	addr_table_close(t);
	addr_table_close(NULL);
}

static const struct t_case cases[] = {
	{"what was put last is found", what_was_put_last_is_found},
	{"port and scope are part of the key", port_and_scope_are_part_of_the_key},
	{"a flood is bounded and the newest survive",
	 a_flood_is_bounded_and_the_newest_survive},
	{"a quarter-full table forgets few", a_quarter_full_table_forgets_few},
	{"the empty address is nobody", the_empty_address_is_nobody},
};

T_MAIN(cases)
