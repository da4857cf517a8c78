/* mirror_netlink_parse.c: rtnetlink messages, read into a mirror.
 *
 * The messages come from the kernel, yet every length in them is checked as if they came
 * from the network: a mirror that is wrong costs the traffic of a machine.
 *
 * Some facts (linux/rtnetlink.h, linux/neighbour.h, net/ipv4/fib_semantics.c, net/ipv6/route.c)
 *  - `ip route replace` is told as one RTM_NEWROUTE with NLM_F_REPLACE, without a deletion.
 *  - A dump of routes without strict checking also brings the exceptions that PMTU discovery
 *    has made, marked RTM_F_CLONED; events do not. */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "mirror.h"
#include "nlattrs.h"

enum {
	TABLE_LOCAL = 255,
	TABLE_MAIN = 254,
	TABLE_DEFAULT = 253,
	MAC_BYTES = 6,
	NUD_USABLE = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_DELAY | NUD_PROBE
};

static uint8_t family_of(uint8_t af)
{
	return af == AF_INET ? QX_IPV4 : af == AF_INET6 ? QX_IPV6 : QX_UNSPEC;
}

static uint32_t ip_bytes(uint8_t family)
{
	return family == QX_IPV4 ? 4 : 16;
}

/* read_ip makes an address of an attribute.  False if it is none of that family. */
static bool read_ip(struct qx_addr *out, uint8_t family, struct view v, uint32_t ifindex)
{
	*out = (struct qx_addr){.family = family};
	if (!v.data || v.len_bytes != ip_bytes(family)) {
		out->family = QX_UNSPEC;
		return false;
	}
	memcpy(out->ip, v.data, v.len_bytes);
	if (family == QX_IPV6 && out->ip[0] == 0xfe && (out->ip[1] & 0xc0) == 0x80)
		out->scope_id = ifindex;
	return true;
}

/* ---- One kind of message each.  False: malformed ---- */

static bool read_link(struct qx_mirror *m, struct view body, bool there)
{
	struct view attrs[ATTR_MAX];
	struct ifinfomsg i;
	const uint8_t *mac;

	if (!read_fixed(body, &i, sizeof(i), attrs))
		return false;
	/* Bridges tell of their ports in a family of their own. */
	if (i.ifi_family != AF_UNSPEC || (uint32_t)i.ifi_index != m->ifindex)
		return true;
	if (!there) {
		m->link_gone = true;
		return true;
	}
	mac = attrs[IFLA_ADDRESS].len_bytes == MAC_BYTES ? attrs[IFLA_ADDRESS].data : NULL;
	mirror_link(m, i.ifi_flags & IFF_UP && i.ifi_flags & IFF_RUNNING,
		    u32_or(attrs[IFLA_MTU], m->mtu_bytes), mac);
	return true;
}

static bool read_address(struct qx_mirror *m, struct view body, bool there)
{
	struct view attrs[ATTR_MAX];
	struct ifaddrmsg i;
	struct qx_addr ip;
	uint32_t flags;
	uint8_t family;

	if (!read_fixed(body, &i, sizeof(i), attrs))
		return false;
	family = family_of(i.ifa_family);
	if (family == QX_UNSPEC || i.ifa_index != m->ifindex)
		return true;
	/* On a point-to-point link IFA_ADDRESS is the other end. */
	if (!read_ip(&ip, family, attrs[IFA_LOCAL], m->ifindex) &&
	    !read_ip(&ip, family, attrs[IFA_ADDRESS], m->ifindex))
		return false;
	flags = u32_or(attrs[IFA_FLAGS], i.ifa_flags);
	mirror_address(m, &ip, there, !(flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)));
	return true;
}

static bool read_neigh(struct qx_mirror *m, struct view body, bool there)
{
	enum mirror_neigh_kind kind = NEIGH_UNUSABLE;
	struct view attrs[ATTR_MAX];
	struct qx_addr ip;
	struct ndmsg n;
	uint8_t family;

	if (!read_fixed(body, &n, sizeof(n), attrs))
		return false;
	family = family_of(n.ndm_family);
	if (family == QX_UNSPEC || (uint32_t)n.ndm_ifindex != m->ifindex)
		return true;
	if (!read_ip(&ip, family, attrs[NDA_DST], m->ifindex))
		return false;
	if (there && n.ndm_state & NUD_USABLE)
		kind = NEIGH_USABLE;
	else if (there && n.ndm_state & NUD_STALE)
		kind = NEIGH_STALE;
	/* What others proxy for is not what we send to. */
	if (n.ndm_flags & NTF_PROXY)
		return true;
	mirror_neigh(m, &ip, kind,
		     attrs[NDA_LLADDR].len_bytes == MAC_BYTES ? attrs[NDA_LLADDR].data
							      : NULL);
	return true;
}

/* FNV-1a, to tell routes of one prefix apart, in dump, event and deletion alike. */
static uint32_t sign_bytes(uint32_t sign, const void *bytes, uint32_t len_bytes)
{
	const uint8_t *b = bytes;

	for (uint32_t i = 0; i < len_bytes; i++)
		sign = (sign ^ b[i]) * 16777619u;
	return sign;
}

static uint32_t sign_of(const struct rtmsg *r, const struct view attrs[ATTR_MAX])
{
	static const uint8_t telling[] = {RTA_OIF,       RTA_GATEWAY, RTA_VIA,
					  RTA_MULTIPATH, RTA_NH_ID,   RTA_SRC};
	uint32_t sign = sign_bytes(2166136261u, &r->rtm_table, 1);

	sign = sign_bytes(sign, &r->rtm_type, 1);
	sign = sign_bytes(sign, &r->rtm_tos, 1);
	sign = sign_bytes(sign, &r->rtm_src_len, 1);
	for (uint32_t i = 0; i < sizeof(telling); i++) {
		sign = sign_bytes(sign, &telling[i], 1);
		sign = sign_bytes(sign, attrs[telling[i]].data, attrs[telling[i]].len_bytes);
	}
	return sign;
}

/* A plain route over our interface, of which hop tells everything. */
static bool is_usable(const struct qx_mirror *m, const struct rtmsg *r,
		      const struct view attrs[ATTR_MAX])
{
	static const uint8_t too_much[] = {RTA_MULTIPATH, RTA_NH_ID, RTA_VIA, RTA_ENCAP,
					   RTA_SRC};

	for (uint32_t i = 0; i < sizeof(too_much); i++)
		if (attrs[too_much[i]].data)
			return false;
	return r->rtm_type == RTN_UNICAST && r->rtm_tos == 0 && r->rtm_src_len == 0 &&
	       !(r->rtm_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN | RTNH_F_UNRESOLVED)) &&
	       u32_or(attrs[RTA_OIF], 0) == m->ifindex;
}

static bool read_route(struct qx_mirror *m, struct view body, bool there, bool replace)
{
	struct view attrs[ATTR_MAX], metrics[ATTR_MAX] = {0};
	struct mirror_route route = {.replace = replace};
	uint32_t table;
	struct qx_addr to;
	struct rtmsg r;

	if (!read_fixed(body, &r, sizeof(r), attrs))
		return false;
	route.family = family_of(r.rtm_family);
	if (route.family == QX_UNSPEC)
		return true;
	if (attrs[RTA_METRICS].data && !read_attrs(attrs[RTA_METRICS], metrics))
		return false;
	if (r.rtm_dst_len > ip_bytes(route.family) * 8)
		return false;
	to = (struct qx_addr){.family = route.family};
	if (attrs[RTA_DST].data ? !read_ip(&to, route.family, attrs[RTA_DST], m->ifindex)
				: r.rtm_dst_len > 0)
		return false;
	if (r.rtm_flags & RTM_F_CLONED) {
		if (there)
			mirror_exception(m, &to, u32_or(metrics[RTAX_MTU], 0));
		return true;
	}
	/* Table default only matters where main has nothing, and then the kernel is asked;
	 * others only by rules, and then likewise. */
	table = u32_or(attrs[RTA_TABLE], r.rtm_table);
	if (table != TABLE_MAIN && table != TABLE_LOCAL)
		return true;
	route.prefix_bits = r.rtm_dst_len;
	route.local = table == TABLE_LOCAL;
	memcpy(route.ip, to.ip, sizeof(route.ip));
	route.metric = u32_or(attrs[RTA_PRIORITY], 0);
	route.sign = sign_of(&r, attrs);
	route.usable = !route.local && is_usable(m, &r, attrs);
	route.hop.mtu_bytes = u32_or(metrics[RTAX_MTU], 0);
	if ((attrs[RTA_GATEWAY].data &&
	     !read_ip(&route.hop.gateway, route.family, attrs[RTA_GATEWAY], m->ifindex)) ||
	    (attrs[RTA_PREFSRC].data &&
	     !read_ip(&route.hop.source, route.family, attrs[RTA_PREFSRC], m->ifindex)))
		return false;
	mirror_route(m, &route, there);
	return true;
}

/* Does a rule say nothing but which table all traffic is looked up in? */
static bool is_plain_rule(const struct fib_rule_hdr *r, const struct view attrs[ATTR_MAX])
{
	static const uint8_t selecting[] = {
		FRA_DST,    FRA_SRC,    FRA_IIFNAME,   FRA_OIFNAME,     FRA_FWMARK,
		FRA_L3MDEV, FRA_TUN_ID, FRA_UID_RANGE, FRA_SPORT_RANGE, FRA_DPORT_RANGE,
		FRA_GOTO,   FRA_FLOW,   FRA_IP_PROTO};

	for (uint32_t i = 0; i < sizeof(selecting); i++)
		if (attrs[selecting[i]].data)
			return false;
	return u32_or(attrs[FRA_SUPPRESS_PREFIXLEN], UINT32_MAX) == UINT32_MAX &&
	       u32_or(attrs[FRA_SUPPRESS_IFGROUP], UINT32_MAX) == UINT32_MAX &&
	       r->action == FR_ACT_TO_TBL && r->tos == 0 && !(r->flags & FIB_RULE_INVERT);
}

/* The three rules that every system has: all traffic, table local, then main, then default
 * (net/ipv4/fib_rules.c, fib_default_rules_init; net/ipv6/fib6_rules.c, which has no third). */
static void learn_rule(struct qx_mirror *m, const struct fib_rule_hdr *r,
		       const struct view attrs[ATTR_MAX])
{
	uint32_t table = u32_or(attrs[FRA_TABLE], r->table);
	uint32_t priority = u32_or(attrs[FRA_PRIORITY], 0);
	uint8_t family = family_of(r->family);
	bool plain = is_plain_rule(r, attrs);

	if (plain && table == TABLE_LOCAL && priority == 0)
		mirror_standard_rule(m, family, MIRROR_RULE_LOCAL);
	else if (plain && table == TABLE_MAIN && priority == 32766)
		mirror_standard_rule(m, family, MIRROR_RULE_MAIN);
	else if (!plain || table != TABLE_DEFAULT || priority != 32767)
		mirror_foreign_rule(m, family);
}

static bool read_rule(struct qx_mirror *m, struct view body, bool event)
{
	struct view attrs[ATTR_MAX];
	struct fib_rule_hdr r;

	if (!read_fixed(body, &r, sizeof(r), attrs))
		return false;
	if (family_of(r.family) == QX_UNSPEC)
		return true;
	/* Counted in dumps only: rules change rarely, and so need no identity. */
	if (event)
		m->wants_dump = true;
	else
		learn_rule(m, &r, attrs);
	return true;
}

/* ---- Messages ---- */

static bool read_message(struct qx_mirror *m, const struct nlmsghdr *h, struct view body,
			 bool event, struct mirror_news *news)
{
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		news->link |= event;
		news->changed |= event;
		return read_link(m, body, h->nlmsg_type == RTM_NEWLINK);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		news->address |= event;
		news->changed |= event;
		return read_address(m, body, h->nlmsg_type == RTM_NEWADDR);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return read_neigh(m, body, h->nlmsg_type == RTM_NEWNEIGH);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		news->changed |= event;
		return read_route(m, body, h->nlmsg_type == RTM_NEWROUTE,
				  event && h->nlmsg_flags & NLM_F_REPLACE);
	case RTM_NEWRULE:
	case RTM_DELRULE:
		news->changed |= event;
		return read_rule(m, body, event);
	default:
		return true;
	}
}

/* How a message of a request's end says that it went: 0 or -errno. */
static int32_t code_of(struct view body)
{
	int32_t code = 0;

	if (body.len_bytes >= sizeof(code))
		memcpy(&code, body.data, sizeof(code));
	return code;
}

/* A dump that went wrong half way ends as others do, with a code (af_netlink.c,
 * netlink_dump): what it has told is not all. */
static void read_done(struct view body, struct mirror_news *news)
{
	if (code_of(body) < 0)
		news->error = code_of(body);
	else
		news->done = true;
}

/* The answer to a request of ours: to the dump, or to a solicitation. */
static void read_error(struct view body, bool of_dump, struct mirror_news *news)
{
	if (of_dump)
		news->error = code_of(body) < 0 ? code_of(body) : -EPROTO;
	else if (code_of(body) == -1) /* EPERM: privileges were given up since opening */
		news->cannot_ask = true;
}

void mirror_feed(struct qx_mirror *m, const uint8_t *bytes, uint32_t len_bytes,
		 uint32_t dump_sequence, struct mirror_news *news)
{
	while (len_bytes > 0) {
		struct nlmsghdr h;
		struct view body;
		bool of_dump;
		uint32_t step;

		if (len_bytes < sizeof(h))
			goto bad;
		memcpy(&h, bytes, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len_bytes)
			goto bad;
		body = (struct view){bytes + sizeof(h), h.nlmsg_len - (uint32_t)sizeof(h)};
		of_dump = dump_sequence != 0 && h.nlmsg_seq == dump_sequence;
		if (of_dump && h.nlmsg_flags & NLM_F_DUMP_INTR)
			news->again = true;
		if (h.nlmsg_type == NLMSG_DONE && of_dump)
			read_done(body, news);
		else if (h.nlmsg_type == NLMSG_ERROR)
			read_error(body, of_dump, news);
		else if (!read_message(m, &h, body, !of_dump, news))
			goto bad;
		step = aligned(h.nlmsg_len);
		if (step > len_bytes)
			step = len_bytes;
		bytes += step;
		len_bytes -= step;
	}
	return;

bad:
	m->bad_messages++;
	m->wants_dump = true;
}
