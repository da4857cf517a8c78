/* device_internal.h: what the files of a device share.
 *
 *      device.c         the registry of devices, opening, closing, statistics
 *      device_port.c    ports: which address and port belongs to whom
 *      device_rx.c      rings -> parser -> port -> batch or inbox -> fill ring
 *      device_way.c     the way to a peer
 *      device_tx.c      route -> frames -> rings -> kick -> completions
 *
 * Where a frame is stands in the umem (state and census); whose it is, here (tags). */
#ifndef QX_DEVICE_INTERNAL_H
#define QX_DEVICE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "device.h"
#include "neigh.h"
#include "wire.h"

enum {
	/* Peers whose way we remember: a busy server's active clients; 64 bytes each. */
	DEVICE_NEIGH_CNT = 8192,
	DEVICE_ADDRS_MAX = 256 /* of one interface */
};

/* Whose a frame is. */
struct frame_tag {
	uint16_t port;  /* id of the port; for LENT and BUILT */
	uint8_t queue;  /* RX frames: where they live; TX: where they leave */
	uint8_t family; /* BUILT: enum qx_family of its headers */
};

/* What the parser found, for frames that wait in an inbox. */
struct frame_note {
	struct qx_path path;
	uint32_t off_bytes;
	uint32_t len_bytes;
	uint32_t next; /* in the inbox */
	uint8_t ecn;
};

/* Frames of a queue that are FILL in the census and not in the ring yet: the kernel may
 * publish a received frame before the fill ring's consumer index (xsk_flush does), so the
 * ring can look full for a moment. */
struct fill_owed {
	uint32_t *frames;
	uint32_t cnt;
	uint32_t cap;
};

/* Ring indices have 32 bits; these count on. */
struct queue_totals {
	uint32_t rx_seen;
	uint32_t completion_seen;
	uint64_t rx_produced;
	uint64_t completion_produced;
};

/* One entry of the demultiplexing table: open addressing, at most a quarter full. */
struct binding {
	struct qx_addr local; /* port 0: unused */
	struct qx_port *port;
};

/* A way to a peer, resolved by port_can_reach and used by port_reserve. */
struct route {
	struct qx_path asked; /* key; peer QX_UNSPEC: none */
	uint64_t as_of_ways;  /* what it was resolved from, and when */
	uint64_t as_of_taught;
	uint64_t as_of_ns;
	uint32_t header_bytes;
	uint32_t payload_max_bytes;
	uint16_t queue;
	uint8_t headers[WIRE_HEADERS_MAX_BYTES];
};

struct qx_device {
	struct qx_device *next; /* in the registry */
	struct qx_nic *nic;
	uint32_t ref_cnt;
	pthread_t thread;
	bool forked;
	bool gone;           /* for good */
	bool stale;          /* the interface is not what it was; see nic.h, events */
	bool link_down;      /* kicks say so; frames wait in the TX rings */
	uint64_t now_ns;     /* as the last port_recv was told */
	uint64_t addrs_seen; /* of nic->addrs_changed */
	uint64_t events_ns;  /* when ops->events was asked last */
	uint64_t kicked_ns;  /* when a link that is down was tried last */

	struct qx_port *ports;
	uint32_t port_cnt;
	struct binding *bindings;
	uint32_t binding_mask;
	const struct binding *hit; /* found last */

	struct qx_neigh_table *neigh;
	struct qx_addr taught_peer; /* learned last */
	struct qx_neigh taught;
	uint64_t taught_cnt; /* changes of the hints: peer, queue, or address */

	struct qx_tap *tap; /* NULL: nobody wants to see our frames */
	uint32_t tap_interface;
	uint32_t tap_user_cnt;

	uint32_t first_queue; /* to poll, in turn */
	struct frame_tag *tags;
	struct frame_note *notes;
	struct fill_owed owed[QX_QUEUE_MAX];
	struct queue_totals totals[QX_QUEUE_MAX];
	uint64_t fill_wakeups, tx_wakeups; /* as in qx_stats */
	uint64_t drop[QX_DROP_CNT];
};

struct qx_port {
	struct qx_port *next;
	struct qx_device *dev;
	uint16_t id;
	bool gone_reported, stale_reported;
	bool all_addrs;        /* of its family, whichever the interface has */
	uint8_t family;        /* QX_UNSPEC: of both */
	uint16_t number;       /* the UDP port */
	struct qx_addr remote; /* QX_UNSPEC: everybody */
	const struct qx_acl *acl;
	struct qx_addr *addrs; /* admitted; the first of a family is its default */
	uint32_t addr_cnt;
	void (*wake)(void *);
	void *wake_arg;
	struct route route;

	uint32_t inbox_first;
	uint32_t inbox_last;
	uint32_t inbox_cnt;
	uint32_t inbox_held[QX_QUEUE_MAX]; /* its frames, by the queue they came from */

	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t drop[QX_DROP_CNT];
};

/* Addresses have no padding; three words compare faster than a call. */
static inline bool addr_equal(const struct qx_addr *a, const struct qx_addr *b)
{
	uint64_t x[3], y[3];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2])) == 0;
}

static inline bool path_equal(const struct qx_path *a, const struct qx_path *b)
{
	return addr_equal(&a->peer, &b->peer) && addr_equal(&a->local, &b->local);
}

/* fe80::/10 (RFC 4291 section 2.5.6) means something only together with an interface. */
static inline void addr_set_scope(struct qx_addr *a, uint32_t ifindex)
{
	if (a->family == QX_IPV6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80)
		a->scope_id = ifindex;
}

static inline uint32_t addr_hash(const struct qx_addr *a)
{
	uint64_t high, low;

	memcpy(&high, a->ip, sizeof(high));
	memcpy(&low, a->ip + 8, sizeof(low));
	low = (low ^ (high >> 32) ^ a->port) * 0x9e3779b97f4a7c15u + high;
	return (uint32_t)((low * 0xbf58476d1ce4e5b9u) >> 40);
}

/* device_port_of finds who owns a local address and port, NULL if nobody. */
static inline struct qx_port *device_port_of(struct qx_device *dev,
					     const struct qx_addr *local)
{
	if (dev->hit && addr_equal(&dev->hit->local, local))
		return dev->hit->port;
	for (uint32_t i = addr_hash(local);; i++) {
		const struct binding *b = &dev->bindings[i & dev->binding_mask];

		if (b->local.port == 0)
			return NULL;
		if (addr_equal(&b->local, local)) {
			dev->hit = b;
			return b->port;
		}
	}
}

/* device_give_back puts an RX frame back in its queue's fill ring, which device_publish_fill
 * then shows to the kernel.  The frame must be LENT; otherwise it is counted, not moved. */
void device_give_back(struct qx_device *dev, uint32_t frame);
void device_publish_fill(struct qx_device *dev, uint32_t queue);

/* device_follow_addrs lets ports that answer to all addresses answer to those of now. */
void device_follow_addrs(struct qx_device *dev);

/* device_flush publishes and kicks all TX rings, and takes completions.  Returns 1 if
 * something had to stay, else 0. */
int device_flush(struct qx_device *dev);
void device_reap(struct qx_device *dev);

/* device_gone gives the interface up: frames under way are counted and freed, the filter
 * is taken off, nothing can be reached any more. */
void device_gone(struct qx_device *dev);

/* device_extend_totals follows the rings' producer indices; at least once in 2^32 steps. */
static inline void device_extend_totals(struct qx_device *dev, uint32_t queue)
{
	const struct qx_queue *q = &dev->nic->queues[queue];
	struct queue_totals *t = &dev->totals[queue];
	uint32_t rx = atomic_load_explicit(q->rx.producer, memory_order_relaxed);
	uint32_t completion =
		atomic_load_explicit(q->completion.producer, memory_order_relaxed);

	t->rx_produced += rx - t->rx_seen;
	t->completion_produced += completion - t->completion_seen;
	t->rx_seen = rx;
	t->completion_seen = completion;
}

#endif
