/* deadlines.c: sift up, sift down; each connection knows its place. */
#include "deadlines.h"

#include <errno.h>
#include <stdlib.h>

#include "conn.h"

enum {
	CAP_MIN = 64
};

int deadlines_reserve(struct deadlines *d, uint32_t cnt)
{
	uint32_t cap = d->cap ? d->cap : CAP_MIN;
	struct deadline *heap;

	if (cnt <= d->cap)
		return 0;
	while (cap < cnt)
		cap *= 2;
	heap = realloc(d->heap, cap * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	d->heap = heap;
	d->cap = cap;
	return 0;
}

void deadlines_free(struct deadlines *d)
{
	free(d->heap);
	*d = (struct deadlines){0};
}

static void put(struct deadlines *d, uint32_t i, struct deadline entry)
{
	d->heap[i] = entry;
	entry.conn->heap_index = i;
}

static void sift(struct deadlines *d, uint32_t i, struct deadline entry)
{
	uint32_t child;

	while (i > 0 && d->heap[(i - 1) / 2].at_ns > entry.at_ns) {
		put(d, i, d->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	while ((child = 2 * i + 1) < d->cnt) {
		if (child + 1 < d->cnt && d->heap[child + 1].at_ns < d->heap[child].at_ns)
			child++;
		if (d->heap[child].at_ns >= entry.at_ns)
			break;
		put(d, i, d->heap[child]);
		i = child;
	}
	put(d, i, entry);
}

static void take_out(struct deadlines *d, uint32_t i)
{
	const struct deadline last = d->heap[--d->cnt];

	d->heap[i].conn->heap_index = DEADLINES_NOWHERE;
	if (i < d->cnt)
		sift(d, i, last);
}

void deadlines_set(struct deadlines *d, struct qx_conn *c, uint64_t at_ns)
{
	const uint32_t i = c->heap_index;

	if (at_ns == QX_NEVER_NS) {
		if (i != DEADLINES_NOWHERE)
			take_out(d, i);
		return;
	}
	if (i != DEADLINES_NOWHERE && d->heap[i].at_ns == at_ns)
		return;
	sift(d, i == DEADLINES_NOWHERE ? d->cnt++ : i, (struct deadline){at_ns, c});
}

struct qx_conn *deadlines_pop(struct deadlines *d, uint64_t now_ns)
{
	struct qx_conn *c;

	if (d->cnt == 0 || d->heap[0].at_ns > now_ns)
		return NULL;
	c = d->heap[0].conn;
	take_out(d, 0);
	return c;
}
