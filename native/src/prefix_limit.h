/* prefix_limit.h: how many new connections one network may begin, in bounded memory.
 *
 * A network is what one party has at its disposal at least: an IPv4 /24, the smallest block
 * that is routed on the Internet, and an IPv6 /56, what a site is commonly given (RIPE-690
 * section 4.2); whoever owns one can use all its addresses, and a single customer hardly
 * more.
 *
 * Each has a budget of burst_cnt that fills up by one per interval: as a point in time, by
 * when the budget is full again (the "generic cell rate algorithm"), so that nothing has to
 * be filled up.  Whoever is refused pays nothing: at any rate above the limit just the limit
 * passes. */
#ifndef QX_PREFIX_LIMIT_H
#define QX_PREFIX_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp.h"

/* rate_passes takes one from a budget that is full again at *full_ns, and grows by one per
 * interval_ns up to burst_ns / interval_ns; false: there is none. */
static inline bool rate_passes(uint64_t *full_ns, uint64_t now_ns, uint64_t interval_ns,
			       uint64_t burst_ns)
{
	if (*full_ns < now_ns)
		*full_ns = now_ns;
	if (*full_ns - now_ns + interval_ns > burst_ns)
		return false;
	*full_ns += interval_ns;
	return true;
}

struct prefix_limit {
	struct qx_addr_table *table; /* value: uint64_t, when the budget is full again */
	uint64_t interval_ns;        /* 0: no limit */
	uint64_t burst_ns;
};

/* prefix_limit_open: -ENOMEM.  Of more networks than prefix_cnt those heard last are kept. */
int prefix_limit_open(struct prefix_limit *l, uint32_t prefix_cnt, uint64_t interval_ns,
		      uint32_t burst_cnt);
void prefix_limit_close(struct prefix_limit *l);

/* prefix_limit_passes takes one from the budget of peer's network; false: it has none. */
bool prefix_limit_passes(struct prefix_limit *l, const struct qx_addr *peer, uint64_t now_ns);

#endif
