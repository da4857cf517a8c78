/* mirror_netlink.c: see mirror_netlink.h.
 *
 * Some facts (net/netlink/af_netlink.c, net/core/rtnetlink.c, net/core/neighbour.c)
 *  - One dump at a time per socket; a second request is EBUSY until NLMSG_DONE.  A dump goes on
 *    whenever something is read, so it never has to be waited for, and its end is never lost
 *    to an overrun.
 *  - ENOBUFS is said once per overrun; what had come before is still there to read.
 *  - RTM_NEWNEIGH with NTF_USE does for a neighbour what sending to it does: a stale one is
 *    probed after delay_first_probe_time.  It takes CAP_NET_ADMIN, now and at opening. */
#define _GNU_SOURCE
#include "mirror_netlink.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mirror.h"

enum {
	READS_MAX = 32,         /* of one call; what stays keeps the descriptor readable */
	OPENING_READS = 100000, /* 3 GB of messages: no dump is longer */
	BUFFER_BYTES = 32768,   /* the largest piece of a dump (NLMSG_GOODSIZE and 32 KiB) */
	SOCKET_BUFFER_BYTES = 1 << 20,
	REPEATS_MAX = 3 /* of a dump that changes meanwhile; then it has to do */
};

/* Between two dumps.  The kernel and we need 11 ns a byte (37 ms for 50,000 routes), so dumps
 * take a twentieth of the time at most.  Counted, not timed: now_ns is when a turn began, and
 * a dump is often over within one. */
#define PAUSE_MIN_NS 10000000ull
#define PAUSE_NS_PER_BYTE 220

/* What is read, in this order: what later ones mean depends on the earlier. */
static const struct step {
	uint16_t request;
	uint8_t family;
	uint8_t header_bytes; /* the kernel logs bytes that follow a header without reason */
	bool may_lack;        /* the kernel may be without it */
} steps[] = {
	{RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), false},
	{RTM_GETADDR, AF_UNSPEC, sizeof(struct ifaddrmsg), false},
	/* A kernel without policy routing. */
	{RTM_GETRULE, AF_UNSPEC, sizeof(struct fib_rule_hdr), true},
	{RTM_GETNEIGH, AF_UNSPEC, sizeof(struct ndmsg), false},
	{RTM_GETROUTE, AF_INET, sizeof(struct rtmsg), false},
	/* A kernel without IPv6. */
	{RTM_GETROUTE, AF_INET6, sizeof(struct rtmsg), true},
};

enum {
	STEP_CNT = sizeof(steps) / sizeof(steps[0])
};

struct qx_mirror_netlink {
	struct qx_mirror mirror;
	int fd;
	uint32_t step; /* STEP_CNT: no dump is under way */
	uint32_t sequence;
	bool stale; /* the dump under way must be repeated */
	bool cannot_ask;
	bool addresses_news; /* since the last mirror_netlink_read */
	uint32_t repeats;
	uint64_t dump_bytes; /* of the one under way */
	uint64_t next_dump_ns;
	uint64_t overruns, dumps, solicits;
	_Alignas(8) uint8_t buffer[BUFFER_BYTES];
};

/* ---- Dumps ---- */

static int request_step(struct qx_mirror_netlink *n)
{
	/* All that is dumped takes a header of at most 16 bytes, the family first. */
	struct {
		struct nlmsghdr h;
		uint8_t family;
		uint8_t zero[15];
	} request = {
		.h = {.nlmsg_len = NLMSG_LENGTH(steps[n->step].header_bytes),
		      .nlmsg_type = steps[n->step].request,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		      .nlmsg_seq = ++n->sequence},
		.family = steps[n->step].family,
	};

	return send(n->fd, &request, request.h.nlmsg_len, MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* give_up_dump leaves the mirror unsure until the pause is over. */
static void give_up_dump(struct qx_mirror_netlink *n)
{
	n->step = STEP_CNT;
	n->mirror.synced = false;
	n->mirror.wants_dump = true;
}

static int start_dump(struct qx_mirror_netlink *n, uint64_t now_ns)
{
	int err;

	mirror_restart(&n->mirror);
	n->stale = false;
	n->step = 0;
	n->dumps++;
	n->dump_bytes = 0;
	n->next_dump_ns = now_ns + PAUSE_MIN_NS;
	err = request_step(n);
	if (err < 0)
		give_up_dump(n);
	return err;
}

/* A step has been read to its end. */
static int next_step(struct qx_mirror_netlink *n, uint64_t now_ns)
{
	int err;

	if (++n->step < STEP_CNT) {
		err = request_step(n);
		if (err < 0)
			give_up_dump(n);
		return err;
	}
	n->next_dump_ns = now_ns + PAUSE_MIN_NS + PAUSE_NS_PER_BYTE * n->dump_bytes;
	if (n->stale && n->repeats < REPEATS_MAX) {
		n->repeats++;
		return start_dump(n, now_ns);
	}
	n->repeats = 0;
	n->mirror.synced = true;
	n->addresses_news = true;
	return 0;
}

/* What a kernel says that was built without it (net/core/rtnetlink.c, fib_rules.c). */
static bool is_lack(int32_t error)
{
	return error == -EOPNOTSUPP || error == -EAFNOSUPPORT;
}

static int act_on(struct qx_mirror_netlink *n, const struct mirror_news *news,
		  uint64_t now_ns)
{
	bool dumping = n->step < STEP_CNT;

	n->cannot_ask |= news->cannot_ask;
	n->addresses_news |= news->address;
	if (!dumping)
		return 0;
	n->stale |= news->changed || news->again;
	if (news->error && !(steps[n->step].may_lack && is_lack(news->error))) {
		give_up_dump(n);
		return news->error;
	}
	if (news->done && steps[n->step].request == RTM_GETRULE)
		n->mirror.has_rules = true;
	return news->done || news->error ? next_step(n, now_ns) : 0;
}

/* ---- Reading ---- */

/* read_once takes one piece.  1, 0 there is none, or -errno. */
static int read_once(struct qx_mirror_netlink *n, uint64_t now_ns, bool *link_news)
{
	struct sockaddr_nl from = {0};
	socklen_t from_bytes = sizeof(from);
	struct mirror_news news = {0};
	ssize_t len;
	int err;

	len = recvfrom(n->fd, n->buffer, sizeof(n->buffer), MSG_DONTWAIT | MSG_TRUNC,
		       (struct sockaddr *)&from, &from_bytes);
	if (len < 0 && errno == EAGAIN)
		return 0;
	if (len < 0 && errno == EINTR)
		return 1;
	if ((len < 0 && errno == ENOBUFS) || len > BUFFER_BYTES) {
		n->overruns++;
		/* Also while a dump is under way: that one cannot be trusted any more. */
		n->mirror.wants_dump = true;
		n->stale = true;
		*link_news = true;
		return 1;
	}
	if (len < 0)
		return -errno;
	/* Only the kernel has number 0. */
	if (from_bytes != sizeof(from) || from.nl_pid != 0)
		return 1;
	n->dump_bytes += (uint64_t)len;
	mirror_feed(&n->mirror, n->buffer, (uint32_t)len,
		    n->step < STEP_CNT ? n->sequence : 0, &news);
	*link_news |= news.link;
	err = act_on(n, &news, now_ns);
	return err < 0 ? err : 1;
}

uint32_t mirror_netlink_read(struct qx_mirror_netlink *n, uint64_t now_ns, uint64_t *syscalls)
{
	bool link_news = false;
	uint32_t news = 0;
	int rc = 1;

	for (int i = 0; i < READS_MAX && rc != 0; i++) {
		++*syscalls;
		rc = read_once(n, now_ns, &link_news);
		if (rc != 0)
			news |= MIRROR_READ_SOME;
		/* Whatever it was, what is known may be wrong by now. */
		if (rc < 0)
			give_up_dump(n);
	}
	if (n->mirror.wants_dump && n->step == STEP_CNT && now_ns >= n->next_dump_ns) {
		++*syscalls;
		start_dump(n, now_ns);
		news |= MIRROR_READ_SOME;
	}
	if (n->addresses_news && n->mirror.synced) {
		n->addresses_news = false;
		news |= MIRROR_READ_ADDRESSES;
	}
	return link_news ? news | MIRROR_READ_LINK : news;
}

/* ---- Asking ---- */

/* solicit asks the kernel to make sure of a neighbour. */
static bool solicit(struct qx_mirror_netlink *n, const struct qx_addr *neighbour)
{
	bool ipv4 = neighbour->family == QX_IPV4;
	uint16_t ip_bytes = ipv4 ? 4 : 16;
	struct {
		struct nlmsghdr h;
		struct ndmsg n;
		struct nlattr to;
		uint8_t ip[16];
	} request = {
		.h = {.nlmsg_len = (uint32_t)(offsetof(typeof(request), ip) + ip_bytes),
		      .nlmsg_type = RTM_NEWNEIGH,
		      .nlmsg_flags = NLM_F_REQUEST},
		.n = {.ndm_family = ipv4 ? AF_INET : AF_INET6,
		      .ndm_ifindex = (int)n->mirror.ifindex,
		      .ndm_flags = NTF_USE},
		.to = {.nla_len = (uint16_t)(sizeof(request.to) + ip_bytes),
		       .nla_type = NDA_DST},
	};

	if (n->cannot_ask)
		return false;
	memcpy(request.ip, neighbour->ip, ip_bytes);
	if (send(n->fd, &request, request.h.nlmsg_len, MSG_DONTWAIT) < 0)
		return false;
	n->solicits++;
	return true;
}

bool mirror_netlink_way(struct qx_mirror_netlink *n, const struct qx_path *path,
			uint64_t now_ns, struct qx_way *out)
{
	struct qx_addr neighbour;

	if (mirror_ask(&n->mirror, path, now_ns, out, &neighbour) != MIRROR_YES)
		return false;
	/* Without the right to ask, sending by the kernel's socket asks as well. */
	return neighbour.family == QX_UNSPEC || solicit(n, &neighbour);
}

int mirror_netlink_addrs(const struct qx_mirror_netlink *n, struct qx_addr *out, uint32_t max)
{
	if (!n->mirror.synced)
		return -EAGAIN;
	return (int)addr_table_keys(n->mirror.addresses, out, max);
}

bool mirror_netlink_outgrows(const struct qx_mirror_netlink *n, uint32_t mtu_bytes)
{
	return n->mirror.mac_moved || n->mirror.mtu_bytes > mtu_bytes;
}

void mirror_netlink_stats(const struct qx_mirror_netlink *n, struct qx_stats *out)
{
	out->mirror_dumps += n->dumps;
	out->mirror_overruns += n->overruns;
	out->mirror_solicits += n->solicits;
	out->mirror_link_changes += n->mirror.link_changes;
	out->mirror_bad_messages += n->mirror.bad_messages;
	out->mirror_routes = routes_cnt(n->mirror.routes);
}

/* ---- Opening ---- */

static int open_socket(void)
{
	static const uint8_t groups[] = {RTNLGRP_LINK,        RTNLGRP_NEIGH,
					 RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
					 RTNLGRP_IPV4_ROUTE,  RTNLGRP_IPV6_ROUTE,
					 RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE};
	struct sockaddr_nl name = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int bytes = SOCKET_BUFFER_BYTES, err;

	if (fd < 0)
		return -errno;
	for (uint32_t i = 0; i < sizeof(groups); i++)
		name.nl_groups |= 1u << (groups[i] - 1);
	/* More room only makes overruns rarer. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int mirror_netlink_open(struct qx_mirror_netlink **out, uint32_t ifindex, const uint8_t *mac)
{
	struct qx_mirror_netlink *n = calloc(1, sizeof(*n));
	bool link_news = false;
	int err;

	if (!n)
		return -ENOMEM;
	/* Far from 0, which solicitations have, and from what others count from. */
	n->sequence = (uint32_t)(uintptr_t)n | 1u << 31;
	if ((err = mirror_init(&n->mirror, ifindex, mac)) < 0)
		goto free_netlink;
	if ((n->fd = open_socket()) < 0) {
		err = n->fd;
		goto free_mirror;
	}
	if ((err = start_dump(n, 0)) < 0)
		goto close_socket;
	for (int i = 0; i < OPENING_READS && !n->mirror.synced; i++) {
		if ((err = read_once(n, 0, &link_news)) < 0)
			goto close_socket;
		if (err == 0)
			break;
	}
	n->addresses_news = false;
	*out = n;
	return 0;

close_socket:
	close(n->fd);
free_mirror:
	mirror_free(&n->mirror);
free_netlink:
	free(n);
	return err;
}

void mirror_netlink_close(struct qx_mirror_netlink *n)
{
	if (!n)
		return;
	close(n->fd);
	mirror_free(&n->mirror);
	free(n);
}

int mirror_netlink_fd(const struct qx_mirror_netlink *n)
{
	return n->fd;
}
