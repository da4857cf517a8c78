/* channels_netlink.c: see channels_netlink.h.
 *
 * Some facts (net/netlink/genetlink.c, net/ethtool/netlink.c, net/ethtool/channels.c)
 *  - A genetlink family has a number that the controller tells, and groups with numbers of
 *    their own; "monitor" is ethtool's only one.  Joining it takes no capability.
 *  - The answer of the controller is there when send returns.
 *  - A notification repeats the whole setting: rx and combined channels have an RX queue each;
 *    a driver uses either or both. */
#define _GNU_SOURCE
#include "channels_netlink.h"

#include <errno.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nlattrs.h"

enum {
	BUFFER_BYTES = 8192, /* an answer or notification has some hundred */
	READS_MAX = 16
};

struct qx_channels {
	int fd;
	uint32_t ifindex;
	uint16_t family;
	_Alignas(8) uint8_t buffer[BUFFER_BYTES];
};

/* ---- Messages ---- */

/* next_message cuts one message off; false: there is no whole one left. */
static bool next_message(struct view *from, struct nlmsghdr *h, struct view *body)
{
	uint32_t step;

	if (from->len_bytes < sizeof(*h))
		return false;
	memcpy(h, from->data, sizeof(*h));
	if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > from->len_bytes)
		return false;
	*body = (struct view){from->data + sizeof(*h), h->nlmsg_len - (uint32_t)sizeof(*h)};
	step = aligned(h->nlmsg_len);
	if (step > from->len_bytes)
		step = from->len_bytes;
	from->data += step;
	from->len_bytes -= step;
	return true;
}

static bool is_named(struct view v, const char *name)
{
	uint32_t len_bytes = (uint32_t)strlen(name) + 1;

	return v.data && v.len_bytes == len_bytes && memcmp(v.data, name, len_bytes) == 0;
}

static uint32_t find_group(struct view groups)
{
	while (groups.len_bytes >= sizeof(struct nlattr)) {
		struct view attrs[ATTR_MAX];
		struct nlattr a;
		uint32_t step;

		memcpy(&a, groups.data, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > groups.len_bytes)
			break;
		if (read_attrs((struct view){groups.data + sizeof(a),
					     a.nla_len - (uint32_t)sizeof(a)},
			       attrs) &&
		    is_named(attrs[CTRL_ATTR_MCAST_GRP_NAME], ETHTOOL_MCGRP_MONITOR_NAME))
			return u32_or(attrs[CTRL_ATTR_MCAST_GRP_ID], 0);
		step = aligned(a.nla_len);
		if (step > groups.len_bytes)
			break;
		groups.data += step;
		groups.len_bytes -= step;
	}
	return 0;
}

void channels_parse_group(const uint8_t *bytes, uint32_t len_bytes,
			  struct channels_group *out)
{
	struct view from = {bytes, len_bytes}, attrs[ATTR_MAX], body;
	struct genlmsghdr g;
	struct nlmsghdr h;

	*out = (struct channels_group){0};
	while (next_message(&from, &h, &body)) {
		if (h.nlmsg_type != GENL_ID_CTRL || !read_fixed(body, &g, sizeof(g), attrs) ||
		    g.cmd != CTRL_CMD_NEWFAMILY ||
		    attrs[CTRL_ATTR_FAMILY_ID].len_bytes != sizeof(out->family))
			continue;
		memcpy(&out->family, attrs[CTRL_ATTR_FAMILY_ID].data, sizeof(out->family));
		out->group = find_group(attrs[CTRL_ATTR_MCAST_GROUPS]);
	}
}

uint32_t channels_parse(const uint8_t *bytes, uint32_t len_bytes, uint16_t family,
			uint32_t ifindex)
{
	struct view from = {bytes, len_bytes}, attrs[ATTR_MAX], of_header[ATTR_MAX], body;
	struct genlmsghdr g;
	struct nlmsghdr h;
	uint32_t cnt = 0;

	while (next_message(&from, &h, &body)) {
		uint32_t rx, combined;

		if (h.nlmsg_type != family || !read_fixed(body, &g, sizeof(g), attrs) ||
		    g.cmd != ETHTOOL_MSG_CHANNELS_NTF ||
		    !read_attrs(attrs[ETHTOOL_A_CHANNELS_HEADER], of_header) ||
		    u32_or(of_header[ETHTOOL_A_HEADER_DEV_INDEX], 0) != ifindex)
			continue;
		rx = u32_or(attrs[ETHTOOL_A_CHANNELS_RX_COUNT], 0);
		combined = u32_or(attrs[ETHTOOL_A_CHANNELS_COMBINED_COUNT], 0);
		if (rx + combined != 0 && rx + combined != CHANNELS_LOST)
			cnt = rx + combined;
	}
	return cnt;
}

uint32_t channels_read(struct qx_channels *c, uint64_t *syscalls)
{
	uint32_t cnt = 0;

	for (int i = 0; i < READS_MAX; i++) {
		struct sockaddr_nl from = {0};
		socklen_t from_bytes = sizeof(from);
		ssize_t len;
		uint32_t said;

		++*syscalls;
		len = recvfrom(c->fd, c->buffer, sizeof(c->buffer), MSG_DONTWAIT | MSG_TRUNC,
			       (struct sockaddr *)&from, &from_bytes);
		if (len < 0 && errno == EINTR)
			continue;
		if ((len < 0 && errno == ENOBUFS) || len > BUFFER_BYTES)
			return CHANNELS_LOST;
		if (len < 0)
			break;
		/* Only the kernel has number 0. */
		if (from_bytes != sizeof(from) || from.nl_pid != 0)
			continue;
		said = channels_parse(c->buffer, (uint32_t)len, c->family, c->ifindex);
		if (said)
			cnt = said;
	}
	return cnt;
}

/* ---- Opening ---- */

/* find_ethtool asks the controller for ethtool's numbers. */
static int find_ethtool(struct qx_channels *c, struct channels_group *out)
{
	struct {
		struct nlmsghdr h;
		struct genlmsghdr g;
		struct nlattr name;
		char text[8];
	} request = {
		.h = {.nlmsg_len = sizeof(request),
		      .nlmsg_type = GENL_ID_CTRL,
		      .nlmsg_flags = NLM_F_REQUEST},
		.g = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
		.name = {.nla_len = sizeof(struct nlattr) + sizeof(ETHTOOL_GENL_NAME),
			 .nla_type = CTRL_ATTR_FAMILY_NAME},
		.text = ETHTOOL_GENL_NAME,
	};
	ssize_t len;

	_Static_assert(sizeof(ETHTOOL_GENL_NAME) == sizeof(request.text), "no padding");
	if (send(c->fd, &request, sizeof(request), MSG_DONTWAIT) < 0)
		return -errno;
	len = recv(c->fd, c->buffer, sizeof(c->buffer), MSG_DONTWAIT);
	if (len < 0)
		return -errno;
	channels_parse_group(c->buffer, (uint32_t)len, out);
	return out->group ? 0 : -EOPNOTSUPP;
}

int channels_open(struct qx_channels **out, uint32_t ifindex)
{
	struct qx_channels *c = calloc(1, sizeof(*c));
	struct channels_group ethtool = {0};
	int err;

	if (!c)
		return -ENOMEM;
	c->ifindex = ifindex;
	c->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (c->fd < 0) {
		err = -errno;
		goto free_channels;
	}
	if ((err = find_ethtool(c, &ethtool)) < 0)
		goto close_socket;
	c->family = ethtool.family;
	if (setsockopt(c->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &ethtool.group,
		       sizeof(ethtool.group)) < 0) {
		err = -errno;
		goto close_socket;
	}
	*out = c;
	return 0;

close_socket:
	close(c->fd);
free_channels:
	free(c);
	return err;
}

void channels_close(struct qx_channels *c)
{
	if (!c)
		return;
	close(c->fd);
	free(c);
}
