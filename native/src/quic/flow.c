/* flow.c: when a window moves, and when it grows. */
#include "flow.h"

#include <string.h>

#include "varint.h"

static uint64_t capped(uint64_t v)
{
	return v < QX_VARINT_MAX ? v : QX_VARINT_MAX;
}

void flow_init(struct flow *f, uint64_t window_bytes, uint64_t window_max_bytes)
{
	memset(f, 0, sizeof(*f));
	f->window_bytes = capped(window_bytes);
	f->window_max_bytes = capped(window_max_bytes);
	if (f->window_max_bytes < f->window_bytes)
		f->window_max_bytes = f->window_bytes;
	f->limit = f->window_bytes;
	f->limit_sent = f->window_bytes;
}

bool flow_received(struct flow *f, uint64_t new_bytes)
{
	if (new_bytes > f->limit_sent || f->received > f->limit_sent - new_bytes)
		return false;
	f->received += new_bytes;
	return true;
}

/* half_used: the window is worth moving.  Never for less than half of it: an announcement
 * costs a packet.  Never later: a peer that has used its credit up waits for us. */
static bool half_used(const struct flow *f)
{
	return f->limit - f->consumed <= f->window_bytes / 2;
}

static bool move(struct flow *f)
{
	uint64_t limit = capped(f->consumed + f->window_bytes);

	if (limit <= f->limit)
		return false;
	f->limit = limit;
	return true;
}

bool flow_consumed(struct flow *f, uint64_t bytes, uint64_t smoothed_rtt_ns, uint64_t now_ns)
{
	f->consumed += bytes;
	if (!half_used(f))
		return false;
	if (f->moved_ns && now_ns - f->moved_ns < 2 * smoothed_rtt_ns) {
		f->window_bytes *= 2;
		if (f->window_bytes > f->window_max_bytes)
			f->window_bytes = f->window_max_bytes;
	}
	f->moved_ns = now_ns;
	return move(f);
}

bool flow_discarded(struct flow *f, uint64_t bytes)
{
	f->consumed += bytes;
	return half_used(f) && move(f);
}
