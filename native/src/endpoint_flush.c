/* endpoint_flush.c: the sending half of a turn.
 *
 * Dirty connections are visited in turn, QUANTUM_PACKETS each at a time, until none has
 * anything more that may go now or the datapath is full.  Packets are built where they will
 * be sent from.  A visit that ends a connection's turn arms its deadline; one that the
 * datapath had no room for stays in the list, unarmed: room is what it waits for. */
#include <errno.h>

#include "engine.h"

enum {
	QUANTUM_PACKETS = 16,
	DATAGRAM_MIN_BYTES = 1200
};

enum visit {
	VISIT_DONE,
	VISIT_MORE,
	VISIT_FULL
};

/* reserve: how many slots there are, 0 none now, or -errno. */
static int reserve(struct qx_engine *e, struct qx_conn *c, struct qx_slot *slots, uint32_t n)
{
	int got = qx_reserve(e->dp, &c->path, c->datagram_bytes, slots, n);

	if (got == -EMSGSIZE && c->datagram_bytes > DATAGRAM_MIN_BYTES) {
		/* The interface has an MTU smaller than the caller thought. */
		c->datagram_bytes = DATAGRAM_MIN_BYTES;
		got = qx_reserve(e->dp, &c->path, c->datagram_bytes, slots, n);
	}
	if (got != 0)
		return got;
	/* Full of what this flush has queued?  Then that goes first. */
	qx_flush(e->dp);
	return qx_reserve(e->dp, &c->path, c->datagram_bytes, slots, n);
}

static enum visit visit(struct qx_engine *e, struct qx_conn *c, uint64_t now_ns)
{
	struct qx_slot slots[QUANTUM_PACKETS];
	uint32_t want, built = 0;
	int got;

	streams_reap(&c->streams);
	want = conn_want_packets(c, now_ns, QUANTUM_PACKETS);
	if (want == 0) {
		c->wait = WAIT_NOTHING;
		return VISIT_DONE;
	}
	got = c->has_path ? reserve(e, c, slots, want) : -ENETUNREACH;
	if (got <= 0) {
		c->wait = got < 0 ? WAIT_PATH : WAIT_NOTHING;
		return got < 0 ? VISIT_DONE : VISIT_FULL;
	}
	while (built < (uint32_t)got) {
		struct qx_slot *s = &slots[built];

		s->len_bytes = conn_build_packet(c, s->data, s->len_bytes, now_ns, &s->ecn);
		if (s->len_bytes == 0)
			break;
		built++;
	}
	for (uint32_t i = built; i < (uint32_t)got; i++)
		slots[i].len_bytes = 0;
	qx_commit(e->dp, slots, (uint32_t)got);
	return built == (uint32_t)got ? VISIT_MORE : VISIT_DONE;
}

int qx_engine_flush(struct qx_engine *e, uint64_t now_ns)
{
	struct qx_conn *c;
	bool full = false;

	if (!e->dp)
		return -EINVAL;
	while (!full && (c = e->lists[CONN_DIRTY].head)) {
		const enum visit v = visit(e, c, now_ns);

		full = v == VISIT_FULL;
		deadlines_set(&e->deadlines, c,
			      v == VISIT_DONE ? conn_deadline(c) : QX_NEVER_NS);
		if (full)
			break;
		engine_unlist(c, CONN_DIRTY);
		if (v == VISIT_MORE)
			engine_list(c, CONN_DIRTY);
	}
	return qx_flush(e->dp) > 0 || full;
}
