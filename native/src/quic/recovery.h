/* recovery.h: loss detection and congestion response of one packet number space (RFC 9002).
 *
 * Owns: the sent packets, the RTT, the congestion controller, the pacer, the PTO.  Tells
 * the fate of every item through one callback, in packet number order.
 *
 * A PTO owes one probe, as in aioquic.  So that it carries data (section 6.2.4), the oldest
 * packet's items are reported lost; the packet itself stays under way (section 6.2: a PTO
 * marks nothing as lost), and an ACK may yet decide about it. */
#ifndef QX_RECOVERY_H
#define QX_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "cc.h"
#include "pacer.h"
#include "quicxdp_engine.h"
#include "rtt.h"
#include "sent.h"
#include "varint.h"

/* Numbers declared lost last, ascending: an ACK of one says that the loss was none. */
enum {
	LOST_LOG_CNT = 64
};
struct lost_log {
	uint32_t cnt;
	uint64_t pns[LOST_LOG_CNT];
};

struct recovery {
	struct sent sent;
	struct rtt rtt;
	struct cc cc;
	struct pacer pacer;
	uint64_t largest_acked; /* ~0: none */
	uint64_t loss_time_ns;  /* QX_NEVER_NS: none */
	uint64_t last_eliciting_ns;
	uint32_t pto_cnt;
	uint32_t probes; /* ack-eliciting packets to send regardless of the window */
	bool confirmed;  /* handshake: the PTO waits for it (RFC 9002 6.2.1) */
	bool ecn_failed; /* validation failed: send no more ECT (9000 13.4.2) */
	uint64_t max_ack_delay_ns;   /* the peer's */
	uint32_t ack_delay_exponent; /* the peer's */
	uint64_t foreign_in_flight_bytes;
	uint64_t foreign_cwnd_bytes; /* aioquic's, as told last */
	uint64_t window_full_before; /* packets below were under way with a full window */
	uint64_t path_start_pn;      /* first number sent on this path */
	uint64_t rejected_below;     /* numbers of 0-RTT packets that the server rejected */
	uint64_t lost_run_next;      /* persistent congestion: a run of losses goes on here */
	uint64_t lost_run_start_ns;  /* QX_NEVER_NS: nothing in it counts yet */
	uint64_t ect_sent;
	uint64_t ecn_acked[4]; /* the peer's counts, by enum qx_ecn */
	uint64_t acked_packets, lost_packets, lost_bytes, spurious_losses, ptos,
		persistent_cnt;
	struct lost_log lost_log;

	/* fate(arg, item, acked): called for each item; lost items are to be sent again.
	 * It must not send. */
	void (*fate)(void *arg, const struct sent_item *item, bool acked);
	void *arg;
};

int recovery_init(struct recovery *r, const struct cc_ops *cc, uint64_t datagram_bytes,
		  uint64_t initial_rtt_ns,
		  void (*fate)(void *, const struct sent_item *, bool), void *arg);
void recovery_free(struct recovery *r);

/* recovery_set_foreign_window: ACKs of aioquic's packets open the one window too, by as much
 * as they made aioquic's grow. */
void recovery_set_foreign_window(struct recovery *r, uint64_t cwnd_bytes);
/* recovery_confirm arms the PTO; cwnd_bytes as above, 0: not known. */
void recovery_confirm(struct recovery *r, uint64_t cwnd_bytes, uint64_t now_ns);

/* recovery_on_ack_frame reads an ACK or ACK_ECN frame behind its type and applies it.
 * Returns 0, or a transport error code of RFC 9000 (FRAME_ENCODING_ERROR 0x07,
 * PROTOCOL_VIOLATION 0x0a for a number never sent); then nothing was applied.
 * Cost: O(ranges + newly acked). */
uint64_t recovery_on_ack_frame(struct recovery *r, struct reader *frame, bool ecn,
			       uint64_t now_ns);

/* recovery_window is how many bytes of in-flight packets may go now: congestion window
 * minus what is in flight, 0 when closed; at least a datagram while probes are owed.  The
 * pacer is asked separately: probes and ACKs do not wait for it. */
uint64_t recovery_window(const struct recovery *r);

/* recovery_on_sent after sent_end: PTO base, probe count, pacer. */
void recovery_on_sent(struct recovery *r, const struct sent_packet *p, uint64_t now_ns);
/* recovery_adopt is sent_adopt and recovery_on_sent; a draft whose number is no longer a
 * hole has its items reported lost. */
void recovery_adopt(struct recovery *r, uint64_t pn, struct sent_packet *draft,
		    uint64_t now_ns, uint32_t size_bytes, uint8_t flags);

/* The next loss or PTO deadline, QX_NEVER_NS if none; what is due when it passes.  Calls
 * ahead of the deadline do nothing. */
uint64_t recovery_deadline(const struct recovery *r);
void recovery_on_timer(struct recovery *r, uint64_t now_ns);

/* recovery_trim bounds what a peer costs that acknowledges nothing and is sent ACKs all the
 * time: an eliciting packet with thousands of others behind it, of which few elicit anything,
 * is given up as lost.  A probe has long repeated what it carried. */
void recovery_trim(struct recovery *r);

/* recovery_lose_zero_rtt: the server will not see them (section 6.4); not a congestion.
 * _reject: and has said so, so it must not acknowledge them (RFC 9001 section 4.6.2). */
void recovery_reject_zero_rtt(struct recovery *r, uint64_t now_ns);
void recovery_lose_zero_rtt(struct recovery *r, uint64_t now_ns);
/* recovery_reset_path: new window and RTT; packets under way leave the new window and say
 * nothing about the new path (RFC 9000 section 9.4). */
void recovery_reset_path(struct recovery *r, uint64_t now_ns);

#endif
