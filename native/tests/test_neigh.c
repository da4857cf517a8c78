/* test_neigh.c: what frames teach about the way back, and what floods cannot do. */
#include "neigh.h"

#include "t.h"

#define SECOND_NS 1000000000ull

static struct qx_addr peer(uint32_t n, uint16_t port)
{
	struct qx_addr a = {.family = QX_IPV4, .port = port};

	a.ip[0] = 10;
	a.ip[1] = (uint8_t)(n >> 16);
	a.ip[2] = (uint8_t)(n >> 8);
	a.ip[3] = (uint8_t)n;
	return a;
}

static struct qx_neigh way(uint8_t last_byte, uint64_t heard_ns)
{
	return (struct qx_neigh){
		.mac = {2, 0, 0, 0, 0, last_byte},
		.queue = last_byte,
		.local = {.family = QX_IPV4, .ip = {10, 9, 9, 9}, .port = 4433},
		.heard_ns = heard_ns};
}

static struct qx_neigh_table *open_table(uint32_t entry_cnt)
{
	struct qx_neigh_table *t;

	T_EQ(neigh_open(&t, entry_cnt), 0);
	return t;
}

/* What was heard last is where replies go: MAC, queue and our own address. */
static void what_was_heard_last_is_found(void)
{
	struct qx_neigh_table *t = open_table(64);
	struct qx_addr a = peer(1, 1000), b = peer(2, 1000);
	struct qx_neigh first = way(1, 5), second = way(2, 6);
	const struct qx_neigh *found;

	T_CHECK(!neigh_find(t, &a, 5, SECOND_NS));
	neigh_learn(t, &a, &first);
	T_CHECK(!neigh_find(t, &b, 5, SECOND_NS));
	neigh_learn(t, &a, &second);
	found = neigh_find(t, &a, 6, SECOND_NS);
	T_CHECK(found != NULL);
	T_EQ(found->mac[5], 2);
	T_EQ(found->queue, 2);
	T_EQ(found->local.ip[0], 10);
	T_EQ(found->local.port, 0);
	neigh_close(t);
}

/* The way leads to a machine; a client behind NAT changes its port freely. */
static void the_port_does_not_matter(void)
{
	struct qx_neigh_table *t = open_table(64);
	struct qx_addr a = peer(1, 1000), other_port = peer(1, 2000);
	struct qx_neigh w = way(1, 5);

	neigh_learn(t, &a, &w);
	T_CHECK(neigh_find(t, &other_port, 5, SECOND_NS) != NULL);
	neigh_close(t);
}

/* fe80:: addresses repeat on every interface. */
static void the_scope_does_matter(void)
{
	struct qx_neigh_table *t = open_table(64);
	struct qx_addr a = {.family = QX_IPV6, .ip = {0xfe, 0x80, [15] = 1}, .scope_id = 2};
	struct qx_addr b = a;
	struct qx_neigh w = way(1, 5);

	b.scope_id = 3;
	neigh_learn(t, &a, &w);
	T_CHECK(neigh_find(t, &a, 5, SECOND_NS) != NULL);
	T_CHECK(!neigh_find(t, &b, 5, SECOND_NS));
	neigh_close(t);
}

/* A peer may have moved since: old entries leave the decision to the kernel. */
static void an_old_entry_is_not_used(void)
{
	struct qx_neigh_table *t = open_table(64);
	struct qx_addr a = peer(1, 0);
	struct qx_neigh w = way(1, 10 * SECOND_NS);

	neigh_learn(t, &a, &w);
	T_CHECK(neigh_find(t, &a, 40 * SECOND_NS, 30 * SECOND_NS) != NULL);
	T_CHECK(!neigh_find(t, &a, 40 * SECOND_NS + 1, 30 * SECOND_NS));
	/* A clock reading older than the entry is no age. */
	T_CHECK(neigh_find(t, &a, 0, 30 * SECOND_NS) != NULL);
	neigh_close(t);
}

/* Forged sources cost memory nothing, and whoever is heard now is known now. */
static void a_flood_is_bounded_and_the_newest_survive(void)
{
	enum {
		ENTRIES = 256,
		FLOOD = 100000
	};
	struct qx_neigh_table *t = open_table(ENTRIES);
	uint32_t known = 0;

	for (uint32_t i = 0; i < FLOOD; i++) {
		struct qx_addr a = peer(i, 1);
		struct qx_neigh w = way((uint8_t)i, i + 1);

		neigh_learn(t, &a, &w);
		T_CHECK(neigh_find(t, &a, i + 1, SECOND_NS) != NULL);
	}
	for (uint32_t i = 0; i < FLOOD; i++) {
		struct qx_addr a = peer(i, 1);
		const struct qx_neigh *found = neigh_find(t, &a, FLOOD, SECOND_NS);

		if (found) {
			known++;
			T_EQ(found->mac[5], (uint8_t)i);
		}
	}
	T_EQ(known, ENTRIES);
	/* The latest are among them: the one unheard of for longest makes room. */
	known = 0;
	for (uint32_t i = FLOOD - ENTRIES / 4; i < FLOOD; i++) {
		struct qx_addr a = peer(i, 1);

		known += neigh_find(t, &a, FLOOD, SECOND_NS) != NULL;
	}
	T_CHECK(known >= ENTRIES / 4 - 4);
	neigh_close(t);
}

/* A table that is not full forgets nobody it has room for: hashing spreads. */
static void a_quarter_full_table_forgets_few(void)
{
	enum {
		ENTRIES = 4096,
		PEERS = 1024
	};
	struct qx_neigh_table *t = open_table(ENTRIES);
	uint32_t known = 0;

	for (uint32_t i = 0; i < PEERS; i++) {
		struct qx_addr a = peer(i, 1);
		struct qx_neigh w = way(1, 1);

		neigh_learn(t, &a, &w);
	}
	for (uint32_t i = 0; i < PEERS; i++) {
		struct qx_addr a = peer(i, 1);

		known += neigh_find(t, &a, 1, SECOND_NS) != NULL;
	}
	T_CHECK(known >= PEERS * 98 / 100);
	neigh_close(t);
}

/* An address without a family (a mistake, or zeroed memory) is never found. */
static void the_empty_address_is_nobody(void)
{
	struct qx_neigh_table *t = open_table(8);
	struct qx_addr none = {0};

	T_CHECK(!neigh_find(t, &none, 0, SECOND_NS));
	neigh_close(t);
	neigh_close(NULL);
}

static const struct t_case cases[] = {
	{"what was heard last is found", what_was_heard_last_is_found},
	{"the port does not matter", the_port_does_not_matter},
	{"the scope does matter", the_scope_does_matter},
	{"an old entry is not used", an_old_entry_is_not_used},
	{"a flood is bounded and the newest survive",
	 a_flood_is_bounded_and_the_newest_survive},
	{"a quarter-full table forgets few", a_quarter_full_table_forgets_few},
	{"the empty address is nobody", the_empty_address_is_nobody},
};

T_MAIN(cases)
