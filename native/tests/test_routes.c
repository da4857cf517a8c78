/* test_routes.c: the longest-prefix match against the plainest one, a list that is searched
 * from end to end; its limits; and that what is taken out leaves nothing. */
#define _GNU_SOURCE
#include "routes.h"

#include "faults.h"
#include "quicxdp.h"
#include "t.h"

enum {
	LIST_MAX = 1024
};

/* ---- The plain twin ---- */

struct plain {
	uint8_t family;
	uint8_t ip[16];
	uint32_t bits;
	struct route route;
};

static struct plain list[LIST_MAX];
static uint32_t list_cnt;

static int bit_of(const uint8_t *ip, uint32_t i)
{
	return ip[i / 8] >> (7 - i % 8) & 1;
}

static int same_bits(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
	uint32_t i = 0;

	while (i < bits && bit_of(a, i) == bit_of(b, i))
		i++;
	return i == bits;
}

static struct plain *plain_same(const struct plain *p)
{
	for (uint32_t i = 0; i < list_cnt; i++)
		if (list[i].family == p->family && list[i].bits == p->bits &&
		    same_bits(list[i].ip, p->ip, p->bits) &&
		    list[i].route.metric == p->route.metric &&
		    list[i].route.sign == p->route.sign)
			return &list[i];
	return NULL;
}

/* The longest prefix, and of it the lowest metric. */
static const struct plain *plain_find(uint8_t family, const uint8_t *ip)
{
	const struct plain *best = NULL;

	for (uint32_t i = 0; i < list_cnt; i++) {
		const struct plain *p = &list[i];

		if (p->family != family || !same_bits(p->ip, ip, p->bits))
			continue;
		if (!best || p->bits > best->bits ||
		    (p->bits == best->bits && p->route.metric < best->route.metric))
			best = p;
	}
	return best;
}

/* ---- Tests ---- */

static struct qx_routes *open_table(void)
{
	struct qx_routes *r;

	T_EQ(routes_open(&r), 0);
	return r;
}

/* Few different bits, so that prefixes meet and nest. */
static void random_prefix(uint64_t *seed, struct plain *p)
{
	memset(p, 0, sizeof(*p));
	p->family = t_random(seed) & 1 ? QX_IPV4 : QX_IPV6;
	p->bits = (uint32_t)(t_random(seed) % (p->family == QX_IPV4 ? 33 : 129));
	for (int i = 0; i < 16; i++)
		p->ip[i] = (uint8_t)(t_random(seed) & 0x81);
	p->route.metric = (uint32_t)(t_random(seed) % 3);
	p->route.sign = (uint32_t)(t_random(seed) % 2);
	p->route.hop = (uint16_t)(t_random(seed) % (ROUTES_HOP_MAX + 1));
}

/* What a lookup must answer. */
static uint32_t plain_hop(uint8_t family, const uint8_t *ip)
{
	const struct plain *best = plain_find(family, ip);

	if (!best)
		return ROUTES_NOT_FOUND;
	for (uint32_t i = 0; i < list_cnt; i++)
		if (&list[i] != best && list[i].family == family &&
		    list[i].bits == best->bits && same_bits(list[i].ip, ip, best->bits) &&
		    list[i].route.metric == best->route.metric)
			return ROUTES_HOP_SHARED;
	return best->route.hop;
}

static void compare(struct qx_routes *r, uint8_t family, const uint8_t *ip)
{
	T_EQ(routes_find(r, family, ip), plain_hop(family, ip));
}

/* Whatever comes and goes, in whatever order, it is the answer of the plain search. */
static void every_lookup_agrees_with_a_plain_search(void)
{
	struct qx_routes *r = open_table();
	uint64_t seed = 20261124;

	list_cnt = 0;
	for (int round = 0; round < 8000; round++) {
		struct plain p, *same;

		random_prefix(&seed, &p);
		same = plain_same(&p);
		if (t_random(&seed) % 5 < 3 && list_cnt < LIST_MAX) {
			T_EQ(routes_add(r, p.family, p.ip, p.bits, &p.route), !same);
			if (same)
				same->route.hop = p.route.hop;
			else
				list[list_cnt++] = p;
		} else {
			/* Something that is there, nearly always. */
			if (list_cnt > 0 && t_random(&seed) % 8)
				p = list[t_random(&seed) % list_cnt];
			same = plain_same(&p);
			T_EQ(routes_remove(r, p.family, p.ip, p.bits, p.route.metric,
					   p.route.sign),
			     same != NULL);
			if (same)
				*same = list[--list_cnt];
		}
		T_EQ(routes_cnt(r), list_cnt);
		if (round % 16 == 0)
			for (uint32_t i = 0; i < list_cnt; i += 7)
				compare(r, list[i].family, list[i].ip);
		random_prefix(&seed, &p);
		compare(r, p.family, p.ip);
	}
	routes_close(r);
}

/* A default route covers everything, a host route nobody else. */
static void the_shortest_and_the_longest_prefixes_work(void)
{
	static const uint8_t a[16] = {192, 0, 2, 1, [15] = 1}, b[16] = {192, 0, 2, 0};
	const struct route all = {.hop = 1}, one = {.hop = 2};
	static const uint8_t families[] = {QX_IPV4, QX_IPV6};

	for (int i = 0; i < 2; i++) {
		struct qx_routes *r = open_table();
		uint32_t longest = families[i] == QX_IPV4 ? 32 : 128;

		T_EQ(routes_find(r, families[i], a), ROUTES_NOT_FOUND);
		T_EQ(routes_add(r, families[i], a, 0, &all), 1);
		T_EQ(routes_add(r, families[i], a, longest, &one), 1);
		T_EQ(routes_find(r, families[i], a), 2);
		T_EQ(routes_find(r, families[i], b), 1);
		T_EQ(routes_find(r, families[1 - i], a), ROUTES_NOT_FOUND);
		T_EQ(routes_add(r, families[i], a, longest + 1, &one), -EINVAL);
		T_EQ(routes_remove(r, families[i], a, longest + 1, 0, 0), -EINVAL);
		T_EQ(routes_remove(r, families[i], a, longest, 0, 0), 1);
		T_EQ(routes_find(r, families[i], a), 1);
		routes_close(r);
	}
	T_EQ(routes_add(NULL, 9, a, 0, &all), -EINVAL);
}

/* What `ip route replace` means: all of one metric go, the others stay. */
static void removing_all_takes_one_metric(void)
{
	static const uint8_t ip[16] = {10, 1};
	struct qx_routes *r = open_table();

	for (uint32_t i = 0; i < 6; i++) {
		const struct route e = {.metric = i / 3, .sign = i, .hop = (uint16_t)(i + 1)};

		T_EQ(routes_add(r, QX_IPV4, ip, 16, &e), 1);
	}
	T_EQ(routes_find(r, QX_IPV4, ip), ROUTES_HOP_SHARED);
	T_EQ(routes_remove_all(r, QX_IPV4, ip, 16, 0), 3);
	T_EQ(routes_remove(r, QX_IPV4, ip, 16, 1, 4), 1);
	T_EQ(routes_find(r, QX_IPV4, ip), ROUTES_HOP_SHARED);
	T_EQ(routes_remove(r, QX_IPV4, ip, 16, 1, 3), 1);
	T_EQ(routes_find(r, QX_IPV4, ip), 6);
	T_EQ(routes_remove_all(r, QX_IPV4, ip, 16, 1), 1);
	T_EQ(routes_find(r, QX_IPV4, ip), ROUTES_NOT_FOUND);
	T_EQ(routes_remove_all(r, QX_IPV4, ip, 16, 1), 0);
	routes_close(r);
}

static void host_route(uint32_t i, uint8_t *ip)
{
	uint64_t seed = i + 1;

	for (int k = 0; k < 16; k++)
		ip[k] = (uint8_t)(t_random(&seed) >> 40);
}

/* The kernel may have more routes than fit: the table says so and what it has stays right. */
static void a_full_table_says_so_and_goes_on(void)
{
	struct qx_routes *r = open_table();
	uint32_t added = 0;
	uint8_t ip[16];

	for (;; added++) {
		const struct route e = {.hop = (uint16_t)(added % 1000)};

		host_route(added, ip);
		if (routes_add(r, QX_IPV6, ip, 128, &e) < 0)
			break;
	}
	/* The worst there is: all of them IPv6 host routes that share nothing. */
	T_CHECK(added >= 100000);
	T_CHECK(routes_bytes(r) <= 32u << 20);
	T_EQ(routes_cnt(r), added);
	for (uint32_t i = 0; i < added; i += 97) {
		host_route(i, ip);
		T_EQ(routes_find(r, QX_IPV6, ip), i % 1000);
	}
	for (uint32_t i = 0; i < added; i++) {
		host_route(i, ip);
		T_EQ(routes_remove(r, QX_IPV6, ip, 128, 0, 0), 1);
	}
	T_EQ(routes_cnt(r), 0);
	routes_close(r);
}

/* A table that lives for months: the same routes a thousand times cost no more than once. */
static void routes_that_come_and_go_use_their_memory_again(void)
{
	struct qx_routes *r = open_table();
	size_t once = 0;
	uint8_t ip[16];

	for (int round = 0; round < 1000; round++) {
		for (uint32_t i = 0; i < 100; i++) {
			const struct route e = {.hop = 1};

			host_route(i, ip);
			T_EQ(routes_add(r, i % 2 ? QX_IPV4 : QX_IPV6, ip, 20 + i % 12, &e),
			     1);
		}
		for (uint32_t i = 0; i < 100; i++) {
			host_route(99 - i, ip);
			T_EQ(routes_remove(r, i % 2 ? QX_IPV6 : QX_IPV4, ip,
					   20 + (99 - i) % 12, 0, 0),
			     1);
			T_EQ(routes_cnt(r), 99 - i);
		}
		if (round == 1)
			once = routes_bytes(r);
		else if (round > 1)
			T_EQ(routes_bytes(r), once);
	}
	routes_clear(r);
	T_CHECK(routes_bytes(r) < once);
	routes_close(r);
}

static void no_memory_is_an_error(void)
{
	struct qx_routes *r;

	faults_calls = 0;
	faults_at = 1;
	T_EQ(routes_open(&r), -ENOMEM);
	faults_at = 0;
	routes_close(NULL);
}

static const struct t_case cases[] = {
	{"every lookup agrees with a plain search", every_lookup_agrees_with_a_plain_search},
	{"the shortest and the longest prefixes work",
	 the_shortest_and_the_longest_prefixes_work},
	{"removing all takes one metric", removing_all_takes_one_metric},
	{"a full table says so and goes on", a_full_table_says_so_and_goes_on},
	{"routes that come and go use their memory again",
	 routes_that_come_and_go_use_their_memory_again},
	{"no memory is an error", no_memory_is_an_error},
};

T_MAIN(cases)
