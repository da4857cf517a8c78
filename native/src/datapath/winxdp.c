/* winxdp.c: a NIC over XDP for Windows while it runs; winxdp_open.c makes it.
 *
 * Some facts (microsoft/xdp-for-windows, src/xdp/xsk.c)
 *  - The TX ring asks for a poke when it was found empty with nothing under way, or when the
 *    completion ring was full.  So it is looked at after putting something in, and after
 *    taking completions out, each time behind a full barrier (ring_needs_wakeup).
 *  - A socket allows one wait at a time, and a wait may end for no reason: whoever wakes
 *    looks at the rings.
 *  - An error flag on a ring is for good: the adapter was detached, or the driver found the
 *    ring invalid.  A wait under way does not end for that; but then the packets come over
 *    Windows' sockets.
 *  - A descriptor that the driver finds invalid is counted and never completed. */
#include "winxdp.h"

#include <errno.h>
#include <string.h>

#include "os.h"
#include "wire.h"

static uint32_t flags_of(const struct qx_ring *r)
{
	return atomic_load_explicit(r->flags, memory_order_relaxed);
}

/* What a request's failure means while running: all of them are for good. */
static int after_call(struct winxdp *x, int32_t status)
{
	if (status == NT_OK || status == NT_PENDING)
		return 0;
	x->gone = true;
	return -ENXIO;
}

static int kick(struct qx_nic *nic, uint32_t queue)
{
	struct winxdp *x = winxdp_of(nic);
	uint32_t flags = flags_of(&nic->queues[queue].tx);

	if (flags & XSK_RING_ERROR) {
		x->gone = true;
		return -ENXIO;
	}
	if (!(flags & XSK_RING_NEED_POKE))
		return 0;
	nic->tx_syscalls++;
	return after_call(x, winxdp_poke(x, &x->queues[queue].tx, XSK_POKE_TX));
}

static int wake(struct qx_nic *nic, uint32_t queue)
{
	struct winxdp *x = winxdp_of(nic);

	if (flags_of(&nic->queues[queue].fill) & XSK_RING_ERROR) {
		x->gone = true;
		return -ENXIO;
	}
	nic->rx_syscalls++;
	return after_call(x, winxdp_poke(x, &x->queues[queue].rx, XSK_POKE_RX));
}

/* Costs no call, since the rings' flags are in memory, unless there is news.  Packets that are
 * in the ring when an adapter stops finishing checksums go out without one. */
static int events(struct qx_nic *nic, uint64_t now_ns)
{
	struct winxdp *x = winxdp_of(nic);

	(void)now_ns;
	for (uint32_t i = 0; i < nic->queue_cnt; i++) {
		const struct qx_queue *q = &nic->queues[i];

		if (nic->tx_extended && flags_of(&q->tx) & XSK_RING_OFFLOAD_CHANGED) {
			nic->tx_syscalls++;
			winxdp_read_checksum(x, i);
		}

		if ((flags_of(&q->rx) | flags_of(&q->fill) | flags_of(&q->tx) |
		     flags_of(&q->completion)) &
		    XSK_RING_ERROR)
			x->gone = true;
	}
	return x->gone ? -ENXIO : 0;
}

static int expect(struct qx_nic *nic, uint32_t queue, enum qx_expect what)
{
	struct winxdp *x = winxdp_of(nic);
	struct qx_queue *q = &nic->queues[queue];
	bool rx = what == QX_EXPECT_RX;
	struct winxdp_xsk *s = rx ? &x->queues[queue].rx : &x->queues[queue].tx;
	int event = rx ? q->fd : q->tx_fd;
	int32_t status;

	/* Under way already, from a turn that got nothing. */
	if (!winxdp_wait_ended(s))
		return 0;
	if (ring_available(rx ? &q->rx : &q->completion) > 0) {
		os_event_set(event);
		return 0;
	}
	if (rx)
		nic->rx_syscalls++;
	else
		nic->tx_syscalls++;
	/* Starting a wait clears the event. */
	status = winxdp_wait(x, s, rx ? XSK_WAIT_RX : XSK_WAIT_TX, event);
	if (status == NT_OK)
		os_event_set(event);
	return after_call(x, status);
}

static void stamp(struct qx_nic *nic, uint32_t queue, struct qx_desc *desc, uint8_t family)
{
	const struct winxdp_queue *q = &winxdp_of(nic)->queues[queue];
	uint64_t ip_bytes = wire_header_bytes(family) - WIRE_ETH_BYTES - WIRE_UDP_BYTES;
	uint64_t ip_type = family == QX_IPV4 ? (uint64_t)XDP_LAYER3_IPV4_NO_OPTIONS
					     : (uint64_t)XDP_LAYER3_IPV6_NO_EXTENSIONS;
	uint64_t layout = WIRE_ETH_BYTES | ip_bytes << 7 | (uint64_t)WIRE_UDP_BYTES << 16 |
			  (uint64_t)XDP_LAYER2_ETHERNET << 24 | ip_type << 28 |
			  (uint64_t)XDP_LAYER4_UDP << 32;

	if (q->layout_off == 0)
		return;
	/* Little-endian, as every processor that Windows runs on. */
	memcpy((uint8_t *)desc + q->layout_off, &layout, XDP_LAYOUT_BYTES);
	((uint8_t *)desc)[q->checksum_off] =
		nic->tx_checksum ? XDP_CHECKSUM_LAYER4_REQUIRED : XDP_CHECKSUM_PASSTHROUGH;
}

/* Truncated packets are delivered, so wire.c counts them. */
static int stats(struct qx_nic *nic, struct qx_stats *out)
{
	struct winxdp *x = winxdp_of(nic);

	for (uint32_t i = 0; i < nic->queue_cnt && !x->gone; i++) {
		struct xsk_statistics rx, tx;
		int32_t status = winxdp_get(x, x->queues[i].rx.handle, XSK_STATISTICS, &rx,
					    sizeof(rx));

		if (status == NT_OK)
			status = winxdp_get(x, x->queues[i].tx.handle, XSK_STATISTICS, &tx,
					    sizeof(tx));
		if (status != NT_OK)
			return winxdp_errno(status);
		out->kernel_rx_dropped += rx.rx_dropped;
		out->kernel_rx_invalid_descs += rx.rx_invalid_descriptors;
		out->kernel_tx_invalid_descs += tx.tx_invalid_descriptors;
	}
	/* The driver copies every packet it receives into our memory. */
	return 0;
}

static int local_addrs(struct qx_nic *nic, struct qx_addr *out, uint32_t max)
{
	return winxdp_of(nic)->adapter.local_addrs(nic->ifindex, out, max);
}

const struct qx_nic_ops winxdp_ops = {
	.kick = kick,
	.wake = wake,
	.admit = winxdp_admit,
	.dismiss = winxdp_dismiss,
	.attach = winxdp_attach,
	.detach = winxdp_detach,
	.expect = expect,
	.stamp = stamp,
	.stats = stats,
	.events = events,
	.local_addrs = local_addrs,
	.close = winxdp_close,
};
