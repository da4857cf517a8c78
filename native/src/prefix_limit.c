/* prefix_limit.c: see prefix_limit.h. */
#include "prefix_limit.h"

#include <string.h>

#include "addr_table.h"

enum {
	PREFIX_BYTES_IPV4 = 3,
	PREFIX_BYTES_IPV6 = 7
};

int prefix_limit_open(struct prefix_limit *l, uint32_t prefix_cnt, uint64_t interval_ns,
		      uint32_t burst_cnt)
{
	*l = (struct prefix_limit){.interval_ns = interval_ns,
				   .burst_ns = interval_ns * burst_cnt};
	if (interval_ns == 0)
		return 0;
	return addr_table_open(&l->table, prefix_cnt, sizeof(uint64_t));
}

void prefix_limit_close(struct prefix_limit *l)
{
	if (l->table)
		addr_table_close(l->table);
	l->table = NULL;
}

bool prefix_limit_passes(struct prefix_limit *l, const struct qx_addr *peer, uint64_t now_ns)
{
	struct qx_addr prefix = {.family = peer->family};

	if (l->interval_ns == 0)
		return true;
	memcpy(prefix.ip, peer->ip,
	       peer->family == QX_IPV4 ? PREFIX_BYTES_IPV4 : PREFIX_BYTES_IPV6);
	return rate_passes(addr_table_put(l->table, &prefix, now_ns), now_ns, l->interval_ns,
			   l->burst_ns);
}
