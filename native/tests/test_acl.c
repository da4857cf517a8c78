/* test_acl.c: source rules: what they mean, and that both lanes keep to them. */
#define _GNU_SOURCE
#include "acl.h"

#include <errno.h>

#include "counting.h"
#include "sim.h"
#include "udp_seam.h"

enum {
	RULE_CNT = 200,
	LOOKUP_CNT = 20000
};

static char why[QX_WHY_BYTES];

static struct qx_source_rule rule4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t bits,
				   bool allow)
{
	return (struct qx_source_rule){
		.ip = {a, b, c, d}, .family = QX_IPV4, .prefix_bits = bits, .allow = allow};
}

static struct qx_addr ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct qx_addr){.ip = {a, b, c, d}, .family = QX_IPV4, .port = 1};
}

static struct qx_addr ip6(uint8_t first, uint8_t last)
{
	return (struct qx_addr){.ip = {first, [15] = last}, .family = QX_IPV6, .port = 1};
}

static struct qx_acl *open_rules(const struct qx_source_rule *rules, uint32_t cnt)
{
	struct qx_acl *acl;

	if (acl_open(&acl, rules, cnt, why) < 0)
		T_FAIL("acl_open: %s", why);
	return acl;
}

static bool allows(const struct qx_acl *acl, struct qx_addr peer)
{
	return acl_allows(acl, &peer);
}

/* No rules, no cost and no surprises. */
static void without_rules_everybody_may_pass(void)
{
	T_CHECK(open_rules(NULL, 0) == NULL);
	T_CHECK(allows(NULL, ip4(1, 2, 3, 4)));
}

/* Shutting out one network must not shut out the world. */
static void deny_alone_leaves_the_rest(void)
{
	const struct qx_source_rule rules[] = {rule4(10, 0, 0, 0, 8, false)};
	struct qx_acl *acl = open_rules(rules, 1);

	T_CHECK(!allows(acl, ip4(10, 0, 0, 0)) && !allows(acl, ip4(10, 255, 255, 255)));
	T_CHECK(allows(acl, ip4(9, 255, 255, 255)) && allows(acl, ip4(11, 0, 0, 0)));
	T_CHECK(allows(acl, ip6(0x20, 1)));
	acl_close(acl);
}

/* Whoever lists friends means nobody else, over IPv6 neither. */
static void allow_alone_shuts_out_the_rest_of_both_families(void)
{
	const struct qx_source_rule rules[] = {rule4(192, 0, 2, 7, 32, true)};
	struct qx_acl *acl = open_rules(rules, 1);

	T_CHECK(allows(acl, ip4(192, 0, 2, 7)));
	T_CHECK(!allows(acl, ip4(192, 0, 2, 6)) && !allows(acl, ip4(192, 0, 2, 8)));
	T_CHECK(!allows(acl, ip6(0x20, 1)));
	acl_close(acl);
}

/* "All of 10/8 but 10.1/16, and of that yes 10.1.2/24", in whatever order it is said. */
static void the_most_specific_rule_decides(void)
{
	const struct qx_source_rule rules[] = {
		rule4(10, 1, 2, 0, 24, true), rule4(10, 0, 0, 0, 8, true),
		rule4(10, 1, 77, 77, 16, false), rule4(10, 1, 2, 0, 24, true),
		rule4(255, 255, 255, 255, 32, true)};
	struct qx_acl *acl = open_rules(rules, 5);

	T_CHECK(allows(acl, ip4(10, 0, 9, 9)) && allows(acl, ip4(10, 2, 0, 0)));
	T_CHECK(!allows(acl, ip4(10, 1, 0, 0)) && !allows(acl, ip4(10, 1, 255, 255)));
	T_CHECK(allows(acl, ip4(10, 1, 2, 0)) && allows(acl, ip4(10, 1, 2, 255)));
	T_CHECK(!allows(acl, ip4(10, 1, 3, 0)) && !allows(acl, ip4(11, 0, 0, 0)));
	T_CHECK(allows(acl, ip4(255, 255, 255, 255)));
	T_CHECK(!allows(acl, ip4(255, 255, 255, 254)));
	acl_close(acl);
}

static void what_makes_no_sense_is_refused_and_named(void)
{
	const struct qx_source_rule both[] = {rule4(10, 0, 0, 0, 8, true),
					      rule4(10, 9, 9, 9, 8, false)};
	const struct qx_source_rule mapped = {
		.ip = {[10] = 0xff, [11] = 0xff, 10}, .family = QX_IPV6, .prefix_bits = 104};
	struct qx_source_rule wide = rule4(10, 0, 0, 0, 33, true);
	static struct qx_source_rule many[QX_SOURCE_RULES_MAX + 1];
	struct qx_acl *acl;

	T_EQ(acl_open(&acl, both, 2, why), -EINVAL);
	T_CHECK(strstr(why, "both allowed and denied") && !acl);
	T_EQ(acl_open(&acl, &wide, 1, why), -EINVAL);
	wide.family = QX_UNSPEC;
	T_EQ(acl_open(&acl, &wide, 1, why), -EINVAL);
	T_EQ(acl_open(&acl, &mapped, 1, why), -EINVAL);
	T_EQ(acl_open(&acl, many, QX_SOURCE_RULES_MAX + 1, why), -E2BIG);
}

/* ---- Against the plain reading of the sentence in acl.h ---- */

static bool holds(const struct qx_source_rule *r, const struct qx_addr *a)
{
	if (r->family != a->family)
		return false;
	for (uint32_t bit = 0; bit < r->prefix_bits; bit++)
		if ((r->ip[bit / 8] ^ a->ip[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

static bool naive(const struct qx_source_rule *rules, uint32_t cnt, const struct qx_addr *a)
{
	int best = -1;
	bool verdict = true;

	for (uint32_t i = 0; i < cnt; i++)
		verdict = verdict && !rules[i].allow;
	for (uint32_t i = 0; i < cnt; i++)
		if (holds(&rules[i], a) && rules[i].prefix_bits > best) {
			best = rules[i].prefix_bits;
			verdict = rules[i].allow;
		}
	return verdict;
}

/* Bytes of few values, so that prefixes often lie inside one another. */
static void random_ip(uint8_t ip[16], uint8_t family, uint64_t *seed)
{
	memset(ip, 0, 16);
	for (int i = 0; i < (family == QX_IPV4 ? 4 : 16); i++)
		ip[i] = t_random(seed) % 4 ? 0 : (uint8_t)(t_random(seed) % 3 * 0x7f);
}

static void random_rules_mean_what_they_say(void)
{
	static struct qx_source_rule rules[RULE_CNT];
	uint64_t seed = 20261124;
	struct qx_acl *acl;
	uint32_t denied = 0;

	for (uint32_t i = 0; i < RULE_CNT; i++) {
		struct qx_source_rule *r = &rules[i];

		r->family = i % 2 ? QX_IPV4 : QX_IPV6;
		r->prefix_bits = (uint8_t)(t_random(&seed) % (i % 2 ? 33 : 129));
		random_ip(r->ip, r->family, &seed);
		/* By prefix length, so that no block is both. */
		r->allow = r->prefix_bits % 3 == 1;
	}
	acl = open_rules(rules, RULE_CNT);
	for (uint32_t i = 0; i < LOOKUP_CNT; i++) {
		struct qx_addr a = {.family = i % 2 ? QX_IPV4 : QX_IPV6};

		random_ip(a.ip, a.family, &seed);
		T_EQ(acl_allows(acl, &a), naive(rules, RULE_CNT, &a));
		denied += !acl_allows(acl, &a);
	}
	T_CHECK(denied > LOOKUP_CNT / 10 && denied < LOOKUP_CNT);
	acl_close(acl);
}

/* ---- On the lanes ---- */

/* Nothing of a stranger's datagram is used, not even the way back to him. */
static void the_xdp_lane_drops_and_counts_what_is_denied(void)
{
	const struct qx_source_rule deny_end0 = rule4(192, 0, 2, 1, 32, false);
	struct qx_config cfg = {.local = sim_addr(1, QX_IPV4, 555),
				.socket_fd = -1,
				.source_rule_cnt = 1,
				.source_rules = &deny_end0};
	struct qx_datapath *strict;
	uint32_t numbers[QX_BATCH_MAX];

	sim_open((struct qx_link_config){0}, QX_IPV4);
	T_EQ(qx_open_memory(&strict, link_, 1, &cfg, sim_why), 0);
	T_EQ(sim_send(0, 1, 10, 0), 1); /* to the open endpoint beside it */
	addrs[1] = cfg.local;
	T_EQ(sim_send(0, 2, 10, 0), 1);
	qx_link_advance(link_, MS_NS);
	T_EQ(qx_recv(strict, &batch, MS_NS), 0);
	T_EQ(sim_recv(1, MS_NS, numbers), 1);
	T_EQ(numbers[0], 1);
	T_EQ(stats_of(strict).drop[QX_DROP_DENIED], 1);
	T_EQ(stats_of(ends[1]).drop[QX_DROP_DENIED], 0);
	T_EQ(stats_of(strict).frames[QX_FRAME_LENT], 0);
	qx_close(strict);
	sim_close();
}

static void the_socket_lane_counts_every_datagram_of_a_denied_message(void)
{
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		bool four = family == QX_IPV4;
		const struct qx_source_rule rules[] = {
			rule4(127, 0, 0, 0, 8, false),
			{.ip = {[15] = 1}, .family = QX_IPV6, .prefix_bits = 128}};
		struct qx_config cfg = {.local = four ? loopback4(1, 0) : loopback6(1, 0),
					.socket_fd = -1,
					.source_rule_cnt = 2,
					.source_rules = rules};
		struct qx_datapath *strict = open_config(&cfg);
		struct qx_datapath *sender = open_at(cfg.local, 0);
		struct qx_path path = path_to(strict);

		T_EQ(send_equal(sender, &path, 9, 1200, 0), 9);
		T_EQ(recv_once(strict), 0);
		T_EQ(stats_of(strict).drop[QX_DROP_DENIED], 9);
		T_EQ(lane_of(strict).rx_packets, 0);
		qx_close(sender);
		qx_close(strict);
	}
}

static void a_rule_without_sense_opens_nothing(void)
{
	const struct qx_source_rule wrong = rule4(1, 2, 3, 4, 99, true);
	struct qx_config cfg = {.local = loopback4(1, 0),
				.socket_fd = -1,
				.source_rule_cnt = 1,
				.source_rules = &wrong};
	struct qx_datapath *dp;

	T_EQ(qx_open(&dp, &cfg, why), -EINVAL);
	T_CHECK(strstr(why, "source rule 0"));
}

static void rules_without_memory_leave_nothing(void)
{
	const struct qx_source_rule rules[] = {rule4(10, 0, 0, 0, 8, false)};
	struct qx_acl *acl;
	int err = -1;

	for (uint64_t n = 1; err != 0; n++) {
		T_CHECK(n <= 5); /* the ranges, the list, edges of two families */
		counting_fail_at = counting_allocations + n;
		err = acl_open(&acl, rules, 1, why);
		counting_fail_at = 0;
		if (err < 0) {
			T_EQ(err, -ENOMEM);
			T_CHECK(!acl && strstr(why, "no memory"));
		}
	}
	acl_close(acl);
}

static const struct t_case cases[] = {
	{"rules without memory leave nothing", rules_without_memory_leave_nothing},
	{"without rules everybody may pass", without_rules_everybody_may_pass},
	{"deny alone leaves the rest", deny_alone_leaves_the_rest},
	{"allow alone shuts out the rest of both families",
	 allow_alone_shuts_out_the_rest_of_both_families},
	{"the most specific rule decides", the_most_specific_rule_decides},
	{"what makes no sense is refused and named",
	 what_makes_no_sense_is_refused_and_named},
	{"random rules mean what they say", random_rules_mean_what_they_say},
	{"the XDP lane drops and counts what is denied",
	 the_xdp_lane_drops_and_counts_what_is_denied},
	{"the socket lane counts every datagram of a denied message",
	 the_socket_lane_counts_every_datagram_of_a_denied_message},
	{"a rule without sense opens nothing", a_rule_without_sense_opens_nothing},
};

int main(int argc, char **argv)
{
	enter_loopback();
	t_after_each = check_descriptors;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
