/* endpoint.c: an engine's life, and the receiving half of its turn.
 *
 * Order within a connection is kept (a request that overtook its Finished would wait for a
 * PTO): once a datagram of a connection has gone up to aioquic, all later ones of the same
 * turn do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "first_packet.h"
#include "quicxdp_admission.h"

enum {
	FRAMES_KEPT = 1024,
	PATHS_MAX = UINT16_MAX,
	LONG_DCID_LEN_OFF = 5,
	FLOOD_NS = 4000000,       /* between batches of refused datagrams alone */
	DEADLINES_PER_TURN = 4096 /* so that timers cannot keep packets waiting */
};

int qx_engine_open(struct qx_engine **out, struct qx_datapath *dp, uint32_t cid_len_bytes)
{
	struct qx_engine *e;
	int err;

	if (cid_len_bytes > QX_CID_MAX_BYTES)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	err = cid_table_init(&e->cids, cid_len_bytes);
	if (err < 0) {
		free(e);
		return err;
	}
	e->dp = dp;
	e->armed_ns = QX_NEVER_NS;
	e->cid_len_bytes = cid_len_bytes;
	stream_memory_init(&e->memory);
	pool_init(&e->frames, FRAME_BLOCK_BYTES, FRAMES_KEPT);
	*out = e;
	return 0;
}

void qx_engine_close(struct qx_engine *e)
{
	if (!e)
		return;
	engine_free_events(e);
	pool_free(&e->frames);
	stream_memory_free(&e->memory);
	deadlines_free(&e->deadlines);
	cid_table_free(&e->cids);
	free(e);
}

uint64_t qx_engine_deadline(const struct qx_engine *e)
{
	return deadlines_next(&e->deadlines);
}

/* ---- Paths of a batch ---- */

/* The batch's paths behind those that events of earlier batches may still name; without
 * events nobody does, and nobody calls qx_engine_events_done.  Returns where they begin;
 * UINT32_MAX: no memory. */
static uint32_t add_paths(struct qx_engine *e)
{
	const uint32_t first = e->event_cnt > 0 ? e->path_cnt : 0;
	const uint32_t cnt = first + e->batch.path_cnt;

	if (cnt > PATHS_MAX)
		return UINT32_MAX;
	if (cnt > e->path_cap) {
		const uint32_t cap = cnt > 2 * e->path_cap ? cnt : 2 * e->path_cap;
		struct qx_path *paths = realloc(e->paths, cap * sizeof(*paths));

		if (!paths)
			return UINT32_MAX;
		e->paths = paths;
		e->path_cap = cap;
	}
	if (e->batch.path_cnt > 0)
		memcpy(e->paths + first, e->batch.paths,
		       e->batch.path_cnt * sizeof(*e->paths));
	e->path_cnt = cnt;
	return first;
}

/* ---- Datagrams ---- */

static void datagram_up(struct qx_engine *e, struct qx_conn *c, const struct qx_datagram *d,
			uint16_t path, uint64_t now_ns)
{
	struct qx_event *ev;
	uint8_t *copy;

	e->has_up = true;
	if (c)
		c->up_turn = e->turn_no;
	if (!engine_make_room(e, d->len_bytes))
		return; /* lost, as on the way */
	ev = engine_event(e, c, QX_EV_DATAGRAM_UP);
	copy = engine_event_bytes(e, ev, d->len_bytes);
	ev->path = path;
	ev->time_ns = now_ns;
	if (copy && d->len_bytes > 0)
		memcpy(copy, d->data, d->len_bytes);
}

/* Whose it is: by its destination connection ID, which stands at a fixed place in either
 * header (RFC 8999 section 5).  NULL: nobody's we know. */
static struct qx_conn *find_conn(const struct qx_engine *e, const struct qx_datagram *d)
{
	const uint8_t *cid = d->data + 1;
	uint32_t need = 1 + e->cid_len_bytes;

	if (d->len_bytes == 0)
		return NULL;
	if (d->data[0] & LONG_HEADER_BIT) {
		if (d->len_bytes <= LONG_DCID_LEN_OFF ||
		    d->data[LONG_DCID_LEN_OFF] != e->cid_len_bytes)
			return NULL;
		cid = d->data + LONG_DCID_LEN_OFF + 1;
		need = LONG_DCID_LEN_OFF + 1 + e->cid_len_bytes;
	}
	return d->len_bytes >= need ? cid_table_find(&e->cids, cid) : NULL;
}

static bool same_peer(const struct qx_conn *c, const struct qx_path *path)
{
	return c->has_path && memcmp(&c->path.peer, &path->peer, sizeof(path->peer)) == 0;
}

/* May the engine open it, or must aioquic see it first? */
static bool is_for_engine(const struct qx_engine *e, const struct qx_conn *c,
			  const struct qx_datagram *d, bool new_path)
{
	if (!c || (d->data[0] & (LONG_HEADER_BIT | FIXED_BIT)) != FIXED_BIT ||
	    c->up_turn == e->turn_no || !c->keys[QX_EPOCH_ONE_RTT][0])
		return false;
	/* A client drops what comes from addresses that aioquic does not know (RFC 9000
	 * section 9). */
	return !(c->cfg.is_client && new_path);
}

/* Answers leave with what connections send in this turn. */
static bool send_answer(struct qx_engine *e, const struct qx_path *path,
			const uint8_t *answer, uint32_t len_bytes)
{
	struct qx_slot slot;

	if (qx_reserve(e->dp, path, len_bytes, &slot, 1) != 1)
		return false;
	memcpy(slot.data, answer, len_bytes);
	slot.len_bytes = len_bytes;
	return qx_commit(e->dp, &slot, 1) == 0;
}

/* May what belongs to no connection of ours go up? */
static bool is_admitted(struct qx_engine *e, const struct qx_datagram *d,
			const struct qx_path *path, uint64_t now_ns)
{
	uint8_t answer[QX_ANSWER_MAX_BYTES];
	uint32_t answer_len_bytes;
	int verdict;

	if (!e->admission)
		return true;
	verdict = e->admission_calls->judge(e->admission, d->data, d->len_bytes, &path->peer,
					    now_ns, answer, &answer_len_bytes);
	if (verdict < QX_VERDICT_RETRY)
		return true;
	if (verdict < QX_VERDICT_REFUSED && !send_answer(e, path, answer, answer_len_bytes))
		e->admission_calls->answer_lost(e->admission, verdict);
	return false;
}

static void datagram(struct qx_engine *e, const struct qx_datagram *d, uint32_t path_base,
		     uint64_t now_ns)
{
	struct qx_conn *c = find_conn(e, d);
	const struct qx_path *path = &e->batch.paths[d->path];
	const bool new_path = c && !same_peer(c, path);
	struct packet_in p;

	if (c && c->receiving_over)
		return; /* over, and closed by aioquic */
	if (!c && !is_admitted(e, d, path, now_ns)) {
		e->refused_cnt++;
		return;
	}
	if (!is_for_engine(e, c, d, new_path)) {
		datagram_up(e, c, d, (uint16_t)(path_base + d->path), now_ns);
		return;
	}
	p = (struct packet_in){
		.epoch = QX_EPOCH_ONE_RTT,
		.data = d->data,
		.len_bytes = d->len_bytes,
		.pn_off_bytes = 1 + e->cid_len_bytes,
		.ecn = d->ecn,
		.path = (uint16_t)(path_base + d->path),
		.new_path = new_path,
		.now_ns = now_ns,
	};
	conn_receive(c, &p);
}

static void run_deadlines(struct qx_engine *e, uint64_t now_ns)
{
	struct qx_conn *c;

	for (uint32_t n = 0; n < DEADLINES_PER_TURN; n++) {
		c = deadlines_pop(&e->deadlines, now_ns);
		if (!c)
			return;
		/* Armed again by the flush that this makes it visit. */
		conn_handle_timer(c, now_ns);
	}
}

/* A flood that comes one by one would wake us for each packet, which costs several times
 * what refusing it does.  So after a second turn of refused ones alone the next look is
 * put off a little (HOLD_NS of endpoint_turn.c); any other packet ends that. */
static void note_refused(struct qx_engine *e, int cnt, uint64_t now_ns)
{
	const bool only = cnt > 0 && e->refused_cnt == (uint32_t)cnt;

	e->holds = only && now_ns - e->only_refused_ns < FLOOD_NS;
	if (only)
		e->only_refused_ns = now_ns;
	else if (cnt > 0)
		e->welcome_ns = now_ns;
}

int engine_receive_batch(struct qx_engine *e, uint64_t now_ns)
{
	const int n = qx_recv(e->dp, &e->batch, now_ns);
	uint32_t path_base;

	if (n <= 0)
		return n;
	path_base = add_paths(e);
	for (int i = 0; i < n && path_base != UINT32_MAX; i++)
		datagram(e, &e->batch.datagrams[i], path_base, now_ns);
	qx_recv_done(e->dp, &e->batch);
	return n;
}

void engine_begin_receiving(struct qx_engine *e)
{
	e->turn_no++;
	e->has_up = false;
	e->refused_cnt = 0;
}

void engine_end_receiving(struct qx_engine *e, int cnt, uint64_t now_ns)
{
	note_refused(e, cnt, now_ns);
	run_deadlines(e, now_ns);
	engine_end_turn(e, now_ns);
}

int qx_engine_receive(struct qx_engine *e, uint64_t now_ns)
{
	int n;

	if (!e->dp)
		return -EINVAL;
	engine_begin_receiving(e);
	n = engine_receive_batch(e, now_ns);
	engine_end_receiving(e, n, now_ns);
	return n;
}
