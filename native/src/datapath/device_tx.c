/* device_tx.c: sending: frames, rings, kicks, completions; device_way.c finds the way.
 *
 * Some facts (net/xdp/xsk.c, measured in native copy mode on 6.18):
 *  - A kick works off at most 32 descriptors (or XDP_MAX_TX_SKB_BUDGET) and says -EAGAIN
 *    when some are left; a descriptor it refuses ends the batch early.  Kicking again goes
 *    on; a kick that moved nothing has no reason to move anything if repeated at once.
 *  - Down link: -ENETDOWN, descriptors stay in the ring and go out after the link is up.
 *  - A descriptor that makes a kick fail with -EINVAL stays at the head of the ring and its
 *    frame is completed again on every kick: the lane cannot be used any more. */
#include <errno.h>

#include "device_internal.h"

enum {
	IDLE_KICKS_MAX = 2
};

/* ---- Frames ---- */

int port_reserve(struct qx_port *port, const struct qx_path *path, uint32_t len_bytes,
		 struct qx_slot *slots, uint32_t n)
{
	const struct route *r = &port->route;
	struct qx_device *dev = port->dev;
	struct qx_umem *u = &dev->nic->umem;
	uint32_t room, cnt = 0;

	if ((r->asked.peer.family == QX_UNSPEC || !path_equal(&r->asked, path)) &&
	    !port_can_reach(port, path))
		return -ENETUNREACH;
	if (len_bytes > r->payload_max_bytes)
		return -EMSGSIZE;
	if (u->census[QX_FRAME_FREE] < n)
		device_reap(dev);
	/* Room in the ring is claimed here, so that commit cannot fail. */
	room = ring_free(&dev->nic->queues[r->queue].tx, n);
	if (n > room)
		n = room;
	for (; cnt < n; cnt++) {
		uint32_t frame = umem_take(u, QX_FRAME_BUILT);
		uint8_t *at;

		if (frame == UINT32_MAX)
			break;
		at = umem_frame(u, frame);
		memcpy(at, r->headers, sizeof(r->headers));
		dev->tags[frame] = (struct frame_tag){.port = port->id,
						      .queue = (uint8_t)r->queue,
						      .family = path->peer.family};
		slots[cnt] = (struct qx_slot){.data = at + r->header_bytes,
					      .len_bytes = len_bytes,
					      .frame = frame,
					      .lane = QX_LANE_XDP};
	}
	return (int)cnt;
}

/* free_built ends a frame that will not be sent. */
static void free_built(struct qx_port *port, uint32_t frame, enum qx_drop reason)
{
	umem_move(&port->dev->nic->umem, frame, QX_FRAME_BUILT, QX_FRAME_FREE);
	if (reason != QX_DROP_NONE)
		port->drop[reason]++;
}

static void commit_one(struct qx_port *port, const struct qx_slot *slot)
{
	struct qx_device *dev = port->dev;
	struct qx_umem *u = &dev->nic->umem;
	uint32_t frame = slot->frame;
	struct qx_desc *desc;
	struct qx_ring *tx;
	uint8_t family;

	if (frame >= u->frame_cnt || u->state[frame] != QX_FRAME_BUILT) {
		port->drop[QX_DROP_DESCRIPTOR]++; /* no slot of ours: a caller's mistake */
		return;
	}
	if (slot->len_bytes == 0 && !slot->empty) {
		free_built(port, frame, QX_DROP_NONE);
		return;
	}
	family = dev->tags[frame].family;
	tx = &dev->nic->queues[dev->tags[frame].queue].tx;
	if (dev->gone) {
		free_built(port, frame, QX_DROP_DEVICE_GONE);
	} else if (slot->len_bytes > u->frame_bytes - wire_header_bytes(family)) {
		free_built(port, frame, QX_DROP_OVERLONG);
	} else if (ring_free(tx, 1) == 0) {
		free_built(port, frame, QX_DROP_SEND_ERROR);
	} else {
		umem_move(u, frame, QX_FRAME_BUILT, QX_FRAME_TX);
		desc = ring_produce(tx);
		desc->off_bytes = (uint64_t)frame << u->frame_shift;
		if (dev->nic->tx_checksum)
			desc->len_bytes = wire_finish_partial(umem_frame(u, frame), family,
							      slot->len_bytes, slot->ecn);
		else
			desc->len_bytes = wire_finish(umem_frame(u, frame), family,
						      slot->len_bytes, slot->ecn);
		desc->options = 0;
		if (dev->nic->tx_extended)
			dev->nic->ops->stamp(dev->nic, dev->tags[frame].queue, desc, family);
		if (dev->tap)
			tap_frame(dev->tap, dev->tap_interface, true, umem_frame(u, frame),
				  desc->len_bytes, QX_DROP_NONE);
		port->tx_packets++;
		port->tx_bytes += slot->len_bytes;
	}
}

int port_commit(struct qx_port *port, const struct qx_slot *slots, uint32_t n)
{
	if (port->dev->forked)
		return -EPERM;
	for (uint32_t i = 0; i < n; i++)
		commit_one(port, &slots[i]);
	return 0;
}

/* ---- Completions ---- */

static void reap_queue(struct qx_device *dev, uint32_t queue)
{
	struct qx_ring *completion = &dev->nic->queues[queue].completion;
	struct qx_umem *u = &dev->nic->umem;
	uint32_t ready = ring_available(completion);

	if (ready == 0)
		return;
	for (uint32_t i = 0; i < ready; i++) {
		uint64_t off_bytes = *(const uint64_t *)ring_consume(completion);
		uint64_t frame = umem_frame_of(u, off_bytes);

		/* A frame that is not being sent: completed twice, or a stray address. */
		if (frame >= u->frame_cnt ||
		    !umem_move(u, (uint32_t)frame, QX_FRAME_TX, QX_FRAME_FREE))
			dev->drop[QX_DROP_DESCRIPTOR]++;
	}
	ring_release(completion);
	device_extend_totals(dev, queue);
}

/* ---- Kicks ---- */

void device_gone(struct qx_device *dev)
{
	struct qx_umem *u = &dev->nic->umem;

	if (dev->gone)
		return;
	dev->gone = true;
	for (uint32_t i = 0; i < dev->nic->queue_cnt; i++)
		reap_queue(dev, i);
	for (uint32_t frame = 0; frame < u->frame_cnt; frame++)
		if (umem_move(u, frame, QX_FRAME_TX, QX_FRAME_FREE))
			dev->drop[QX_DROP_DEVICE_GONE]++;
	/* If the interface lives after all, its packets must reach the kernel's sockets. */
	dev->nic->ops->detach(dev->nic);
	for (struct qx_port *p = dev->ports; p; p = p->next)
		p->wake(p->wake_arg);
}

/* kick_queue kicks until the ring is empty, stops moving, or the kernel says no.  Returns
 * 1 if something had to stay. */
static int kick_queue(struct qx_device *dev, uint32_t queue)
{
	struct qx_ring *tx = &dev->nic->queues[queue].tx;
	uint32_t before = ring_pending(tx), idle = 0;

	while (before > 0 && ring_needs_wakeup(tx)) {
		int err = dev->nic->ops->kick(dev->nic, queue);
		uint32_t left;

		dev->tx_wakeups++;
		dev->link_down = err == -ENETDOWN;
		if (err == -ENETDOWN) {
			/* The frames are the kernel's to keep; others take the socket. */
			dev->kicked_ns = dev->now_ns;
			return 0;
		}
		if (err != 0 && err != -EAGAIN && err != -EBUSY && err != -ENOBUFS) {
			device_gone(dev);
			return 0;
		}
		reap_queue(dev, queue);
		left = ring_pending(tx);
		/* A driver that took over the ring says 0 and works it off by itself. */
		if (err == 0 || left == 0)
			return 0;
		idle = left < before ? 0 : idle + 1;
		if (idle == IDLE_KICKS_MAX)
			return 1;
		before = left;
	}
	return 0;
}

void device_reap(struct qx_device *dev)
{
	if (dev->gone || dev->nic->umem.census[QX_FRAME_TX] == 0)
		return;
	for (uint32_t i = 0; i < dev->nic->queue_cnt && !dev->gone; i++) {
		reap_queue(dev, i);
		/* It may have stopped because nobody took its completions. */
		if (dev->nic->kick_after_reap)
			kick_queue(dev, i);
	}
}

int device_flush(struct qx_device *dev)
{
	int stayed = 0;

	for (uint32_t i = 0; i < dev->nic->queue_cnt && !dev->gone; i++) {
		struct qx_ring *tx = &dev->nic->queues[i].tx;

		if (ring_unpublished(tx))
			ring_publish(tx);
		stayed |= kick_queue(dev, i);
		if (!dev->gone)
			reap_queue(dev, i);
		if (!dev->gone && dev->nic->kick_after_reap)
			stayed |= kick_queue(dev, i);
	}
	return dev->gone ? 0 : stayed;
}

int port_flush(struct qx_port *port)
{
	return port->dev->forked ? -EPERM : device_flush(port->dev);
}
