/* messages.h: rtnetlink messages as the kernel writes them, for interface MSG_IFINDEX. */
#ifndef QX_MESSAGES_H
#define QX_MESSAGES_H

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "quicxdp.h"

enum {
	MSG_IFINDEX = 7,
	MSG_BYTES_MAX = 4096,
	MSG_DUMP = 1000 /* sequence number of the dump under way */
};

static const uint8_t msg_own_mac[6] = {2, 0, 0, 0, 0, 7};

/* Messages, one behind the other. */
struct messages {
	_Alignas(8) uint8_t bytes[MSG_BYTES_MAX];
	uint32_t len_bytes;
	uint32_t last; /* where the last one begins */
};

static inline void msg_put(struct messages *m, const void *bytes, uint32_t len_bytes)
{
	struct nlmsghdr h;

	memcpy(m->bytes + m->len_bytes, bytes, len_bytes);
	m->len_bytes += (len_bytes + 3) & ~3u;
	memcpy(&h, m->bytes + m->last, sizeof(h));
	h.nlmsg_len = m->len_bytes - m->last;
	memcpy(m->bytes + m->last, &h, sizeof(h));
}

static inline void msg_begin(struct messages *m, uint16_t type, uint32_t sequence,
			     const void *fixed, uint32_t fixed_bytes)
{
	struct nlmsghdr h = {.nlmsg_type = type, .nlmsg_seq = sequence};

	m->last = m->len_bytes;
	memcpy(m->bytes + m->len_bytes, &h, sizeof(h));
	m->len_bytes += (uint32_t)sizeof(h);
	msg_put(m, fixed, fixed_bytes);
}

static inline void msg_attr(struct messages *m, uint16_t type, const void *value,
			    uint32_t value_bytes)
{
	struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + value_bytes), .nla_type = type};
	uint8_t bytes[256];

	memcpy(bytes, &a, sizeof(a));
	memcpy(bytes + sizeof(a), value, value_bytes);
	msg_put(m, bytes, (uint32_t)sizeof(a) + value_bytes);
}

static inline void msg_u32(struct messages *m, uint16_t type, uint32_t value)
{
	msg_attr(m, type, &value, sizeof(value));
}

static inline void msg_ip(struct messages *m, uint16_t type, const struct qx_addr *ip)
{
	msg_attr(m, type, ip->ip, ip->family == QX_IPV4 ? 4 : 16);
}

static inline uint8_t msg_af(uint8_t family)
{
	return family == QX_IPV4 ? AF_INET : AF_INET6;
}

static inline void msg_link(struct messages *m, uint32_t sequence, uint32_t flags,
			    uint32_t mtu_bytes)
{
	struct ifinfomsg i = {.ifi_index = MSG_IFINDEX, .ifi_flags = flags};

	msg_begin(m, RTM_NEWLINK, sequence, &i, sizeof(i));
	msg_u32(m, IFLA_MTU, mtu_bytes);
	msg_attr(m, IFLA_ADDRESS, msg_own_mac, 6);
}

static inline void msg_address(struct messages *m, uint16_t type, uint32_t sequence,
			       const struct qx_addr *ip, uint32_t flags)
{
	struct ifaddrmsg i = {.ifa_family = msg_af(ip->family), .ifa_index = MSG_IFINDEX};

	msg_begin(m, type, sequence, &i, sizeof(i));
	msg_ip(m, IFA_ADDRESS, ip);
	msg_u32(m, IFA_FLAGS, flags);
}

static inline void msg_neigh(struct messages *m, uint16_t type, uint32_t sequence,
			     const struct qx_addr *ip, uint16_t state)
{
	struct ndmsg n = {.ndm_family = msg_af(ip->family),
			  .ndm_ifindex = MSG_IFINDEX,
			  .ndm_state = state};
	const uint8_t mac[6] = {2, 0, 0, 0, 1, ip->ip[ip->family == QX_IPV4 ? 3 : 15]};

	msg_begin(m, type, sequence, &n, sizeof(n));
	msg_ip(m, NDA_DST, ip);
	msg_attr(m, NDA_LLADDR, mac, 6);
}

/* A unicast route of table main by a gateway; what a test wants besides it appends. */
static inline void msg_route(struct messages *m, uint16_t type, uint32_t sequence,
			     const struct qx_addr *to, uint8_t bits,
			     const struct qx_addr *gateway)
{
	struct rtmsg r = {.rtm_family = msg_af(to->family),
			  .rtm_dst_len = bits,
			  .rtm_table = RT_TABLE_MAIN,
			  .rtm_type = RTN_UNICAST};

	msg_begin(m, type, sequence, &r, sizeof(r));
	if (bits > 0)
		msg_ip(m, RTA_DST, to);
	msg_u32(m, RTA_OIF, MSG_IFINDEX);
	if (gateway)
		msg_ip(m, RTA_GATEWAY, gateway);
}

static inline void msg_rule(struct messages *m, uint16_t type, uint32_t sequence,
			    uint8_t family, uint32_t table, uint32_t priority)
{
	struct fib_rule_hdr r = {
		.family = msg_af(family), .table = (uint8_t)table, .action = FR_ACT_TO_TBL};

	msg_begin(m, type, sequence, &r, sizeof(r));
	msg_u32(m, FRA_TABLE, table);
	msg_u32(m, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
	if (priority > 0)
		msg_u32(m, FRA_PRIORITY, priority);
}

#endif
