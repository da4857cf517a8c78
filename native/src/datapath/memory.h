/* memory.h: the simulated NIC, as the rest of the datapath sees it.
 *
 * memory.c plays the kernel's side of the four rings of one end of a link; the link itself
 * (memory_link.c) carries frames from end to end on virtual time.  The public half, the
 * qx_link_* calls, stands in quicxdp.h. */
#ifndef QX_MEMORY_H
#define QX_MEMORY_H

#include <stdint.h>

#include "nic.h"
#include "quicxdp.h"

/* memory_nic_open gives the NIC at one end of a link, for device_wrap.
 *
 * Several endpoints may share an end: the second call returns the same NIC, with local
 * added to its addresses, and device_wrap then returns the same device.
 *
 * Returns  0 and *out, or -errno with why filled as qx_open does.
 * Owner    the device made of it; the link must outlive the device.
 * Errors   -EINVAL no such end, or local is no address that a wire carries (unspecified,
 *          loopback, multicast, broadcast); -ENOSPC too many addresses; -ENOMEM, -EMFILE. */
int memory_nic_open(struct qx_nic **out, struct qx_link *link, uint32_t end,
		    const struct qx_nic_config *cfg, const struct qx_addr *local, char *why);

#endif
