/* streams.c: the table of streams, their life, and the limits they begin with. */
#include "streams.h"

#include <stdlib.h>
#include <string.h>

#include "streams_internal.h"

enum {
	TABLE_MIN_SHIFT = 4,
	TABLE_MAX_SHIFT = 24,
	CHUNK_BLOCK_BYTES = 2048,
	POOL_KEPT_STREAMS = 1024,
	POOL_KEPT_CHUNKS = 2048,
	POOL_KEPT_NODES = 8192
};

void stream_memory_init(struct stream_memory *m)
{
	pool_init(&m->streams, sizeof(struct stream), POOL_KEPT_STREAMS);
	pool_init(&m->chunks, CHUNK_BLOCK_BYTES, POOL_KEPT_CHUNKS);
	pool_init(&m->nodes, sizeof(struct send_chunk), POOL_KEPT_NODES);
	bufs_init(&m->bufs);
}

void stream_memory_free(struct stream_memory *m)
{
	pool_free(&m->streams);
	pool_free(&m->chunks);
	pool_free(&m->nodes);
	bufs_free(&m->bufs);
}

/* ---- The table ---- */

/* Multiply-shift with an odd number that the peer does not know (an address, so that nothing
 * here needs entropy): it decides which of its streams stay open, and would otherwise be
 * able to keep thousands in one chain. */
static uint32_t slot_of(const struct streams *s, uint64_t id)
{
	return (uint32_t)(((id + 1) * s->hash_odd) >> (64 - s->table_shift));
}

static void table_insert(struct streams *s, struct stream *st)
{
	struct stream **slot = &s->table[slot_of(s, st->id)];

	st->next_hash = *slot;
	*slot = st;
}

/* table_resize; failing changes nothing, and a table too small is only slower. */
static void table_resize(struct streams *s, uint32_t shift)
{
	struct stream **table = calloc((size_t)1 << shift, sizeof(struct stream *));

	if (!table)
		return;
	free(s->table);
	s->table = table;
	s->table_shift = shift;
	for (struct stream *st = s->all.head; st; st = st->links[LINK_ALL].next)
		table_insert(s, st);
}

struct stream *streams_find(const struct streams *s, uint64_t id)
{
	struct stream *st;

	if (!s->table)
		return NULL;
	for (st = s->table[slot_of(s, id)]; st; st = st->next_hash)
		if (st->id == id)
			return st;
	return NULL;
}

bool streams_forgotten(const struct streams *s, uint64_t id)
{
	const struct stream_limits *l = &s->limits[id_kind(id)];

	return spans_contain(&l->closed[id_is_ours(s, id)], id_number(id));
}

/* ---- Life ---- */

void streams_init(struct streams *s, const struct qx_conn_config *cfg,
		  struct stream_memory *memory, const struct streams_calls *calls, void *arg)
{
	const uint64_t windows[KIND_CNT] = {cfg->max_streams_bidi, cfg->max_streams_uni};

	memset(s, 0, sizeof(*s));
	s->is_client = cfg->is_client;
	s->manual_consume = cfg->manual_consume;
	s->memory = memory;
	s->env = (struct send_env){&memory->chunks, &memory->nodes, calls->released, arg};
	s->calls = calls;
	s->arg = arg;
	s->hash_odd = ((uintptr_t)s >> 4) * 0x9e3779b97f4a7c15u | 1;
	s->stream_window_bytes = cfg->max_stream_data_bytes;
	s->window_max_bytes =
		cfg->window_max_bytes ? cfg->window_max_bytes : FLOW_WINDOW_MAX_BYTES;
	flow_init(&s->flow, cfg->max_data_bytes, s->window_max_bytes);
	s->data_blocked_at = UINT64_MAX;
	for (uint32_t kind = 0; kind < KIND_CNT; kind++) {
		struct stream_limits *l = &s->limits[kind];

		l->window = windows[kind] < STREAMS_NUMBER_MAX ? windows[kind]
							       : STREAMS_NUMBER_MAX;
		l->ours = l->window;
		l->ours_sent = l->window;
		l->blocked_at = UINT64_MAX;
	}
}

void streams_drop(struct streams *s, struct stream *st)
{
	s->unsent_bytes -= send_stream_unsent(&st->send);
	send_stream_free(&st->send, &s->env);
	recv_stream_free(&st->recv, &s->memory->bufs);
	pool_give(&s->memory->streams, st);
}

void streams_free(struct streams *s)
{
	/* The dead are in no other list; the others are in the list of all as well. */
	while (s->touched) {
		struct stream *st = s->touched;

		s->touched = st->next_touched;
		if (st->dead)
			streams_drop(s, st);
	}
	while (s->all.head) {
		struct stream *st = s->all.head;

		s->all.head = st->links[LINK_ALL].next;
		streams_drop(s, st);
	}
	for (uint32_t kind = 0; kind < KIND_CNT; kind++) {
		spans_free(&s->limits[kind].closed[0]);
		spans_free(&s->limits[kind].closed[1]);
	}
	free(s->table);
	memset(s, 0, sizeof(*s));
}

static uint64_t initial_limit(const struct streams *s, uint64_t id)
{
	if (id_kind(id) == KIND_UNI)
		return id_is_ours(s, id) ? s->peer.max_stream_data_uni : 0;
	/* Named by the peer, who is at the other end of what "local" means. */
	return id_is_ours(s, id) ? s->peer.max_stream_data_bidi_remote
				 : s->peer.max_stream_data_bidi_local;
}

struct stream *streams_open(struct streams *s, uint64_t id)
{
	const bool ours = id_is_ours(s, id), bidi = id_kind(id) == KIND_BIDI;
	struct stream *st;

	if (!s->table)
		table_resize(s, TABLE_MIN_SHIFT);
	else if (s->stream_cnt >> s->table_shift && s->table_shift < TABLE_MAX_SHIFT)
		table_resize(s, s->table_shift + 1);
	if (!s->table)
		return NULL;
	st = pool_take(&s->memory->streams);
	if (!st)
		return NULL;
	memset(st, 0, sizeof(*st));
	st->id = id;
	st->has_send = ours || bidi;
	st->has_recv = !ours || bidi;
	send_stream_init(&st->send, initial_limit(s, id));
	recv_stream_init(&st->recv, s->stream_window_bytes, s->window_max_bytes);
	table_insert(s, st);
	queue_append(&s->all, st, LINK_ALL);
	s->stream_cnt++;
	return st;
}

void streams_remove(struct streams *s, struct stream *st)
{
	struct stream **at = &s->table[slot_of(s, st->id)];

	while (*at != st)
		at = &(*at)->next_hash;
	*at = st->next_hash;
	queue_remove(&s->all, st, LINK_ALL);
	streams_unlist(s, st);
	s->stream_cnt--;
	/* An idle connection that once had many streams is small again. */
	if (s->table_shift > TABLE_MIN_SHIFT && s->stream_cnt < 1u << (s->table_shift - 3))
		table_resize(s, s->table_shift - 1);
}

/* ---- Limits of the peer ---- */

static void rise(uint64_t *value, uint64_t to)
{
	if (*value < to)
		*value = to;
}

void streams_set_peer_limits(struct streams *s, const struct qx_peer_limits *limits)
{
	rise(&s->peer.max_stream_data_bidi_local, limits->max_stream_data_bidi_local);
	rise(&s->peer.max_stream_data_bidi_remote, limits->max_stream_data_bidi_remote);
	rise(&s->peer.max_stream_data_uni, limits->max_stream_data_uni);
	rise(&s->peer_max_data, limits->max_data);
	for (struct stream *st = s->all.head; st; st = st->links[LINK_ALL].next)
		if (st->has_send)
			streams_raise(s, st, initial_limit(s, st->id));
	rise(&s->limits[KIND_BIDI].theirs, limits->max_streams_bidi);
	rise(&s->limits[KIND_UNI].theirs, limits->max_streams_uni);
	streams_admit(s, KIND_BIDI);
	streams_admit(s, KIND_UNI);
}

static void begin_again(struct streams *s, struct stream *st)
{
	const uint64_t sent = st->send.next, unsent = send_stream_unsent(&st->send);

	send_stream_begin_again(&st->send);
	s->sent_data -= sent - st->send.next;
	s->unsent_bytes += send_stream_unsent(&st->send) - unsent;
	streams_unlist(s, st);
}

void streams_begin_again(struct streams *s)
{
	struct stream *st;

	s->peer = (struct qx_peer_limits){0};
	s->data_blocked_at = UINT64_MAX;
	for (uint32_t kind = 0; kind < KIND_CNT; kind++) {
		s->limits[kind].theirs = 0;
		s->limits[kind].blocked_at = UINT64_MAX;
	}
	for (st = s->all.head; st; st = st->links[LINK_ALL].next)
		if (st->has_send)
			begin_again(s, st);
	/* In the order of opening, whatever order they were in. */
	for (st = s->all.head; st; st = st->links[LINK_ALL].next) {
		streams_requeue(s, st);
		streams_control(s, st);
	}
	s->peer_max_data = s->sent_data;
}

/* ---- What it costs ---- */

static uint64_t stream_bytes(const struct streams *s, const struct stream *st)
{
	uint64_t bytes = sizeof(*st) + st->recv.buf_cap_bytes;

	if (!st->recv.buf)
		bytes = sizeof(*st);
	else if (st->recv.ahead)
		bytes += st->recv.buf_cap_bytes / 8;
	bytes += (st->send.acked.cap + st->send.resend.cap) * sizeof(struct range);
	for (const struct send_chunk *c = st->send.head; c; c = c->next)
		bytes += c->cap_bytes ? s->memory->chunks.block_bytes : sizeof(*c);
	return bytes;
}

uint64_t streams_memory_bytes(const struct streams *s)
{
	uint64_t bytes = s->table ? sizeof(*s->table) << s->table_shift : 0;

	for (const struct stream *st = s->all.head; st; st = st->links[LINK_ALL].next)
		bytes += stream_bytes(s, st);
	for (const struct stream *st = s->touched; st; st = st->next_touched)
		if (st->dead)
			bytes += stream_bytes(s, st);
	for (uint32_t kind = 0; kind < KIND_CNT; kind++)
		for (uint32_t who = 0; who < 2; who++)
			bytes += s->limits[kind].closed[who].cap * sizeof(struct range);
	return bytes;
}
