/* spans.c: a sorted array that is used from the front, so that dropping there is free. */
#include "spans.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct range *base(struct spans *s)
{
	return (s->at ? s->at : s->few) + s->first;
}

void spans_init(struct spans *s)
{
	memset(s, 0, sizeof(*s));
}

void spans_free(struct spans *s)
{
	free(s->at);
	spans_init(s);
}

uint32_t spans_after(const struct spans *s, uint64_t value)
{
	uint32_t low = 0, high = s->cnt;

	/* Whoever asks mostly asks about the last range or what lies behind it. */
	if (high > 0 && spans_get(s, high - 1)->end <= value)
		return high;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (spans_get(s, mid)->end > value)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

bool spans_contain(const struct spans *s, uint64_t value)
{
	uint32_t i = spans_after(s, value);

	return i < s->cnt && spans_get(s, i)->start <= value;
}

/* room_for_one moves the ranges to the front of their array, or to a larger one, so that one
 * more fits behind them. */
static bool room_for_one(struct spans *s, uint32_t max)
{
	uint32_t cap = s->at ? s->cap : SPANS_INLINE;
	struct range *at;

	assert(cap >= SPANS_INLINE);
	if (s->cnt >= max)
		return false;
	if (s->first + s->cnt < cap)
		return true;
	/* Moving pays only if it does not have to be done again soon. */
	if (s->cnt < cap && (s->first >= cap / 4 || !s->at)) {
		memmove(base(s) - s->first, base(s), s->cnt * sizeof(*at));
		s->first = 0;
		return true;
	}
	if (cap > UINT32_MAX / 4)
		return false;
	at = malloc((size_t)cap * 2 * sizeof(*at));
	if (!at)
		return false;
	memcpy(at, base(s), s->cnt * sizeof(*at));
	free(s->at);
	s->at = at;
	s->cap = cap * 2;
	s->first = 0;
	return true;
}

static bool insert(struct spans *s, uint32_t i, uint64_t start, uint64_t end, uint32_t max)
{
	struct range *r;

	if (i == 0 && s->first > 0 && s->cnt < max) {
		s->first--;
		r = base(s);
	} else if (room_for_one(s, max)) {
		r = base(s) + i;
		memmove(r + 1, r, (s->cnt - i) * sizeof(*r));
	} else {
		return false;
	}
	*r = (struct range){start, end};
	s->cnt++;
	return true;
}

static void drop(struct spans *s, uint32_t i, uint32_t cnt)
{
	struct range *r = base(s) + i;

	s->cnt -= cnt;
	if (i == 0)
		s->first += cnt;
	else
		memmove(r, r + cnt, (s->cnt - i) * sizeof(*r));
	if (s->cnt > 0)
		return;
	s->first = 0;
	/* Rare enough to be worth no cache: a stream that lost this much is over soon. */
	if (s->at)
		spans_free(s);
}

bool spans_add(struct spans *s, uint64_t start, uint64_t end, uint32_t max)
{
	uint32_t i, last;
	struct range *r;

	if (start >= end)
		return true;
	/* The first range that touches the new one, and the first that does not any more. */
	i = start > 0 ? spans_after(s, start - 1) : 0;
	if (i == s->cnt || spans_get(s, i)->start > end)
		return insert(s, i, start, end, max);
	last = i;
	while (last + 1 < s->cnt && spans_get(s, last + 1)->start <= end)
		last++;
	r = base(s) + i;
	if (start < r->start)
		r->start = start;
	if (end < base(s)[last].end)
		end = base(s)[last].end;
	if (end > r->end)
		r->end = end;
	if (last > i)
		drop(s, i + 1, last - i);
	return true;
}

void spans_cover(struct spans *s, uint64_t start, uint64_t end, uint32_t max)
{
	uint32_t i;

	/* At least one range is there to be widened: the inline ones need no memory. */
	if (spans_add(s, start, end, max))
		return;
	i = spans_after(s, start);
	if (i == s->cnt || (i > 0 && start - base(s)[i - 1].end < base(s)[i].start - end))
		base(s)[i - 1].end = end;
	else
		base(s)[i].start = start;
}

void spans_remove(struct spans *s, uint64_t start, uint64_t end, uint32_t max)
{
	uint32_t i, last;

	if (start >= end)
		return;
	i = spans_after(s, start);
	if (i == s->cnt || base(s)[i].start >= end)
		return;
	if (base(s)[i].start < start) {
		uint64_t was_end = base(s)[i].end;

		if (was_end > end) {
			if (insert(s, i + 1, end, was_end, max))
				base(s)[i].end = start;
			return;
		}
		base(s)[i++].end = start;
	}
	for (last = i; last < s->cnt && base(s)[last].end <= end; last++)
		;
	if (last < s->cnt && base(s)[last].start < end)
		base(s)[last].start = end;
	if (last > i)
		drop(s, i, last - i);
}

void spans_drop_below(struct spans *s, uint64_t limit)
{
	uint32_t cnt = 0;

	while (cnt < s->cnt && base(s)[cnt].end <= limit)
		cnt++;
	if (cnt > 0)
		drop(s, 0, cnt);
	if (s->cnt > 0 && base(s)->start < limit)
		base(s)->start = limit;
}
