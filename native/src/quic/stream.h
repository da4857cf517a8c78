/* stream.h: one stream's two halves and their states (RFC 9000 sections 2 to 4). */
#ifndef QX_STREAM_H
#define QX_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "bufs.h"
#include "flow.h"
#include "pool.h"
#include "spans.h"

/* Stream errors that end a connection (RFC 9000 section 20.1). */
enum stream_error {
	STREAM_ERR_INTERNAL = 0x01,
	STREAM_ERR_FLOW_CONTROL = 0x03,
	STREAM_ERR_LIMIT = 0x04,
	STREAM_ERR_STATE = 0x05,
	STREAM_ERR_FINAL_SIZE = 0x06,
	STREAM_ERR_ENCODING = 0x07
};

/* ---- Sending half (send_stream.c) ----
 *
 * Data is a queue of chunks: held (the caller's immutable buffer, until its token is
 * reported) or copied (small writes, gathered in pool blocks).  A chunk goes when everything
 * up to its end is acknowledged, or on reset; a token is reported exactly then, exactly once.
 * What is lost goes on the resend list, which is sent before new data.
 *
 * States as RFC 9000 figure 2, without Ready. */
enum send_state {
	SEND_OPEN = 0,
	SEND_FIN_SENT,
	SEND_ALL_ACKED,
	SEND_RESET_QUEUED,
	SEND_RESET_SENT,
	SEND_RESET_ACKED,
	SEND_STATE_CNT
};
enum send_event {
	SEND_EV_FIN_SENT = 0,
	SEND_EV_ALL_ACKED,
	SEND_EV_RESET,
	SEND_EV_RESET_SENT,
	SEND_EV_RESET_LOST,
	SEND_EV_RESET_ACKED,
	SEND_EV_BEGIN_AGAIN, /* the peer has seen nothing: 0-RTT was rejected */
	SEND_EVENT_CNT
};
extern const uint8_t send_next[SEND_STATE_CNT][SEND_EVENT_CNT];

/* More ranges than this and a stream resends some bytes more than it must. */
enum {
	SEND_SPANS_MAX = 1024
};

struct send_chunk {
	struct send_chunk *next;
	const uint8_t *data;
	uint64_t off; /* stream offset of data[0] */
	uint32_t len_bytes;
	uint32_t cap_bytes; /* of a copied chunk's block, 0 if held */
	uint64_t token;     /* 0: copied */
};

struct send_stream {
	uint8_t state;
	bool fin;         /* the last byte has been written by the application */
	bool fin_pending; /* FIN is to be sent (again) */
	bool fin_acked;
	bool above_low;       /* level reached low_bytes since it was told to be below */
	uint64_t written;     /* end of what the application wrote */
	uint64_t next;        /* next new offset to send; the final size of a reset */
	uint64_t acked_below; /* everything below is acknowledged and released */
	uint64_t limit;       /* the peer's MAX_STREAM_DATA */
	uint64_t blocked_at;  /* limit at which STREAM_DATA_BLOCKED was sent, ~0 none */
	uint64_t reset_code;
	uint64_t low_bytes;  /* 0: nobody waits */
	struct spans acked;  /* beyond acked_below */
	struct spans resend; /* lost, and not acknowledged since */
	struct send_chunk *head, *tail;
	struct send_chunk *cursor;        /* holds the byte at next; NULL: next == written */
	struct send_chunk *resend_cursor; /* a chunk not behind the resend sent last */
};

/* Where chunks come from, and who hears of released tokens. */
struct send_env {
	struct pool *chunks; /* blocks of copied data, a struct send_chunk in front */
	struct pool *nodes;  /* struct send_chunk of held data */
	void (*released)(void *arg, uint64_t token);
	void *arg;
};

struct send_piece {
	uint64_t off;
	uint64_t len_bytes;
	bool fin;
	bool is_new; /* counts against flow control */
};

void send_stream_init(struct send_stream *s, uint64_t limit);
void send_stream_free(struct send_stream *s, const struct send_env *env);
/* send_stream_write takes all of the data or none.  -EPIPE after FIN or reset, -EFBIG beyond
 * offset 2^62 - 1, -ENOMEM: then the token will not be reported. */
int send_stream_write(struct send_stream *s, const struct send_env *env, const uint8_t *data,
		      uint32_t len_bytes, bool fin, uint64_t token);
/* send_stream_peek describes the next piece (resends first), unlimited by a packet's room;
 * false if there is none that the limits allow.  conn_room_bytes is what connection flow
 * control leaves for new data. */
bool send_stream_peek(const struct send_stream *s, uint64_t conn_room_bytes,
		      struct send_piece *piece);
/* send_stream_take copies a piece, as peeked or cut to fit a packet, and counts it as sent.
 * A piece that was cut has no FIN. */
void send_stream_take(struct send_stream *s, const struct send_piece *piece, uint8_t *out);
void send_stream_acked(struct send_stream *s, const struct send_env *env, uint64_t off,
		       uint64_t len_bytes, bool fin);
void send_stream_lost(struct send_stream *s, uint64_t off, uint64_t len_bytes, bool fin);
/* send_stream_reset drops what is queued; false: too late, nothing changed. */
bool send_stream_reset(struct send_stream *s, const struct send_env *env, uint64_t code);
void send_stream_reset_event(struct send_stream *s, enum send_event ev);
/* send_stream_begin_again: nothing was sent yet, and the peer's limit is not known; what was
 * sent must not meet its fate any more.  What the peer has acknowledged, stays so. */
void send_stream_begin_again(struct send_stream *s);
/* send_stream_fell: the level has fallen below low_bytes since it last reached it; once. */
bool send_stream_fell(struct send_stream *s);
void send_stream_set_low(struct send_stream *s, uint64_t low_bytes);

static inline bool send_stream_is_reset(const struct send_stream *s)
{
	return s->state >= SEND_RESET_QUEUED;
}

/* send_stream_over: all data and FIN, or the reset, acknowledged. */
static inline bool send_stream_over(const struct send_stream *s)
{
	return s->state == SEND_ALL_ACKED || s->state == SEND_RESET_ACKED;
}

/* send_stream_unsent: written and not yet sent once; _level: and not acknowledged either. */
static inline uint64_t send_stream_unsent(const struct send_stream *s)
{
	return send_stream_is_reset(s) ? 0 : s->written - s->next;
}

static inline uint64_t send_stream_level(const struct send_stream *s)
{
	return send_stream_is_reset(s) ? 0 : s->written - s->acked_below;
}

/* send_stream_blocked: only the peer's MAX_STREAM_DATA holds new data back. */
static inline bool send_stream_blocked(const struct send_stream *s)
{
	return !send_stream_is_reset(s) && s->written > s->next && s->next >= s->limit;
}

/* ---- Receiving half (recv_stream.c) ----
 *
 * A contiguous buffer from `read` on, and a bit for each byte that arrived ahead of a hole:
 * whatever fragments a peer sends and however it overlaps them, a byte costs at most nine
 * bits, a frame costs its length, nothing is ever dropped, and flow control bounds it all
 * (RFC 9000 section 21.7).  A list of ranges would have to be bounded by an error that
 * honest peers on lossy paths meet.  Of conflicting bytes the first to arrive counts.
 *
 * States as RFC 9000 figure 3, Data Recvd being SIZE_KNOWN with nothing missing. */
enum recv_state {
	RECV_OPEN = 0,
	RECV_SIZE_KNOWN,
	RECV_READ,
	RECV_RESET,
	RECV_STATE_CNT
};
enum recv_event {
	RECV_EV_SIZE = 0,
	RECV_EV_ALL_READ,
	RECV_EV_RESET,
	RECV_EVENT_CNT
};
extern const uint8_t recv_next[RECV_STATE_CNT][RECV_EVENT_CNT];

#define RECV_SIZE_UNKNOWN UINT64_MAX

struct recv_stream {
	uint8_t state;
	bool stopped;      /* STOP_SENDING was asked for: data is discarded */
	bool stop_pending; /* and is to be sent (again) */
	bool fin_told;     /* the application has seen the end */
	bool reset_told;
	uint8_t hint_shift; /* of the buffer that the last turn needed, 0 none */
	uint32_t buf_cap_bytes;
	uint64_t stop_code;
	uint64_t reset_code;
	uint64_t read;       /* given to the application so far */
	uint64_t ready;      /* contiguous data ends here */
	uint64_t top;        /* the highest byte stored ends here */
	uint64_t final_size; /* RECV_SIZE_UNKNOWN */
	struct flow flow;    /* received: largest offset seen */
	uint8_t *buf;
	uint64_t buf_off; /* stream offset of buf[0], a multiple of 64 */
	uint64_t *ahead;  /* bit i: buf[i] has arrived, if beyond ready; lazy */
};

void recv_stream_init(struct recv_stream *s, uint64_t window_bytes,
		      uint64_t window_max_bytes);
void recv_stream_free(struct recv_stream *s, struct bufs *bufs);
/* recv_stream_data takes the data of a STREAM frame that flow control has counted already.
 * Returns 0, or a transport error code (FINAL_SIZE_ERROR; INTERNAL_ERROR when memory ran
 * out).  Data of a stream that was stopped or reset is discarded. */
uint64_t recv_stream_data(struct recv_stream *s, struct bufs *bufs, uint64_t off,
			  const uint8_t *data, uint32_t len_bytes, bool fin);
/* recv_stream_reset: what was contiguous stays readable, and comes before the reset. */
uint64_t recv_stream_reset(struct recv_stream *s, uint64_t code, uint64_t final_size);
/* recv_stream_readable gives what is ready and not read, and whether it ends the stream;
 * recv_stream_did_read moves past it (its memory stays until recv_stream_settle or the next
 * call of recv_stream_data). */
uint32_t recv_stream_readable(const struct recv_stream *s, const uint8_t **data, bool *fin);
void recv_stream_did_read(struct recv_stream *s, uint32_t len_bytes, bool fin);
/* recv_stream_settle gives memory back that holds nothing, or far less than it could.  To be
 * called in the end after each recv_stream_data that left a buffer. */
void recv_stream_settle(struct recv_stream *s, struct bufs *bufs);
/* recv_stream_consume gives stream credit for what was read, and returns for how much of
 * bytes; *announce: MAX_STREAM_DATA is due. */
uint64_t recv_stream_consume(struct recv_stream *s, uint64_t bytes, uint64_t smoothed_rtt_ns,
			     uint64_t now_ns, bool *announce);
/* recv_stream_stop discards what is there and what comes; false: over already. */
bool recv_stream_stop(struct recv_stream *s, uint64_t code);

/* recv_stream_has_news: data, the end or a reset that the application has not seen. */
bool recv_stream_has_news(const struct recv_stream *s);
/* recv_stream_over: the application has seen, and consumed, all there will be; or it does
 * not want it and flow control knows how much it was. */
bool recv_stream_over(const struct recv_stream *s);

#endif
