/* nic.h: what a device needs of a NIC, one struct filled in by each back end.
 *
 * The back ends (afxdp.c, winxdp.c, memory.c) provide rings and a few calls; device.c
 * above them moves frames and never knows which it has.  A back end owns struct qx_nic and
 * everything in it except the umem's frames, which the device moves. */
#ifndef QX_NIC_H
#define QX_NIC_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp.h"
#include "ring.h"
#include "umem.h"

struct qx_queue {
	struct qx_ring fill;
	struct qx_ring rx;
	struct qx_ring tx;
	struct qx_ring completion;
	int fd; /* readable while rx holds something; for a wait set */
	/* What sends, writable while tx has room.  A descriptor of its own, and in the wait
	 * set only while somebody waits for room: the kernel runs the wake-up callbacks of
	 * a watched one for every packet that it has sent (110 ns each, measured on veth). */
	int tx_fd;
	uint8_t mode; /* enum qx_xdp_mode; QX_XDP_AUTO where there are no modes */
};

struct qx_nic;
struct qx_neigh;

/* What a descriptor is to tell of. */
enum qx_expect {
	QX_EXPECT_RX,  /* fd: something in the rx ring */
	QX_EXPECT_ROOM /* tx_fd: something in the completion ring */
};

/* How packets reach a peer through the rings. */
struct qx_way {
	uint8_t mac[6];
	uint32_t mtu_bytes;    /* the largest IP packet; at most the interface's */
	struct qx_addr source; /* that the route prefers; QX_UNSPEC: none */
};

struct qx_nic_ops {
	/* kick makes the kernel look at a queue's tx ring.  Called only if the ring asks
	 * for it.  0; -EAGAIN something is left, kick again later; -ENETDOWN link down,
	 * frames kept; -ENXIO the interface is gone for good. */
	int (*kick)(struct qx_nic *nic, uint32_t queue);

	/* wake makes the kernel look at a queue's fill ring.  Called only if it asks. */
	int (*wake)(struct qx_nic *nic, uint32_t queue);

	/* admit and dismiss add and remove one local address and port to what the filter
	 * redirects.  admit: -EEXIST, -ENOSPC. */
	int (*admit)(struct qx_nic *nic, const struct qx_addr *local);
	void (*dismiss)(struct qx_nic *nic, const struct qx_addr *local);

	/* attach starts stealing packets and detach stops; both idempotent.  attach fills
	 * why as qx_open does. */
	int (*attach)(struct qx_nic *nic, char *why);
	void (*detach)(struct qx_nic *nic);

	/* expect makes a queue's fd or tx_fd tell what it is to tell from here on.  Called when
	 * the caller may go to sleep; NULL where descriptors do so by themselves.  0; -ENXIO
	 * the interface is gone for good. */
	int (*expect)(struct qx_nic *nic, uint32_t queue, enum qx_expect what);

	/* stamp writes what follows a tx descriptor; called for each if tx_extended. */
	void (*stamp)(struct qx_nic *nic, uint32_t queue, struct qx_desc *desc,
		      uint8_t family);

	/* stats adds the kernel_* and mirror_* fields, as far as a NIC that is gone still has
	 * them. */
	int (*stats)(struct qx_nic *nic, struct qx_stats *out);

	/* way fills in how packets of a path leave through the rings now, false: they must
	 * go by the kernel's socket.  path->local may be left out.  NULL: the device goes by
	 * peer_mac, by what peers' frames have shown, and by find_way. */
	bool (*way)(struct qx_nic *nic, const struct qx_path *path, uint64_t now_ns,
		    struct qx_way *out);

	/* events takes what event_fd has to tell.  0; -ENXIO the interface is gone for good;
	 * -ESTALE it has more or fewer queues, another MAC address or a larger MTU than when
	 * it was opened, and must be opened anew to serve it all.
	 * Needed besides kick: a deleted interface shows nothing at all on its XSKs, so
	 * without it whoever only receives would be deaf.  NULL: no event_fd either. */
	int (*events)(struct qx_nic *nic, uint64_t now_ns);

	/* local_addrs writes the NIC's own IP addresses (port 0), at most max. */
	int (*local_addrs)(struct qx_nic *nic, struct qx_addr *out, uint32_t max);

	/* addrs_now is local_addrs without asking anybody; -EAGAIN: not known just now.  NULL:
	 * they do not change. */
	int (*addrs_now)(struct qx_nic *nic, struct qx_addr *out, uint32_t max);

	/* close detaches and frees everything, the umem included. */
	void (*close)(struct qx_nic *nic);
};

struct qx_nic {
	const struct qx_nic_ops *ops;
	char name[QX_IFNAME_BYTES];
	uint32_t ifindex;
	uint8_t mac[6];
	uint8_t has_peer_mac; /* point to point: every peer is behind peer_mac */
	uint8_t peer_mac[6];
	uint32_t mtu_bytes; /* largest IP packet, when it was opened; way knows of now */
	uint32_t queue_cnt;
	uint32_t rx_frame_cnt;   /* per queue, at most the fill ring's size */
	uint8_t tx_extended;     /* tx elements are longer than struct qx_desc */
	uint8_t tx_checksum;     /* the NIC finishes UDP checksums */
	uint8_t kick_after_reap; /* it may stop for want of completions taken */
	uint64_t ways_changed;  /* grows with events after which way may answer differently */
	uint64_t addrs_changed; /* likewise, addrs_now */
	uint8_t busy_poll;      /* wake works the driver's queue off: call it for each look */
	char note[QX_WHY_BYTES]; /* as in qx_interface_info */
	uint64_t rx_syscalls;
	uint64_t tx_syscalls;
	int event_fd; /* pollable: call ops->events; only if that is set */
	/* find_way asks the system for the way to a peer that was not heard.  1 and *out, or
	 * 0: there is none, or none known yet.  It must not block.  close_ways ends it.  Both
	 * NULL: nobody to ask. */
	int (*find_way)(void *ways, const struct qx_addr *peer, uint64_t now_ns,
			struct qx_neigh *out);
	void (*close_ways)(void *ways);
	void *ways;
	struct qx_umem umem;
	struct qx_queue queues[QX_QUEUE_MAX];
};

struct qx_nic_config {
	char interface[QX_IFNAME_BYTES];
	uint32_t rx_frame_cnt; /* as in qx_config */
	uint32_t tx_frame_cnt;
	uint32_t mode; /* enum qx_xdp_mode */
	uint32_t busy_poll_us;
	uint32_t busy_poll_budget;
	bool huge_pages;
	/* Not again: in a driver that refuses, a try at once would find what the last one
	 * has yet to release, and so on for ever. */
	bool no_zerocopy;
	/* Opening waits for nothing: what the kernel has yet to release is -EAGAIN, and is
	 * never answered with fewer buffers. */
	bool at_once;
};

/* nic_open opens the platform's rings on cfg->interface (nic_linux.c: AF_XDP; nic_win.c:
 * XDP for Windows) without attaching.  Errors and why as qx_open. */
int nic_open(struct qx_nic **out, const struct qx_nic_config *cfg, char *why);

/* afxdp_open opens an AF_XDP socket for every RX queue without attaching.  Errors and why as
 * qx_open. */
int afxdp_open(struct qx_nic **out, const struct qx_nic_config *cfg, char *why);

#endif
