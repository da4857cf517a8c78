/* datapath_pair.h: an endpoint with a socket lane and a device that a test plays (fake_device.h),
 * and a peer that has a socket only. */
#ifndef QX_DATAPATH_PAIR_H
#define QX_DATAPATH_PAIR_H

#include "fake_device.h"
#include "udp_seam.h"

static struct qx_datapath *dp, *peer;
static uint64_t now_ns;

static inline void close_both(void)
{
	qx_close(dp);
	qx_close(peer);
	dp = peer = NULL;
	if (fake.refs == 0 && fake.ports == 0)
		return;
	printf("FAIL the device was not given back\n");
	exit(1);
}

static inline void after_each(void)
{
	close_both();
	check_descriptors();
}

static inline struct qx_config with_interface(uint32_t flags)
{
	return (struct qx_config){
		.local = loopback4(1, 0),
		.interface = "fake0",
		.socket_fd = -1,
		.flags = flags,
	};
}

static inline void open_both(uint32_t flags)
{
	struct qx_config cfg = with_interface(flags);

	close_both();
	memset(&seam, 0, sizeof(seam));
	fake_reset();
	now_ns = 1000000000;
	dp = open_config(&cfg);
	peer = open_at(loopback4(1, 0), 0);
}

#endif
