/* zero_rtt.c: what becomes of 0-RTT packets that the server does not see, or does not want. */
#include <errno.h>

#include "engine.h"

void qx_conn_lose_zero_rtt(struct qx_conn *c, uint64_t now_ns)
{
	recovery_lose_zero_rtt(&c->recovery, now_ns);
	engine_dirty(c);
}

int qx_conn_reject_zero_rtt(struct qx_conn *c, const struct qx_peer_limits *limits,
			    uint64_t now_ns)
{
	/* With 1-RTT packets under way, it would not be true that nothing was seen. */
	if (c->keys[QX_EPOCH_ONE_RTT][1])
		return -EINVAL;
	qx_conn_teardown(c, QX_EPOCH_ZERO_RTT, 1);
	conn_drop_draft(c);
	recovery_reject_zero_rtt(&c->recovery, now_ns);
	streams_begin_again(&c->streams);
	c->peer_datagram_bytes = 0;
	qx_conn_set_peer_limits(c, limits);
	return 0;
}
