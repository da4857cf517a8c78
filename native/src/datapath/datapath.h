/* datapath.h: what datapath.c (life), datapath_config.c, datapath_join.c (the interface) and
 * datapath_io.c (packets) share. */
#ifndef QX_DATAPATH_H
#define QX_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "acl.h"
#include "addr_table.h"
#include "device.h"
#include "errors.h"
#include "icmp.h"
#include "quicxdp.h"
#include "tap.h"
#include "udp.h"
#include "wait.h"

/* An endpoint on several interfaces is a chain of these, one for each.  The first is the
 * caller's; the others hold what belongs to an interface (from nic to deferred_error, starved
 * and want_write of their lane) and borrow socket, rules and wait set from it. */
struct qx_datapath {
	struct qx_datapath *next; /* the same endpoint on its next interface, or NULL */
	uint32_t fork_generation; /* of the process that opened it */
	uint32_t flags;           /* enum qx_config_flags */
	struct qx_addr local;
	struct qx_addr remote; /* QX_UNSPEC: not connected */
	struct qx_acl *acl;    /* NULL: everybody may send to us */
	struct qx_wait *wait;
	struct qx_udp *udp;       /* NULL in the simulation */
	struct qx_nic_config nic; /* how its interface is opened; no name: never */
	struct qx_device *dev;    /* NULL without an interface */
	struct qx_port *port;
	bool port_sends;        /* what it can reach; else the port only receives */
	bool port_down;         /* the interface is gone */
	bool port_stale;        /* and this, that it changed: see qx_rejoin */
	struct qx_stats left;   /* what was counted on devices that it has left */
	int32_t deferred_error; /* of the port, which qx_recv has yet to tell */
	bool simulated;         /* deadlines are virtual: nobody may wait for them */

	bool lent; /* a batch is at the caller's */
	bool rings_were_busy;
	bool socket_was_empty;
	uint32_t turns_without_socket; /* qx_recv calls since the socket was asked */
	uint64_t socket_asked_ns;

	struct qx_tap *tap;                /* NULL: nobody wants to see our packets */
	uint32_t tap_interface;            /* of the socket lane */
	struct qx_path reserved_path;      /* with a tap: from qx_reserve to qx_commit */
	struct qx_addr_table *tap_sources; /* with a tap on a wildcard: see datapath_tap.c */

	struct qx_icmp *icmp; /* NULL in the simulation */
	uint64_t now_ns;      /* as the last qx_recv was told */

	enum qx_lane reserved_lane; /* from qx_reserve to qx_commit */
	struct qx_port *reserved_port;
	uint32_t reserved_cnt;
	uint32_t reserved_bytes;      /* of each */
	bool starved[QX_LANE_CNT];    /* qx_reserve found nothing free */
	bool want_write[QX_LANE_CNT]; /* as the wait set has it */

	uint64_t turns, turns_empty; /* as in qx_stats */
	uint64_t drop[QX_DROP_CNT];
	struct qx_errors errors;
};

/* datapath_usable: -EPERM in a forked child, else 0. */
int datapath_usable(const struct qx_datapath *dp);

/* datapath_check_config refuses contradictions: -EINVAL with why. */
int datapath_check_config(const struct qx_config *cfg, char *why);

/* datapath_pick_family gives a local address that was left out the remote's family;
 * -EINVAL with why if there is none. */
int datapath_pick_family(struct qx_config *cfg, char *why);

/* datapath_open_simulated opens a datapath without a socket lane over a NIC that is not found
 * by name: qx_open_memory, and tests of other simulated NICs.  open_nic opens the NIC or
 * gives it once more to another endpoint; device_wrap then owns it.  Returns as qx_open. */
typedef int datapath_nic_opener(struct qx_nic **out, const struct qx_config *cfg, void *arg,
				char *why);
int datapath_open_simulated(struct qx_datapath **out, const struct qx_config *cfg,
			    datapath_nic_opener *open_nic, void *arg, char *why);

/* datapath_tap_received and datapath_tap_sent show the tap what the socket lane has appended
 * to a batch, or taken over; datapath_drop_tap ends the use of it. */
void datapath_tap_received(const struct qx_datapath *dp, const struct qx_batch *batch,
			   uint32_t first);
void datapath_tap_sent(struct qx_datapath *dp, const struct qx_slot *slots, uint32_t n);
void datapath_drop_tap(struct qx_datapath *dp);

/* datapath_member is the part of an endpoint on its interface number n, or NULL. */
static inline const struct qx_datapath *datapath_member(const struct qx_datapath *dp,
							uint32_t n)
{
	while (dp && n-- > 0)
		dp = dp->next;
	return dp;
}

/* datapath_join opens or shares the device of cfg's interface and registers there; after an
 * error only qx_close may follow.  datapath_open_port is its second half. */
int datapath_join(struct qx_datapath *dp, const struct qx_config *cfg, char *why);
int datapath_open_port(struct qx_datapath *dp, char *why);

/* datapath_watch puts a descriptor into the wait set; datapath_unwatch_port takes the device's
 * out. */
int datapath_watch(struct qx_datapath *dp, int fd, char *why);
void datapath_unwatch_port(struct qx_datapath *dp);

/* datapath_want_room: is qx_fd to tell of room in the device's rings? */
void datapath_want_room(struct qx_datapath *dp, bool want);

#endif
