/* neigh.h: which MAC address, queue and source address lead to a peer.
 *
 * A pure table without I/O: bounded, no allocation after open.  Its only source today are
 * received frames (neigh_learn): a peer's frames showed the way, replies go back along it,
 * as in s2n-quic and Knot.  An unknown or old entry means: use the kernel socket, which
 * resolves neighbours itself.  A netlink feed will replace the learning.
 *
 * Only frames for a registered port that passed the wire parser teach; an entry that is
 * full of one bucket replaces the one heard longest ago, so a flood of spoofed sources
 * costs others the fast lane for a while, never memory and never delivery. */
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
