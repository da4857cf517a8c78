/* quicxdp_engine.h: the fast path under aioquic, as cffi sees it (after quicxdp.h).
 *
 * A struct qx_conn owns the application data packet number space of one QUIC connection
 * (RFC 9000 section 12.3): 1-RTT and 0-RTT packet protection, packet numbers, ACKs, loss
 * recovery, congestion control, streams, flow control, DATAGRAM.  aioquic keeps the
 * handshake, connection IDs, path validation and close.  What a packet holds beyond our
 * frames goes up to aioquic as an event; what aioquic wants to send in this space comes
 * down as control frames (qx_conn_push_control), as a packet to seal (qx_conn_seal_foreign)
 * or as a payload of ours to coalesce (qx_conn_fill).
 *
 * A struct qx_engine holds the connections of one endpoint: the table by connection ID, the
 * deadlines, the pools and the events.  Sans-IO and deterministic: time, entropy and
 * datagrams are arguments.  With a datapath, qx_engine_receive and qx_engine_flush are the
 * two halves of a turn; without one, qx_conn_receive and qx_conn_send serve one connection.
 *
 *   turn:  qx_engine_receive -> events -> application -> qx_engine_flush
 *
 * Conventions as in quicxdp.h: -errno, one thread, nanoseconds, nothing logged.
 * No 1-RTT or 0-RTT key leaves this engine and one counter numbers its packets, so that no
 * (key, packet number) pair is ever sealed twice. */
#ifndef QUICXDP_ENGINE_H
#define QUICXDP_ENGINE_H

#include "quicxdp.h"

#define QX_CID_MAX_BYTES 20
#define QX_REASON_BYTES 96
#define QX_NEVER_NS 0xffffffffffffffff

enum qx_cipher_suite { /* TLS 1.3 numbers (RFC 8446 appendix B.4) */
	QX_AES_128_GCM_SHA256 = 0x1301,
	QX_AES_256_GCM_SHA384 = 0x1302,
	QX_CHACHA20_POLY1305_SHA256 = 0x1303,
	QX_NULL_CIPHER = 0x0001 /* fuzzing builds only: identity; the tag names the keys */
};

enum qx_epoch {
	QX_EPOCH_ZERO_RTT = 0,
	QX_EPOCH_ONE_RTT = 1
};

enum qx_cc {
	QX_CC_RENO = 0,
	QX_CC_CUBIC = 1
};

/* What happened; qx_event.type. */
enum qx_event_type {
	QX_EV_STREAM_DATA = 1,  /* data, len, QX_EV_FIN; at most one per stream and turn */
	QX_EV_STREAM_RESET = 2, /* value: error code */
	QX_EV_STOP_SENDING = 3, /* value: error code; our side has been reset in answer */
	QX_EV_DATAGRAM = 4,     /* data, len */
	QX_EV_RELEASED = 5,     /* value: hold token; the engine forgot that buffer */
	QX_EV_DRAINED =
		6, /* the stream's unacknowledged-or-unsent bytes fell below its low mark */
	QX_EV_STREAM_GONE = 7,   /* both directions over, the id is forgotten */
	QX_EV_CONTROL_ACKED = 8, /* value: token of push_control or adopt */
	QX_EV_CONTROL_LOST = 9,  /* value: token; push it again if still wanted */
	QX_EV_UPCALL = 10,       /* value: packet number; data: see struct qx_upcall */
	QX_EV_DATAGRAM_UP = 11, /* a whole UDP datagram for aioquic; data, len; order matters;
				      * conn: ~0 if no connection is known for it */
	QX_EV_ERROR = 12,       /* value: RFC 9000 error code; stream_id: frame type, ~0 none;
				      * data: reason.  Nothing is received or sent any more,
				      * but what qx_conn_seal_foreign seals */
	QX_EV_FIRST_ACK = 13,   /* the peer acknowledged a 1-RTT packet */
	QX_EV_KEY_UPDATED = 14, /* value: number of updates so far; QX_EV_BY_PEER */
	QX_EV_LOST = 15         /* the connection lost packets; value: how many, for qlog */
};

enum qx_event_flags {
	QX_EV_FIN = 1,
	QX_EV_BY_PEER = 2,
	QX_EV_PROBING = 4,        /* upcall: only probing frames (RFC 9000 section 9.1) */
	QX_EV_ELICITING = 8,      /* upcall: ack-eliciting */
	QX_EV_NEW_CID = 16,       /* upcall: DCID differs from the one used last */
	QX_EV_NEW_PATH = 32,      /* upcall: not the active path's peer address */
	QX_EV_DUPLICATE = 64,     /* upcall: dropped as a duplicate */
	QX_EV_UNDECRYPTABLE = 128 /* upcall: dropped, could not be opened */
};

/* One event, 48 bytes.  It and its data live until qx_engine_events_done, but the list itself
 * may move when events are added, and the data of a STREAM_DATA event lives only until the
 * next packet of its connection is opened.  A STREAM_DATA event without data and FIN says
 * nothing: its stream was stopped meanwhile. */
struct qx_event {
	uint32_t conn; /* as given to qx_conn_open */
	uint8_t type;
	uint8_t flags;
	uint16_t path; /* index into the turn's paths (receive events) */
	uint64_t stream_id;
	uint64_t value;
	const uint8_t *data;
	uint32_t len_bytes;
	uint32_t more; /* upcall: largest packet number received before, + 1 (low 32 bits) */
	uint64_t time_ns; /* receive time */
};

/* What an UPCALL's data begins with.  header_len bytes of unprotected header (with packet
 * number) follow, as the packet had them up to there if it could not be opened, then the
 * frames that the engine left over, verbatim and in order.  The event's stream_id is the
 * packet's length. */
struct qx_upcall {
	uint32_t header_len_bytes;
	uint32_t frames_len_bytes;
	uint64_t largest_before; /* largest number received before this packet; ~0: none */
};

enum qx_conn_flags {
	QX_CONN_REPORT_DROPS = 1, /* UPCALLs for duplicate and undecryptable packets too */
	QX_CONN_ECN = 2           /* send ECT(0) while the path bears it */
};

struct qx_conn_config {
	uint32_t id; /* the caller's number; in every event */
	uint8_t is_client;
	uint8_t cc;                  /* enum qx_cc */
	uint8_t manual_consume;      /* credit only by qx_stream_consume */
	uint8_t cid_len_bytes;       /* length of our own connection IDs */
	uint32_t max_datagram_bytes; /* UDP payload */
	uint64_t max_data_bytes;     /* our initial windows */
	uint64_t max_stream_data_bytes;
	uint64_t window_max_bytes; /* auto-tuning stops here; 0: 16 MiB */
	uint64_t max_streams_bidi;
	uint64_t max_streams_uni;
	uint64_t max_datagram_frame_bytes; /* 0: refuse DATAGRAM */
	uint64_t ack_delay_ns;             /* what we promise: max_ack_delay */
	uint64_t initial_rtt_ns;
	uint32_t flags;         /* enum qx_conn_flags */
	uint32_t ack_every_cnt; /* acknowledge so many at once; 0: 2 */
};

/* The peer's limits, from transport parameters or a session ticket; they only rise. */
struct qx_peer_limits {
	uint64_t max_data;
	uint64_t max_stream_data_bidi_local;
	uint64_t max_stream_data_bidi_remote;
	uint64_t max_stream_data_uni;
	uint64_t max_streams_bidi;
	uint64_t max_streams_uni;
	uint64_t max_datagram_frame_bytes;
	uint64_t max_ack_delay_ns;
	uint32_t ack_delay_exponent;
	uint32_t max_udp_payload_bytes;
};

struct qx_conn_stats {
	uint64_t tx_packets, rx_packets, tx_bytes, rx_bytes;
	uint64_t acked_packets, lost_packets, lost_bytes, spurious_losses;
	uint64_t ptos, persistent_congestions, key_updates, duplicates, undecryptable;
	uint64_t up_packets, control_frames;
	uint64_t ecn_rx[4];       /* received, by enum qx_ecn */
	uint64_t ecn_tx_acked[4]; /* the peer's counts */
	uint64_t rtt_latest_ns, rtt_smoothed_ns, rtt_variance_ns, rtt_min_ns;
	uint64_t cwnd_bytes, ssthresh_bytes, in_flight_bytes;
	uint64_t unsent_bytes; /* in send streams */
	uint64_t streams;
	uint64_t memory_bytes;     /* held by this connection beyond the pools */
	uint64_t largest_received; /* ~0: none */
	uint64_t next_packet_number;
	uint64_t last_open_ns;       /* last packet opened */
	uint64_t first_eliciting_ns; /* first ack-eliciting sent since; 0 none */
};

struct qx_engine;
struct qx_conn;

/* ---- Engine ---- */

/* dp may be NULL (sans-IO).  Owner: the caller; close it after all its connections. */
int qx_engine_open(struct qx_engine **out, struct qx_datapath *dp, uint32_t cid_len_bytes);
void qx_engine_close(struct qx_engine *e);

/* qx_engine_receive is the receiving half of a turn: one batch from the datapath.  Short
 * headers of connections whose keys we have are opened in place; every other datagram, and
 * every later one of a connection that had a long header in this turn, becomes a
 * QX_EV_DATAGRAM_UP in order.  Due deadlines are handled.
 * Returns  the number of datagrams moved (QX_BATCH_MAX: call again), or -errno. */
int qx_engine_receive(struct qx_engine *e, uint64_t now_ns);

/* The events since the last qx_engine_events_done, and the paths they name. */
uint32_t qx_engine_events(struct qx_engine *e, const struct qx_event **events,
			  const struct qx_path **paths);
void qx_engine_events_done(struct qx_engine *e);

/* qx_engine_flush is the sending half: visits dirty connections in turn, a fair share
 * each, encrypts straight into the datapath's buffers, kicks once.
 * Returns 0, or 1 when something had to stay (qx_fd will be readable). */
int qx_engine_flush(struct qx_engine *e, uint64_t now_ns);

/* The earliest deadline of all connections; QX_NEVER_NS if none. */
uint64_t qx_engine_deadline(const struct qx_engine *e);

/* What a turn has left for its caller to do. */
enum qx_turn_flags {
	QX_TURN_EVENTS = 1, /* qx_engine_events has some */
	QX_TURN_MORE = 2, /* the last batch was full, and qx_fd may not say that more waits */
	QX_TURN_STAYED = 4, /* something had to stay; qx_fd will be readable */
	QX_TURN_ERRORS = 8  /* qx_next_error has some */
};

/* qx_engine_turn is qx_engine_receive, with a few batches if they are large, and, if nothing
 * came of it that the caller must hear of, qx_engine_finish: most turns then are this one
 * call.
 * alarm_ns  when the caller wants a turn for reasons of its own; QX_NEVER_NS: never.
 * Returns  enum qx_turn_flags, or -errno: of receiving, and then there may be events all
 *          the same.  With either of them the caller owes a qx_engine_finish. */
int qx_engine_turn(struct qx_engine *e, uint64_t now_ns, uint64_t alarm_ns);

/* qx_engine_finish is qx_engine_flush, and then the datapath's timer is armed (qx_arm) for
 * whatever comes first.  A timer that is set already and early enough stays.
 * Returns  enum qx_turn_flags, or -errno: of sending. */
int qx_engine_finish(struct qx_engine *e, uint64_t now_ns, uint64_t alarm_ns);

/* ---- Connection ---- */

int qx_conn_open(struct qx_conn **out, struct qx_engine *e, const struct qx_conn_config *cfg);
void qx_conn_close(struct qx_conn *c); /* RELEASED events follow for held buffers */

/* Which connection IDs of ours lead here (engine table), and what we write as DCID. */
int qx_conn_add_cid(struct qx_conn *c, const uint8_t *cid, uint32_t len_bytes);
void qx_conn_remove_cid(struct qx_conn *c, const uint8_t *cid, uint32_t len_bytes);
int qx_conn_set_peer_cid(struct qx_conn *c, const uint8_t *cid, uint32_t len_bytes);
void qx_conn_set_host_cid(struct qx_conn *c, const uint8_t *cid, uint32_t len_bytes);

/* Keys arrive as TLS traffic secrets.  teardown forgets them; after tearing down ONE_RTT
 * the connection neither sends nor receives. */
int qx_conn_set_secret(struct qx_conn *c, uint32_t epoch, uint32_t sending,
		       uint32_t cipher_suite, uint32_t version, const uint8_t *secret,
		       uint32_t len_bytes);
void qx_conn_teardown(struct qx_conn *c, uint32_t epoch, uint32_t sending);
int qx_conn_has_keys(const struct qx_conn *c, uint32_t epoch, uint32_t sending);
/* qx_conn_update_key begins a key update: 0, or 1 if it has to wait until the handshake is
 * confirmed and the last update is over (RFC 9001 section 6.1); then it happens by itself. */
int qx_conn_update_key(struct qx_conn *c, uint64_t now_ns);
uint32_t qx_conn_key_phase(const struct qx_conn *c, uint32_t sending);

void qx_conn_set_peer_limits(struct qx_conn *c, const struct qx_peer_limits *limits);
void qx_conn_set_complete(struct qx_conn *c, uint64_t now_ns); /* handshake complete */
void qx_conn_set_confirmed(struct qx_conn *c, uint64_t cwnd_bytes, uint64_t now_ns);
/* The server has not seen our 0-RTT packets (Retry, version negotiation): they go again. */
void qx_conn_lose_zero_rtt(struct qx_conn *c, uint64_t now_ns);
/* qx_conn_reject_zero_rtt: the server wants none (RFC 9001 section 4.6.2).  limits replace
 * those that were remembered and may be lower (RFC 9000 section 7.4.1); all that was sent is
 * sent in 1-RTT packets, as far as they allow.  DATAGRAMs are gone.  -EINVAL once there are
 * 1-RTT keys to send with. */
int qx_conn_reject_zero_rtt(struct qx_conn *c, const struct qx_peer_limits *limits,
			    uint64_t now_ns);

/* The active path and what it may carry.  budget_bytes: the amplification limit left
 * (RFC 9000 section 8.1), ~0 once validated; the engine subtracts what it sends.
 * set_path tells the address, reset_path starts congestion control and RTT anew. */
void qx_conn_set_path(struct qx_conn *c, const struct qx_path *path);
void qx_conn_reset_path(struct qx_conn *c, uint64_t now_ns);
/* Packets from first_pn on went to an address that turned out not to be the peer's: their
 * loss says nothing about the path (RFC 9000 section 9.4). */
void qx_conn_abandon_path(struct qx_conn *c, uint64_t first_pn);
void qx_conn_set_budget(struct qx_conn *c, uint64_t budget_bytes);
uint64_t qx_conn_budget(const struct qx_conn *c);
/* Bytes that aioquic has in flight in its spaces, against the shared window. */
void qx_conn_set_foreign_in_flight(struct qx_conn *c, uint64_t bytes);
/* Until the handshake is confirmed, ACKs of aioquic's packets open the window too. */
void qx_conn_set_foreign_window(struct qx_conn *c, uint64_t cwnd_bytes);
/* One RTT estimate for all spaces: aioquic's samples come in here. */
void qx_conn_set_rtt(struct qx_conn *c, uint64_t latest_ns, uint64_t smoothed_ns,
		     uint64_t variance_ns, uint64_t min_ns);

/* qx_conn_receive opens one packet (short header, or 0-RTT with off_bytes at its packet
 * number) that lies at packet[0..len_bytes), in place, and handles our frames.  It is a turn
 * by itself: what streams received is told in the events when it returns.
 * epoch    with QX_RECEIVE_UP: append an UPCALL in any case, aioquic waits for the result.
 * Returns  1 handled completely, 0 an UPCALL or ERROR event was appended, -ENOKEY no keys
 *          (give the datagram to aioquic). */
enum qx_receive_flags {
	QX_RECEIVE_UP = 256
};
int qx_conn_receive(struct qx_conn *c, uint32_t epoch, uint8_t *packet, uint32_t len_bytes,
		    uint32_t off_bytes, uint8_t ecn, uint64_t now_ns);

/* qx_conn_send builds datagrams back to back into buf, sizes into lens.  Stops at the
 * window, the pacer, the budget, or the room.  Returns how many. */
int qx_conn_send(struct qx_conn *c, uint64_t now_ns, uint8_t *buf, uint32_t buf_bytes,
		 uint32_t *lens, uint32_t max);

uint64_t qx_conn_deadline(struct qx_conn *c);
void qx_conn_handle_timer(struct qx_conn *c, uint64_t now_ns);

/* ---- The way down ---- */

/* A frame that aioquic wrote, sent as is in the next packet with room (even with a closed
 * window if urgent: PATH_CHALLENGE and PATH_RESPONSE, which also pad the datagram). */
enum qx_control_flags {
	QX_CTL_ELICITING = 1,
	QX_CTL_IN_FLIGHT = 2,
	QX_CTL_URGENT = 4,
	QX_CTL_PAD = 8
};
int qx_conn_push_control(struct qx_conn *c, const uint8_t *frame, uint32_t len_bytes,
			 uint64_t token, uint32_t flags);

/* qx_conn_seal_foreign seals a packet that aioquic's builder wrote (close, path probe,
 * coalesced): header ends in a two-byte packet number that is replaced by ours, of four
 * bytes if more than 32767 packets are unacknowledged.
 * out must hold header + payload + 18 bytes.  Returns the packet's length and *pn. */
int qx_conn_seal_foreign(struct qx_conn *c, const uint8_t *header, uint32_t header_len,
			 const uint8_t *payload, uint32_t payload_len, uint8_t *out,
			 uint64_t *pn);
/* qx_conn_adopt registers the oldest packet sealed so and not yet adopted; token 0: none.
 * At most 8 wait for it. */
int qx_conn_adopt(struct qx_conn *c, uint32_t size_bytes, uint32_t flags, uint64_t token,
		  uint64_t now_ns);
/* qx_conn_fill writes the frames of one packet of at most room bytes for aioquic to
 * coalesce: the payload of the next qx_conn_seal_foreign, registered with its adoption.
 * Returns the length; *flags as for push_control. */
int qx_conn_fill(struct qx_conn *c, uint64_t now_ns, uint32_t room_bytes, uint8_t *out,
		 uint32_t *flags);

/* ---- Streams and datagrams ---- */

uint64_t qx_conn_next_stream_id(const struct qx_conn *c, uint32_t unidirectional);

/* qx_stream_write queues data.  token 0: copied; otherwise the caller keeps data alive
 * until RELEASED(token).  Errors: -EINVAL not a stream we may send on, -EPIPE finished or
 * reset, -ENOMEM. */
int qx_stream_write(struct qx_conn *c, uint64_t stream_id, const uint8_t *data,
		    uint32_t len_bytes, uint32_t fin, uint64_t token);
int qx_stream_reset(struct qx_conn *c, uint64_t stream_id, uint64_t error_code);
int qx_stream_stop(struct qx_conn *c, uint64_t stream_id, uint64_t error_code);
/* Instead of the configuration's manual_consume, for what arrives from now on. */
void qx_conn_set_manual_consume(struct qx_conn *c, uint32_t manual);
/* Instead of the configuration's window_max_bytes, for streams that are opened from now on. */
void qx_conn_set_window_max(struct qx_conn *c, uint64_t window_max_bytes);
int qx_stream_consume(struct qx_conn *c, uint64_t stream_id, uint64_t len_bytes);
/* Bytes written and not yet sent (stream 2^62: the whole connection). */
uint64_t qx_stream_buffered(const struct qx_conn *c, uint64_t stream_id);
/* Bytes written and not yet acknowledged: what the low mark is compared with. */
uint64_t qx_stream_unacknowledged(const struct qx_conn *c, uint64_t stream_id);
/* What is left to do on a stream, enum qx_stream_flags; 0 if it is unknown or over. */
enum qx_stream_flags {
	QX_STREAM_MAY_WRITE = 1,
	QX_STREAM_MAY_RECEIVE = 2,
	QX_STREAM_UNDELIVERED = 4 /* the peer has not acknowledged our half's end */
};
uint32_t qx_stream_state(const struct qx_conn *c, uint64_t stream_id);
/* How many of the client's bidirectional streams have our half undelivered. */
uint32_t qx_conn_undelivered(const struct qx_conn *c);
int qx_stream_set_low_mark(struct qx_conn *c, uint64_t stream_id, uint64_t low_bytes);
/* qx_conn_send_datagram queues a DATAGRAM frame: -EMSGSIZE it fits no packet, -ENOBUFS too
 * many wait. */
int qx_conn_send_datagram(struct qx_conn *c, const uint8_t *data, uint32_t len_bytes);

void qx_conn_get_stats(struct qx_conn *c, struct qx_conn_stats *out);

/* ---- Test builds: aioquic's own tests reach the engine through these ---- */
int qx_test_inject_frame(struct qx_conn *c, const uint8_t *frame, uint32_t len_bytes,
			 uint64_t now_ns);
int qx_test_sent_packets(struct qx_conn *c, uint64_t *pns, uint32_t max);
int qx_test_ack_ranges(struct qx_conn *c, uint64_t *pairs, uint32_t max_pairs);

/* Arrays by kind: bidirectional, unidirectional. */
struct qx_test_view {
	uint64_t peer_max_data, peer_max_streams[2];
	uint64_t max_data, max_data_sent, data_used;
	uint64_t max_streams[2], max_streams_sent[2];
	uint64_t streams_used[2];   /* by the peer */
	uint64_t streams_opened[2]; /* by us */
};
struct qx_test_stream {
	uint64_t is_blocked; /* beyond the peer's MAX_STREAMS */
	uint64_t reset_pending;
	uint64_t max_data_peer;
};
void qx_test_get_view(struct qx_conn *c, struct qx_test_view *out);
/* 1 a stream with a state, 0 never named (it may have been opened all the same, with a later
 * one), -ENOENT over. */
int qx_test_get_stream(struct qx_conn *c, uint64_t stream_id, struct qx_test_stream *out);
void qx_test_set_data_used(struct qx_conn *c, uint64_t bytes);
void qx_test_consume(struct qx_conn *c); /* all that was used */
void qx_test_lose_all(struct qx_conn *c);
int qx_test_skip_numbers(struct qx_conn *c, uint64_t next);
void qx_test_stop_pacing(struct qx_conn *c);

#endif
