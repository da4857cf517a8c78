/* ifinfo.h: what the kernel says about one network interface, asked when opening.
 *
 * All questions go to the network namespace of the calling thread.  Cost: each opens and
 * closes a descriptor of its own; none is for the packet path. */
#ifndef QX_IFINFO_H
#define QX_IFINFO_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp.h"

struct ifinfo {
	uint32_t ifindex;
	uint32_t mtu_bytes;
	uint32_t rx_queue_cnt; /* in use now, not what the hardware could have */
	uint8_t mac[6];
	bool loopback;
	bool ethernet;
	char driver[32]; /* "" where the driver does not tell */
};

/* ifinfo_get.  -ENODEV no such interface. */
int ifinfo_get(struct ifinfo *out, const char *name);

/* ifinfo_addrs writes the interface's IP addresses (port 0), at most max.  Returns how
 * many, or -errno. */
int ifinfo_addrs(const char *name, struct qx_addr *out, uint32_t max);

/* The XDP program on an interface.  mode is XDP_ATTACHED_* of linux/if_link.h, 0 (none) if
 * there is no program; id is 0 where several modes are in use. */
struct ifinfo_xdp {
	uint32_t id;
	uint8_t mode;
};

int ifinfo_get_xdp(struct ifinfo_xdp *out, uint32_t ifindex);

/* enum netdev_xdp_act of linux/netdev.h, what we look at. */
#define IFINFO_XSK_ZEROCOPY (UINT64_C(1) << 3)

/* ifinfo_xdp_features asks what the driver says that it can: a hint, no promise.
 * -ENOENT the kernel cannot tell (before 6.3). */
int ifinfo_xdp_features(uint64_t *out, uint32_t ifindex);

#endif
