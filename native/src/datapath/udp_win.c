/* udp_win.c: opening, adopting and closing the Windows socket lane.
 *
 * Which options a Windows has depends on its age, and Wine has fewer, so each is asked for
 * and only what nothing can replace (control data, the socket's event) makes opening fail. */
#include "udp_win.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "error_win.h"
#include "handle_win.h"
#include "os.h"
#include "why.h"

enum {
	DEFAULT_BUFFER_BYTES = 8 << 20,
	/* PMTUD_STATE of ws2ipdef.h: DF set, and what ICMP said about the path ignored. */
	PMTUDISC_PROBE = 3
};

int udp_last_error(void)
{
	return error_of((uint32_t)WSAGetLastError());
}

/* ---- Options ---- */

static int set_dword(SOCKET socket, int level, int option, DWORD value)
{
	if (setsockopt(socket, level, option, (const char *)&value, sizeof(value)) == 0)
		return 0;
	return -udp_last_error();
}

static int get_dword(SOCKET socket, int level, int option, DWORD *value)
{
	int len_bytes = sizeof(*value);

	*value = 0;
	if (getsockopt(socket, level, option, (char *)value, &len_bytes) == 0)
		return 0;
	return -udp_last_error();
}

/* One family's options: which address a datagram was sent to, DF, and ECN, each by the
 * newest way that is taken. */
static int set_family(const struct qx_udp *u, bool ipv6, char *why)
{
	int level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, err;
	SOCKET s = u->socket;

	err = set_dword(s, level, ipv6 ? IPV6_PKTINFO : IP_PKTINFO, 1);
	if (err < 0 && addr_is_wildcard(&u->own.local)) {
		why_set(why,
			"setsockopt %s: %s; bind to one address instead of to all, then "
			"nobody has to ask where a datagram was sent to",
			ipv6 ? "IPV6_PKTINFO" : "IP_PKTINFO", strerror(-err));
		return err;
	}
	/* Older ones set DF alone; what ICMP says then lowers what can be sent. */
	if (set_dword(s, level, IP_MTU_DISCOVER, PMTUDISC_PROBE) < 0)
		set_dword(s, level, ipv6 ? IPV6_DONTFRAG : IP_DONTFRAGMENT, 1);
	/* Without either, datagrams count as not ECN-capable, which is always right. */
	if (set_dword(s, level, ipv6 ? IPV6_ECN : IP_ECN, 1) < 0)
		set_dword(s, level, ipv6 ? IPV6_RECVTCLASS : IP_RECVTOS, 1);
	return 0;
}

/* Windows reports an ICMP message about an earlier datagram as an error of the next
 * receive.  A connected socket's owner wants to know; others would learn nothing from it. */
static void quiet_icmp(SOCKET socket)
{
	BOOL report = FALSE;
	DWORD len_bytes;

	WSAIoctl(socket, SIO_UDP_CONNRESET, &report, sizeof(report), NULL, 0, &len_bytes,
		 NULL, NULL);
}

static int set_options(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	DWORD bytes =
		cfg->socket_buffer_bytes ? cfg->socket_buffer_bytes : DEFAULT_BUFFER_BYTES;
	int err = 0;

	if (u->own.family == AF_INET6)
		err = set_family(u, true, why);
	/* A socket of both families is told of IPv4 datagrams by IPv4's options. */
	if (err == 0 && !u->own.v6only)
		err = set_family(u, false, why);
	if (err < 0)
		return err;
	if (cfg->flags & QX_CFG_BROADCAST &&
	    (err = set_dword(u->socket, SOL_SOCKET, SO_BROADCAST, 1)) < 0) {
		why_set(why, "setsockopt SO_BROADCAST: %s", strerror(-err));
		return err;
	}
	/* Less than wanted is no error: the socket works. */
	set_dword(u->socket, SOL_SOCKET, SO_RCVBUF, bytes);
	set_dword(u->socket, SOL_SOCKET, SO_SNDBUF, bytes);
	if (!(cfg->flags & QX_CFG_NO_GRO))
		set_dword(u->socket, IPPROTO_UDP, UDP_RECV_MAX_COALESCED_SIZE,
			  UDP_RX_COALESCED_BYTES);
	if (cfg->remote.family == QX_UNSPEC)
		quiet_icmp(u->socket);
	return 0;
}

/* What sending can do is found out by asking (USO), or by being refused (ECN). */
static void find_sending(struct qx_udp *u, const struct qx_config *cfg)
{
	DWORD bytes;

	u->tx.ecn = true;
	if (!(cfg->flags & QX_CFG_NO_GSO) &&
	    get_dword(u->socket, IPPROTO_UDP, UDP_SEND_MSG_SIZE, &bytes) == 0)
		u->tx.uso_segment_max_bytes = UDP_TX_MESSAGE_BYTES;
}

static int find_call(const struct qx_udp *u, GUID id, void *out, DWORD out_bytes)
{
	DWORD len_bytes;

	if (WSAIoctl(u->socket, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), out,
		     out_bytes, &len_bytes, NULL, NULL) == 0)
		return 0;
	return -udp_last_error();
}

static int find_calls(struct qx_udp *u, char *why)
{
	GUID recv_id = WSAID_WSARECVMSG, send_id = WSAID_WSASENDMSG;
	int err = find_call(u, recv_id, &u->recv_msg, sizeof(u->recv_msg));

	if (err == 0)
		err = find_call(u, send_id, &u->send_msg, sizeof(u->send_msg));
	if (err < 0)
		why_set(why,
			"WSARecvMsg and WSASendMsg: %s; a network filter (LSP) of this "
			"machine hides them: `netsh winsock show catalog` lists filters",
			strerror(-err));
	return err;
}

/* ---- Opening ---- */

static int make_socket(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	u->own.local = cfg->local;
	u->own.family = cfg->local.family == QX_IPV6 ? AF_INET6 : AF_INET;
	u->socket = WSASocketW(u->own.family, SOCK_DGRAM, IPPROTO_UDP, NULL, 0,
			       WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	if (u->socket == INVALID_SOCKET)
		return udp_why_socket(why, -udp_last_error(), u->own.family);
	return 0;
}

static int bind_socket(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	struct sockaddr_in6 name;
	int len = addr_to_sockaddr(&name, &cfg->local, u->own.family), err = 0;

	if (cfg->flags & QX_CFG_REUSE_PORT) {
		why_set(why,
			"Windows does not share datagrams between the sockets of one port; "
			"open the endpoint without reuse_port");
		return -EOPNOTSUPP;
	}
	u->own.v6only = u->own.family == AF_INET6 && (cfg->flags & QX_CFG_V6ONLY);
	if (u->own.family == AF_INET6)
		err = set_dword(u->socket, IPPROTO_IPV6, IPV6_V6ONLY, u->own.v6only);
	/* Or any program may bind the port as well and take our datagrams. */
	if (err == 0)
		err = set_dword(u->socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
	if (err < 0) {
		why_set(why, "setsockopt before bind: %s", strerror(-err));
		return err;
	}
	/* Before bind, so that no datagram comes in without its options. */
	if ((err = set_options(u, cfg, why)) < 0)
		return err;
	if (bind(u->socket, (const struct sockaddr *)&name, len) != 0)
		return udp_why_bind(why, -udp_last_error(), &cfg->local);
	return 0;
}

static int connect_socket(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	struct sockaddr_in6 name;
	int len;

	if (cfg->remote.family == QX_UNSPEC)
		return 0;
	len = addr_to_sockaddr(&name, &cfg->remote, u->own.family);
	if (len == 0 || (u->own.v6only && cfg->remote.family == QX_IPV4))
		return udp_why_connect(why, -EAFNOSUPPORT, &cfg->remote);
	if (connect(u->socket, (const struct sockaddr *)&name, len) != 0)
		return udp_why_connect(why, -udp_last_error(), &cfg->remote);
	return 0;
}

/* Reads back the port that was picked, the source address that connect chose, and what an
 * adopted socket was bound and connected to. */
static int read_names(struct qx_udp *u, char *why)
{
	struct sockaddr_in6 name = {0};
	int len = sizeof(name), err;

	if (getsockname(u->socket, (struct sockaddr *)&name, &len) != 0) {
		err = -udp_last_error();
		/* How WinSock says "not bound". */
		why_set(why, "getsockname: %s; bind the socket to a UDP port first",
			strerror(-err));
		return err;
	}
	if (!addr_from_sockaddr(&u->own.local, &name, (size_t)len) ||
	    u->own.local.port == 0) {
		why_set(why, "the socket is not bound to a UDP port; bind it first");
		return -EINVAL;
	}
	len = sizeof(name);
	if (getpeername(u->socket, (struct sockaddr *)&name, &len) == 0)
		u->own.connected = addr_from_sockaddr(&u->own.remote, &name, (size_t)len);
	return 0;
}

/* What asyncio calls sock=: bound by somebody else, ours from now on. */
static int adopt_socket(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	SOCKET socket = socket_of_fd(cfg->socket_fd);
	WSAPROTOCOL_INFOW info;
	int len = sizeof(info), err;
	DWORD v6only = 0;

	if (getsockopt(socket, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &len) != 0) {
		err = -udp_last_error();
		why_set(why, "handle %d: not a socket that can be used (%s)", cfg->socket_fd,
			strerror(-err));
		return err;
	}
	if (info.iSocketType != SOCK_DGRAM || info.iProtocol != IPPROTO_UDP ||
	    (info.iAddressFamily != AF_INET && info.iAddressFamily != AF_INET6)) {
		why_set(why,
			"handle %d: a UDP socket over IPv4 or IPv6 is needed, this is "
			"another kind",
			cfg->socket_fd);
		return -EINVAL;
	}
	u->own.family = info.iAddressFamily;
	u->socket = socket;
	if (u->own.family == AF_INET6)
		get_dword(socket, IPPROTO_IPV6, IPV6_V6ONLY, &v6only);
	u->own.v6only = v6only != 0;
	if ((err = read_names(u, why)) < 0)
		return err;
	return set_options(u, cfg, why);
}

/* From here on the socket does not block either. */
static int select_events(struct qx_udp *u, char *why)
{
	int err;

	u->event = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (u->event && WSAEventSelect(u->socket, u->event, FD_READ | FD_WRITE) == 0)
		return 0;
	err = u->event ? -udp_last_error() : -error_of(GetLastError());
	why_set(why, "the socket's event: %s; close some endpoints", strerror(-err));
	return err;
}

static int start_winsock(struct qx_udp *u, char *why)
{
	WSADATA data;
	int code = WSAStartup(MAKEWORD(2, 2), &data);

	u->started = code == 0;
	if (u->started)
		return 0;
	why_set(why, "WSAStartup: error %d: networking is not running on this machine", code);
	return -ENETDOWN;
}

static int open_lane(struct qx_udp *u, const struct qx_config *cfg, char *why)
{
	bool adopt = cfg->socket_fd >= 0;
	int err;

	if ((err = start_winsock(u, why)) < 0)
		return err;
	u->arena = os_map(UDP_RX_BYTES + UDP_TX_BYTES);
	if (!u->arena) {
		why_set(why, "no memory for datagrams (%d bytes)",
			UDP_RX_BYTES + UDP_TX_BYTES);
		return -ENOMEM;
	}
	if ((err = adopt ? adopt_socket(u, cfg, why) : make_socket(u, cfg, why)) < 0 ||
	    (err = find_calls(u, why)) < 0 ||
	    (!adopt && (err = bind_socket(u, cfg, why)) < 0) ||
	    (err = connect_socket(u, cfg, why)) < 0 || (err = read_names(u, why)) < 0)
		return err;
	u->rx.base = u->arena;
	u->tx.base = u->arena + UDP_RX_BYTES;
	find_sending(u, cfg);
	/* Last, because an adopted socket stops blocking for its owner too. */
	return select_events(u, why);
}

int udp_open(struct qx_udp **out, const struct qx_config *cfg, char *why)
{
	struct qx_udp *u = calloc(1, sizeof(*u));
	int err;

	if (!u) {
		why_set(why, "no memory for a socket lane (%u bytes)", (uint32_t)sizeof(*u));
		return -ENOMEM;
	}
	u->socket = INVALID_SOCKET;
	err = open_lane(u, cfg, why);
	if (err < 0) {
		/* An adopted socket stays the caller's when we fail. */
		if (cfg->socket_fd >= 0)
			udp_disown(u);
		udp_close(u);
		return err;
	}
	*out = u;
	return 0;
}

/* Windows has no fork. */
void udp_forked(struct qx_udp *u)
{
	(void)u;
}

/* WinSock has no error queue: what ICMP says is the error of a later receive, about nobody in
 * particular. */
void udp_set_icmp(struct qx_udp *u, struct qx_icmp *icmp)
{
	(void)u;
	(void)icmp;
}

void udp_disown(struct qx_udp *u)
{
	if (u->socket != INVALID_SOCKET)
		WSAEventSelect(u->socket, NULL, 0);
	u->socket = INVALID_SOCKET;
}

void udp_close(struct qx_udp *u)
{
	if (!u)
		return;
	if (u->socket != INVALID_SOCKET)
		closesocket(u->socket);
	if (u->event)
		CloseHandle(u->event);
	if (u->arena)
		os_unmap(u->arena, UDP_RX_BYTES + UDP_TX_BYTES);
	if (u->started)
		WSACleanup();
	free(u);
}

/* ---- Asking ---- */

/* For the wait set: the event, since a socket itself cannot be waited for. */
int udp_fd(const struct qx_udp *u)
{
	return fd_of_handle(u->event);
}

int udp_source_for(const struct qx_addr *peer, struct qx_addr *out)
{
	int family = peer->family == QX_IPV4 ? AF_INET : AF_INET6, err = 0;
	SOCKET s = socket(family, SOCK_DGRAM, IPPROTO_UDP);
	struct sockaddr_in6 name;
	int len = (int)addr_to_sockaddr(&name, peer, family);

	if (s == INVALID_SOCKET)
		return -udp_last_error();
	/* Connecting a UDP socket looks the route up and sends nothing. */
	if (connect(s, (const struct sockaddr *)&name, len) != 0)
		err = -udp_last_error();
	len = sizeof(name);
	if (err == 0 && getsockname(s, (struct sockaddr *)&name, &len) != 0)
		err = -udp_last_error();
	if (err == 0 && !addr_from_sockaddr(out, &name, (size_t)len))
		err = -EAFNOSUPPORT;
	closesocket(s);
	return err;
}

void udp_stats(const struct qx_udp *u, struct qx_stats *out)
{
	udp_own_stats(&u->own, out);
}
