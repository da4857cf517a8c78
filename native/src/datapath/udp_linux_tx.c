/* udp_linux_tx.c: the sending half of the socket lane.
 *
 * Payloads are written one after another into the arena, and consecutive datagrams of one
 * path, one ECN codepoint and one size grow into one message with UDP_SEGMENT.  A shorter
 * datagram may end a message but nothing follows it (the kernel cuts at multiples).
 *
 * The arena is given back as a whole when the last waiting message went out. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include "addr_linux.h"
#include "udp_linux.h"

enum { EINTR_TRIES = 16 };

void udp_tx_init(struct udp_tx *tx, uint8_t *base, bool gso)
{
	tx->base = base;
	tx->gso = gso;
	for (uint32_t i = 0; i < UDP_TX_MESSAGES; i++)
		tx->headers[i].msg_hdr.msg_name = &tx->names[i];
}

static bool same_path(const struct qx_path *a, const struct qx_path *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- One message ---- */

static uint16_t put_control(struct udp_tx_control *control, uint16_t used_bytes, int level,
			    int type, const void *value, uint16_t value_bytes)
{
	struct cmsghdr head = {
		.cmsg_len = CMSG_LEN(value_bytes),
		.cmsg_level = level,
		.cmsg_type = type,
	};

	memcpy(control->bytes + used_bytes, &head, sizeof(head));
	memcpy(control->bytes + used_bytes + CMSG_LEN(0), value, value_bytes);
	return (uint16_t)(used_bytes + CMSG_SPACE(value_bytes));
}

/* The source address is left out where the socket is bound to it anyway: control data at
 * IP level costs a connected socket its cached route (net/ipv4/udp.c, udp_sendmsg). */
static uint16_t put_source(const struct qx_udp *u, struct udp_tx_control *control,
			   const struct qx_path *path)
{
	struct in_pktinfo info4 = {0};
	struct in6_pktinfo info6 = {0};

	if (path->local.family == QX_UNSPEC || addr_is_wildcard(&path->local) ||
	    (path->local.family == u->local.family &&
	     memcmp(path->local.ip, u->local.ip, sizeof(u->local.ip)) == 0))
		return 0;
	if (path->local.family == QX_IPV4) {
		memcpy(&info4.ipi_spec_dst, path->local.ip, 4);
		return put_control(control, 0, SOL_IP, IP_PKTINFO, &info4, sizeof(info4));
	}
	memcpy(&info6.ipi6_addr, path->local.ip, 16);
	info6.ipi6_ifindex = path->local.scope_id;
	return put_control(control, 0, SOL_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
}

static void start_message(struct qx_udp *u, uint8_t *data, uint32_t len_bytes, uint8_t ecn)
{
	struct udp_tx *tx = &u->tx;
	struct udp_tx_message *m = &tx->messages[tx->end];
	struct msghdr *h = &tx->headers[tx->end].msg_hdr;
	struct udp_tx_control *control = &tx->controls[tx->end];
	bool ipv4 = tx->reserved_path.peer.family == QX_IPV4;
	uint16_t segment_bytes = (uint16_t)len_bytes;
	int tos = ecn;

	*m = (struct udp_tx_message){
		.len_bytes = len_bytes,
		.segment_bytes = len_bytes,
		.segment_cnt = 1,
		.ecn = ecn,
	};
	m->plain_control_bytes = put_source(u, control, &tx->reserved_path);
	if (ecn != QX_ECN_NOT_ECT)
		m->plain_control_bytes =
			put_control(control, m->plain_control_bytes, ipv4 ? SOL_IP : SOL_IPV6,
				    ipv4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof(tos));
	m->gso_control_bytes = put_control(control, m->plain_control_bytes, SOL_UDP,
					   UDP_SEGMENT, &segment_bytes, sizeof(segment_bytes));

	h->msg_name = &tx->names[tx->end];
	h->msg_namelen = addr_to_sockaddr(&tx->names[tx->end], &tx->reserved_path.peer,
					  u->domain);
	if (u->connected && memcmp(&tx->reserved_path.peer, &u->remote,
				   sizeof(u->remote)) == 0) {
		h->msg_name = NULL;
		h->msg_namelen = 0;
	}
	h->msg_control = control->bytes;
	h->msg_controllen = m->plain_control_bytes;
	h->msg_iov = &tx->iovs[tx->iov_cnt];
	h->msg_iovlen = 1;
	tx->iovs[tx->iov_cnt++] = (struct iovec){data, len_bytes};
	tx->open = tx->gso && len_bytes > 0;
	tx->open_path = tx->reserved_path;
	tx->end++;
}

/* How many of n datagrams of this length the open message still takes. */
static uint32_t open_room(const struct udp_tx *tx, uint32_t len_bytes, uint8_t ecn, uint32_t n)
{
	const struct udp_tx_message *m;

	if (!tx->open || len_bytes == 0)
		return 0;
	m = &tx->messages[tx->end - 1];
	if (ecn != m->ecn || len_bytes > m->segment_bytes)
		return 0;
	if (len_bytes < m->segment_bytes)
		n = 1;
	n = min_u32(n, UDP_TX_SEGMENTS - (uint32_t)m->segment_cnt);
	return min_u32(n, (UDP_TX_MESSAGE_BYTES - m->len_bytes) / len_bytes);
}

/* Adds n datagrams of one length that lie one after another. */
static void grow_message(struct udp_tx *tx, uint8_t *data, uint32_t len_bytes, uint32_t n)
{
	struct udp_tx_message *m = &tx->messages[tx->end - 1];
	struct msghdr *h = &tx->headers[tx->end - 1].msg_hdr;
	struct iovec *last = &tx->iovs[tx->iov_cnt - 1];

	/* Slots written to the brim touch each other and share one entry. */
	if ((uint8_t *)last->iov_base + last->iov_len == data) {
		last->iov_len += n * len_bytes;
	} else {
		tx->iovs[tx->iov_cnt++] = (struct iovec){data, n * len_bytes};
		h->msg_iovlen++;
	}
	h->msg_controllen = m->gso_control_bytes;
	m->segment_cnt = (uint16_t)(m->segment_cnt + n);
	m->len_bytes += n * len_bytes;
	tx->open = len_bytes == m->segment_bytes;
}

/* ---- Reserve and commit ---- */

/* Fills in what the caller left to us.  0, or why that path can never be used. */
static int complete_path(const struct qx_udp *u, struct qx_path *path)
{
	if (path->peer.family == QX_UNSPEC) {
		if (!u->connected)
			return -EDESTADDRREQ;
		path->peer = u->remote;
	}
	if (path->peer.port == 0)
		return -EINVAL;
	if (u->domain == AF_INET ? path->peer.family != QX_IPV4 :
				   path->peer.family == QX_IPV4 && u->v6only)
		return -EAFNOSUPPORT;
	if (path->local.family != QX_UNSPEC && path->local.family != path->peer.family)
		return -EINVAL;
	return 0;
}

int udp_reserve(struct qx_udp *u, const struct qx_path *path, uint32_t len_bytes,
		struct qx_slot *slots, uint32_t n)
{
	struct udp_tx *tx = &u->tx;
	int err;

	tx->reserved_cnt = 0;
	if (len_bytes > QX_UDP_PAYLOAD_MAX)
		return -EMSGSIZE;
	tx->reserved_path = *path;
	if (!tx->open || !same_path(path, &tx->open_path)) {
		if ((err = complete_path(u, &tx->reserved_path)) < 0)
			return err;
		tx->open = tx->open && same_path(&tx->reserved_path, &tx->open_path);
	}
	/* At worst each datagram becomes a message of its own. */
	n = min_u32(n, UDP_TX_MESSAGES - tx->end);
	n = min_u32(n, UDP_TX_IOVS - tx->iov_cnt);
	if (len_bytes > 0)
		n = min_u32(n, (UDP_TX_BYTES - tx->used_bytes) / len_bytes);
	for (uint32_t i = 0; i < n; i++)
		slots[i] = (struct qx_slot){
			.data = tx->base + tx->used_bytes + i * len_bytes,
			.len_bytes = len_bytes,
			.frame = i,
			.ecn = QX_ECN_NOT_ECT,
			.lane = QX_LANE_SOCKET,
		};
	tx->reserved_cnt = n;
	tx->reserved_bytes = len_bytes;
	return (int)n;
}

/* How many slots from the first on are written to the brim with one ECN codepoint: they
 * are handled as one.  At least 1. */
static uint32_t full_run(const struct qx_slot *slots, uint32_t n, uint32_t room_bytes)
{
	uint32_t run = 1;

	if (slots[0].len_bytes != room_bytes || room_bytes == 0)
		return 1;
	while (run < n && slots[run].len_bytes == room_bytes && slots[run].ecn == slots[0].ecn)
		run++;
	return run;
}

/* Queues n datagrams of one length and codepoint that lie one after another. */
static void queue(struct qx_udp *u, uint8_t *data, uint32_t len_bytes, uint8_t ecn, uint32_t n)
{
	uint32_t cnt;

	for (; n > 0; n -= cnt, data += cnt * len_bytes) {
		cnt = open_room(&u->tx, len_bytes, ecn, n);
		if (cnt > 0) {
			grow_message(&u->tx, data, len_bytes, cnt);
		} else {
			start_message(u, data, len_bytes, ecn);
			cnt = 1;
		}
	}
}

int udp_commit(struct qx_udp *u, const struct qx_slot *slots, uint32_t n)
{
	struct udp_tx *tx = &u->tx;
	uint32_t room_bytes = tx->reserved_bytes, run, used_bytes = 0;
	uint8_t *data = tx->base + tx->used_bytes;

	if (n > tx->reserved_cnt)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		if (slots[i].len_bytes > room_bytes)
			return -EINVAL;
	for (uint32_t i = 0; i < n; i += run) {
		run = full_run(slots + i, n - i, room_bytes);
		if (slots[i].len_bytes == 0 && !slots[i].empty)
			continue;
		queue(u, data + i * room_bytes, slots[i].len_bytes, slots[i].ecn & 3, run);
		used_bytes = (i + run - 1) * room_bytes + slots[i].len_bytes;
	}
	/* The unwritten end of the reservation is free again. */
	tx->used_bytes += used_bytes;
	tx->reserved_cnt = 0;
	return 0;
}

/* ---- Flush ---- */

static void count_sent(struct qx_udp *u, uint32_t messages)
{
	const struct udp_tx_message *m = &u->tx.messages[u->tx.first];

	for (uint32_t i = 0; i < messages; i++) {
		u->stats.tx_packets += m[i].segment_cnt;
		u->stats.tx_bytes += m[i].len_bytes;
	}
	u->tx.first += messages;
}

/* The first waiting message met an error: what is left of it is counted, reported and out of
 * the way.  Only its last segment may be shorter and then still has a chance alone, for
 * which it stays: a datagram that is too long must not take its neighbour along. */
static void give_up_first(struct qx_udp *u, int code)
{
	struct udp_tx_message *m = &u->tx.messages[u->tx.first];
	const struct msghdr *h = &u->tx.headers[u->tx.first].msg_hdr;
	uint16_t upto = m->segment_cnt;
	struct qx_addr peer = u->remote;

	if (m->sent_cnt + 1 < upto && m->len_bytes % m->segment_bytes != 0)
		upto--;
	if (h->msg_name)
		addr_from_sockaddr(&peer, h->msg_name, h->msg_namelen);
	u->drop[code == EMSGSIZE ? QX_DROP_OVERLONG : QX_DROP_SEND_ERROR] +=
		(uint64_t)(upto - m->sent_cnt);
	errors_push(&u->errors, code, &peer);
	m->sent_cnt = upto;
	if (upto == m->segment_cnt)
		u->tx.first++;
}

/* ECONNREFUSED is an ICMP message about an earlier datagram of a connected socket, which
 * the kernel reports instead of sending this one (net/core/sock.c, sock_error): reported,
 * and this one tried again. */
static bool retry_first(struct qx_udp *u, int code)
{
	struct udp_tx_message *m = &u->tx.messages[u->tx.first];

	if (code != ECONNREFUSED || m->retried)
		return false;
	m->retried = true;
	errors_push(&u->errors, code, &u->remote);
	return true;
}

/* What a kernel, a driver or an IPsec policy says that does not take UDP_SEGMENT, and what
 * others say for other reasons: sending the segments alone tells which it was. */
static bool may_mean_no_gso(int code)
{
	return code == EIO || code == EINVAL || code == EOPNOTSUPP || code == ENOPROTOOPT;
}

/* The entry of segment sent_cnt alone.  Datagrams lie in one piece each, so an entry holds
 * whole segments. */
static struct iovec cut_segment(const struct msghdr *h, const struct udp_tx_message *m)
{
	size_t skip = (size_t)m->sent_cnt * m->segment_bytes, len;
	const struct iovec *iov = h->msg_iov;

	while (skip >= iov->iov_len)
		skip -= iov++->iov_len;
	len = iov->iov_len - skip;
	if (len > m->segment_bytes)
		len = m->segment_bytes;
	return (struct iovec){(uint8_t *)iov->iov_base + skip, len};
}

/* Sends the first waiting message's segments one by one.  0, or the positive errno. */
static int send_segments(struct qx_udp *u)
{
	struct udp_tx_message *m = &u->tx.messages[u->tx.first];
	struct msghdr h = u->tx.headers[u->tx.first].msg_hdr;
	struct iovec iov;

	h.msg_controllen = m->plain_control_bytes;
	for (; m->sent_cnt < m->segment_cnt; m->sent_cnt++) {
		iov = cut_segment(&u->tx.headers[u->tx.first].msg_hdr, m);
		h.msg_iov = &iov;
		h.msg_iovlen = 1;
		u->stats.tx_syscalls++;
		if (sendmsg(u->fd, &h, MSG_DONTWAIT) < 0)
			return errno;
		u->stats.tx_packets++;
		u->stats.tx_bytes += iov.iov_len;
		/* It went, so UDP_SEGMENT was what the kernel did not take. */
		if (iov.iov_len == m->segment_bytes)
			u->tx.gso = false;
	}
	u->tx.first++;
	return 0;
}

/* Hands over messages from the first on, as many as possible.  0, or the positive errno
 * that the message which is first now met. */
static int send_some(struct qx_udp *u)
{
	struct udp_tx *tx = &u->tx;
	uint32_t cnt = 0;
	int sent;

	if (tx->messages[tx->first].sent_cnt > 0 ||
	    (!tx->gso && tx->messages[tx->first].segment_cnt > 1))
		return send_segments(u);
	while (tx->first + cnt < tx->end &&
	       (tx->gso || tx->messages[tx->first + cnt].segment_cnt == 1))
		cnt++;
	if (cnt == 1)
		sent = sendmsg(u->fd, &tx->headers[tx->first].msg_hdr, MSG_DONTWAIT) < 0 ? -1 : 1;
	else
		sent = sendmmsg(u->fd, &tx->headers[tx->first], cnt, MSG_DONTWAIT);
	u->stats.tx_syscalls++;
	if (sent < 0)
		return errno;
	count_sent(u, (uint32_t)sent);
	return 0;
}

int udp_flush(struct qx_udp *u)
{
	struct udp_tx *tx = &u->tx;
	int code, tries = 0;

	/* Every turn sends or gives up at least one datagram, marks a message as retried, or
	 * ends here. */
	while (tx->first < tx->end) {
		code = send_some(u);
		if (tx->gso && may_mean_no_gso(code) &&
		    tx->messages[tx->first].segment_cnt > 1)
			code = send_segments(u);
		if (code == EAGAIN || (code == EINTR && ++tries == EINTR_TRIES)) {
			tx->open = false;
			return 1;
		}
		if (code > 0 && code != EINTR && !retry_first(u, code))
			give_up_first(u, code);
	}
	tx->first = tx->end = tx->iov_cnt = tx->used_bytes = 0;
	tx->open = false;
	return 0;
}
