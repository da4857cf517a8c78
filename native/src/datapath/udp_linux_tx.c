/* udp_linux_tx.c: the sending half of the socket lane.
 *
 * Payloads are written one after another into the arena, and consecutive datagrams of one
 * path, one ECN codepoint and one size grow into one message with UDP_SEGMENT.  A shorter
 * datagram may end a message but nothing follows it (the kernel cuts at multiples).
 *
 * The arena is given back as a whole when the last waiting message went out
 * (udp_linux_flush.c). */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include "addr.h"
#include "udp_linux.h"

void udp_tx_init(struct udp_tx *tx, uint8_t *base, bool gso)
{
	tx->base = base;
	tx->gso_segment_max_bytes = gso ? UDP_TX_MESSAGE_BYTES : 0;
	for (uint32_t i = 0; i < UDP_TX_MESSAGES; i++)
		tx->headers[i].msg_hdr.msg_name = &tx->names[i];
}

static bool same_path(const struct qx_path *a, const struct qx_path *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
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

	if (!udp_own_names_source(&u->own, &path->local))
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
	m->gso_control_bytes =
		put_control(control, m->plain_control_bytes, SOL_UDP, UDP_SEGMENT,
			    &segment_bytes, sizeof(segment_bytes));

	h->msg_name = &tx->names[tx->end];
	h->msg_namelen =
		addr_to_sockaddr(&tx->names[tx->end], &tx->reserved_path.peer, u->own.family);
	if (u->own.connected &&
	    memcmp(&tx->reserved_path.peer, &u->own.remote, sizeof(u->own.remote)) == 0) {
		h->msg_name = NULL;
		h->msg_namelen = 0;
	}
	h->msg_control = control->bytes;
	h->msg_controllen = m->plain_control_bytes;
	h->msg_iov = &tx->iovs[tx->iov_cnt];
	h->msg_iovlen = 1;
	tx->iovs[tx->iov_cnt++] = (struct iovec){data, len_bytes};
	tx->open = len_bytes > 0 && len_bytes <= tx->gso_segment_max_bytes;
	tx->open_path = tx->reserved_path;
	tx->end++;
}

/* How many of n datagrams of this length the open message still takes. */
static uint32_t open_room(const struct udp_tx *tx, uint32_t len_bytes, uint8_t ecn,
			  uint32_t n)
{
	const struct udp_tx_message *m;

	if (!tx->open || len_bytes == 0)
		return 0;
	m = &tx->messages[tx->end - 1];
	if (ecn != m->ecn || len_bytes > m->segment_bytes)
		return 0;
	if (len_bytes < m->segment_bytes)
		n = 1;
	n = udp_min(n, UDP_TX_SEGMENTS - (uint32_t)m->segment_cnt);
	return udp_min(n, (UDP_TX_MESSAGE_BYTES - m->len_bytes) / len_bytes);
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
		if ((err = udp_own_complete(&u->own, &tx->reserved_path)) < 0)
			return err;
		tx->open = tx->open && same_path(&tx->reserved_path, &tx->open_path);
	}
	/* At worst each datagram becomes a message of its own. */
	n = udp_min(n, UDP_TX_MESSAGES - tx->end);
	n = udp_min(n, UDP_TX_IOVS - tx->iov_cnt);
	if (len_bytes > 0)
		n = udp_min(n, (UDP_TX_BYTES - tx->used_bytes) / len_bytes);
	udp_slots(slots, n, tx->base + tx->used_bytes, len_bytes);
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
	while (run < n && slots[run].len_bytes == room_bytes &&
	       slots[run].ecn == slots[0].ecn)
		run++;
	return run;
}

/* Queues n datagrams of one length and codepoint that lie one after another. */
static void queue(struct qx_udp *u, uint8_t *data, uint32_t len_bytes, uint8_t ecn,
		  uint32_t n)
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
