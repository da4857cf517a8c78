/* streams.h: all streams of a connection: by ID, their limits, and whose turn it is.
 *
 * Opening: a stream exists here once a frame or the application named it.  One frame opens
 * all lower streams too (RFC 9000 section 3.2), but those cost nothing until they are named:
 * a number says how many the peer has opened, and a set which are over.  That set needs at
 * most one range per stream still open, which MAX_STREAMS bounds.
 *
 * Sending: round robin over streams with lost data, then over streams with new data or their
 * end; control frames first.  A stream is in a list only while it has something that could be
 * sent, and the list of new data is not looked at while connection flow control is closed,
 * which ends do not need: a packet costs the frames in it, however many streams there are.
 *
 * Receiving: streams with news are on a list until streams_news has told them.  Memory of what
 * it told stays until streams_settle, whatever becomes of the stream meanwhile.
 *
 *   turn:  settle -> for_frame, on_* ... -> news until false -> reap -> write_frames */
#ifndef QX_STREAMS_H
#define QX_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "bufs.h"
#include "flow.h"
#include "pool.h"
#include "quicxdp_engine.h"
#include "sent.h"
#include "spans.h"
#include "stream.h"

/* ---- Memory of an engine, shared by its connections ---- */

struct stream_memory {
	struct pool streams; /* of struct stream */
	struct pool chunks;  /* copied send data */
	struct pool nodes;   /* held send data */
	struct bufs bufs;    /* received data */
};

void stream_memory_init(struct stream_memory *m);
void stream_memory_free(struct stream_memory *m);

/* ---- One stream ---- */

enum stream_list {
	LIST_NONE = 0,
	LIST_RESEND,  /* lost data, or a lost FIN */
	LIST_NEW,     /* new data, and stream credit for it */
	LIST_FIN,     /* a FIN without data: needs no credit */
	LIST_LIMITED, /* ours, beyond the peer's MAX_STREAMS */
	LIST_CNT
};

enum {
	LINK_ALL = 0,
	LINK_SEND,
	LINK_CONTROL,
	LINK_CNT
};

struct stream_link {
	struct stream *prev, *next;
};

struct stream {
	uint64_t id;
	bool has_send, has_recv;
	uint8_t list;            /* enum stream_list */
	bool in_control;         /* on the list of control frames */
	bool has_news;           /* on the list of streams_news */
	bool touched;            /* on the list for streams_settle: has had data this turn */
	bool lent;               /* its buffer was told in this turn */
	bool is_over;            /* waiting to be reaped */
	bool dead;               /* reaped, and waiting for streams_settle */
	bool want_max_data;      /* MAX_STREAM_DATA is due */
	struct send_stream send; /* unused half: see has_send, has_recv */
	struct recv_stream recv;
	struct stream_link links[LINK_CNT];
	uint64_t turn; /* of LIST_NEW and LIST_FIN together: the least is the next */
	struct stream *next_hash;
	struct stream *next_news; /* or among those that are over */
	struct stream *next_touched;
};

_Static_assert(sizeof(struct stream) <= 512, "the budget of a stream besides its data");

struct stream_queue {
	struct stream *head, *tail;
};

/* ---- All of them ---- */

enum {
	KIND_BIDI = 0,
	KIND_UNI = 1,
	KIND_CNT
};

struct stream_limits {        /* of a kind; streams counted from 0, not IDs */
	uint64_t ours;        /* how many the peer may open */
	uint64_t ours_sent;   /* what it has been told */
	uint64_t peer_opened; /* how many it has, named or implied */
	uint64_t peer_closed;
	uint64_t window;
	uint64_t theirs; /* how many we may open */
	uint64_t we_opened;
	uint64_t blocked_at;         /* limit at which STREAMS_BLOCKED was sent, ~0 none */
	bool want_max_streams;       /* MAX_STREAMS is due */
	struct spans closed[2];      /* numbers that are over: the peer's, ours */
	struct stream_queue limited; /* ours beyond theirs, ascending */
};

/* What the connection hears, from within streams_* calls. */
struct streams_calls {
	void (*released)(void *arg, uint64_t token); /* QX_EV_RELEASED */
	void (*drained)(void *arg, uint64_t id);     /* QX_EV_DRAINED */
	void (*gone)(void *arg, uint64_t id);        /* QX_EV_STREAM_GONE, by streams_reap */
};

struct streams {
	bool is_client;
	bool manual_consume;
	bool want_max_data; /* MAX_DATA is due */
	struct stream_memory *memory;
	struct send_env env;
	const struct streams_calls *calls;
	void *arg;
	struct stream **table; /* hash by id, grows and shrinks */
	uint32_t table_shift;  /* log2 of its size; 0: no table yet */
	uint32_t stream_cnt;
	uint64_t hash_odd;
	struct stream_queue all; /* in the order of opening */
	struct stream_queue resend, fresh, fins, control;
	uint64_t next_turn;
	struct stream_queue news, over;
	struct stream *touched;
	struct stream_limits limits[KIND_CNT];
	struct flow flow;       /* connection level, receiving */
	uint64_t peer_max_data; /* connection level, sending */
	uint64_t sent_data;
	uint64_t data_blocked_at; /* limit at which DATA_BLOCKED was sent, ~0 none */
	uint64_t unsent_bytes;
	uint64_t stream_window_bytes, window_max_bytes;
	struct qx_peer_limits peer;
};

void streams_init(struct streams *s, const struct qx_conn_config *cfg,
		  struct stream_memory *memory, const struct streams_calls *calls, void *arg);
/* streams_free reports all tokens still held.  What streams_news told becomes invalid. */
void streams_free(struct streams *s);
/* Transport parameters or those of a ticket; limits only rise. */
void streams_set_peer_limits(struct streams *s, const struct qx_peer_limits *limits);
/* streams_begin_again forgets the limits, and that anything was ever sent: before the next
 * streams_set_peer_limits nothing goes.  What was sent must not meet its fate any more. */
void streams_begin_again(struct streams *s);
/* Bytes beyond struct streams, the pools' blocks included. */
uint64_t streams_memory_bytes(const struct streams *s);

/* streams_find: the stream if it was named and is not over, or NULL. */
struct stream *streams_find(const struct streams *s, uint64_t id);
/* streams_forgotten: was open, is over. */
bool streams_forgotten(const struct streams *s, uint64_t id);

/* ---- Frames of the peer (streams_recv.c); a transport error code or 0 ---- */

/* streams_for_frame finds or opens the stream that a frame of the peer names; receiving:
 * the frame concerns our receiving half (STREAM, RESET_STREAM, STREAM_DATA_BLOCKED).  *out
 * NULL with 0: the stream is over, ignore the frame.  STREAM_STATE_ERROR,
 * STREAM_LIMIT_ERROR, INTERNAL_ERROR when memory ran out. */
uint64_t streams_for_frame(struct streams *s, uint64_t id, bool receiving,
			   struct stream **out);
/* Flow control and delivery of one STREAM frame. */
uint64_t streams_on_data(struct streams *s, struct stream *st, uint64_t off,
			 const uint8_t *data, uint32_t len_bytes, bool fin);
uint64_t streams_on_reset(struct streams *s, struct stream *st, uint64_t code,
			  uint64_t final_size);
/* streams_on_stop resets our half in answer (RFC 9000 section 3.5).  The application hears of
 * each such frame, as from aioquic. */
void streams_on_stop(struct streams *s, struct stream *st, uint64_t code);
void streams_on_max_data(struct streams *s, uint64_t limit);
void streams_on_max_stream_data(struct streams *s, struct stream *st, uint64_t limit);
uint64_t streams_on_max_streams(struct streams *s, uint32_t kind, uint64_t limit);
/* Nothing to do, but the number may be impossible (RFC 9000 section 19.14). */
uint64_t streams_on_streams_blocked(uint64_t limit);

/* ---- Once per turn (streams_turn.c) ---- */

struct stream_news {
	uint64_t id;
	const uint8_t *data; /* lent until streams_settle */
	uint32_t len_bytes;
	bool fin;
	bool reset; /* comes after the data; never with fin */
	uint64_t reset_code;
};

/* streams_news gives the next stream that has data, its end or a reset for the application;
 * false: no more.  Unless consumption is manual, the data counts as consumed. */
bool streams_news(struct streams *s, struct stream_news *news, uint64_t smoothed_rtt_ns,
		  uint64_t now_ns);
/* streams_settle takes back the memory that streams_news lent: before the next packets, and
 * better as soon as the events are done, since a connection may be idle for long. */
void streams_settle(struct streams *s);
/* streams_reap forgets streams that are over and gives MAX_STREAMS credit. */
void streams_reap(struct streams *s);

/* ---- The application (streams_app.c) ---- */

uint64_t streams_next_id(const struct streams *s, uint32_t kind);
/* streams_for_write finds or opens a stream that we may send on.  -EINVAL there is no such,
 * -EPIPE over, -ENOMEM. */
int streams_for_write(struct streams *s, uint64_t id, struct stream **out);
/* streams_write as qx_stream_write: on an error, the token is not held. */
int streams_write(struct streams *s, uint64_t id, const uint8_t *data, uint32_t len_bytes,
		  bool fin, uint64_t token);
/* -EINVAL not ours to reset or stop, or a code beyond 2^62 - 1; -EPIPE it is over already. */
int streams_reset(struct streams *s, uint64_t id, uint64_t code);
int streams_stop(struct streams *s, uint64_t id, uint64_t code);
/* streams_consume gives credit for bytes that streams_news told, at most as many as it did.
 * A stream whose data was not all consumed is not over (manual consumption). */
int streams_consume(struct streams *s, uint64_t id, uint64_t bytes, uint64_t smoothed_rtt_ns,
		    uint64_t now_ns);
/* Bytes written and not yet sent (id 2^62: the whole connection). */
uint64_t streams_buffered(const struct streams *s, uint64_t id);
/* drained is called each time that the bytes written and not acknowledged fall below
 * low_bytes, having reached it; 0: never. */
int streams_set_low_mark(struct streams *s, uint64_t id, uint64_t low_bytes);

/* ---- Sending (streams_write.c, streams_fate.c) ---- */

/* streams_have_work: anything that a packet could carry now.  Before the handshake is
 * complete, connection-level limits and *_BLOCKED wait, as in aioquic. */
bool streams_have_work(const struct streams *s, bool handshake_complete);
/* streams_write_frames writes stream-related frames into [out, end): MAX_DATA,
 * MAX_STREAM_DATA, MAX_STREAMS, *_BLOCKED, RESET_STREAM, STOP_SENDING, STREAM.  Each goes to
 * sent_add first.  STREAM frames always have a length, of two bytes as aioquic's have, so
 * that anything may follow.  Returns the place behind. */
uint8_t *streams_write_frames(struct streams *s, struct sent *sent, struct sent_packet *p,
			      uint8_t *out, uint8_t *end, bool handshake_complete);
/* The fate of an item of ours; also of a packet that was written and then not sent (lost). */
void streams_fate(struct streams *s, const struct sent_item *item, bool acked);

#endif
