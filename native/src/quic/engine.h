/* engine.h: the connections of one endpoint, and what is told about them.
 *
 * Events are appended where things happen and live until qx_engine_events_done.  What a
 * stream has received is told once per turn: the first news of a turn takes the event's
 * place in the order, the end of the turn fills it in.  The data lies in the stream's own
 * buffer, lent until the next turn of that connection. */
#ifndef QX_ENGINE_H
#define QX_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "cid_table.h"
#include "conn.h"
#include "deadlines.h"
#include "pool.h"
#include "streams.h"

struct conn_queue {
	struct qx_conn *head, *tail;
};

/* What quicxdp_admission.h does for an engine; by pointers, so that programs without it are
 * linked without it. */
struct qx_admission;
struct admission_calls {
	/* qx_admission_judge */
	int (*judge)(struct qx_admission *a, const uint8_t *data, uint32_t len_bytes,
		     const struct qx_addr *peer, uint64_t now_ns, uint8_t *answer,
		     uint32_t *answer_len_bytes);
	/* The answer of that verdict found no room to leave in. */
	void (*answer_lost)(struct qx_admission *a, int verdict);
};

struct qx_engine {
	struct qx_datapath *dp;
	uint32_t cid_len_bytes;
	uint32_t conn_cnt;
	struct cid_table cids;
	struct deadlines deadlines;
	struct stream_memory memory;
	struct pool frames; /* of frame_queue */

	struct conn_queue lists[CONN_LIST_CNT];
	struct qx_conn *closed; /* freed when what they lent is given back */

	struct qx_event *events;
	uint32_t event_cnt, event_cap;
	uint64_t promised_cnt;   /* places that are kept free */
	struct qx_event spilled; /* takes what memory had no place for */
	struct arena arena;
	struct qx_path *paths;
	uint32_t path_cnt, path_cap;

	struct qx_admission *admission; /* NULL: everything goes up */
	const struct admission_calls *admission_calls;

	uint32_t refused_cnt;     /* of the turn */
	uint64_t only_refused_ns; /* the last turn with nothing else */
	uint64_t welcome_ns;      /* the last turn with anything else */
	bool holds;               /* and there were several: wake-ups are put together */

	uint64_t armed_ns; /* what the datapath's timer was set to */
	uint64_t turn_no;
	bool has_up; /* a datagram of this turn is aioquic's */
	struct qx_batch batch;
};

/* ---- events.c ---- */

/* engine_make_room makes sure that a packet of len_bytes finds room for what it causes; if
 * not, it must be dropped as if the network had. */
bool engine_make_room(struct qx_engine *e, uint32_t len_bytes);
/* engine_event appends an event, zeroed but for the connection (or NULL) and type; never
 * NULL.  Without memory the connection fails, as the event may be one that counts. */
struct qx_event *engine_event(struct qx_engine *e, struct qx_conn *c, uint8_t type);
/* engine_event_bytes gives it room for data; NULL: no memory, and then it has none. */
uint8_t *engine_event_bytes(struct qx_engine *e, struct qx_event *ev, uint32_t len_bytes);

/* Some events must come, whatever happens: whoever lends a buffer waits for RELEASED.  Their
 * places are promised when they become due some day (-ENOMEM), and stay free for them. */
int engine_promise(struct qx_conn *c);
void engine_unpromise(struct qx_conn *c, uint64_t cnt);
struct qx_event *engine_promised(struct qx_conn *c, uint8_t type);
/* engine_stream_event takes a place for what a stream has received. */
void engine_stream_event(struct qx_conn *c, uint64_t stream_id, uint16_t path,
			 uint64_t now_ns);
/* engine_end_turn fills those places in and forgets streams that are over. */
void engine_end_turn(struct qx_engine *e, uint64_t now_ns);
void engine_free_events(struct qx_engine *e);

/* ---- endpoint.c ---- */
/* The receiving half of a turn in three steps, of which the second may be repeated.  It
 * returns as qx_recv. */
void engine_begin_receiving(struct qx_engine *e);
int engine_receive_batch(struct qx_engine *e, uint64_t now_ns);
void engine_end_receiving(struct qx_engine *e, int cnt, uint64_t now_ns);

/* ---- lists.c ---- */
void engine_list(struct qx_conn *c, enum conn_list list);
void engine_unlist(struct qx_conn *c, enum conn_list list);
static inline void engine_dirty(struct qx_conn *c)
{
	if (!c->in_list[CONN_DIRTY])
		engine_list(c, CONN_DIRTY);
}
/* engine_turn: its streams may have news, or be over. */
static inline void engine_turn(struct qx_conn *c)
{
	if (!c->in_list[CONN_TURN])
		engine_list(c, CONN_TURN);
}

/* ---- connection.c ---- */
/* conn_destroy frees a closed connection. */
void conn_destroy(struct qx_conn *c);

#endif
