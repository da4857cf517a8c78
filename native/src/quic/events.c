/* events.c: the list of events, and what streams have to tell at the end of a turn. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum {
	EVENTS_MIN = 256,
	EVENTS_KEPT = 1 << 13, /* a list that grew beyond shrinks after its turn */
	EVENTS_AHEAD = 64,
	PACKET_OVERHEAD_BYTES = 64 /* struct qx_upcall, and rounding */
};

/* ---- The list ---- */

/* grow makes room for cnt more events, besides those promised. */
static bool grow(struct qx_engine *e, uint64_t cnt)
{
	const uint64_t want = e->event_cnt + e->promised_cnt + cnt;
	uint64_t cap = e->event_cap ? e->event_cap : EVENTS_MIN;
	struct qx_event *events;

	if (want <= e->event_cap)
		return true;
	while (cap < want)
		cap *= 2;
	events = cap <= UINT32_MAX ? realloc(e->events, cap * sizeof(*events)) : NULL;
	if (!events)
		return false;
	e->events = events;
	e->event_cap = (uint32_t)cap;
	return true;
}

bool engine_make_room(struct qx_engine *e, uint32_t len_bytes)
{
	return grow(e, EVENTS_AHEAD) &&
	       arena_ensure(&e->arena, len_bytes + PACKET_OVERHEAD_BYTES);
}

static void begin(struct qx_event *ev, const struct qx_conn *c, uint8_t type)
{
	*ev = (struct qx_event){.conn = c ? c->cfg.id : UINT32_MAX, .type = type};
}

struct qx_event *engine_event(struct qx_engine *e, struct qx_conn *c, uint8_t type)
{
	struct qx_event *ev = &e->spilled;

	if (grow(e, 1))
		ev = &e->events[e->event_cnt++];
	else if (c)
		conn_fail(c, ERR_INTERNAL, FRAME_TYPE_NONE, "Out of memory");
	begin(ev, c, type);
	return ev;
}

int engine_promise(struct qx_conn *c)
{
	struct qx_engine *e = c->engine;

	if (!grow(e, 1))
		return -ENOMEM;
	e->promised_cnt++;
	c->promised_cnt++;
	return 0;
}

void engine_unpromise(struct qx_conn *c, uint64_t cnt)
{
	c->engine->promised_cnt -= cnt;
	c->promised_cnt -= cnt;
}

struct qx_event *engine_promised(struct qx_conn *c, uint8_t type)
{
	struct qx_engine *e = c->engine;
	struct qx_event *ev = &e->events[e->event_cnt++];

	assert(c->promised_cnt > 0);
	engine_unpromise(c, 1);
	begin(ev, c, type);
	return ev;
}

uint8_t *engine_event_bytes(struct qx_engine *e, struct qx_event *ev, uint32_t len_bytes)
{
	uint8_t *p = arena_take(&e->arena, len_bytes);

	if (!p)
		return NULL;
	ev->data = p;
	ev->len_bytes = len_bytes;
	return p;
}

/* ---- What streams have received ---- */

/* Until the turn ends, value links the places that this connection has taken. */
void engine_stream_event(struct qx_conn *c, uint64_t stream_id, uint16_t path,
			 uint64_t now_ns)
{
	struct qx_engine *e = c->engine;
	struct qx_event *ev = engine_event(e, c, QX_EV_STREAM_DATA);

	ev->stream_id = stream_id;
	ev->path = path;
	ev->time_ns = now_ns;
	if (ev == &e->spilled)
		return;
	if (c->data_last)
		e->events[c->data_last - 1].value = e->event_cnt;
	else
		c->data_first = e->event_cnt;
	c->data_last = e->event_cnt;
}

/* The place that was taken for a stream.  News come in the order in which places were taken,
 * so the list is walked once; places passed over stay empty: their stream was stopped. */
static struct qx_event *take_place(struct qx_conn *c, uint64_t stream_id)
{
	struct qx_event *events = c->engine->events;

	while (c->data_first) {
		struct qx_event *ev = &events[c->data_first - 1];

		c->data_first = (uint32_t)ev->value;
		ev->value = 0;
		if (ev->stream_id == stream_id)
			return ev;
	}
	return NULL;
}

static void tell_streams(struct qx_conn *c, uint64_t now_ns)
{
	struct stream_news news;
	struct qx_event *ev;

	while (streams_news(&c->streams, &news, c->recovery.rtt.smoothed_ns, now_ns)) {
		if (news.len_bytes == 0 && !news.fin)
			continue; /* a reset, which has been told */
		ev = take_place(c, news.id);
		if (!ev) {
			ev = engine_event(c->engine, c, QX_EV_STREAM_DATA);
			ev->stream_id = news.id;
			ev->time_ns = now_ns;
		}
		ev->data = news.data;
		ev->len_bytes = news.len_bytes;
		ev->flags = news.fin ? QX_EV_FIN : 0;
		if (news.len_bytes > 0 && !c->in_list[CONN_TOLD])
			engine_list(c, CONN_TOLD);
	}
	take_place(c, UINT64_MAX);
	c->data_last = 0;
	streams_reap(&c->streams);
}

void engine_end_turn(struct qx_engine *e, uint64_t now_ns)
{
	struct qx_conn *c;

	while ((c = e->lists[CONN_TURN].head)) {
		engine_unlist(c, CONN_TURN);
		tell_streams(c, now_ns);
	}
}

/* ---- The caller ---- */

uint32_t qx_engine_events(struct qx_engine *e, const struct qx_event **events,
			  const struct qx_path **paths)
{
	*events = e->events;
	if (paths)
		*paths = e->paths;
	return e->event_cnt;
}

/* A list that one turn made long does not stay so. */
static void shrink(struct qx_engine *e)
{
	struct qx_event *events;

	if (e->event_cap <= EVENTS_KEPT || e->promised_cnt + EVENTS_AHEAD > EVENTS_KEPT)
		return;
	events = realloc(e->events, EVENTS_KEPT * sizeof(*events));
	if (!events)
		return;
	e->events = events;
	e->event_cap = EVENTS_KEPT;
}

void qx_engine_events_done(struct qx_engine *e)
{
	struct qx_conn *c;

	while ((c = e->lists[CONN_TOLD].head)) {
		engine_unlist(c, CONN_TOLD);
		streams_settle(&c->streams);
	}
	while ((c = e->closed)) {
		e->closed = c->links[CONN_TOLD].next;
		conn_destroy(c);
	}
	e->event_cnt = 0;
	e->path_cnt = 0;
	shrink(e);
	arena_empty(&e->arena);
}

void engine_free_events(struct qx_engine *e)
{
	qx_engine_events_done(e);
	free(e->events);
	free(e->paths);
	arena_free(&e->arena);
}
