/* test_admission_tables.c: the limit of networks and the set of connection IDs, against plain
 * models of what they promise. */
#include "cid_set.h"
#include "first_packets.h"
#include "prefix_limit.h"

enum {
	INTERVAL_NS = 10 * 1000000,
	BURST_CNT = 5,
	NETWORKS = 8,
	STEPS = 200000,
	IDS = 600
};

/* A budget in the ordinary form: a number that grows with time. */
struct bucket {
	double budget;
	uint64_t at_ns;
};

static bool bucket_passes(struct bucket *b, uint64_t now_ns)
{
	b->budget += (double)(now_ns - b->at_ns) / INTERVAL_NS;
	b->at_ns = now_ns;
	if (b->budget > BURST_CNT)
		b->budget = BURST_CNT;
	if (b->budget < 1)
		return false;
	b->budget -= 1;
	return true;
}

/* Whole steps of time, so that the model's fractions are exact. */
static void each_network_passes_what_its_budget_says(void)
{
	struct bucket model[NETWORKS];
	struct prefix_limit limit;
	uint64_t seed = 4711, now_ns = S_NS, passed = 0;

	T_EQ(prefix_limit_open(&limit, 4096, INTERVAL_NS, BURST_CNT), 0);
	for (int i = 0; i < NETWORKS; i++)
		model[i] = (struct bucket){.budget = BURST_CNT, .at_ns = now_ns};
	for (uint32_t step = 0; step < STEPS; step++) {
		const uint64_t r = t_random(&seed);
		const uint32_t network = r % NETWORKS;
		const struct qx_addr peer = source4(
			0x0a000000 + (network << 8) + (uint8_t)(r >> 8), (uint16_t)(r >> 16));
		bool passes;

		now_ns += (r >> 40) % 8 == 0 ? INTERVAL_NS / 4 * ((r >> 48) % 5) : 0;
		passes = bucket_passes(&model[network], now_ns);
		T_EQ(prefix_limit_passes(&limit, &peer, now_ns), passes);
		passed += passes;
	}
	T_CHECK(passed > STEPS / 100 && passed < STEPS / 2);
	prefix_limit_close(&limit);
}

static uint32_t passed_of(struct prefix_limit *l, const struct qx_addr *peer, uint64_t now_ns)
{
	uint32_t passed = 0;

	for (int i = 0; i < 100; i++)
		passed += prefix_limit_passes(l, peer, now_ns);
	return passed;
}

static void networks_are_24_bits_of_ipv4_and_56_of_ipv6(void)
{
	struct qx_addr a = {.family = QX_IPV6, .ip = {0x20, 1, 0xd, 0xb8, [6] = 5}};
	struct prefix_limit limit;
	struct qx_addr b;

	T_EQ(prefix_limit_open(&limit, 64, INTERVAL_NS, BURST_CNT), 0);
	T_EQ(passed_of(&limit, &a, S_NS), BURST_CNT);
	b = a;
	b.ip[7] = 0xff;
	b.ip[15] = 1;
	b.port = 99;
	T_EQ(passed_of(&limit, &b, S_NS), 0);
	b.ip[6] = 6;
	T_EQ(passed_of(&limit, &b, S_NS), BURST_CNT);
	a = source4(0x20010db8, 1); /* the same bytes in front */
	T_EQ(passed_of(&limit, &a, S_NS), BURST_CNT);
	b = source4(0x20010dff, 2);
	T_EQ(passed_of(&limit, &b, S_NS), 0);
	b = source4(0x20010eb8, 2);
	T_EQ(passed_of(&limit, &b, S_NS), BURST_CNT);
	T_EQ(passed_of(&limit, &b, S_NS + INTERVAL_NS - 1), 0);
	T_EQ(passed_of(&limit, &b, S_NS + INTERVAL_NS), 1);
	T_EQ(passed_of(&limit, &b, 1000 * S_NS), BURST_CNT);
	prefix_limit_close(&limit);
}

static void no_limit_is_none(void)
{
	const struct qx_addr a = source4(1, 1);
	struct prefix_limit limit;

	T_EQ(prefix_limit_open(&limit, 64, 0, 0), 0);
	T_EQ(passed_of(&limit, &a, S_NS), 100);
	prefix_limit_close(&limit);
}

/* A network in use is remembered while others are not: two hundred strangers between two of
 * its packets do not give it a new budget. */
static void a_network_that_is_heard_keeps_its_place(void)
{
	const struct qx_addr loud = source4(0x0a000000, 1);
	struct prefix_limit limit;
	uint64_t seed = 5, now_ns = S_NS;

	T_EQ(prefix_limit_open(&limit, 4096, INTERVAL_NS, BURST_CNT), 0);
	passed_of(&limit, &loud, now_ns);
	for (uint32_t round = 0; round < 500; round++) {
		for (uint32_t i = 0; i < 200; i++) {
			const struct qx_addr other = source4((uint32_t)t_random(&seed), 1);

			prefix_limit_passes(&limit, &other, now_ns += 5000);
		}
		/* A millisecond later: nothing yet, or one of the budget. */
		T_CHECK(passed_of(&limit, &loud, now_ns) <= 1);
	}
	prefix_limit_close(&limit);
}

/* The n-th of IDS connection IDs of all lengths; some are the beginning of others. */
static uint32_t id_of(uint32_t n, uint8_t out[20])
{
	memset(out, 0, 20);
	out[0] = (uint8_t)(n / 21);
	out[1] = (uint8_t)(n / 21 >> 8);
	return n % 21;
}

static void the_set_holds_exactly_what_was_put_there(void)
{
	uint8_t held[IDS * 21] = {0}, id[20];
	uint64_t seed = 7;
	struct cid_set set;
	uint32_t held_cnt = 0;

	T_EQ(cid_set_init(&set), 0);
	for (uint32_t step = 0; step < STEPS; step++) {
		const uint64_t r = t_random(&seed);
		/* Lengths of 0 and 1 repeat themselves for other numbers. */
		const uint32_t n =
			(uint32_t)(r >> 8) % IDS * 21 + 2 + (uint32_t)(r >> 32) % 19;
		const uint32_t len_bytes = id_of(n, id);

		switch (r % 4) {
		case 0:
		case 1:
			T_EQ(cid_set_add(&set, id, len_bytes), 0);
			held_cnt += !held[n];
			held[n] = 1;
			break;
		case 2:
			cid_set_remove(&set, id, len_bytes);
			held_cnt -= held[n];
			held[n] = 0;
			break;
		default:
			T_EQ(cid_set_has(&set, id, len_bytes), held[n]);
		}
		T_EQ(set.cnt, held_cnt);
	}
	for (uint32_t n = 0; n < IDS * 21; n++)
		if (n % 21 >= 2)
			T_EQ(cid_set_has(&set, id, id_of(n, id)), held[n]);
	T_CHECK(held_cnt > 100 && set.mask < 1u << 16);
	cid_set_free(&set);
}

static void an_empty_id_is_one_too(void)
{
	struct cid_set set;

	T_EQ(cid_set_init(&set), 0);
	T_CHECK(!cid_set_has(&set, NULL, 0));
	T_EQ(cid_set_add(&set, NULL, 0), 0);
	T_CHECK(cid_set_has(&set, NULL, 0));
	cid_set_remove(&set, NULL, 0);
	T_CHECK(!cid_set_has(&set, NULL, 0));
	T_EQ(set.cnt, 0);
	cid_set_free(&set);
}

static const struct t_case cases[] = {
	{"each network passes what its budget says",
	 each_network_passes_what_its_budget_says},
	{"networks are 24 bits of IPv4 and 56 of IPv6",
	 networks_are_24_bits_of_ipv4_and_56_of_ipv6},
	{"no limit is none", no_limit_is_none},
	{"a network that is heard keeps its place", a_network_that_is_heard_keeps_its_place},
	{"the set holds exactly what was put there",
	 the_set_holds_exactly_what_was_put_there},
	{"an empty ID is one, too", an_empty_id_is_one_too},
};

T_MAIN(cases)
