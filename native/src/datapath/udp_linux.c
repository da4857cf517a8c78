/* udp_linux.c: opening, adopting and closing the Linux socket lane.
 *
 * Some facts about the options (man 7 ip, man 7 ipv6, net/ipv4/udp.c):
 *  - IP_PMTUDISC_PROBE sets DF and ignores what ICMP said about the path's MTU, as a QUIC
 *    endpoint that searches it by itself must (RFC 9000 section 14.2.1).  A datagram over
 *    the interface's MTU is refused with EMSGSIZE.
 *  - IP_RECVERR makes the kernel keep what ICMP says (udp_linux_icmp.c).
 *  - An IPv6 socket that also serves IPv4 needs the IPv4 options too: the kernel reports
 *    TOS of IPv4 datagrams by IP_TOS, never by IPV6_TCLASS.
 *  - SO_RCVBUFFORCE needs CAP_NET_ADMIN; without it net.core.rmem_max limits us. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "addr.h"
#include "udp_linux.h"
#include "why.h"

enum {
	DEFAULT_BUFFER_BYTES = 8 << 20
};

/* ---- Options ---- */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* What the lane cannot do without. */
static const struct must_option {
	int level;
	int option;
	int value;
	const char *name;
} must_ipv4[] =
	{
		{SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER"},
		{SOL_IP, IP_RECVERR, 1, "IP_RECVERR"},
		{SOL_IP, IP_RECVTOS, 1, "IP_RECVTOS"},
		{SOL_IP, IP_PKTINFO, 1, "IP_PKTINFO"},
},
  must_ipv6[] = {
	  {SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER"},
	  {SOL_IPV6, IPV6_RECVERR, 1, "IPV6_RECVERR"},
	  {SOL_IPV6, IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS"},
	  {SOL_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"},
};

enum {
	MUST_CNT = sizeof(must_ipv4) / sizeof(must_ipv4[0])
};

_Static_assert(sizeof(must_ipv6) == sizeof(must_ipv4), "one table per family");

/* The last one, which tells where a datagram was sent to, is left out for a socket bound
 * to one address: that is where, and looking it up costs the kernel 2 % of a datagram. */
static int set_all(const struct qx_udp *u, const struct must_option options[MUST_CNT],
		   char *why)
{
	int cnt = addr_is_wildcard(&u->own.local) ? MUST_CNT : MUST_CNT - 1, err;

	for (int i = 0; i < cnt; i++) {
		err = set_int(u->fd, options[i].level, options[i].option, options[i].value);
		if (err < 0) {
			why_set(why,
				"setsockopt %s: %s; the kernel must be Linux 4.18 or newer "
				"and a sandbox must allow it",
				options[i].name, strerror(-err));
			return err;
		}
	}
	return 0;
}

/* Larger than the system allows is normal for us and not an error: the socket works. */
static void set_buffers(int fd, uint32_t wanted_bytes)
{
	int bytes = wanted_bytes == 0              ? DEFAULT_BUFFER_BYTES
		    : wanted_bytes > INT32_MAX / 2 ? INT32_MAX / 2
						   : (int)wanted_bytes;

	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes) < 0)
		set_int(fd, SOL_SOCKET, SO_RCVBUF, bytes);
	if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes) < 0)
		set_int(fd, SOL_SOCKET, SO_SNDBUF, bytes);
}

static int set_options(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	int err = 0;

	if (u->own.family == AF_INET6)
		err = set_all(u, must_ipv6, why);
	if (err == 0 && !u->own.v6only)
		err = set_all(u, must_ipv4, why);
	if (err < 0)
		return err;
	if (cfg->flags & QX_CFG_BROADCAST &&
	    (err = set_int(u->fd, SOL_SOCKET, SO_BROADCAST, 1)) < 0) {
		why_set(why, "setsockopt SO_BROADCAST: %s", strerror(-err));
		return err;
	}
	set_buffers(u->fd, cfg->socket_buffer_bytes);
	/* Refused by kernels before 5.0: datagrams then come one by one. */
	set_int(u->fd, SOL_UDP, UDP_GRO, !(cfg->flags & QX_CFG_NO_GRO));
	return 0;
}

/* ---- Opening ---- */

static int make_socket(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	u->own.local = cfg->local;
	u->own.family = cfg->local.family == QX_IPV6 ? AF_INET6 : AF_INET;
	u->fd = socket(u->own.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	if (u->fd < 0)
		return udp_why_socket(why, -errno, u->own.family);
	return 0;
}

static int bind_socket(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	struct sockaddr_in6 name;
	socklen_t len = addr_to_sockaddr(&name, &cfg->local, u->own.family);
	int err = 0;

	u->own.v6only = u->own.family == AF_INET6 && (cfg->flags & QX_CFG_V6ONLY);
	if (u->own.family == AF_INET6)
		err = set_int(u->fd, SOL_IPV6, IPV6_V6ONLY, u->own.v6only);
	if (err == 0 && cfg->flags & QX_CFG_REUSE_PORT)
		err = set_int(u->fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (err < 0) {
		why_set(why, "setsockopt before bind: %s", strerror(-err));
		return err;
	}
	/* Before bind, so that no datagram comes in without its options. */
	if ((err = set_options(u, cfg, why)) < 0)
		return err;
	if (bind(u->fd, (const struct sockaddr *)&name, len) < 0)
		return udp_why_bind(why, -errno, &cfg->local);
	return 0;
}

static int connect_socket(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	struct sockaddr_in6 name;
	socklen_t len;

	if (cfg->remote.family == QX_UNSPEC)
		return 0;
	len = addr_to_sockaddr(&name, &cfg->remote, u->own.family);
	if (len == 0 || (u->own.v6only && cfg->remote.family == QX_IPV4))
		return udp_why_connect(why, -EAFNOSUPPORT, &cfg->remote);
	if (connect(u->fd, (const struct sockaddr *)&name, len) < 0)
		return udp_why_connect(why, -errno, &cfg->remote);
	return 0;
}

/* Reads back what the kernel made of it: the picked port, the source address that connect
 * chose, what an adopted socket was bound and connected to. */
static int read_names(struct qx_udp *u, char *why)
{
	struct sockaddr_in6 name = {0};
	socklen_t len = sizeof(name);
	int err;

	if (getsockname(u->fd, (struct sockaddr *)&name, &len) < 0) {
		err = -errno;
		why_set(why, "getsockname: %s", strerror(-err));
		return err;
	}
	if (!addr_from_sockaddr(&u->own.local, &name, len) || u->own.local.port == 0) {
		why_set(why, "the socket is not bound to a UDP port; bind it first");
		return -EINVAL;
	}
	len = sizeof(name);
	if (getpeername(u->fd, (struct sockaddr *)&name, &len) == 0)
		u->own.connected = addr_from_sockaddr(&u->own.remote, &name, len);
	return 0;
}

static int get_int(int fd, int level, int option, int *value)
{
	socklen_t len = sizeof(*value);

	return getsockopt(fd, level, option, value, &len) < 0 ? -errno : 0;
}

/* What asyncio calls sock=: bound by somebody else, ours from now on. */
static int adopt_socket(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	int type = 0, protocol = 0, v6only = 0, flags, err;

	if ((err = get_int(cfg->socket_fd, SOL_SOCKET, SO_TYPE, &type)) < 0 ||
	    (err = get_int(cfg->socket_fd, SOL_SOCKET, SO_PROTOCOL, &protocol)) < 0 ||
	    (err = get_int(cfg->socket_fd, SOL_SOCKET, SO_DOMAIN, &u->own.family)) < 0) {
		why_set(why, "descriptor %d: not a socket that can be used (%s)",
			cfg->socket_fd, strerror(-err));
		return err;
	}
	if (type != SOCK_DGRAM || protocol != IPPROTO_UDP ||
	    (u->own.family != AF_INET && u->own.family != AF_INET6)) {
		why_set(why,
			"descriptor %d: a UDP socket over IPv4 or IPv6 is needed, this is "
			"another kind",
			cfg->socket_fd);
		return -EINVAL;
	}
	if (u->own.family == AF_INET6 &&
	    (err = get_int(cfg->socket_fd, SOL_IPV6, IPV6_V6ONLY, &v6only)) < 0) {
		why_set(why, "descriptor %d: getsockopt IPV6_V6ONLY: %s", cfg->socket_fd,
			strerror(-err));
		return err;
	}
	u->fd = cfg->socket_fd;
	u->own.v6only = v6only;
	if ((err = read_names(u, why)) < 0)
		return err;
	flags = fcntl(cfg->socket_fd, F_GETFL);
	if (flags < 0 || fcntl(cfg->socket_fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(cfg->socket_fd, F_SETFD, FD_CLOEXEC) < 0) {
		err = -errno;
		why_set(why, "descriptor %d: fcntl: %s", cfg->socket_fd, strerror(-err));
		return err;
	}
	return set_options(u, cfg, why);
}

static int map_arena(struct qx_udp *u, char *why)
{
	size_t bytes = UDP_RX_BYTES + UDP_TX_BYTES;
	void *arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err;

	if (arena == MAP_FAILED) {
		err = -errno;
		why_set(why, "mmap of %zu bytes for datagrams: %s", bytes, strerror(-err));
		return err;
	}
	if (madvise(arena, bytes, MADV_DONTFORK) < 0) {
		err = -errno;
		why_set(why, "madvise MADV_DONTFORK: %s", strerror(-err));
		munmap(arena, bytes);
		return err;
	}
	u->arena = arena;
	return 0;
}

int udp_open(struct qx_udp **out, const struct qx_config *cfg, char *why)
{
	bool adopt = cfg->socket_fd >= 0;
	struct qx_udp *u = calloc(1, sizeof(*u));
	int err;

	if (!u) {
		why_set(why, "no memory for a socket lane (%zu bytes)", sizeof(*u));
		return -ENOMEM;
	}
	u->fd = -1;
	if ((err = map_arena(u, why)) < 0)
		goto free_lane;
	if ((err = adopt ? adopt_socket(u, cfg, why) : make_socket(u, cfg, why)) < 0)
		goto unmap;
	if (!adopt && (err = bind_socket(u, cfg, why)) < 0)
		goto close_socket;
	if ((err = connect_socket(u, cfg, why)) < 0)
		goto close_socket;
	if ((err = read_names(u, why)) < 0)
		goto close_socket;
	udp_rx_init(&u->rx, u->arena);
	udp_tx_init(&u->tx, u->arena + UDP_RX_BYTES, !(cfg->flags & QX_CFG_NO_GSO));
	*out = u;
	return 0;

close_socket:
	/* An adopted socket stays the caller's when we fail. */
	if (!adopt)
		close(u->fd);
unmap:
	munmap(u->arena, UDP_RX_BYTES + UDP_TX_BYTES);
free_lane:
	free(u);
	return err;
}

void udp_forked(struct qx_udp *u)
{
	u->forked = true;
}

void udp_set_icmp(struct qx_udp *u, struct qx_icmp *icmp)
{
	u->icmp = icmp;
}

void udp_disown(struct qx_udp *u)
{
	u->fd = -1;
}

void udp_close(struct qx_udp *u)
{
	if (!u)
		return;
	if (u->fd >= 0)
		close(u->fd);
	/* In a forked child something else may be mapped there by now. */
	if (!u->forked)
		munmap(u->arena, UDP_RX_BYTES + UDP_TX_BYTES);
	free(u);
}

/* ---- Asking ---- */

int udp_fd(const struct qx_udp *u)
{
	return u->fd;
}

int udp_source_for(const struct qx_addr *peer, struct qx_addr *out)
{
	int domain = peer->family == QX_IPV4 ? AF_INET : AF_INET6, err = 0;
	int fd = socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	struct sockaddr_in6 name;
	socklen_t len = addr_to_sockaddr(&name, peer, domain);

	if (fd < 0)
		return -errno;
	/* Connecting a UDP socket looks the route up and sends nothing. */
	if (connect(fd, (const struct sockaddr *)&name, len) < 0)
		err = -errno;
	len = sizeof(name);
	if (err == 0 && getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		err = -errno;
	if (err == 0 && !addr_from_sockaddr(out, &name, len))
		err = -EAFNOSUPPORT;
	close(fd);
	return err;
}

void udp_stats(const struct qx_udp *u, struct qx_stats *out)
{
	uint32_t meminfo[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(meminfo);

	/* Refused by kernels before 4.12: then nobody knows. */
	if (getsockopt(u->fd, SOL_SOCKET, SO_MEMINFO, meminfo, &len) == 0)
		out->kernel_socket_dropped = meminfo[SK_MEMINFO_DROPS];
	udp_own_stats(&u->own, out);
}
