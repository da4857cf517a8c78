/* udp_win_rx.c: the receiving half of the Windows socket lane.
 *
 * Each WSARecvMsg fills one buffer with one message, which URO may have merged from many
 * datagrams; the buffer is free again when the last of them was given back.  What the batch
 * has no room for is handed out by the next call, without a system call. */
#include <errno.h>
#include <string.h>

#include "addr.h"
#include "udp_win.h"

static void read_ipv4_control(struct udp_rx_message *m, const WSACMSGHDR *c,
			      const uint8_t *data, size_t data_bytes)
{
	struct in_pktinfo info;

	if ((c->cmsg_type == IP_ECN || c->cmsg_type == IP_TOS) && data_bytes >= 1) {
		m->ecn = data[0] & 3;
	} else if (c->cmsg_type == IP_PKTINFO && data_bytes >= sizeof(info)) {
		memcpy(&info, data, sizeof(info));
		addr_from_ipv4(&m->path.local, &info.ipi_addr, m->path.local.port);
	}
}

static void read_ipv6_control(struct udp_rx_message *m, const WSACMSGHDR *c,
			      const uint8_t *data, size_t data_bytes)
{
	struct in6_pktinfo info;

	if ((c->cmsg_type == IPV6_ECN || c->cmsg_type == IPV6_TCLASS) && data_bytes >= 1) {
		m->ecn = data[0] & 3;
	} else if (c->cmsg_type == IPV6_PKTINFO && data_bytes >= sizeof(info)) {
		memcpy(&info, data, sizeof(info));
		addr_from_ipv6(&m->path.local, &info.ipi6_addr, m->path.local.port,
			       (uint32_t)info.ipi6_ifindex);
	}
}

/* The control message at off_bytes, NULL if no whole one is there. */
static const WSACMSGHDR *control_at(const WSAMSG *msg, size_t off_bytes)
{
	const WSACMSGHDR *c = (const WSACMSGHDR *)(msg->Control.buf + off_bytes);
	size_t left_bytes = msg->Control.len > off_bytes ? msg->Control.len - off_bytes : 0;

	if (left_bytes < WSA_CMSG_LEN(0) || c->cmsg_len < WSA_CMSG_LEN(0) ||
	    c->cmsg_len > left_bytes)
		return NULL;
	return c;
}

static void read_control(struct udp_rx_message *m, const WSAMSG *msg)
{
	const WSACMSGHDR *c;
	DWORD segment_bytes;

	for (size_t off = 0; (c = control_at(msg, off)) != NULL;
	     off += udp_control_space(c->cmsg_len - WSA_CMSG_LEN(0))) {
		const uint8_t *data = (const uint8_t *)c + WSA_CMSG_LEN(0);
		size_t data_bytes = c->cmsg_len - WSA_CMSG_LEN(0);

		if (c->cmsg_level == IPPROTO_IP) {
			read_ipv4_control(m, c, data, data_bytes);
		} else if (c->cmsg_level == IPPROTO_IPV6) {
			read_ipv6_control(m, c, data, data_bytes);
		} else if (c->cmsg_level == IPPROTO_UDP &&
			   c->cmsg_type == UDP_COALESCED_INFO &&
			   data_bytes >= sizeof(segment_bytes)) {
			memcpy(&segment_bytes, data, sizeof(segment_bytes));
			if (segment_bytes > 0 && segment_bytes < m->len_bytes)
				m->segment_bytes = segment_bytes;
		}
	}
}

/* Looks at a message that came.  Returns why its datagrams must not be delivered. */
static enum qx_drop look_at(const struct qx_udp *u, struct udp_rx_message *m,
			    const WSAMSG *msg)
{
	if (msg->dwFlags & MSG_TRUNC)
		return QX_DROP_OVERLONG;
	/* Without all control data we might take several merged datagrams for one. */
	if (msg->dwFlags & MSG_CTRUNC)
		return QX_DROP_TRUNCATED;
	if (msg->namelen < 0 ||
	    !addr_from_sockaddr(&m->path.peer, msg->name, (size_t)msg->namelen))
		return QX_DROP_SOURCE_ADDRESS;
	read_control(m, msg); /* first, to know how many datagrams it is */
	return udp_own_refusal(&u->own, &m->path.peer);
}

/* Receives one message into a buffer.  1, 0 nothing waits, or the negative errno. */
static int receive(struct qx_udp *u, uint32_t frame)
{
	struct udp_rx_message *m = &u->rx.message;
	struct sockaddr_in6 name;
	struct udp_control control;
	WSABUF buffer = {.len = UDP_RX_MESSAGE_BYTES,
			 .buf = (char *)u->rx.base + (size_t)frame * UDP_RX_STRIDE_BYTES};
	WSAMSG msg = {
		.name = (struct sockaddr *)&name,
		.namelen = sizeof(name),
		.lpBuffers = &buffer,
		.dwBufferCount = 1,
		.Control = {.len = sizeof(control.bytes), .buf = (char *)control.bytes}};
	DWORD len_bytes = 0;
	enum qx_drop drop;
	int err;

	u->own.stats.rx_syscalls++;
	if (u->recv_msg(u->socket, &msg, &len_bytes, NULL, NULL) != 0) {
		err = udp_last_error();
		/* Longer than any datagram can be: what came is no use. */
		if (err == EMSGSIZE)
			u->own.drop[QX_DROP_OVERLONG]++;
		return err == EMSGSIZE ? 1 : err == EAGAIN ? 0 : -err;
	}
	if (len_bytes > UDP_RX_MESSAGE_BYTES)
		len_bytes = UDP_RX_MESSAGE_BYTES;
	*m = (struct udp_rx_message){
		.path.local = u->own.local,
		.len_bytes = len_bytes,
		.segment_bytes = len_bytes,
		.frame = frame,
	};
	drop = look_at(u, m, &msg);
	u->rx.some_left = drop == QX_DROP_NONE;
	if (drop != QX_DROP_NONE)
		u->own.drop[drop] += m->segment_bytes ? (len_bytes + m->segment_bytes - 1) /
								m->segment_bytes
						      : 1;
	return 1;
}

/* Hands out what fits of the message at hand. */
static void hand_out(struct qx_udp *u, struct qx_batch *batch)
{
	struct udp_rx_message *m = &u->rx.message;
	uint32_t base_off = m->frame * UDP_RX_STRIDE_BYTES, len_bytes;
	uint16_t path = udp_path_index(batch, &m->path);

	do {
		len_bytes = m->len_bytes - m->done_bytes;
		if (len_bytes > m->segment_bytes)
			len_bytes = m->segment_bytes;
		batch->datagrams[batch->datagram_cnt++] = (struct qx_datagram){
			.data = u->rx.base + base_off + m->done_bytes,
			.off_bytes = base_off + m->done_bytes,
			.len_bytes = len_bytes,
			.frame = m->frame,
			.path = path,
			.ecn = m->ecn,
			.lane = QX_LANE_SOCKET,
		};
		m->done_bytes += len_bytes;
		u->rx.lent[m->frame]++;
		u->own.stats.rx_packets++;
		u->own.stats.rx_bytes += len_bytes;
		u->rx.some_left = m->done_bytes < m->len_bytes;
	} while (u->rx.some_left && batch->datagram_cnt < QX_BATCH_MAX);
}

static uint32_t free_frame(const struct udp_rx *rx, uint32_t from)
{
	while (from < UDP_RX_MESSAGES && rx->lent[from] > 0)
		from++;
	return from;
}

int udp_recv(struct qx_udp *u, struct qx_batch *batch)
{
	uint32_t before = batch->datagram_cnt, frame = 0, asked = 0;
	int got = 1;

	if (u->rx.some_left && batch->datagram_cnt < QX_BATCH_MAX)
		hand_out(u, batch);
	/* Messages are counted too, or a flood of those that are dropped would hold us. */
	while (got > 0 && asked < UDP_RX_TURN && batch->datagram_cnt < QX_BATCH_MAX &&
	       batch->datagram_cnt - before < UDP_RX_TURN &&
	       (frame = free_frame(&u->rx, frame)) < UDP_RX_MESSAGES) {
		/* Before the first, so that what comes from here on sets it again. */
		if (asked++ == 0)
			ResetEvent(u->event);
		got = receive(u, frame);
		if (u->rx.some_left)
			hand_out(u, batch);
	}
	/* What stays with us is no news to WinSock. */
	if (u->rx.some_left)
		SetEvent(u->event);
	/* It is about a datagram or a peer, never about the socket: an ICMP message
	 * (ECONNREFUSED, EHOSTUNREACH), or memory that ran out. */
	if (got < 0)
		errors_push(&u->own.errors, -got, u->own.connected ? &u->own.remote : NULL);
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
