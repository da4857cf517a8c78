/* udp_win_tx.c: the sending half of the Windows socket lane.
 *
 * Payloads are written one after another into the arena and noted in order.  Flushing takes
 * them from the front: neighbours of one path, one ECN codepoint and one size leave as one
 * message with USO (the last may be shorter), others alone.  The arena is given back as a
 * whole when the last waiting datagram went out.
 *
 *      EAGAIN                  everything stays, in order, for the next flush
 *      about a message         its datagrams go alone; if that works, USO was to blame
 *      about ECN control data  it is left out from now on
 *      ECONNREFUSED            about an earlier datagram: reported, this one goes again
 *      others                  this datagram is counted and reported, the rest goes on */
#include <errno.h>
#include <string.h>

#include "addr.h"
#include "udp_win.h"

/* A message on its way: what WSASendMsg takes. */
struct outgoing {
	WSAMSG msg;
	struct sockaddr_in6 name;
	struct udp_control control;
	WSABUF buffers[UDP_TX_SEGMENTS];
};

/* ---- Reserve and commit ---- */

/* Notes the path of a reservation, as its datagrams' last entry of paths. */
static int note_path(struct qx_udp *u, const struct qx_path *path)
{
	struct udp_tx *tx = &u->tx;
	struct qx_path whole = *path;
	int err = udp_own_complete(&u->own, &whole);

	if (err < 0)
		return err;
	if (tx->path_cnt > 0 &&
	    memcmp(&tx->paths[tx->path_cnt - 1], &whole, sizeof(whole)) == 0)
		return 0;
	if (tx->path_cnt == UDP_TX_PATHS)
		return -ENOSPC;
	tx->paths[tx->path_cnt++] = whole;
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
	if ((err = note_path(u, path)) < 0)
		return err == -ENOSPC ? 0 : err;
	n = udp_min(n, UDP_TX_DATAGRAMS - tx->end);
	if (len_bytes > 0)
		n = udp_min(n, (UDP_TX_BYTES - tx->used_bytes) / len_bytes);
	udp_slots(slots, n, tx->base + tx->used_bytes, len_bytes);
	tx->reserved_cnt = n;
	tx->reserved_bytes = len_bytes;
	return (int)n;
}

int udp_commit(struct qx_udp *u, const struct qx_slot *slots, uint32_t n)
{
	struct udp_tx *tx = &u->tx;
	uint8_t *data = tx->base + tx->used_bytes;

	if (n > tx->reserved_cnt)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		if (slots[i].len_bytes > tx->reserved_bytes)
			return -EINVAL;
	for (uint32_t i = 0; i < n; i++, data += tx->reserved_bytes) {
		if (slots[i].len_bytes == 0 && !slots[i].empty)
			continue;
		tx->datagrams[tx->end++] = (struct udp_tx_datagram){
			.data = data,
			.len_bytes = slots[i].len_bytes,
			.path = (uint16_t)(tx->path_cnt - 1),
			.ecn = slots[i].ecn & 3,
		};
		/* The unwritten end of the reservation is free again. */
		tx->used_bytes = (uint32_t)(data - tx->base) + slots[i].len_bytes;
	}
	tx->reserved_cnt = 0;
	return 0;
}

/* ---- One message ---- */

static void put_control(struct outgoing *out, int level, int type, const void *value,
			size_t value_bytes)
{
	WSACMSGHDR head = {
		.cmsg_len = WSA_CMSG_LEN(value_bytes),
		.cmsg_level = level,
		.cmsg_type = type,
	};
	uint8_t *at = out->control.bytes + out->msg.Control.len;

	memcpy(at, &head, sizeof(head));
	memcpy(at + WSA_CMSG_LEN(0), value, value_bytes);
	out->msg.Control.len += (ULONG)udp_control_space(value_bytes);
}

/* The source address is left out where the socket is bound to it anyway. */
static void put_source(const struct qx_udp *u, struct outgoing *out,
		       const struct qx_addr *local)
{
	struct in_pktinfo info4 = {0};
	struct in6_pktinfo info6 = {0};

	if (!udp_own_names_source(&u->own, local))
		return;
	if (local->family == QX_IPV4) {
		memcpy(&info4.ipi_addr, local->ip, 4);
		put_control(out, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
		return;
	}
	memcpy(&info6.ipi6_addr, local->ip, 16);
	info6.ipi6_ifindex = local->scope_id;
	put_control(out, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
}

/* Writes the message of the first n waiting datagrams. */
static void write_message(struct qx_udp *u, struct outgoing *out, uint32_t n)
{
	const struct udp_tx_datagram *d = &u->tx.datagrams[u->tx.first];
	const struct qx_path *path = &u->tx.paths[d->path];
	bool ipv4 = path->peer.family == QX_IPV4;
	DWORD segment_bytes = d->len_bytes;
	INT ecn = d->ecn;

	out->msg = (WSAMSG){.lpBuffers = out->buffers,
			    .dwBufferCount = n,
			    .Control = {.buf = (char *)out->control.bytes}};
	if (!u->own.connected ||
	    memcmp(&path->peer, &u->own.remote, sizeof(u->own.remote)) != 0) {
		out->msg.namelen = addr_to_sockaddr(&out->name, &path->peer, u->own.family);
		out->msg.name = (struct sockaddr *)&out->name;
	}
	put_source(u, out, &path->local);
	if (ecn != QX_ECN_NOT_ECT && u->tx.ecn)
		put_control(out, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_ECN : IPV6_ECN,
			    &ecn, sizeof(ecn));
	if (n > 1)
		put_control(out, IPPROTO_UDP, UDP_SEND_MSG_SIZE, &segment_bytes,
			    sizeof(segment_bytes));
	if (out->msg.Control.len == 0)
		out->msg.Control.buf = NULL;
	for (uint32_t i = 0; i < n; i++)
		out->buffers[i] = (WSABUF){.len = d[i].len_bytes, .buf = (char *)d[i].data};
}

/* How many datagrams from the first waiting one on leave as one message. */
static uint32_t message_cnt(const struct udp_tx *tx)
{
	const struct udp_tx_datagram *d = &tx->datagrams[tx->first];
	uint32_t max = udp_min(tx->end - tx->first, UDP_TX_SEGMENTS), n = 1;
	uint32_t bytes = d->len_bytes;

	if (d->len_bytes == 0 || d->len_bytes > tx->uso_segment_max_bytes ||
	    tx->first < tx->alone_until)
		return 1;
	while (n < max && d[n].path == d->path && d[n].ecn == d->ecn &&
	       d[n - 1].len_bytes == d->len_bytes && d[n].len_bytes > 0 &&
	       d[n].len_bytes <= d->len_bytes &&
	       bytes + d[n].len_bytes <= UDP_TX_MESSAGE_BYTES)
		bytes += d[n++].len_bytes;
	return n;
}

/* ---- Flush ---- */

/* Sends the first n waiting datagrams as one message.  0, or the positive errno. */
static int send_message(struct qx_udp *u, uint32_t n)
{
	struct udp_tx *tx = &u->tx;
	struct outgoing out;
	DWORD sent_bytes;

	write_message(u, &out, n);
	u->own.stats.tx_syscalls++;
	if (u->send_msg(u->socket, &out.msg, 0, &sent_bytes, NULL, NULL) != 0)
		return udp_last_error();
	for (uint32_t i = 0; i < n; i++)
		u->own.stats.tx_bytes += tx->datagrams[tx->first + i].len_bytes;
	u->own.stats.tx_packets += n;
	tx->first += n;
	return 0;
}

/* What a Windows says that does not know this control data, and what others say for other
 * reasons: sending without it tells which it was. */
static bool may_mean_no_control(int code)
{
	return code == EINVAL || code == EOPNOTSUPP || code == ENOPROTOOPT;
}

/* A refused message goes datagram by datagram.  If the first of them goes, USO with this size
 * was what was not taken. */
static int split(struct qx_udp *u, uint32_t n, int refusal)
{
	struct udp_tx *tx = &u->tx;
	uint32_t segment_bytes = tx->datagrams[tx->first].len_bytes;
	int code;

	tx->alone_until = tx->first + n;
	code = send_message(u, 1);
	if (code == 0)
		tx->uso_segment_max_bytes =
			refusal == EINVAL || refusal == EMSGSIZE ? segment_bytes - 1 : 0;
	return code;
}

/* The first waiting datagram, alone, met an error.  0 if it may go on, EAGAIN if not now. */
static int resolve(struct qx_udp *u, int code)
{
	struct udp_tx *tx = &u->tx;
	struct udp_tx_datagram *d = &tx->datagrams[tx->first];
	const struct qx_addr *peer = &tx->paths[d->path].peer;

	if (code == EAGAIN)
		return EAGAIN;
	if (tx->ecn && d->ecn != QX_ECN_NOT_ECT && may_mean_no_control(code)) {
		tx->ecn = false;
		code = send_message(u, 1);
		/* It was not the ECN control data. */
		if (code != 0)
			tx->ecn = true;
		if (code == 0 || code == EAGAIN)
			return code;
	}
	errors_push(&u->own.errors, code, peer);
	if (code == ECONNREFUSED && !d->retried) {
		d->retried = true;
		return 0;
	}
	u->own.drop[code == EMSGSIZE ? QX_DROP_OVERLONG : QX_DROP_SEND_ERROR]++;
	tx->first++;
	return 0;
}

int udp_flush(struct qx_udp *u)
{
	struct udp_tx *tx = &u->tx;
	uint32_t n;
	int code;

	/* Every turn sends or gives up at least one datagram, marks one as retried, or ends
	 * here. */
	while (tx->first < tx->end) {
		n = message_cnt(tx);
		code = send_message(u, n);
		if (n > 1 && (may_mean_no_control(code) || code == EMSGSIZE))
			code = split(u, n, code);
		if (code != 0 && resolve(u, code) == EAGAIN)
			return 1;
	}
	tx->first = tx->end = tx->path_cnt = tx->used_bytes = tx->alone_until = 0;
	return 0;
}
