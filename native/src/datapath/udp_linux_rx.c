/* udp_linux_rx.c: the receiving half of the socket lane.
 *
 * Messages fill buffers from the first free one on, and a message's buffer is free again
 * when its last datagram was given back.  One message may hold more datagrams than the batch
 * has room for: the rest is handed out by the next call, without a system call. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include "addr.h"
#include "udp_linux.h"

enum {
	TARGET_DATAGRAMS = 64
};

void udp_rx_init(struct udp_rx *rx, uint8_t *base)
{
	rx->base = base;
	rx->segments_x8 = 8;
	for (uint32_t i = 0; i < UDP_RX_MESSAGES; i++) {
		rx->iovs[i].iov_base = base + (size_t)i * UDP_RX_STRIDE_BYTES;
		rx->iovs[i].iov_len = UDP_RX_MESSAGE_BYTES;
		rx->headers[i].msg_hdr = (struct msghdr){
			.msg_name = &rx->names[i],
			.msg_namelen = sizeof(rx->names[i]),
			.msg_iov = &rx->iovs[i],
			.msg_iovlen = 1,
			.msg_control = rx->controls[i].bytes,
			.msg_controllen = sizeof(rx->controls[i].bytes),
		};
	}
}

/* The kernel overwrote these lengths; the next recvmmsg needs them whole. */
static void reset_header(struct msghdr *h)
{
	h->msg_namelen = sizeof(struct sockaddr_in6);
	h->msg_controllen = UDP_RX_CONTROL_BYTES;
	h->msg_flags = 0;
}

static void read_ipv4_control(struct udp_rx_message *m, const struct cmsghdr *c)
{
	struct in_pktinfo info;

	if (c->cmsg_type == IP_TOS && c->cmsg_len >= CMSG_LEN(1)) {
		m->ecn = *CMSG_DATA(c) & 3;
	} else if (c->cmsg_type == IP_PKTINFO && c->cmsg_len >= CMSG_LEN(sizeof(info))) {
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		/* For unicast both addresses are the same.  For broadcast ipi_spec_dst is
		 * the one to answer from; it is zero if the datagram came before the
		 * option was set (adopted sockets). */
		addr_from_ipv4(&m->path.local,
			       info.ipi_spec_dst.s_addr ? &info.ipi_spec_dst : &info.ipi_addr,
			       m->path.local.port);
	}
}

static void read_ipv6_control(struct udp_rx_message *m, const struct cmsghdr *c)
{
	struct in6_pktinfo info;
	int tclass;

	if (c->cmsg_type == IPV6_TCLASS && c->cmsg_len >= CMSG_LEN(sizeof(tclass))) {
		memcpy(&tclass, CMSG_DATA(c), sizeof(tclass));
		m->ecn = tclass & 3;
	} else if (c->cmsg_type == IPV6_PKTINFO && c->cmsg_len >= CMSG_LEN(sizeof(info))) {
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		addr_from_ipv6(&m->path.local, &info.ipi6_addr, m->path.local.port,
			       info.ipi6_ifindex);
	}
}

static void read_control(struct udp_rx_message *m, struct msghdr *h)
{
	int segment_bytes;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == SOL_IP) {
			read_ipv4_control(m, c);
		} else if (c->cmsg_level == SOL_IPV6) {
			read_ipv6_control(m, c);
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO &&
			   c->cmsg_len >= CMSG_LEN(sizeof(segment_bytes))) {
			memcpy(&segment_bytes, CMSG_DATA(c), sizeof(segment_bytes));
			if (segment_bytes > 0 && (uint32_t)segment_bytes < m->len_bytes)
				m->segment_bytes = (uint32_t)segment_bytes;
		}
	}
}

static uint32_t segment_cnt(const struct udp_rx_message *m)
{
	return m->segment_bytes ? (m->len_bytes + m->segment_bytes - 1) / m->segment_bytes
				: 1;
}

/* Looks at message rx->next.  Returns why its datagrams must not be delivered. */
static enum qx_drop look_at(struct qx_udp *u)
{
	struct mmsghdr *header = &u->rx.headers[u->rx.next];
	struct udp_rx_message *m = &u->rx.now;

	*m = (struct udp_rx_message){
		.path.local = u->own.local,
		.len_bytes = header->msg_len,
		.segment_bytes = header->msg_len,
	};
	if (header->msg_hdr.msg_flags & MSG_TRUNC)
		return QX_DROP_OVERLONG;
	/* Without all control data we might take several merged datagrams for one. */
	if (header->msg_hdr.msg_flags & MSG_CTRUNC)
		return QX_DROP_TRUNCATED;
	if (!addr_from_sockaddr(&m->path.peer, header->msg_hdr.msg_name,
				header->msg_hdr.msg_namelen))
		return QX_DROP_SOURCE_ADDRESS;
	read_control(m, &header->msg_hdr); /* first, to know how many datagrams it is */
	return udp_own_refusal(&u->own, &m->path.peer);
}

/* Hands out what fits of the message that rx->now describes. */
static void split(struct qx_udp *u, struct qx_batch *batch)
{
	struct udp_rx_message *m = &u->rx.now;
	uint32_t frame = u->rx.next, base_off = frame * UDP_RX_STRIDE_BYTES;
	uint32_t off = m->done_bytes, end = m->len_bytes, len_bytes = m->segment_bytes;
	struct qx_datagram *d = &batch->datagrams[batch->datagram_cnt], *first = d;
	struct qx_datagram *last = &batch->datagrams[QX_BATCH_MAX - 1];
	uint8_t *base = u->rx.base + base_off, ecn = m->ecn;
	uint16_t path = udp_path_index(batch, &m->path);
	uint32_t cnt;

	for (;; d++, off += len_bytes) {
		if (len_bytes > end - off)
			len_bytes = end - off;
		*d = (struct qx_datagram){
			.data = base + off,
			.off_bytes = base_off + off,
			.len_bytes = len_bytes,
			.frame = frame,
			.path = path,
			.ecn = ecn,
			.lane = QX_LANE_SOCKET,
		};
		/* Also true at once for a datagram without payload. */
		if (off + len_bytes == end || d == last)
			break;
	}
	cnt = (uint32_t)(d - first) + 1;
	off += len_bytes;
	u->rx.lent[frame] = (uint16_t)(u->rx.lent[frame] + cnt);
	u->own.stats.rx_packets += cnt;
	u->own.stats.rx_bytes += off - m->done_bytes;
	batch->datagram_cnt += cnt;
	m->done_bytes = off;
	m->some_left = off < end;
}

/* Hands out waiting messages until the batch is full or none is left. */
static void hand_out(struct qx_udp *u, struct qx_batch *batch)
{
	struct udp_rx *rx = &u->rx;
	enum qx_drop drop = QX_DROP_NONE;

	while (rx->next < rx->end && batch->datagram_cnt < QX_BATCH_MAX) {
		if (!rx->now.some_left) {
			drop = look_at(u);
			rx->segments_x8 += segment_cnt(&rx->now) - rx->segments_x8 / 8;
		}
		if (drop == QX_DROP_NONE)
			split(u, batch);
		else
			u->own.drop[drop] += segment_cnt(&rx->now);
		if (!rx->now.some_left)
			reset_header(&rx->headers[rx->next++].msg_hdr);
	}
}

/* How many messages to ask for, and into which buffers from *first on: as many as hold
 * about TARGET_DATAGRAMS.  More would save few system calls and cost the cache: the buffer
 * of one full GRO message, used again and again, stays in it. */
static uint32_t wanted(const struct udp_rx *rx, uint32_t *first)
{
	uint32_t cnt = TARGET_DATAGRAMS * 8 / rx->segments_x8, from = 0, to;

	while (from < UDP_RX_MESSAGES && rx->lent[from] > 0)
		from++;
	if (cnt == 0)
		cnt = 1;
	to = from;
	while (to < UDP_RX_MESSAGES && to - from < cnt && rx->lent[to] == 0)
		to++;
	*first = from;
	return to - from;
}

/* recvmmsg, or for one message recvmsg, which spares a second, vain look at the socket. */
static int recv_messages(struct qx_udp *u, struct mmsghdr *headers, uint32_t cnt)
{
	ssize_t len;

	u->own.stats.rx_syscalls++;
	if (cnt > 1)
		return recvmmsg(u->fd, headers, cnt, MSG_DONTWAIT, NULL);
	len = recvmsg(u->fd, &headers->msg_hdr, MSG_DONTWAIT);
	if (len < 0)
		return -1;
	headers->msg_len = (unsigned int)len;
	return 1;
}

/* Shall recv be tried again after this errno?  An ICMP message stands before what waits. */
static bool retry_recv(struct qx_udp *u, int code)
{
	if (code == EAGAIN)
		return false;
	return code == EINTR || udp_read_errors(u) > 0;
}

static void receive(struct qx_udp *u)
{
	uint32_t first, cnt = wanted(&u->rx, &first);
	int got, code, tries = 0;

	if (u->errors_left)
		udp_read_errors(u);
	if (cnt == 0)
		return;
	do {
		got = recv_messages(u, &u->rx.headers[first], cnt);
		code = got < 0 ? errno : 0; /* reading the error queue sets errno too */
	} while (got < 0 && ++tries < UDP_EINTR_TRIES && retry_recv(u, code));
	u->rx.next = first;
	u->rx.end = first + (got > 0 ? (uint32_t)got : 0);
	/* Whatever it is, it is about a datagram or a peer and not about the socket: an ICMP
	 * message for which the queue had no room, or memory that ran out. */
	if (got < 0 && code != EAGAIN && code != EINTR)
		errors_push(&u->own.errors, code, u->own.connected ? &u->own.remote : NULL);
}

int udp_recv(struct qx_udp *u, struct qx_batch *batch)
{
	uint32_t before = batch->datagram_cnt;

	hand_out(u, batch);
	if (u->rx.next == u->rx.end && batch->datagram_cnt < QX_BATCH_MAX) {
		receive(u);
		hand_out(u, batch);
	}
	return (int)(batch->datagram_cnt - before);
}

void udp_recv_done(struct qx_udp *u, uint32_t frame, uint32_t cnt)
{
	udp_own_give_back(&u->own, u->rx.lent, frame, cnt);
}

size_t udp_memory(const struct qx_udp *u, uint8_t **base)
{
	*base = u->rx.base;
	return UDP_RX_BYTES;
}
