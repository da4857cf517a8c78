/* conn.h: one connection's state, and what the files that work on it tell each other.
 *
 *      connection.c   life, connection IDs, paths, limits      keys.c       secrets, updates
 *      receive.c      a packet in                              frames_in.c  its frames
 *      packetize.c    a packet out                             payload.c    its frames
 *      control.c      the way down from aioquic                app.c        streams, datagrams
 *      timers.c       deadlines                                events.c     what is told
 *      zero_rtt.c     0-RTT packets that were in vain
 *
 * A connection that changed in any way that could let it send goes on its engine's dirty
 * list; the next flush visits it, and only that arms its deadline.  What keeps it from
 * sending then is remembered (enum conn_wait), so that the predicate that allows sending is
 * the one that arms the timer. */
#ifndef QX_CONN_H
#define QX_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "ack.h"
#include "frame_queue.h"
#include "protect.h"
#include "quicxdp_engine.h"
#include "recovery.h"
#include "streams.h"

enum transport_error { /* RFC 9000 section 20.1 */
	ERR_INTERNAL = 0x01,
	ERR_FRAME_ENCODING = 0x07,
	ERR_PROTOCOL_VIOLATION = 0x0a,
	ERR_KEY_UPDATE = 0x0e,
	ERR_AEAD_LIMIT = 0x0f
};

#define FRAME_TYPE_NONE UINT64_MAX /* aioquic's None: the type could not be read */

/* Why the last attempt to build a packet gave none. */
enum conn_wait {
	WAIT_NOTHING = 0, /* nothing to send */
	WAIT_WINDOW,
	WAIT_PACER,
	WAIT_BUDGET, /* the amplification limit */
	WAIT_RECORD, /* SENT_MAX packets under way, or no memory */
	WAIT_PATH    /* no path, or the datapath refuses it */
};

enum conn_list {
	CONN_DIRTY = 0,
	CONN_TURN,
	CONN_TOLD,
	CONN_LIST_CNT
};

struct conn_link {
	struct qx_conn *prev, *next;
};

enum {
	CONN_CIDS_MAX = 12, /* remembered, so that closing finds them at once */
	FOREIGN_MAX = 8,
	PACKET_NUMBER_MIN_BYTES = 2, /* as aioquic's; so sizes are the same */
	CONTROL_MAX_BYTES = 1024,    /* one frame: fits the smallest packet */
	CONTROL_QUEUE_MAX_BYTES = 64 << 10,
	DATAGRAM_QUEUE_MAX_BYTES = 4 << 20
};

struct conn_cid {
	uint8_t bytes[QX_CID_MAX_BYTES];
};

/* A packet of aioquic's with a number of ours, until qx_conn_adopt. */
struct foreign {
	uint64_t pn;
	bool has_draft; /* it holds what qx_conn_fill wrote */
};

struct qx_conn {
	struct qx_engine *engine;
	struct qx_conn_config cfg;
	struct protect_half *keys[2][2]; /* [epoch][sending] */
	struct ack ack;
	struct recovery recovery;
	struct streams streams;

	struct frame_queue urgent; /* control frames */
	struct frame_queue control;
	struct frame_queue datagrams;
	uint64_t peer_datagram_bytes; /* its max_datagram_frame_size */
	uint32_t datagram_bytes;      /* UDP payload: what a packet may have now */
	uint32_t datagram_max_bytes;  /* and at most */

	struct conn_cid cids[CONN_CIDS_MAX];
	uint32_t cid_cnt; /* in the engine's table */
	uint8_t peer_cid[QX_CID_MAX_BYTES], host_cid[QX_CID_MAX_BYTES];
	uint8_t peer_cid_len, host_cid_len;
	uint32_t version;
	struct qx_path path;
	bool has_path;
	uint64_t budget_bytes;

	bool complete, confirmed;
	bool failed;         /* an error was told; aioquic closes */
	bool receiving_over; /* 1-RTT receive keys were torn down */
	bool first_ack_told;
	uint8_t wait; /* enum conn_wait */
	bool spin;
	uint64_t spin_next_pn;

	/* Key updates (RFC 9001 section 6) */
	bool update_wanted;         /* as soon as it is allowed */
	uint32_t peer_updates_open; /* that no ACK of ours has answered yet */
	uint64_t peer_update_pn;    /* of the last of them */
	uint64_t phase_start_pn;    /* first number sealed in this phase */
	uint64_t old_keys_until_ns; /* QX_NEVER_NS: none are kept */

	uint64_t one_rtt_start_pn; /* ~0: no 1-RTT send keys yet */
	uint64_t last_open_ns, first_eliciting_ns;

	struct foreign foreign[FOREIGN_MAX]; /* a FIFO */
	uint32_t foreign_cnt;
	struct sent_packet draft; /* of qx_conn_fill */
	enum {
		DRAFT_NONE = 0,
		DRAFT_FILLED,
		DRAFT_SEALED
	} draft_state;

	uint64_t promised_cnt; /* events that must come: see engine_promise */
	struct qx_conn_stats stats;

	/* Of the engine */
	struct conn_link links[CONN_LIST_CNT];
	bool in_list[CONN_LIST_CNT];
	uint32_t heap_index;            /* in the heap of deadlines */
	uint64_t up_turn;               /* turn in which all goes up, in order */
	uint32_t data_first, data_last; /* this turn's STREAM_DATA events: index + 1 */
};

/* ---- receive.c, frames_in.c ---- */

struct packet_in {
	uint32_t epoch; /* enum qx_epoch */
	uint8_t *data;
	uint32_t len_bytes;
	uint32_t pn_off_bytes;
	uint8_t ecn;
	uint16_t path;  /* of the engine's paths */
	bool new_path;  /* not the active path's peer */
	bool always_up; /* aioquic waits for the result */
	uint64_t now_ns;
};

/* conn_receive as qx_conn_receive. */
int conn_receive(struct qx_conn *c, const struct packet_in *p);

struct frames_in {
	uint32_t epoch;
	uint16_t path;
	uint64_t now_ns;
	/* results */
	uint32_t left_bytes; /* frames of aioquic's, moved to the payload's front */
	bool eliciting;
	bool probing;
	uint64_t error_type; /* the frame at fault */
	const char *reason;
};

/* conn_frames runs the frames of an opened packet, which it overwrites; 0 or a transport
 * error code. */
uint64_t conn_frames(struct qx_conn *c, uint8_t *payload, uint32_t len_bytes,
		     struct frames_in *f);

/* conn_fail tells an error of the peer's, or of ours: aioquic is to close. */
void conn_fail(struct qx_conn *c, uint64_t code, uint64_t frame_type, const char *reason);

/* ---- keys.c ---- */

/* The epoch to send in: QX_EPOCH_*, or -1. */
static inline int conn_send_epoch(const struct qx_conn *c)
{
	if (c->keys[QX_EPOCH_ONE_RTT][1])
		return QX_EPOCH_ONE_RTT;
	return c->keys[QX_EPOCH_ZERO_RTT][1] ? QX_EPOCH_ZERO_RTT : -1;
}
void conn_free_keys(struct qx_conn *c);
/* conn_keys_opened follows a packet that was opened; a transport error code or 0. */
uint64_t conn_keys_opened(struct qx_conn *c, const struct protect_opened *o, uint64_t now_ns);
/* conn_keys_tend begins the update that is wanted, or due because of the AEAD's limit; false:
 * the peer lets none happen, and the keys are nearly used up. */
bool conn_keys_tend(struct qx_conn *c);

/* ---- packetize.c, payload.c ---- */

/* One packet of at most room bytes into out (a NIC frame, a GSO buffer or an array).
 * Returns its length, 0 if there is nothing to send now; then c->wait says why. */
uint32_t conn_build_packet(struct qx_conn *c, uint8_t *out, uint32_t room_bytes,
			   uint64_t now_ns, uint8_t *ecn);
/* conn_wants: there is something to send, if only it may go. */
bool conn_wants(const struct qx_conn *c, uint64_t now_ns);
/* conn_pn_bytes is how many bytes of a packet number the peer needs (RFC 9000 17.1). */
uint32_t conn_pn_bytes(const struct qx_conn *c, uint64_t pn);
/* conn_want_packets guesses how many packets would go now: 0 to max. */
uint32_t conn_want_packets(const struct qx_conn *c, uint64_t now_ns, uint32_t max);

struct payload {
	uint8_t *at, *end;
	const uint8_t *start;
	struct sent_packet *sent; /* where the items go */
	uint8_t flags;            /* enum sent_flags: ELICITING, IN_FLIGHT */
	bool zero_rtt;
	bool data_allowed; /* by window and pacer */
	bool is_full_size; /* a datagram that does not fit will never fit */
	bool pad;          /* result: to the full size */
};

void conn_write_payload(struct qx_conn *c, struct payload *p, uint64_t now_ns);
/* conn_window_open: may a packet of size_bytes with frames in flight go?  *limit_bytes: as
 * long as this. */
bool conn_window_open(const struct qx_conn *c, uint32_t overhead_bytes, uint32_t size_bytes,
		      uint32_t *limit_bytes);
/* conn_count_sent: a packet went. */
void conn_count_sent(struct qx_conn *c, uint8_t flags, uint32_t size_bytes, uint64_t now_ns);

/* ---- control.c ---- */
void conn_free_control(struct qx_conn *c);
/* conn_drop_draft: what qx_conn_fill wrote will not be sent, or does not count. */
void conn_drop_draft(struct qx_conn *c);

/* ---- timers.c ---- */
uint64_t conn_deadline(const struct qx_conn *c);
void conn_handle_timer(struct qx_conn *c, uint64_t now_ns);
/* conn_tell_lost tells of packets lost since lost_before were. */
void conn_tell_lost(struct qx_conn *c, uint64_t lost_before);

#endif
