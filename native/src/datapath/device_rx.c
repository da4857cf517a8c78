/* device_rx.c: received frames: off the rings, through the parser, to their port, and back
 * to the fill rings.
 *
 * A frame for the port that polls goes straight into its batch; frames for others wait in
 * their inboxes, linked through notes[], so an inbox costs no memory of its own.
 *
 * What the ring says about a frame is checked, never trusted: the frame must be one that
 * this queue was given, and the packet must lie inside it. */
#include <errno.h>

#include "device_internal.h"

enum {
	/* Of one port_recv, all queues together: a flood for somebody else holds nobody up
	 * for longer than that.  What stays keeps the queue's descriptor readable. */
	POLL_MAX = 4 * QX_BATCH_MAX,

	/* Frames to look ahead: the packet was written by another core or by the NIC, so its
	 * first line is not in our cache. */
	PREFETCH = 4,

	XDP_PKT_CONTINUES = 1 /* XDP_PKT_CONTD of linux/if_xdp.h */
};

/* Asking the NIC for news is a system call; while packets come it can wait a little. */
#define EVENTS_IDLE_NS 1000000ull
#define EVENTS_BUSY_NS 10000000ull
#define LINK_RETRY_NS 100000000ull

/* ---- Fill rings ---- */

static void owe(struct qx_device *dev, uint32_t queue, uint32_t frame)
{
	struct fill_owed *owed = &dev->owed[queue];

	/* No more than the queue has; a ring that lies about its contents might say so. */
	if (owed->cnt < owed->cap)
		owed->frames[owed->cnt++] = frame;
	else
		dev->drop[QX_DROP_DESCRIPTOR]++;
}

static void refill(struct qx_device *dev, uint32_t queue, uint32_t frame)
{
	struct qx_ring *fill = &dev->nic->queues[queue].fill;

	if (ring_free(fill, 1) == 0)
		owe(dev, queue, frame);
	else
		*(uint64_t *)ring_produce(fill) = (uint64_t)frame
						  << dev->nic->umem.frame_shift;
}

void device_give_back(struct qx_device *dev, uint32_t frame)
{
	if (umem_move(&dev->nic->umem, frame, QX_FRAME_LENT, QX_FRAME_FILL))
		refill(dev, dev->tags[frame].queue, frame);
	else
		dev->drop[QX_DROP_DESCRIPTOR]++;
}

void device_publish_fill(struct qx_device *dev, uint32_t queue)
{
	struct qx_ring *fill = &dev->nic->queues[queue].fill;
	struct fill_owed *owed = &dev->owed[queue];

	while (owed->cnt > 0 && ring_free(fill, 1) > 0)
		*(uint64_t *)ring_produce(fill) = (uint64_t)owed->frames[--owed->cnt]
						  << dev->nic->umem.frame_shift;
	/* Frames still owed count too: a ring full of frames may be one that the kernel
	 * waits to be woken for. */
	if (ring_unpublished(fill) == 0 && owed->cnt == 0)
		return;
	ring_publish(fill);
	if (dev->gone || !fill->flags || !ring_needs_wakeup(fill))
		return;
	dev->fill_wakeups++;
	if (dev->nic->ops->wake(dev->nic, queue) == -ENXIO)
		device_gone(dev);
}

/* ---- Handing out ---- */

static void batch_append(struct qx_batch *batch, const struct qx_device *dev,
			 const struct qx_path *path, uint32_t frame, uint32_t off_bytes,
			 uint32_t len_bytes, uint8_t ecn)
{
	struct qx_datagram *d = &batch->datagrams[batch->datagram_cnt++];

	if (batch->path_cnt == 0 || !path_equal(&batch->paths[batch->path_cnt - 1], path))
		batch->paths[batch->path_cnt++] = *path;
	d->data = dev->nic->umem.base + off_bytes;
	d->off_bytes = off_bytes;
	d->len_bytes = len_bytes;
	d->frame = frame;
	d->path = (uint16_t)(batch->path_cnt - 1);
	d->ecn = ecn;
	d->lane = QX_LANE_XDP;
}

/* An inbox may hold its share of each queue's frames: however many endpoints stop reading,
 * one share of every queue stays with the kernel for the others. */
static bool inbox_has_room(const struct qx_port *port, uint32_t queue)
{
	const struct qx_device *dev = port->dev;

	return port->inbox_held[queue] < dev->nic->rx_frame_cnt / (dev->port_cnt + 1);
}

static void inbox_push(struct qx_port *port, uint32_t frame)
{
	struct qx_device *dev = port->dev;

	if (port->inbox_cnt++ == 0)
		port->inbox_first = frame;
	else
		dev->notes[port->inbox_last].next = frame;
	port->inbox_last = frame;
	port->inbox_held[dev->tags[frame].queue]++;
	if (port->inbox_cnt == 1)
		port->wake(port->wake_arg);
}

static void inbox_take(struct qx_port *port, struct qx_batch *batch)
{
	struct qx_device *dev = port->dev;

	while (port->inbox_cnt > 0 && batch->datagram_cnt < QX_BATCH_MAX) {
		uint32_t frame = port->inbox_first;
		const struct frame_note *note = &dev->notes[frame];

		port->inbox_first = note->next;
		port->inbox_cnt--;
		port->inbox_held[dev->tags[frame].queue]--;
		port->rx_packets++;
		port->rx_bytes += note->len_bytes;
		batch_append(batch, dev, &note->path, frame, note->off_bytes, note->len_bytes,
			     note->ecn);
	}
}

/* ---- From ring to port ---- */

static void learn(struct qx_device *dev, const struct wire_datagram *w, uint32_t queue)
{
	struct qx_neigh seen = {
		.queue = (uint16_t)queue, .local = w->path.local, .heard_ns = dev->now_ns};
	struct qx_addr peer = w->path.peer;

	memcpy(seen.mac, w->peer_mac, sizeof(seen.mac));
	seen.local.port = 0;
	peer.port = 0;
	/* A burst of one peer teaches the same thing over and over. */
	if (addr_equal(&peer, &dev->taught_peer) &&
	    memcmp(&seen, &dev->taught, sizeof(seen)) == 0)
		return;
	if (!addr_equal(&peer, &dev->taught_peer) || seen.queue != dev->taught.queue ||
	    !addr_equal(&seen.local, &dev->taught.local))
		dev->taught_cnt++;
	neigh_learn(dev->neigh, &peer, &seen);
	dev->taught_peer = peer;
	dev->taught = seen;
}

/* deliver gives a parsed frame to its port: into the batch if that port is polling, else
 * into its inbox.  Returns why nobody took it, which it has counted. */
static enum qx_drop deliver(struct qx_device *dev, uint32_t queue, uint32_t frame,
			    uint32_t off_bytes, struct wire_datagram *w,
			    struct qx_port *polling, struct qx_batch *batch)
{
	struct frame_note *note;
	struct qx_port *port;

	addr_set_scope(&w->path.peer, dev->nic->ifindex);
	addr_set_scope(&w->path.local, dev->nic->ifindex);
	port = device_port_of(dev, &w->path.local);
	if (!port) {
		dev->drop[QX_DROP_NOT_OURS]++;
		return QX_DROP_NOT_OURS;
	}
	if (port->acl && !acl_allows(port->acl, &w->path.peer)) {
		port->drop[QX_DROP_DENIED]++;
		return QX_DROP_DENIED;
	}
	if (port->remote.family != QX_UNSPEC && !addr_equal(&port->remote, &w->path.peer)) {
		port->drop[QX_DROP_WRONG_PEER]++;
		return QX_DROP_WRONG_PEER;
	}
	learn(dev, w, queue);
	off_bytes += w->payload_off_bytes;
	if (port == polling) {
		/* Its inbox is empty (inbox_take came first) and the batch has room. */
		dev->tags[frame].port = port->id;
		port->rx_packets++;
		port->rx_bytes += w->payload_len_bytes;
		batch_append(batch, dev, &w->path, frame, off_bytes, w->payload_len_bytes,
			     w->ecn);
		return QX_DROP_NONE;
	}
	if (!inbox_has_room(port, queue)) {
		port->drop[QX_DROP_INBOX_FULL]++;
		return QX_DROP_INBOX_FULL;
	}
	dev->tags[frame].port = port->id;
	note = &dev->notes[frame];
	note->path = w->path;
	note->off_bytes = off_bytes;
	note->len_bytes = w->payload_len_bytes;
	note->ecn = w->ecn;
	inbox_push(port, frame);
	return QX_DROP_NONE;
}

/* take_frame checks a descriptor and takes its frame from the kernel.  Returns the frame,
 * UINT32_MAX if it is not one that this queue was given. */
static uint32_t take_frame(struct qx_device *dev, uint32_t queue, uint64_t off_bytes)
{
	struct qx_umem *u = &dev->nic->umem;
	uint64_t frame = umem_frame_of(u, off_bytes);

	if (frame >= u->frame_cnt || dev->tags[frame].queue != queue ||
	    !umem_move(u, (uint32_t)frame, QX_FRAME_FILL, QX_FRAME_LENT))
		return UINT32_MAX;
	return (uint32_t)frame;
}

/* One descriptor.  Returns the frame if it is to go back to the fill ring at once. */
static uint32_t receive_one(struct qx_device *dev, uint32_t queue, const struct qx_desc *desc,
			    struct qx_port *polling, struct qx_batch *batch)
{
	const struct qx_umem *u = &dev->nic->umem;
	uint32_t frame = take_frame(dev, queue, desc->off_bytes);
	uint32_t inside = (uint32_t)desc->off_bytes & (u->frame_bytes - 1);
	struct wire_datagram w;
	enum qx_drop verdict;

	if (frame == UINT32_MAX) {
		dev->drop[QX_DROP_DESCRIPTOR]++;
		return UINT32_MAX;
	}
	if (desc->len_bytes > u->frame_bytes - inside)
		verdict = QX_DROP_DESCRIPTOR;
	else if (desc->options & XDP_PKT_CONTINUES)
		verdict = QX_DROP_OVERLONG; /* pieces of one packet in several frames */
	else
		verdict = wire_parse(u->base + desc->off_bytes, desc->len_bytes,
				     dev->nic->mac, &w);
	if (verdict == QX_DROP_NONE)
		verdict = deliver(dev, queue, frame, (uint32_t)desc->off_bytes, &w, polling,
				  batch);
	else
		dev->drop[verdict]++;
	if (dev->tap && desc->len_bytes <= u->frame_bytes - inside)
		tap_frame(dev->tap, dev->tap_interface, false, u->base + desc->off_bytes,
			  desc->len_bytes, verdict);
	return verdict == QX_DROP_NONE ? UINT32_MAX : frame;
}

/* poll_queue takes at most max frames off one RX ring, fewer if the batch fills up. */
static uint32_t poll_queue(struct qx_device *dev, uint32_t queue, uint32_t max,
			   struct qx_port *polling, struct qx_batch *batch)
{
	struct qx_ring *rx = &dev->nic->queues[queue].rx;
	uint32_t ready = ring_available(rx), taken = 0, rejected_cnt = 0;
	uint32_t rejected[POLL_MAX];

	if (ready > max)
		ready = max;
	for (; taken < ready && batch->datagram_cnt < QX_BATCH_MAX; taken++) {
		/* Copied, because what is checked must be what is used. */
		struct qx_desc desc = *(const struct qx_desc *)ring_consume(rx);
		uint32_t frame;

		if (taken + PREFETCH < ready) {
			const struct qx_desc *ahead =
				ring_at(rx, rx->cached_consumer + PREFETCH - 1);

			__builtin_prefetch(
				dev->nic->umem.base +
				(ahead->off_bytes & (dev->nic->umem.len_bytes - 1)));
		}
		frame = receive_one(dev, queue, &desc, polling, batch);
		if (frame != UINT32_MAX)
			rejected[rejected_cnt++] = frame;
	}
	if (taken == 0)
		return 0;
	ring_release(rx);
	device_extend_totals(dev, queue);
	/* Given back only now, so that a frame named twice in one go is caught. */
	for (uint32_t i = 0; i < rejected_cnt; i++)
		device_give_back(dev, rejected[i]);
	device_publish_fill(dev, queue);
	return taken;
}

static uint32_t poll_rings(struct qx_port *port, struct qx_batch *batch)
{
	struct qx_device *dev = port->dev;
	uint32_t queue_cnt = dev->nic->queue_cnt, left = POLL_MAX;

	for (uint32_t i = 0; i < queue_cnt && left > 0; i++) {
		uint32_t queue = dev->first_queue + i;

		if (batch->datagram_cnt == QX_BATCH_MAX)
			break;
		if (queue >= queue_cnt)
			queue -= queue_cnt;
		left -= poll_queue(dev, queue, left, port, batch);
	}
	/* So that a queue that is always full does not always come first. */
	if (++dev->first_queue >= queue_cnt)
		dev->first_queue = 0;
	return POLL_MAX - left;
}

/* busy_poll lets the driver put into the rings what it has, in this thread: with busy polling
 * it is not interrupted for that. */
static void busy_poll(struct qx_device *dev)
{
	for (uint32_t i = 0; i < dev->nic->queue_cnt && !dev->gone; i++)
		if (dev->nic->ops->wake(dev->nic, i) == -ENXIO)
			device_gone(dev);
}

/* ---- The port's side ---- */

/* All ports shall hear of it: the device only ends when its last one has left.  What comes from
 * here on is for the kernel's sockets, so that nothing is in the rings when they do. */
static void make_stale(struct qx_device *dev)
{
	if (dev->stale)
		return;
	dev->stale = true;
	dev->nic->ops->detach(dev->nic);
	for (struct qx_port *p = dev->ports; p; p = p->next)
		p->wake(p->wake_arg);
}

static void ask_for_events(struct qx_device *dev, bool idle)
{
	const struct qx_nic_ops *ops = dev->nic->ops;
	uint64_t every_ns = idle ? EVENTS_IDLE_NS : EVENTS_BUSY_NS;

	if (!ops->events || dev->gone ||
	    (dev->events_ns != 0 && dev->now_ns - dev->events_ns < every_ns))
		return;
	dev->events_ns = dev->now_ns;
	switch (ops->events(dev->nic, dev->now_ns)) {
	case -ENXIO:
		device_gone(dev);
		break;
	case -ESTALE:
		make_stale(dev);
		break;
	default:
		device_follow_addrs(dev);
	}
}

void port_set_acl(struct qx_port *port, const struct qx_acl *acl)
{
	port->acl = acl;
}

int port_recv(struct qx_port *port, struct qx_batch *batch, uint64_t now_ns)
{
	struct qx_device *dev = port->dev;
	uint32_t before = batch->datagram_cnt, polled;

	if (dev->forked)
		return 0;
	/* Endpoints that share the device read their clocks one after the other. */
	if (now_ns > dev->now_ns)
		dev->now_ns = now_ns;
	inbox_take(port, batch);
	if (dev->nic->busy_poll)
		busy_poll(dev);
	polled = poll_rings(port, batch);
	device_reap(dev);
	ask_for_events(dev, polled == 0);
	if (dev->link_down && (polled || dev->now_ns - dev->kicked_ns >= LINK_RETRY_NS))
		device_flush(dev);
	if (batch->datagram_cnt == before && dev->gone && !port->gone_reported) {
		port->gone_reported = true;
		return -ENETDOWN;
	}
	if (batch->datagram_cnt == before && dev->stale && !dev->gone &&
	    !port->stale_reported) {
		port->stale_reported = true;
		return -ESTALE;
	}
	return (int)(batch->datagram_cnt - before);
}

bool port_busy_polls(const struct qx_port *port)
{
	return port->dev->nic->busy_poll && !port->dev->forked;
}

void port_busy_poll(struct qx_port *port)
{
	if (port_busy_polls(port))
		busy_poll(port->dev);
}

void port_recv_done(struct qx_port *port, uint32_t frame)
{
	if (!port->dev->forked)
		device_give_back(port->dev, frame);
}

void port_recv_publish(struct qx_port *port)
{
	struct qx_device *dev = port->dev;

	if (dev->forked)
		return;
	for (uint32_t i = 0; i < dev->nic->queue_cnt; i++)
		device_publish_fill(dev, i);
}

void port_expect(struct qx_port *port, bool room)
{
	struct qx_device *dev = port->dev;
	struct qx_nic *nic = dev->nic;

	if (!nic->ops->expect || dev->forked)
		return;
	for (uint32_t i = 0; i < nic->queue_cnt && !dev->gone; i++) {
		int err = nic->ops->expect(nic, i, QX_EXPECT_RX);

		if (err == 0 && room)
			err = nic->ops->expect(nic, i, QX_EXPECT_ROOM);
		if (err == -ENXIO)
			device_gone(dev);
	}
}
