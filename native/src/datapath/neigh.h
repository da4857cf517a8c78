/* neigh.h: what a peer's frames have shown: its MAC address, queue, and our address it used.
 *
 * Bounded, no allocation after open.  Where the kernel's tables are mirrored (mirror.h) these
 * are hints for the queue and the source address; where they are not, a peer's frames show
 * the way, and replies go back along it.  An unknown or old entry means: use the kernel
 * socket, which resolves neighbours itself.
 *
 * Only frames for a registered port that passed the wire parser teach; the entry heard longest
 * ago makes room (addr_table.h), so a flood of spoofed sources costs others the fast lane for
 * a while, never memory and never delivery. */
#ifndef QX_NEIGH_H
#define QX_NEIGH_H

#include <stdint.h>

#include "quicxdp.h"

struct qx_neigh {
	uint8_t mac[6];
	uint16_t queue;       /* where the peer was heard last */
	struct qx_addr local; /* the address that the peer used last; port 0 */
	uint64_t heard_ns;
};

struct qx_neigh_table;

/* neigh_open makes an empty table of about entry_cnt entries.  -ENOMEM. */
int neigh_open(struct qx_neigh_table **out, uint32_t entry_cnt);
void neigh_close(struct qx_neigh_table *t);

/* neigh_learn records what a frame from peer (its port is ignored) showed. */
void neigh_learn(struct qx_neigh_table *t, const struct qx_addr *peer,
		 const struct qx_neigh *seen);

/* neigh_find returns the entry, or NULL if there is none heard within max_age_ns.  Owner:
 * the table, until the next call. */
const struct qx_neigh *neigh_find(struct qx_neigh_table *t, const struct qx_addr *peer,
				  uint64_t now_ns, uint64_t max_age_ns);

#endif
