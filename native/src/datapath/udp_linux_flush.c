/* udp_linux_flush.c: collected messages out to the kernel, and what becomes of those that it
 * does not take.
 *
 *      EAGAIN                  everything stays, in order, for the next flush
 *      EIO, EINVAL, ...        perhaps UDP_SEGMENT: the segments go one by one, and if that
 *                              works, from now on all do
 *      any, with something     about an earlier datagram (ICMP): this one goes again, a few
 *      in the error queue      times now and then in the next flush
 *      others                  this message is counted and reported, the rest goes on */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>

#include "addr.h"
#include "udp_linux.h"

static void count_sent(struct qx_udp *u, uint32_t messages)
{
	const struct udp_tx_message *m = &u->tx.messages[u->tx.first];

	for (uint32_t i = 0; i < messages; i++) {
		u->own.stats.tx_packets += m[i].segment_cnt;
		u->own.stats.tx_bytes += m[i].len_bytes;
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
	struct qx_addr peer = u->own.remote;

	if (m->sent_cnt + 1 < upto && m->len_bytes % m->segment_bytes != 0)
		upto--;
	if (h->msg_name)
		addr_from_sockaddr(&peer, h->msg_name, h->msg_namelen);
	u->own.drop[code == EMSGSIZE ? QX_DROP_OVERLONG : QX_DROP_SEND_ERROR] +=
		(uint64_t)(upto - m->sent_cnt);
	errors_push(&u->own.errors, code, &peer);
	m->sent_cnt = upto;
	if (upto == m->segment_cnt)
		u->tx.first++;
}

/* Was it an ICMP message about an earlier datagram?  The kernel reports that instead of sending
 * (net/core/sock.c, sock_error); what was said is in the error queue, except where there was
 * no room for it. */
static bool is_about_another(struct qx_udp *u, int code)
{
	if (udp_read_errors(u) > 0)
		return true;
	/* A datagram never meets this by itself. */
	if (code != ECONNREFUSED)
		return false;
	errors_push(&u->own.errors, code, &u->own.remote);
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

static bool uses_gso(const struct udp_tx *tx, const struct udp_tx_message *m)
{
	return m->segment_cnt > 1 && m->segment_bytes <= tx->gso_segment_max_bytes;
}

/* UDP_SEGMENT was refused with this code, and the segments alone were taken. */
static void remember_refusal(struct udp_tx *tx, uint32_t segment_bytes, int code)
{
	uint32_t max_bytes = code == EINVAL ? segment_bytes - 1 : 0;

	if (max_bytes < tx->gso_segment_max_bytes)
		tx->gso_segment_max_bytes = max_bytes;
}

/* Sends the first waiting message's segments one by one, after a refusal with this code (0:
 * none).  0, or the positive errno. */
static int send_segments(struct qx_udp *u, int refusal)
{
	struct udp_tx_message *m = &u->tx.messages[u->tx.first];
	struct msghdr h = u->tx.headers[u->tx.first].msg_hdr;
	struct iovec iov;

	h.msg_controllen = m->plain_control_bytes;
	for (; m->sent_cnt < m->segment_cnt; m->sent_cnt++) {
		iov = cut_segment(&u->tx.headers[u->tx.first].msg_hdr, m);
		h.msg_iov = &iov;
		h.msg_iovlen = 1;
		u->own.stats.tx_syscalls++;
		if (sendmsg(u->fd, &h, MSG_DONTWAIT) < 0)
			return errno;
		u->own.stats.tx_packets++;
		u->own.stats.tx_bytes += iov.iov_len;
		/* It went, so UDP_SEGMENT was what the kernel did not take. */
		if (refusal != 0 && iov.iov_len == m->segment_bytes)
			remember_refusal(&u->tx, m->segment_bytes, refusal);
	}
	u->tx.first++;
	return 0;
}

/* Hands over messages from the first on, as many as possible.  0, or the positive errno
 * that the message which is first now met. */
static int send_some(struct qx_udp *u)
{
	struct udp_tx *tx = &u->tx;
	const struct udp_tx_message *m = &tx->messages[tx->first];
	uint32_t cnt = 0;
	int sent;

	if (m->sent_cnt > 0 || (m->segment_cnt > 1 && !uses_gso(tx, m)))
		return send_segments(u, 0);
	while (tx->first + cnt < tx->end &&
	       (m[cnt].segment_cnt == 1 || uses_gso(tx, &m[cnt])))
		cnt++;
	if (cnt == 1)
		sent = sendmsg(u->fd, &tx->headers[tx->first].msg_hdr, MSG_DONTWAIT) < 0 ? -1
											 : 1;
	else
		sent = sendmmsg(u->fd, &tx->headers[tx->first], cnt, MSG_DONTWAIT);
	u->own.stats.tx_syscalls++;
	if (sent < 0)
		return errno;
	/* What ended the batch is not told; was it an ICMP message, poll says POLLERR until it
	 * is read, and no call returns it any more. */
	if ((uint32_t)sent < cnt)
		u->errors_left = true;
	count_sent(u, (uint32_t)sent);
	return 0;
}

int udp_flush(struct qx_udp *u)
{
	struct udp_tx *tx = &u->tx;
	int code, tries = 0, vain = 0;

	/* Every turn sends or gives up at least one datagram, or counts as vain, and of those
	 * there are few.  Whoever floods us with ICMP gets a share of the turn, and no datagram
	 * is given up for what was said about another one. */
	while (tx->first < tx->end) {
		code = send_some(u);
		if (code == 0)
			vain = 0;
		if (code > 0 && code != EAGAIN && code != EINTR &&
		    is_about_another(u, code)) {
			if (++vain < UDP_ERROR_TRIES)
				continue;
			code = EAGAIN;
		}
		if (may_mean_no_gso(code) && uses_gso(tx, &tx->messages[tx->first]))
			code = send_segments(u, code);
		if (code == EAGAIN || (code == EINTR && ++tries == UDP_EINTR_TRIES)) {
			tx->open = false;
			return 1;
		}
		if (code > 0 && code != EINTR)
			give_up_first(u, code);
	}
	tx->first = tx->end = tx->iov_cnt = tx->used_bytes = 0;
	tx->open = false;
	return 0;
}
