/* mirror.h: which way the kernel would send: its routes, neighbours, addresses and the state
 * of one interface, mirrored.
 *
 *      mirror.c                 what is known, and the answer
 *      mirror_netlink_parse.c   rtnetlink messages into it; any bytes
 *      mirror_netlink.c         the socket: dump, events, overruns, solicitation
 *
 * The mirror only ever says yes where it is sure that the kernel would send to the same MAC
 * address over this interface.  Everything else is the kernel socket's, which is slower and
 * always right:
 *
 *      mirrored              tables main and local of both families: prefixes, metrics,
 *                            gateways, preferred sources, MTUs; neighbours; addresses; link
 *      left to the kernel    multipath and nexthop objects, encapsulations, IPv4 by an IPv6
 *                            gateway, blackhole, unreachable, prohibit, throw, routes by
 *                            TOS or source, other interfaces, local prefixes wider than a
 *                            host; and a whole family while any rule of policy routing exists
 *                            besides the three that every system has, or one of the first
 *                            two of these is missing
 *
 * A neighbour that the kernel holds for STALE may be gone, and the kernel, which does not see
 * what leaves through the rings, would never ask: so a stale neighbour in use is solicited,
 * at most once per MIRROR_SOLICIT_NS, and used meanwhile as the kernel would. */
#ifndef QX_MIRROR_H
#define QX_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

#include "addr_table.h"
#include "nic.h"
#include "routes.h"

enum {
	MIRROR_NEIGHBOURS = 4096, /* of one interface; the kernel keeps 1,024 by default */
	MIRROR_ADDRESSES = 512,
	MIRROR_EXCEPTIONS = 1024, /* paths whose MTU the kernel has learnt */
	MIRROR_FAMILIES = 2,      /* IPv4, IPv6 */
	MIRROR_SOLICITS_PER_S = 64
};

#define MIRROR_SOLICIT_NS (10 * 1000000000ull)

/* Why a path is left to the kernel. */
enum mirror_verdict {
	MIRROR_YES = 0,
	MIRROR_UNSURE,    /* still reading, or messages were lost */
	MIRROR_LINK,      /* down, gone, or its MAC address changed */
	MIRROR_POLICY,    /* rules, or wide local prefixes */
	MIRROR_SOURCE,    /* the source is no address of the interface */
	MIRROR_NO_ROUTE,  /* none, or one of those above */
	MIRROR_NEIGHBOUR, /* not resolved, or failed */
	MIRROR_VERDICT_CNT
};

/* What is asked of a neighbour of this kind. */
enum mirror_neigh_kind {
	NEIGH_UNUSABLE = 0,
	NEIGH_STALE,
	NEIGH_USABLE
};

/* The rules without which tables local and main are not what the kernel asks. */
enum mirror_rule {
	MIRROR_RULE_LOCAL = 1,
	MIRROR_RULE_MAIN = 2,
	MIRROR_RULES = MIRROR_RULE_LOCAL | MIRROR_RULE_MAIN
};

struct mirror_neigh {
	uint8_t mac[6];
	uint8_t kind; /* enum mirror_neigh_kind */
	uint8_t zero;
	uint64_t asked_ns; /* 0: not yet */
};

struct mirror_hop {
	struct qx_addr gateway; /* QX_UNSPEC: the peer itself is the neighbour */
	struct qx_addr source;  /* preferred; QX_UNSPEC: none */
	uint32_t mtu_bytes;     /* of the route; 0: the link's */
};

/* One route as a message tells it. */
struct mirror_route {
	uint8_t family;
	uint8_t prefix_bits;
	bool local;   /* of table local */
	bool usable;  /* hop says all there is to know */
	bool replace; /* instead of all others of its prefix and metric */
	uint8_t ip[16];
	uint32_t metric;
	uint32_t sign;
	struct mirror_hop hop;
};

struct qx_mirror {
	uint32_t ifindex;
	bool synced;     /* all dumps are in and nothing was lost since */
	bool link_up;    /* administratively and by carrier */
	bool link_gone;  /* deleted */
	bool mac_moved;  /* not the one that the filter knows any more */
	bool wants_dump; /* it does not know any more what it should: read everything again */
	bool full;       /* there are more routes than fit */
	bool hops_full; /* more hops than fit were dumped: some routes are left to the kernel */
	uint8_t mac[6];
	uint32_t mtu_bytes;

	struct qx_routes *routes;
	struct mirror_hop hops[ROUTES_HOP_MAX + 1]; /* [ROUTES_HOP_SHARED]: the kernel's */
	uint32_t hop_cnt;
	uint32_t wide_locals[MIRROR_FAMILIES];
	uint32_t foreign_rules[MIRROR_FAMILIES];
	uint8_t standard_rules[MIRROR_FAMILIES]; /* enum mirror_rule, or'ed */
	bool has_rules; /* the kernel routes by rules: those that it must have count */
	struct qx_addr_table *neighbours; /* struct mirror_neigh */
	struct qx_addr_table *addresses;  /* bool: usable as a source */
	struct qx_addr_table *exceptions; /* uint32_t: bytes */

	uint64_t solicit_window_ns;
	uint32_t solicit_cnt; /* in that second */

	uint64_t link_changes;
	uint64_t bad_messages;
};

/* mirror_init makes an empty mirror of an interface whose packets leave from mac.  -ENOMEM,
 * with nothing to undo. */
int mirror_init(struct qx_mirror *m, uint32_t ifindex, const uint8_t *mac);
void mirror_free(struct qx_mirror *m);

/* mirror_restart forgets all but the link, before a dump. */
void mirror_restart(struct qx_mirror *m);

/* mirror_ask: may the path's datagrams leave through the rings, and how?  path->local may be
 * left out, and its port does not matter.  *solicit is the neighbour to ask for (family
 * QX_UNSPEC: none): if that cannot be done, this datagram should go by the kernel socket,
 * which does it by sending. */
enum mirror_verdict mirror_ask(struct qx_mirror *m, const struct qx_path *path,
			       uint64_t now_ns, struct qx_way *way, struct qx_addr *solicit);

/* ---- For mirror_netlink_parse.c ---- */

void mirror_link(struct qx_mirror *m, bool up, uint32_t mtu_bytes, const uint8_t *mac);
void mirror_neigh(struct qx_mirror *m, const struct qx_addr *ip, enum mirror_neigh_kind kind,
		  const uint8_t *mac);
void mirror_address(struct qx_mirror *m, const struct qx_addr *ip, bool there, bool usable);
void mirror_route(struct qx_mirror *m, const struct mirror_route *route, bool there);
void mirror_exception(struct qx_mirror *m, const struct qx_addr *peer, uint32_t mtu_bytes);
void mirror_foreign_rule(struct qx_mirror *m, uint8_t family);
void mirror_standard_rule(struct qx_mirror *m, uint8_t family, enum mirror_rule rule);

/* What a buffer of messages had to say besides. */
struct mirror_news {
	bool done;       /* the dump with this sequence number has ended */
	int32_t error;   /* the kernel refused it, or ended it early: -errno */
	bool again;      /* it was interrupted by a change */
	bool link;       /* some link changed */
	bool address;    /* an event came about an address, perhaps of another interface */
	bool changed;    /* an event came, which a dump under way may have missed */
	bool cannot_ask; /* a solicitation was refused */
};

/* mirror_feed reads rtnetlink messages; dump_sequence is the number of the dump under way, 0
 * if there is none.  Malformed ones are counted, and what follows them is not read. */
void mirror_feed(struct qx_mirror *m, const uint8_t *bytes, uint32_t len_bytes,
		 uint32_t dump_sequence, struct mirror_news *news);

#endif
