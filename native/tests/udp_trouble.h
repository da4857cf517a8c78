/* udp_trouble.h: what tests of a socket lane in trouble expect of it. */
#ifndef QX_UDP_TROUBLE_H
#define QX_UDP_TROUBLE_H

#include "udp_pair.h"

static void open_flags(uint32_t flags)
{
	open_two(loopback4(1, 0), loopback4(1, 0), flags);
}

static void expect_error(struct qx_datapath *dp, int code, const struct qx_addr *peer)
{
	struct qx_error error;

	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, code);
	if (peer)
		T_EQ(memcmp(&error.peer, peer, sizeof(*peer)), 0);
}

static void expect_no_error(struct qx_datapath *dp)
{
	struct qx_error error;

	T_EQ(qx_next_error(dp, &error), 0);
}

#endif
