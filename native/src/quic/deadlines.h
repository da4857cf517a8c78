/* deadlines.h: the next deadline of every connection, as a binary heap. */
#ifndef QX_DEADLINES_H
#define QX_DEADLINES_H

#include <stdint.h>

#include "quicxdp_engine.h"

#define DEADLINES_NOWHERE UINT32_MAX

struct deadline {
	uint64_t at_ns;
	struct qx_conn *conn;
};

struct deadlines {
	struct deadline *heap;
	uint32_t cnt, cap;
};

/* deadlines_reserve makes room for cnt connections, so that nothing else here can fail. */
int deadlines_reserve(struct deadlines *d, uint32_t cnt);
void deadlines_free(struct deadlines *d);
/* deadlines_set arms, moves or (QX_NEVER_NS) disarms a connection's deadline. */
void deadlines_set(struct deadlines *d, struct qx_conn *c, uint64_t at_ns);
/* deadlines_pop takes a connection whose deadline has passed, or gives NULL. */
struct qx_conn *deadlines_pop(struct deadlines *d, uint64_t now_ns);

static inline uint64_t deadlines_next(const struct deadlines *d)
{
	return d->cnt > 0 ? d->heap[0].at_ns : QX_NEVER_NS;
}

#endif
