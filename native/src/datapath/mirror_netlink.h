/* mirror_netlink.h: the socket that keeps a mirror up to date.
 *
 * One NETLINK_ROUTE socket of the network namespace in which it is opened: everything is
 * dumped once, events follow.  Lost messages (ENOBUFS), or ones that do not fit what is known,
 * mean another dump, and until it is in the mirror says that it is unsure.  Dumps have a pause
 * between them in proportion to how long they are. */
#ifndef QX_MIRROR_NETLINK_H
#define QX_MIRROR_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "nic.h"

struct qx_mirror_netlink;

/* mirror_netlink_open dumps everything before it returns.  0 or -errno. */
int mirror_netlink_open(struct qx_mirror_netlink **out, uint32_t ifindex, const uint8_t *mac);
void mirror_netlink_close(struct qx_mirror_netlink *n);

/* mirror_netlink_fd is readable while there is something to read. */
int mirror_netlink_fd(const struct qx_mirror_netlink *n);

enum mirror_read {
	MIRROR_READ_SOME = 1, /* messages came: answers may be different */
	MIRROR_READ_LINK =
		2, /* some link of the namespace changed: the caller's may be gone */
	MIRROR_READ_ADDRESSES = 4 /* mirror_netlink_addrs may answer differently */
};

/* mirror_netlink_read takes a bounded number of messages.  Returns enum mirror_read, or'ed.
 * Cost     a few system calls, counted in *syscalls; no allocation. */
uint32_t mirror_netlink_read(struct qx_mirror_netlink *n, uint64_t now_ns,
			     uint64_t *syscalls);

/* mirror_netlink_way is struct qx_nic_ops' way.
 * Cost     none but memory; one system call per MIRROR_SOLICIT_NS and stale neighbour. */
bool mirror_netlink_way(struct qx_mirror_netlink *n, const struct qx_path *path,
			uint64_t now_ns, struct qx_way *out);

/* mirror_netlink_addrs writes the interface's IP addresses (port 0), at most max.  Returns how
 * many, or -EAGAIN while they are being read. */
int mirror_netlink_addrs(const struct qx_mirror_netlink *n, struct qx_addr *out,
			 uint32_t max);

/* mirror_netlink_outgrows: has the interface another MAC address, or a larger MTU than this?
 * Then who was opened for that does not take all that is for it. */
bool mirror_netlink_outgrows(const struct qx_mirror_netlink *n, uint32_t mtu_bytes);

/* mirror_netlink_stats adds the mirror_* counters and sets the gauge. */
void mirror_netlink_stats(const struct qx_mirror_netlink *n, struct qx_stats *out);

#endif
