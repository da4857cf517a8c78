/* channel_messages.h: what the kernel writes about genetlink families and channels. */
#ifndef QX_CHANNEL_MESSAGES_H
#define QX_CHANNEL_MESSAGES_H

#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>

#include "messages.h"

enum {
	ETHTOOL_FAMILY = 21,
	ETHTOOL_GROUP = 5
};

static inline void msg_generic(struct messages *m, uint16_t family, uint8_t cmd)
{
	struct genlmsghdr g = {.cmd = cmd, .version = 1};

	msg_begin(m, family, 0, &g, sizeof(g));
}

/* Attributes inside an attribute. */
struct nested {
	uint8_t bytes[128];
	uint32_t len_bytes;
};

static inline void nested_attr(struct nested *n, uint16_t type, const void *value,
			       uint32_t value_bytes)
{
	struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + value_bytes), .nla_type = type};

	memcpy(n->bytes + n->len_bytes, &a, sizeof(a));
	memcpy(n->bytes + n->len_bytes + sizeof(a), value, value_bytes);
	n->len_bytes += ((uint32_t)sizeof(a) + value_bytes + 3) & ~3u;
}

/* msg_channels tells of an interface with rx receive and combined channels. */
static inline void msg_channels(struct messages *m, uint32_t ifindex, uint32_t rx,
				uint32_t combined)
{
	struct nested header = {.len_bytes = 0};

	msg_generic(m, ETHTOOL_FAMILY, ETHTOOL_MSG_CHANNELS_NTF);
	nested_attr(&header, ETHTOOL_A_HEADER_DEV_INDEX, &ifindex, sizeof(ifindex));
	msg_attr(m, ETHTOOL_A_CHANNELS_HEADER | NLA_F_NESTED, header.bytes, header.len_bytes);
	if (rx)
		msg_u32(m, ETHTOOL_A_CHANNELS_RX_COUNT, rx);
	if (combined)
		msg_u32(m, ETHTOOL_A_CHANNELS_COMBINED_COUNT, combined);
}

/* msg_family is the controller's answer, with another group before the one. */
static inline void msg_family(struct messages *m)
{
	const char *names[] = {"other", ETHTOOL_MCGRP_MONITOR_NAME};
	const uint16_t family = ETHTOOL_FAMILY;
	struct nested groups = {.len_bytes = 0};

	for (uint16_t i = 0; i < 2; i++) {
		const uint32_t id = ETHTOOL_GROUP - 1u + i;
		struct nested group = {.len_bytes = 0};

		nested_attr(&group, CTRL_ATTR_MCAST_GRP_ID, &id, sizeof(id));
		nested_attr(&group, CTRL_ATTR_MCAST_GRP_NAME, names[i],
			    (uint32_t)strlen(names[i]) + 1);
		nested_attr(&groups, (uint16_t)(i + 1u) | NLA_F_NESTED, group.bytes,
			    group.len_bytes);
	}
	msg_generic(m, GENL_ID_CTRL, CTRL_CMD_NEWFAMILY);
	msg_attr(m, CTRL_ATTR_FAMILY_ID, &family, sizeof(family));
	msg_attr(m, CTRL_ATTR_MCAST_GROUPS | NLA_F_NESTED, groups.bytes, groups.len_bytes);
}

#endif
