/* test_mirror.c: what a mirror makes of rtnetlink messages, true ones and others.
 *
 * Over 500 lines: a case is a conversation with the same mirror, and most differ in one
 * message; what the netlink socket does is in test_mirror_netlink.c. */
#include "mirror.h"

#include <stdlib.h>

#include "messages.h"
#include "t.h"

#define SECOND_NS 1000000000ull

static struct qx_mirror m;
static struct messages msgs;
static struct mirror_news news;

static struct qx_addr v4(uint8_t net, uint8_t host)
{
	return (struct qx_addr){.family = QX_IPV4, .ip = {10, net, 0, host}};
}

static struct qx_addr v6(uint8_t net, uint8_t host)
{
	return (struct qx_addr){.family = QX_IPV6, .ip = {0xfd, net, [15] = host}};
}

static struct qx_addr addr_of(uint8_t family, uint8_t net, uint8_t host)
{
	return family == QX_IPV4 ? v4(net, host) : v6(net, host);
}

static void feed(void)
{
	memset(&news, 0, sizeof(news));
	mirror_feed(&m, msgs.bytes, msgs.len_bytes, MSG_DUMP, &news);
	msgs.len_bytes = 0;
}

/* Everything that a plain host has: 10.1.0.0/16 (fd01::/16) on the link, the rest by host 1,
 * which is resolved. */
static void plain_host(void)
{
	struct qx_addr own, net, gateway, zero;

	if (m.routes)
		mirror_free(&m);
	T_EQ(mirror_init(&m, MSG_IFINDEX, msg_own_mac), 0);
	msgs.len_bytes = 0;
	msg_link(&msgs, MSG_DUMP, IFF_UP | IFF_RUNNING, 1500);
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		own = addr_of(family, 1, 2);
		net = addr_of(family, 1, 0);
		gateway = addr_of(family, 1, 1);
		zero = (struct qx_addr){.family = family};
		msg_address(&msgs, RTM_NEWADDR, MSG_DUMP, &own, 0);
		msg_rule(&msgs, RTM_NEWRULE, MSG_DUMP, family, RT_TABLE_LOCAL, 0);
		msg_rule(&msgs, RTM_NEWRULE, MSG_DUMP, family, RT_TABLE_MAIN, 32766);
		msg_rule(&msgs, RTM_NEWRULE, MSG_DUMP, family, RT_TABLE_DEFAULT, 32767);
		msg_neigh(&msgs, RTM_NEWNEIGH, MSG_DUMP, &gateway, NUD_REACHABLE);
		msg_route(&msgs, RTM_NEWROUTE, MSG_DUMP, &net, 16, NULL);
		msg_ip(&msgs, RTA_PREFSRC, &own);
		msg_route(&msgs, RTM_NEWROUTE, MSG_DUMP, &zero, 0, &gateway);
	}
	feed();
	T_EQ(m.bad_messages, 0);
	m.synced = true;
}

static enum mirror_verdict ask(struct qx_addr peer, struct qx_way *way)
{
	struct qx_path path = {.peer = peer};
	struct qx_addr solicit;

	path.peer.port = 443;
	return mirror_ask(&m, &path, SECOND_NS, way, &solicit);
}

static enum mirror_verdict verdict(struct qx_addr peer)
{
	struct qx_way way;

	return ask(peer, &way);
}

/* ---- Answers ---- */

static void neighbours_and_gateways_are_found(void)
{
	struct qx_way way;

	plain_host();
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		struct qx_addr own = addr_of(family, 1, 2), gateway = addr_of(family, 1, 1);

		T_EQ(ask(addr_of(family, 200, 1), &way), MIRROR_YES);
		T_EQ(way.mac[5], 1);
		T_EQ(way.mtu_bytes, 1500);
		T_EQ(way.source.family, QX_UNSPEC);
		T_EQ(ask(gateway, &way), MIRROR_YES);
		T_EQ(memcmp(&way.source, &own, sizeof(own)), 0);
		/* On the link, but not resolved. */
		T_EQ(verdict(addr_of(family, 1, 77)), MIRROR_NEIGHBOUR);
	}
}

/* Every state of a neighbour (linux/neighbour.h), and no address to send to. */
static void only_valid_neighbours_are_used(void)
{
	static const struct {
		uint16_t state;
		bool used;
	} cases[] = {
		{NUD_NONE, false},   {NUD_INCOMPLETE, false}, {NUD_REACHABLE, true},
		{NUD_STALE, true},   {NUD_DELAY, true},       {NUD_PROBE, true},
		{NUD_FAILED, false}, {NUD_NOARP, true},       {NUD_PERMANENT, true},
	};
	struct qx_addr gateway = v4(1, 1);
	struct ndmsg n = {.ndm_family = AF_INET,
			  .ndm_ifindex = MSG_IFINDEX,
			  .ndm_state = NUD_REACHABLE};

	plain_host();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		msg_neigh(&msgs, RTM_NEWNEIGH, 0, &gateway, cases[i].state);
		feed();
		T_EQ(verdict(v4(9, 9)), cases[i].used ? MIRROR_YES : MIRROR_NEIGHBOUR);
	}
	msg_neigh(&msgs, RTM_DELNEIGH, 0, &gateway, NUD_REACHABLE);
	feed();
	T_EQ(verdict(v4(9, 9)), MIRROR_NEIGHBOUR);
	/* A group's MAC address, and none. */
	msg_begin(&msgs, RTM_NEWNEIGH, 0, &n, sizeof(n));
	msg_ip(&msgs, NDA_DST, &gateway);
	msg_attr(&msgs, NDA_LLADDR, "\x01\x00\x5e\x00\x00\x01", 6);
	feed();
	T_EQ(verdict(v4(9, 9)), MIRROR_NEIGHBOUR);
	msg_begin(&msgs, RTM_NEWNEIGH, 0, &n, sizeof(n));
	msg_ip(&msgs, NDA_DST, &gateway);
	feed();
	T_EQ(verdict(v4(9, 9)), MIRROR_NEIGHBOUR);
	T_EQ(m.bad_messages, 0);
}

/* Once per neighbour and ten seconds, and no more than the link bears. */
static void solicitations_are_limited(void)
{
	struct qx_addr solicit;
	struct qx_way way;
	uint32_t asked = 0;

	plain_host();
	for (uint8_t host = 0; host < 200; host++) {
		struct qx_addr ip = v4(1, host);

		msg_neigh(&msgs, RTM_NEWNEIGH, 0, &ip, NUD_STALE);
		feed();
	}
	for (int round = 0; round < 3; round++)
		for (uint8_t host = 0; host < 200; host++) {
			struct qx_path path = {.peer = v4(1, host)};

			T_EQ(mirror_ask(&m, &path, SECOND_NS, &way, &solicit), MIRROR_YES);
			asked += solicit.family != QX_UNSPEC;
		}
	T_EQ(asked, MIRROR_SOLICITS_PER_S);
	asked = 0;
	for (uint64_t s = 2; s < 9; s++)
		for (uint8_t host = 0; host < 200; host++) {
			struct qx_path path = {.peer = v4(1, host)};

			T_EQ(mirror_ask(&m, &path, s * SECOND_NS, &way, &solicit),
			     MIRROR_YES);
			asked += solicit.family != QX_UNSPEC;
		}
	T_EQ(asked, 200 - MIRROR_SOLICITS_PER_S);
}

static void link_local_peers_are_neighbours_of_their_interface(void)
{
	struct qx_addr ip = {.family = QX_IPV6, .ip = {0xfe, 0x80, [15] = 9}};

	plain_host();
	msg_neigh(&msgs, RTM_NEWNEIGH, 0, &ip, NUD_REACHABLE);
	feed();
	ip.scope_id = MSG_IFINDEX;
	T_EQ(verdict(ip), MIRROR_YES);
	ip.scope_id = MSG_IFINDEX + 1;
	T_EQ(verdict(ip), MIRROR_NO_ROUTE);
}

/* Each thing that the kernel knows and we do not. */
static void what_is_not_mirrored_is_the_kernels(void)
{
	struct qx_addr far = v4(9, 9), gateway = v4(1, 1);
	static const uint16_t too_much[] = {RTA_MULTIPATH, RTA_NH_ID, RTA_VIA, RTA_ENCAP,
					    RTA_SRC};
	struct rtmsg r = {.rtm_family = AF_INET,
			  .rtm_dst_len = 32,
			  .rtm_table = RT_TABLE_MAIN,
			  .rtm_type = RTN_UNICAST};

	for (size_t i = 0; i < sizeof(too_much) / sizeof(too_much[0]); i++) {
		plain_host();
		msg_route(&msgs, RTM_NEWROUTE, 0, &far, 32, &gateway);
		msg_u32(&msgs, too_much[i], 1);
		feed();
		T_EQ(verdict(far), MIRROR_NO_ROUTE);
		T_EQ(verdict(v4(9, 8)), MIRROR_YES);
	}
	for (uint8_t type = RTN_LOCAL; type <= RTN_NAT; type++) {
		plain_host();
		r.rtm_type = type;
		msg_begin(&msgs, RTM_NEWROUTE, 0, &r, sizeof(r));
		msg_ip(&msgs, RTA_DST, &far);
		msg_u32(&msgs, RTA_OIF, MSG_IFINDEX);
		feed();
		T_EQ(verdict(far), MIRROR_NO_ROUTE);
	}
	/* Another interface; then two that are equally good. */
	plain_host();
	r.rtm_type = RTN_UNICAST;
	msg_begin(&msgs, RTM_NEWROUTE, 0, &r, sizeof(r));
	msg_ip(&msgs, RTA_DST, &far);
	msg_u32(&msgs, RTA_OIF, MSG_IFINDEX + 1);
	feed();
	T_EQ(verdict(far), MIRROR_NO_ROUTE);
	msg_route(&msgs, RTM_NEWROUTE, 0, &far, 32, &gateway);
	feed();
	T_EQ(verdict(far), MIRROR_NO_ROUTE);
}

static void rules_and_wide_local_prefixes_switch_a_family_off(void)
{
	struct qx_addr net = v4(9, 0);
	struct rtmsg r = {.rtm_family = AF_INET,
			  .rtm_dst_len = 16,
			  .rtm_table = RT_TABLE_LOCAL,
			  .rtm_type = RTN_LOCAL};

	plain_host();
	msg_rule(&msgs, RTM_NEWRULE, MSG_DUMP, QX_IPV6, 99, 100);
	feed();
	T_EQ(verdict(v6(9, 9)), MIRROR_POLICY);
	T_EQ(verdict(v4(9, 9)), MIRROR_YES);
	/* As an event it means reading everything again. */
	plain_host();
	msg_rule(&msgs, RTM_NEWRULE, 0, QX_IPV6, 99, 100);
	feed();
	T_EQ(verdict(v4(9, 9)), MIRROR_UNSURE);
	/* The main rule moved: it is not the one that every system has. */
	plain_host();
	msg_rule(&msgs, RTM_NEWRULE, MSG_DUMP, QX_IPV4, RT_TABLE_MAIN, 5);
	feed();
	T_EQ(verdict(v4(9, 9)), MIRROR_POLICY);

	/* Without the rule for a table, the kernel does not ask it. */
	for (uint8_t rule = MIRROR_RULE_LOCAL; rule <= MIRROR_RULE_MAIN; rule++) {
		plain_host();
		m.has_rules = true;
		T_EQ(verdict(v4(9, 9)), MIRROR_YES);
		T_EQ(verdict(v6(9, 9)), MIRROR_YES);
		m.standard_rules[0] &= (uint8_t)~rule;
		T_EQ(verdict(v4(9, 9)), MIRROR_POLICY);
		T_EQ(verdict(v6(9, 9)), MIRROR_YES);
		/* A kernel without rules has both tables all the same. */
		m.has_rules = false;
		T_EQ(verdict(v4(9, 9)), MIRROR_YES);
	}

	for (int i = 0; i < 2; i++) {
		plain_host();
		msg_begin(&msgs, RTM_NEWROUTE, 0, &r, sizeof(r));
		msg_ip(&msgs, RTA_DST, &net);
		feed();
		T_EQ(verdict(v4(200, 1)), MIRROR_POLICY);
		T_EQ(verdict(v6(200, 1)), MIRROR_YES);
		msg_begin(&msgs, RTM_DELROUTE, 0, &r, sizeof(r));
		msg_ip(&msgs, RTA_DST, &net);
		feed();
		T_EQ(verdict(v4(200, 1)), MIRROR_YES);
	}
}

/* The kernel deletes such routes without a word; so everything is read again. */
static void silent_deletions_are_expected(void)
{
	struct qx_addr own = v4(1, 2), far = v4(9, 9), gateway = v4(1, 1);

	plain_host();
	msg_link(&msgs, 0, IFF_UP, 1500);
	feed();
	T_CHECK(m.wants_dump && news.link);
	T_EQ(verdict(v4(9, 9)), MIRROR_LINK);
	plain_host();
	msg_address(&msgs, RTM_DELADDR, 0, &own, 0);
	feed();
	T_CHECK(m.wants_dump);
	/* So does what was never seen before it is deleted. */
	plain_host();
	msg_route(&msgs, RTM_DELROUTE, 0, &far, 32, &gateway);
	feed();
	T_EQ(verdict(v4(9, 9)), MIRROR_UNSURE);
}

/* `ip route replace` names a prefix and a metric, and tables main and local, or several of
 * the same metric, are one here: which of them went, only reading again can tell. */
static void a_replaced_one_of_several_is_read_again(void)
{
	struct qx_addr far = v4(9, 9), gateway = v4(1, 1), other = v4(1, 3);
	struct nlmsghdr h;

	for (int several = 0; several < 2; several++) {
		plain_host();
		msg_route(&msgs, RTM_NEWROUTE, 0, &far, 32, &other);
		if (several) {
			msg_route(&msgs, RTM_NEWROUTE, 0, &far, 32, &gateway);
			msg_u32(&msgs, RTA_SRC, 1);
		}
		msg_route(&msgs, RTM_NEWROUTE, 0, &far, 32, &gateway);
		memcpy(&h, msgs.bytes + msgs.last, sizeof(h));
		h.nlmsg_flags = NLM_F_REPLACE;
		memcpy(msgs.bytes + msgs.last, &h, sizeof(h));
		feed();
		T_EQ(verdict(far), several ? MIRROR_UNSURE : MIRROR_YES);
	}
}

/* A gateway that no route names any more takes room until the next dump; so when there is
 * no room, one is due, unless the last one has shown that it would not help. */
static void room_for_gateways_is_taken_back(void)
{
	struct mirror_route r = {
		.family = QX_IPV4, .prefix_bits = 32, .usable = true, .ip = {10, 9, 0, 9}};

	for (int during_dump = 0; during_dump < 2; during_dump++) {
		plain_host();
		m.synced = !during_dump;
		r.hop.mtu_bytes = 0;
		mirror_route(&m, &r, true);
		mirror_route(&m, &r, false);
		T_EQ(m.wants_dump, false);
		for (uint32_t i = 0; i < ROUTES_HOP_MAX; i++) {
			r.hop.mtu_bytes = 576 + i;
			mirror_route(&m, &r, true);
			mirror_route(&m, &r, false);
		}
		m.synced = true;
		T_EQ(m.wants_dump, !during_dump);
		mirror_route(&m, &r, true);
		T_EQ(verdict(v4(9, 9)), during_dump ? MIRROR_NO_ROUTE : MIRROR_UNSURE);
	}
}

/* While there are more routes than fit, reading again would only show that again; once enough
 * of them are gone it does not. */
static void a_full_table_is_read_again_when_there_is_room(void)
{
	struct mirror_route r = {.family = QX_IPV4, .prefix_bits = 32};
	uint32_t i;

	plain_host();
	for (i = 0; !m.full; i++) {
		memcpy(r.ip, &i, sizeof(i));
		mirror_route(&m, &r, true);
	}
	T_EQ(verdict(v4(200, 1)), MIRROR_UNSURE);
	/* The last one found no room, so it is not there. */
	mirror_route(&m, &r, false);
	T_EQ(m.wants_dump, false);
	for (i = 0; i <= ROUTES_MAX / 8; i++) {
		T_EQ(m.wants_dump, false);
		memcpy(r.ip, &i, sizeof(i));
		mirror_route(&m, &r, false);
	}
	T_EQ(m.wants_dump, true);
}

static void addresses_that_are_not_ready_are_no_sources(void)
{
	struct qx_addr own = v6(1, 2), solicit;
	struct qx_path path = {.peer = v6(9, 9), .local = own};
	struct qx_way way;

	plain_host();
	T_EQ(mirror_ask(&m, &path, 0, &way, &solicit), MIRROR_YES);
	msg_address(&msgs, RTM_NEWADDR, 0, &own, IFA_F_TENTATIVE);
	feed();
	T_EQ(mirror_ask(&m, &path, 0, &way, &solicit), MIRROR_SOURCE);
	msg_address(&msgs, RTM_NEWADDR, 0, &own, IFA_F_PERMANENT);
	feed();
	T_EQ(mirror_ask(&m, &path, 0, &way, &solicit), MIRROR_YES);
	path.local = v6(1, 3);
	T_EQ(mirror_ask(&m, &path, 0, &way, &solicit), MIRROR_SOURCE);
}

/* The smallest of link, route, and what the kernel has learnt about the path. */
static void the_smallest_mtu_counts(void)
{
	struct qx_addr far = v4(9, 9), gateway = v4(1, 1);
	struct nlattr mtu = {.nla_len = 8, .nla_type = RTAX_MTU};
	struct rtmsg r = {.rtm_family = AF_INET,
			  .rtm_dst_len = 32,
			  .rtm_table = RT_TABLE_MAIN,
			  .rtm_type = RTN_UNICAST,
			  .rtm_flags = RTM_F_CLONED};
	uint8_t metrics[8];
	uint32_t bytes = 1400;
	struct qx_way way;

	plain_host();
	memcpy(metrics, &mtu, 4);
	memcpy(metrics + 4, &bytes, 4);
	msg_route(&msgs, RTM_NEWROUTE, 0, &far, 24, &gateway);
	msg_attr(&msgs, RTA_METRICS, metrics, 8);
	feed();
	T_EQ(ask(far, &way), MIRROR_YES);
	T_EQ(way.mtu_bytes, 1400);
	bytes = 1300;
	memcpy(metrics + 4, &bytes, 4);
	msg_begin(&msgs, RTM_NEWROUTE, MSG_DUMP, &r, sizeof(r));
	msg_ip(&msgs, RTA_DST, &far);
	msg_attr(&msgs, RTA_METRICS, metrics, 8);
	feed();
	T_EQ(ask(far, &way), MIRROR_YES);
	T_EQ(way.mtu_bytes, 1300);
	msg_link(&msgs, 0, IFF_UP | IFF_RUNNING, 1290);
	feed();
	T_EQ(ask(far, &way), MIRROR_YES);
	T_EQ(way.mtu_bytes, 1290);
	T_EQ(m.wants_dump, false);
	T_EQ(m.bad_messages, 0);
}

/* ---- Other messages ---- */

static void news_is_told_apart(void)
{
	struct nlmsgerr e = {.error = -1};

	plain_host();
	msg_begin(&msgs, NLMSG_DONE, MSG_DUMP + 1, "\0\0\0", 4);
	feed();
	T_CHECK(!news.done);
	msg_begin(&msgs, NLMSG_DONE, MSG_DUMP, "\0\0\0", 4);
	feed();
	T_CHECK(news.done && !news.error && !news.cannot_ask);
	/* A dump that broke off. */
	msg_begin(&msgs, NLMSG_DONE, MSG_DUMP, &e.error, sizeof(e.error));
	feed();
	T_CHECK(news.error < 0 && !news.done);
	msg_begin(&msgs, NLMSG_ERROR, MSG_DUMP, &e, sizeof(e));
	feed();
	T_CHECK(news.error < 0 && !news.cannot_ask);
	msg_begin(&msgs, NLMSG_ERROR, 0, &e, sizeof(e));
	feed();
	T_CHECK(!news.error && news.cannot_ask);
	T_EQ(m.wants_dump, false);
}

/* The kernel grows: what we do not know must not confuse us. */
static void unknown_messages_and_attributes_are_skipped(void)
{
	struct qx_addr far = v4(9, 9), gateway = v4(1, 1);
	uint8_t junk[64] = {0};

	plain_host();
	for (uint16_t type = 64; type < 0x4000; type = (uint16_t)(type * 3)) {
		msg_route(&msgs, RTM_NEWROUTE, 0, &far, 32, &gateway);
		msg_attr(&msgs, type, junk, 13);
		msg_begin(&msgs, type, 0, junk, 16);
		feed();
		T_EQ(verdict(far), MIRROR_YES);
	}
	T_EQ(m.bad_messages, 0);
	T_EQ(m.wants_dump, false);
}

/* Every message, cut off at every byte and with every length changed: the mirror notices or
 * is not harmed, and reads nothing beyond (the sanitizers watch). */
static void lying_lengths_end_in_a_counter(void)
{
	struct messages whole;
	struct qx_addr own = v6(1, 2), far = v4(9, 9), gateway = v4(1, 1);

	plain_host();
	msg_link(&msgs, MSG_DUMP, IFF_UP | IFF_RUNNING, 1500);
	msg_address(&msgs, RTM_NEWADDR, MSG_DUMP, &own, 0);
	msg_neigh(&msgs, RTM_NEWNEIGH, MSG_DUMP, &gateway, NUD_REACHABLE);
	msg_route(&msgs, RTM_NEWROUTE, MSG_DUMP, &far, 32, &gateway);
	msg_rule(&msgs, RTM_NEWRULE, MSG_DUMP, QX_IPV4, RT_TABLE_MAIN, 32766);
	whole = msgs;
	for (uint32_t cut = 0; cut < whole.len_bytes; cut++) {
		/* Alone in its memory, so that one byte too many is seen. */
		uint8_t *copy = malloc(cut ? cut : 1);

		memcpy(copy, whole.bytes, cut);
		mirror_feed(&m, copy, cut, MSG_DUMP, &news);
		free(copy);
		T_CHECK(m.bad_messages > 0 || cut % 4 == 0);
	}
	T_CHECK(m.bad_messages > 100);
	for (uint32_t at = 0; at < whole.len_bytes; at++)
		for (uint32_t value = 0; value < 256; value += 5) {
			uint8_t *copy = malloc(whole.len_bytes);

			memcpy(copy, whole.bytes, whole.len_bytes);
			copy[at] = (uint8_t)value;
			mirror_feed(&m, copy, whole.len_bytes, MSG_DUMP, &news);
			free(copy);
		}
}

static const struct t_case cases[] = {
	{"neighbours and gateways are found", neighbours_and_gateways_are_found},
	{"only valid neighbours are used", only_valid_neighbours_are_used},
	{"solicitations are limited", solicitations_are_limited},
	{"link-local peers are neighbours of their interface",
	 link_local_peers_are_neighbours_of_their_interface},
	{"what is not mirrored is the kernel's", what_is_not_mirrored_is_the_kernels},
	{"rules and wide local prefixes switch a family off",
	 rules_and_wide_local_prefixes_switch_a_family_off},
	{"silent deletions are expected", silent_deletions_are_expected},
	{"a replaced one of several is read again", a_replaced_one_of_several_is_read_again},
	{"room for gateways is taken back", room_for_gateways_is_taken_back},
	{"a full table is read again when there is room",
	 a_full_table_is_read_again_when_there_is_room},
	{"addresses that are not ready are no sources",
	 addresses_that_are_not_ready_are_no_sources},
	{"the smallest MTU counts", the_smallest_mtu_counts},
	{"news is told apart", news_is_told_apart},
	{"unknown messages and attributes are skipped",
	 unknown_messages_and_attributes_are_skipped},
	{"lying lengths end in a counter", lying_lengths_end_in_a_counter},
};

int main(int argc, char **argv)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
