/* packetize.c: one packet out: may it go, how large, its header, padding and protection. */
#include <errno.h>
#include <string.h>

#include "engine.h"
#include "varint.h"

enum {
	VERSION_2 = 0x6b3343cf, /* RFC 9369 */
	FIXED_BIT = 0x40,
	SPIN_BIT = 0x20,
	KEY_PHASE_BIT = 0x04,
	ZERO_RTT_V1 = 0xd0, /* long header, fixed bit, type */
	ZERO_RTT_V2 = 0xe0,
	/* Smaller than this, a packet is not worth sending. */
	PAYLOAD_MIN_BYTES = 9,
	/* The longest ACK frame of one range, with ECN counts. */
	ACK_MIN_ROOM_BYTES = 64,
	PN_SAMPLE_BYTES = 4, /* packet number and payload, RFC 9001 section 5.4.2 */
	/* An end of a packet that streams leave unused is filled with padding while there is
	 * more to send, so that packets are of one size and leave as one GSO message. */
	GAP_MAX_BYTES = 48,
	/* Packet numbers: a size represents more than twice what is unacknowledged
	 * (RFC 9000 section 17.1). */
	UNACKED_MAX_2_BYTES = 1 << 15,
	UNACKED_MAX_3_BYTES = 1 << 23
};

/* ---- May it go? ---- */

static bool peer_takes_datagrams(const struct qx_conn *c)
{
	/* Before its transport parameters are known, they wait. */
	return c->complete || c->peer_datagram_bytes > 0;
}

static bool data_waits(const struct qx_conn *c)
{
	return c->recovery.probes > 0 || streams_have_work(&c->streams, c->complete) ||
	       (c->datagrams.head && peer_takes_datagrams(c));
}

bool conn_wants(const struct qx_conn *c, uint64_t now_ns)
{
	if (c->keys[QX_EPOCH_ONE_RTT][1] &&
	    (c->urgent.head || c->control.head || ack_is_due(&c->ack, now_ns)))
		return true;
	return data_waits(c);
}

bool conn_window_open(const struct qx_conn *c, uint32_t overhead_bytes, uint32_t size_bytes,
		      uint32_t *limit_bytes)
{
	const uint64_t window = recovery_window(&c->recovery);

	*limit_bytes = size_bytes;
	if (window >= size_bytes)
		return true;
	/* Once confirmed, only packets of full size go: runts at the window's end would come
	 * back as acknowledgments of runts.  During the handshake aioquic counts on them. */
	if (c->confirmed || window < overhead_bytes + PAYLOAD_MIN_BYTES)
		return false;
	*limit_bytes = (uint32_t)window;
	return true;
}

uint32_t conn_want_packets(const struct qx_conn *c, uint64_t now_ns, uint32_t max)
{
	const uint64_t size = c->datagram_bytes;
	uint64_t cnt, window;

	if (c->failed || conn_send_epoch(c) < 0 || !conn_wants(c, now_ns))
		return 0;
	cnt = c->streams.resend.head || c->streams.fins.head ? max
							     : c->streams.unsent_bytes / size;
	cnt += c->datagrams.bytes / size + 2;
	window = recovery_window(&c->recovery) / size + 1;
	if (cnt > window)
		cnt = window;
	return cnt < max ? (uint32_t)cnt : max;
}

/* ---- The header ---- */

uint32_t conn_pn_bytes(const struct qx_conn *c, uint64_t pn)
{
	const uint64_t acked = c->recovery.largest_acked;
	const uint64_t unacked = acked == UINT64_MAX ? pn + 1 : pn - acked;

	if (unacked < UNACKED_MAX_2_BYTES)
		return PACKET_NUMBER_MIN_BYTES;
	return unacked < UNACKED_MAX_3_BYTES ? 3 : 4;
}

static uint32_t header_bytes(const struct qx_conn *c, int epoch, uint32_t pn_len)
{
	if (epoch == QX_EPOCH_ONE_RTT)
		return 1u + c->peer_cid_len + pn_len;
	return 1u + 4 + 1 + c->peer_cid_len + 1 + c->host_cid_len + 2 + pn_len;
}

static uint8_t *write_pn(uint8_t *p, uint64_t pn, uint32_t pn_len)
{
	while (pn_len-- > 0)
		*p++ = (uint8_t)(pn >> 8 * pn_len);
	return p;
}

static void write_short_header(const struct qx_conn *c, uint8_t *p, uint64_t pn,
			       uint32_t pn_len)
{
	*p++ = (uint8_t)(FIXED_BIT | (c->spin ? SPIN_BIT : 0) |
			 (protect_phase(c->keys[QX_EPOCH_ONE_RTT][1]) ? KEY_PHASE_BIT : 0) |
			 (pn_len - 1));
	memcpy(p, c->peer_cid, c->peer_cid_len);
	write_pn(p + c->peer_cid_len, pn, pn_len);
}

static void write_long_header(const struct qx_conn *c, uint8_t *p, uint64_t pn,
			      uint32_t pn_len, uint32_t payload_len)
{
	*p++ = (uint8_t)((c->version == VERSION_2 ? ZERO_RTT_V2 : ZERO_RTT_V1) |
			 (pn_len - 1));
	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (uint8_t)(c->version >> shift);
	*p++ = c->peer_cid_len;
	memcpy(p, c->peer_cid, c->peer_cid_len);
	p += c->peer_cid_len;
	*p++ = c->host_cid_len;
	memcpy(p, c->host_cid, c->host_cid_len);
	p += c->host_cid_len;
	p = write_varint2(p, pn_len + payload_len + PROTECT_TAG_BYTES);
	write_pn(p, pn, pn_len);
}

/* ---- The packet ---- */

/* pad fills up what path validation, header protection or GSO want longer. */
static void pad(const struct qx_conn *c, struct payload *p, uint32_t pn_len)
{
	const uint32_t gap = (uint32_t)(p->end - p->at);
	const uint32_t len = (uint32_t)(p->at - p->start);
	uint32_t more = 0;

	if (p->pad || (gap <= GAP_MAX_BYTES && p->flags & SENT_IN_FLIGHT && c->confirmed &&
		       streams_have_work(&c->streams, c->complete)))
		more = gap;
	else if (pn_len + len < PN_SAMPLE_BYTES)
		more = PN_SAMPLE_BYTES - pn_len - len;
	if (more == 0)
		return;
	memset(p->at, 0, more);
	p->at += more;
	p->flags |= SENT_IN_FLIGHT; /* RFC 9002 section 2 */
}

void conn_count_sent(struct qx_conn *c, uint8_t flags, uint32_t size_bytes, uint64_t now_ns)
{
	if (flags & SENT_ELICITING && c->first_eliciting_ns == 0)
		c->first_eliciting_ns = now_ns;
	c->stats.tx_packets++;
	c->stats.tx_bytes += size_bytes;
}

/* The packet was sealed: it counts from here on. */
static void count(struct qx_conn *c, struct sent_packet *sent, uint8_t flags, uint32_t len,
		  uint64_t now_ns)
{
	sent_end(&c->recovery.sent, sent, now_ns, len, flags);
	recovery_on_sent(&c->recovery, sent, now_ns);
	conn_count_sent(c, flags, len, now_ns);
	if (c->budget_bytes != UINT64_MAX)
		c->budget_bytes -= len;
}

/* What holds the packet back, or WAIT_NOTHING; *room_bytes becomes its size, *data whether
 * frames may go that count against the window. */
static enum conn_wait admit(struct qx_conn *c, int epoch, uint32_t overhead_bytes,
			    uint32_t *room_bytes, bool *data, uint64_t now_ns)
{
	struct recovery *r = &c->recovery;
	const bool free_of_charge =
		epoch == QX_EPOCH_ONE_RTT && (c->urgent.head || ack_is_due(&c->ack, now_ns));
	enum conn_wait wait = WAIT_WINDOW;
	uint32_t limit_bytes;

	if (*room_bytes > c->datagram_bytes)
		*room_bytes = c->datagram_bytes;
	if (*room_bytes > c->budget_bytes)
		*room_bytes = (uint32_t)c->budget_bytes;
	if (*room_bytes < overhead_bytes + PAYLOAD_MIN_BYTES)
		return WAIT_BUDGET;
	*data = conn_window_open(c, overhead_bytes, *room_bytes, &limit_bytes);
	if (*data && r->probes == 0 && pacer_room(&r->pacer, now_ns) < c->datagram_bytes) {
		*data = false;
		wait = WAIT_PACER;
	}
	/* The end of a window is no reason to hold back what may go without one. */
	if (*data && free_of_charge && limit_bytes < *room_bytes &&
	    limit_bytes < overhead_bytes + ACK_MIN_ROOM_BYTES +
				  (c->urgent.head ? c->urgent.head->len_bytes : 0))
		*data = false;
	if (*data)
		*room_bytes = limit_bytes;
	return *data || free_of_charge ? WAIT_NOTHING : wait;
}

uint32_t conn_build_packet(struct qx_conn *c, uint8_t *out, uint32_t room_bytes,
			   uint64_t now_ns, uint8_t *ecn)
{
	const int epoch = conn_send_epoch(c);
	const uint64_t pn = c->recovery.sent.next;
	const uint32_t pn_len = conn_pn_bytes(c, pn);
	const uint32_t head = header_bytes(c, epoch, pn_len);
	struct payload p = {.zero_rtt = epoch == QX_EPOCH_ZERO_RTT};
	int len;

	c->wait = WAIT_NOTHING;
	if (epoch < 0 || c->failed || !conn_wants(c, now_ns))
		return 0;
	if (!p.zero_rtt && !conn_keys_tend(c)) {
		conn_fail(c, ERR_AEAD_LIMIT, FRAME_TYPE_NONE, "AEAD limit reached");
		return 0;
	}
	c->wait = (uint8_t)admit(c, epoch, head + PROTECT_TAG_BYTES, &room_bytes,
				 &p.data_allowed, now_ns);
	if (c->wait != WAIT_NOTHING)
		return 0;
	recovery_trim(&c->recovery);
	p.sent = sent_begin(&c->recovery.sent);
	if (!p.sent) {
		c->wait = WAIT_RECORD;
		return 0;
	}
	p.start = p.at = out + head;
	p.end = out + room_bytes - PROTECT_TAG_BYTES;
	p.is_full_size = room_bytes == c->datagram_bytes;
	conn_write_payload(c, &p, now_ns);
	if (p.at == p.start) {
		/* Nothing fits so little room, or it waits for the window or the pacer. */
		sent_cancel(&c->recovery.sent, p.sent);
		c->wait = room_bytes >= c->budget_bytes ? WAIT_BUDGET : WAIT_WINDOW;
		return 0;
	}
	pad(c, &p, pn_len);
	if (p.zero_rtt)
		write_long_header(c, out, pn, pn_len, (uint32_t)(p.at - out) - head);
	else
		write_short_header(c, out, pn, pn_len);
	len = protect_seal(c->keys[epoch][1], out, head, pn_len,
			   (uint32_t)(p.at - out) - head, pn);
	if (len < 0) {
		sent_cancel(&c->recovery.sent, p.sent);
		conn_fail(c, len == -EKEYEXPIRED ? ERR_AEAD_LIMIT : ERR_INTERNAL,
			  FRAME_TYPE_NONE,
			  len == -EKEYEXPIRED ? "AEAD limit reached" : "Cannot seal packets");
		return 0;
	}
	*ecn = QX_ECN_NOT_ECT;
	if (c->cfg.flags & QX_CONN_ECN && !c->recovery.ecn_failed) {
		*ecn = QX_ECN_ECT0;
		p.flags |= SENT_ECT;
	}
	if (p.zero_rtt)
		p.flags |= SENT_ZERO_RTT;
	count(c, p.sent, p.flags, (uint32_t)len, now_ns);
	return (uint32_t)len;
}

int qx_conn_send(struct qx_conn *c, uint64_t now_ns, uint8_t *buf, uint32_t buf_bytes,
		 uint32_t *lens, uint32_t max)
{
	uint32_t n = 0, used = 0;
	uint8_t ecn;

	streams_reap(&c->streams);
	for (; n < max; n++) {
		lens[n] = conn_build_packet(c, buf + used, buf_bytes - used, now_ns, &ecn);
		if (lens[n] == 0)
			break;
		used += lens[n];
	}
	deadlines_set(&c->engine->deadlines, c, conn_deadline(c));
	return (int)n;
}
