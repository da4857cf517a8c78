/* udp_pair.h: two endpoints of the socket lane; closed after each test. */
#ifndef QX_UDP_PAIR_H
#define QX_UDP_PAIR_H

#include "udp_seam.h"

static struct qx_datapath *a, *b;

static void close_both(void)
{
	qx_close(a);
	qx_close(b);
	a = b = NULL;
}

static void after_each(void)
{
	close_both();
	check_descriptors();
}

static void open_two(struct qx_addr at_a, struct qx_addr at_b, uint32_t flags)
{
	close_both();
	memset(&seam, 0, sizeof(seam));
	a = open_at(at_a, flags);
	b = open_at(at_b, flags);
}

#endif
