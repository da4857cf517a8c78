/* udp_own.h: what a socket lane knows and decides whatever system its socket is of; the first
 * member of every struct qx_udp.
 *
 *      udp_own.c              tells it: addresses, errors, statistics
 *      udp_linux*.c           the lane over Linux' sockets
 *      udp_win*.c             over WinSock
 *
 * What runs for every datagram is inline, so that sharing it costs no call. */
#ifndef QX_UDP_OWN_H
#define QX_UDP_OWN_H

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "addr.h"
#include "errors.h"
#include "udp.h"

enum {
	/* A UDP message is shorter than 64 KiB, merged or not (for Linux, GRO_LEGACY_MAX_SIZE
	 * holds for everything but TCP), so no buffer is too short. */
	UDP_RX_MESSAGES = 64,
	UDP_RX_MESSAGE_BYTES = 65536,
	/* Buffers a power of two apart would all begin in the same few cache sets. */
	UDP_RX_STRIDE_BYTES = UDP_RX_MESSAGE_BYTES + 1280,
	UDP_RX_BYTES = UDP_RX_MESSAGES * UDP_RX_STRIDE_BYTES,

	/* 1 MiB is 16 full messages and about what stays in a core's L2 cache. */
	UDP_TX_BYTES = 1 << 20,
	UDP_TX_SEGMENTS = 64,        /* UDP_MAX_SEGMENTS before Linux 6.9 */
	UDP_TX_MESSAGE_BYTES = 65000 /* below 65,535 with headers of either family */
};

struct udp_own {
	int family; /* AF_INET or AF_INET6 */
	bool v6only;
	bool connected;
	struct qx_addr local;
	struct qx_addr remote;
	const struct qx_acl *acl;
	struct qx_lane_stats stats;
	uint64_t drop[QX_DROP_CNT];
	struct qx_errors errors;
};

/* udp_own_stats is the part of udp_stats that every system has. */
void udp_own_stats(const struct udp_own *own, struct qx_stats *out);

static inline uint32_t udp_min(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* udp_own_refusal: why datagrams of this peer must not be delivered. */
static inline enum qx_drop udp_own_refusal(const struct udp_own *own,
					   const struct qx_addr *peer)
{
	if (!acl_allows(own->acl, peer))
		return QX_DROP_DENIED;
	if (peer->port == 0)
		return QX_DROP_SOURCE_PORT;
	/* Between bind and connect, what anybody sent was queued. */
	if (own->connected && memcmp(peer, &own->remote, sizeof(own->remote)) != 0)
		return QX_DROP_WRONG_PEER;
	return QX_DROP_NONE;
}

/* udp_path_index enters a path into a batch, unless it is that of the datagram before. */
static inline uint16_t udp_path_index(struct qx_batch *batch, const struct qx_path *path)
{
	uint32_t last = batch->path_cnt - 1;

	if (batch->path_cnt == 0 || memcmp(&batch->paths[last], path, sizeof(*path)) != 0)
		batch->paths[last = batch->path_cnt++] = *path;
	return (uint16_t)last;
}

/* udp_own_give_back: cnt datagrams of a buffer are the lane's again. */
static inline void udp_own_give_back(struct udp_own *own, uint16_t lent[UDP_RX_MESSAGES],
				     uint32_t frame, uint32_t cnt)
{
	/* The frame came from us through the caller's hands; a wrong one gives back
	 * nothing rather than somebody else's buffer. */
	if (frame < UDP_RX_MESSAGES && cnt <= lent[frame])
		lent[frame] = (uint16_t)(lent[frame] - cnt);
	else
		own->drop[QX_DROP_DESCRIPTOR] += cnt;
}

/* udp_own_complete fills in what the caller left to us.  0, or why that path can never be
 * used. */
static inline int udp_own_complete(const struct udp_own *own, struct qx_path *path)
{
	if (path->peer.family == QX_UNSPEC) {
		if (!own->connected)
			return -EDESTADDRREQ;
		path->peer = own->remote;
	}
	if (path->peer.port == 0)
		return -EINVAL;
	if (own->family == AF_INET ? path->peer.family != QX_IPV4
				   : path->peer.family == QX_IPV4 && own->v6only)
		return -EAFNOSUPPORT;
	if (path->local.family != QX_UNSPEC && path->local.family != path->peer.family)
		return -EINVAL;
	return 0;
}

/* udp_own_names_source: the socket is not bound to this source address anyway. */
static inline bool udp_own_names_source(const struct udp_own *own,
					const struct qx_addr *local)
{
	return local->family != QX_UNSPEC && !addr_is_wildcard(local) &&
	       (local->family != own->local.family ||
		memcmp(local->ip, own->local.ip, sizeof(own->local.ip)) != 0);
}

/* udp_slots writes n slots of one length that lie one after another. */
static inline void udp_slots(struct qx_slot *slots, uint32_t n, uint8_t *data,
			     uint32_t len_bytes)
{
	for (uint32_t i = 0; i < n; i++)
		slots[i] = (struct qx_slot){
			.data = data + i * len_bytes,
			.len_bytes = len_bytes,
			.frame = i,
			.ecn = QX_ECN_NOT_ECT,
			.lane = QX_LANE_SOCKET,
		};
}

#endif
