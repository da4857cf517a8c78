/* spans.h: a set of stream offsets or stream numbers as sorted disjoint ranges, growing.
 *
 * Ascending, unlike ranges.h, because a stream is sent, acknowledged and closed from the
 * front.  Two ranges are inline: most streams never allocate.  The caller bounds the growth;
 * what then happens is written at each function, and none of them ever loses a member that
 * the caller still counts on. */
#ifndef QX_SPANS_H
#define QX_SPANS_H

#include <stdbool.h>
#include <stdint.h>

#include "ranges.h"

enum {
	SPANS_INLINE = 2
};

struct spans {
	struct range *at; /* NULL: few holds them */
	uint32_t first;   /* index of the lowest range */
	uint32_t cnt;
	uint32_t cap; /* of at */
	uint32_t zero;
	struct range few[SPANS_INLINE];
};

void spans_init(struct spans *s);
void spans_free(struct spans *s);

static inline const struct range *spans_get(const struct spans *s, uint32_t i)
{
	return (s->at ? s->at : s->few) + s->first + i;
}

/* spans_add adds [start, end).  Returns false, changing nothing, if that would need more
 * than max ranges or memory that there is not. */
bool spans_add(struct spans *s, uint64_t start, uint64_t end, uint32_t max);
/* spans_cover adds [start, end) too, but never fails: without room for one more range it
 * widens the nearest one, so that the set holds what lies between as well. */
void spans_cover(struct spans *s, uint64_t start, uint64_t end, uint32_t max);
/* spans_remove takes [start, end) out.  Without room to split a range, it stays whole. */
void spans_remove(struct spans *s, uint64_t start, uint64_t end, uint32_t max);
/* spans_drop_below takes everything below limit out. */
void spans_drop_below(struct spans *s, uint64_t limit);
bool spans_contain(const struct spans *s, uint64_t value);
/* spans_after is the index of the first range that ends above value; cnt if none does. */
uint32_t spans_after(const struct spans *s, uint64_t value);

#endif
