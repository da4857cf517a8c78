/* device.c: the devices of this process: opening, sharing, closing, statistics. */
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "device_internal.h"
#include "why.h"

/* Devices of several threads stand in one list; the lock is for the list and never taken
 * in the packet path. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct qx_device *registry;

/* ---- Opening and closing one ---- */

static int fill_rings(struct qx_device *dev)
{
	struct qx_nic *nic = dev->nic;

	for (uint32_t i = 0; i < nic->queue_cnt; i++) {
		struct qx_ring *fill = &nic->queues[i].fill;

		for (uint32_t k = 0; k < nic->rx_frame_cnt; k++) {
			uint32_t frame = umem_take(&nic->umem, QX_FRAME_FILL);

			if (frame == UINT32_MAX || ring_free(fill, 1) == 0)
				return -EINVAL;
			dev->tags[frame].queue = (uint8_t)i;
			*(uint64_t *)ring_produce(fill) = (uint64_t)frame
							  << nic->umem.frame_shift;
		}
		device_publish_fill(dev, i);
	}
	return 0;
}

static void device_free(struct qx_device *dev)
{
	for (uint32_t i = 0; i < QX_QUEUE_MAX; i++)
		free(dev->owed[i].frames);
	neigh_close(dev->neigh);
	free(dev->bindings);
	free(dev->notes);
	free(dev->tags);
	if (dev->nic && dev->nic->close_ways)
		dev->nic->close_ways(dev->nic->ways);
	if (dev->nic)
		dev->nic->ops->close(dev->nic);
	free(dev);
}

/* device_new owns the NIC from here on, also on failure. */
static int device_new(struct qx_device **out, struct qx_nic *nic, char *why)
{
	struct qx_device *dev = calloc(1, sizeof(*dev));
	uint32_t frame_cnt = nic->umem.frame_cnt;
	int err = -ENOMEM;

	if (!dev) {
		nic->ops->close(nic);
		goto no_memory;
	}
	dev->nic = nic;
	dev->ref_cnt = 1;
	dev->thread = pthread_self();
	dev->tags = calloc(frame_cnt, sizeof(*dev->tags));
	dev->notes = calloc(frame_cnt, sizeof(*dev->notes));
	dev->bindings = calloc(1, sizeof(*dev->bindings));
	if (!dev->tags || !dev->notes || !dev->bindings)
		goto free_device;
	if (neigh_open(&dev->neigh, DEVICE_NEIGH_CNT) < 0)
		goto free_device;
	for (uint32_t i = 0; i < nic->queue_cnt; i++) {
		struct fill_owed *owed = &dev->owed[i];

		owed->frames = calloc(nic->rx_frame_cnt, sizeof(*owed->frames));
		if (!owed->frames)
			goto free_device;
		owed->cap = nic->rx_frame_cnt;
	}
	if ((err = fill_rings(dev)) < 0) {
		device_free(dev);
		why_set(why,
			"%s: %u queues of %u receive frames do not fit %u frames or the "
			"fill rings; lower rx_frame_cnt",
			nic->name, nic->queue_cnt, nic->rx_frame_cnt, frame_cnt);
		return err;
	}
	*out = dev;
	return 0;

free_device:
	device_free(dev);
no_memory:
	why_set(why, "no memory for the tables of a device with %u frames", frame_cnt);
	return err;
}

/* ---- Sharing ---- */

/* Who insists on a mode gets that one. */
static int refuse_other_mode(const struct qx_device *dev, uint32_t wanted, char *why)
{
	uint32_t mode = dev->nic->queues[0].mode;

	if (wanted == QX_XDP_AUTO || wanted == mode)
		return 0;
	why_set(why,
		"%s: another endpoint of this process has opened it in mode %s, so it cannot be "
		"%s; ask for one mode in all of them",
		dev->nic->name, qx_xdp_mode_name(mode), qx_xdp_mode_name(wanted));
	return -EBUSY;
}

static int share(struct qx_device **out, struct qx_device *dev, char *why)
{
	if (!pthread_equal(dev->thread, pthread_self())) {
		why_set(why,
			"%s: another thread of this process uses it; open all endpoints "
			"of one interface in one thread",
			dev->nic->name);
		return -EBUSY;
	}
	dev->ref_cnt++;
	*out = dev;
	return 0;
}

static void registry_add(struct qx_device *dev)
{
	dev->next = registry;
	registry = dev;
}

/* A device whose interface went away, or which was the parent's, is nobody's to find. */
static bool may_share(const struct qx_device *dev, bool stale_too)
{
	return !dev->gone && !dev->forked && (stale_too || !dev->stale);
}

static struct qx_device *registry_find(const char *name, bool stale_too)
{
	struct qx_device *dev = registry;

	while (dev && !(may_share(dev, stale_too) && strcmp(dev->nic->name, name) == 0))
		dev = dev->next;
	return dev;
}

static struct qx_device *registry_find_nic(const struct qx_nic *nic)
{
	struct qx_device *dev = registry;

	while (dev && !(may_share(dev, true) && dev->nic == nic))
		dev = dev->next;
	return dev;
}

int device_get(struct qx_device **out, const struct qx_nic_config *cfg, char *why)
{
	struct qx_device *dev;
	struct qx_nic *nic;
	int err;

	pthread_mutex_lock(&registry_lock);
	dev = registry_find(cfg->interface, !cfg->at_once);
	if (dev) {
		/* Its frame counts were decided by the first endpoint. */
		if ((err = refuse_other_mode(dev, cfg->mode, why)) == 0)
			err = share(out, dev, why);
	} else if ((err = nic_open(&nic, cfg, why)) == 0 &&
		   (err = device_new(out, nic, why)) == 0) {
		registry_add(*out);
	}
	pthread_mutex_unlock(&registry_lock);
	return err;
}

int device_wrap(struct qx_device **out, struct qx_nic *nic, char *why)
{
	struct qx_device *dev;
	int err;

	pthread_mutex_lock(&registry_lock);
	dev = registry_find_nic(nic);
	if (dev)
		err = share(out, dev, why);
	else if ((err = device_new(out, nic, why)) == 0)
		registry_add(*out);
	pthread_mutex_unlock(&registry_lock);
	return err;
}

void device_put(struct qx_device *dev)
{
	struct qx_device **at = &registry;

	pthread_mutex_lock(&registry_lock);
	if (--dev->ref_cnt == 0) {
		while (*at != dev)
			at = &(*at)->next;
		*at = dev->next;
		device_free(dev);
	}
	pthread_mutex_unlock(&registry_lock);
}

void device_forked(void)
{
	/* Another thread may have held the lock when the process forked; in the child it
	 * does not exist. */
	pthread_mutex_init(&registry_lock, NULL);
	for (struct qx_device *dev = registry; dev; dev = dev->next)
		dev->forked = true;
}

/* ---- Asking ---- */

uint32_t device_queue_cnt(const struct qx_device *dev)
{
	return dev->nic->queue_cnt;
}

int device_queue_fd(const struct qx_device *dev, uint32_t queue)
{
	return dev->nic->queues[queue].fd;
}

int device_queue_tx_fd(const struct qx_device *dev, uint32_t queue)
{
	return dev->nic->queues[queue].tx_fd;
}

int device_event_fd(const struct qx_device *dev)
{
	return dev->nic->ops->events ? dev->nic->event_fd : -1;
}

size_t device_memory(const struct qx_device *dev, uint8_t **base)
{
	*base = dev->nic->umem.base;
	return dev->nic->umem.len_bytes;
}

bool device_copies(const struct qx_device *dev)
{
	for (uint32_t i = 0; i < dev->nic->queue_cnt; i++)
		if (dev->nic->queues[i].mode != QX_XDP_ZEROCOPY)
			return true;
	return false;
}

void device_info(const struct qx_device *dev, struct qx_interface_info *out)
{
	const struct qx_nic *nic = dev->nic;

	*out = (struct qx_interface_info){
		.queue_cnt = nic->queue_cnt,
		.pages = nic->umem.pages,
		.busy_poll = nic->busy_poll,
		.frame_bytes = nic->umem.frame_bytes,
	};
	memcpy(out->name, nic->name, sizeof(out->name));
	memcpy(out->note, nic->note, sizeof(out->note));
	for (uint32_t i = 0; i < nic->queue_cnt; i++)
		out->mode[i] = nic->queues[i].mode;
}

int device_set_tap(struct qx_device *dev, struct qx_tap *tap)
{
	char name[QX_IFNAME_BYTES + sizeof("xdp ")];
	int interface;

	if (dev->tap && dev->tap != tap)
		return -EBUSY;
	snprintf(name, sizeof(name), "xdp %s", dev->nic->name);
	interface = tap_interface(tap, TAP_ETHERNET, name);
	if (interface < 0)
		return interface;
	dev->tap = tap;
	dev->tap_interface = (uint32_t)interface;
	dev->tap_user_cnt++;
	return 0;
}

void device_drop_tap(struct qx_device *dev)
{
	if (--dev->tap_user_cnt == 0)
		dev->tap = NULL;
}

static void add_fills(const struct qx_queue *q, uint32_t rings[QX_RING_KIND_CNT])
{
	rings[QX_RING_FILL] += ring_pending(&q->fill);
	rings[QX_RING_RX] += ring_pending(&q->rx);
	rings[QX_RING_TX] += ring_pending(&q->tx);
	rings[QX_RING_COMPLETION] += ring_pending(&q->completion);
}

int port_stats(struct qx_port *port, struct qx_stats *out)
{
	struct qx_device *dev = port->dev;
	struct qx_lane_stats *lane = &out->lane[QX_LANE_XDP];
	int err;

	lane->rx_packets += port->rx_packets;
	lane->rx_bytes += port->rx_bytes;
	lane->tx_packets += port->tx_packets;
	lane->tx_bytes += port->tx_bytes;
	lane->rx_syscalls += dev->nic->rx_syscalls;
	lane->tx_syscalls += dev->nic->tx_syscalls;
	for (uint32_t i = 0; i < QX_DROP_CNT; i++)
		out->drop[i] += dev->drop[i] + port->drop[i];

	out->fill_wakeups += dev->fill_wakeups;
	out->tx_wakeups += dev->tx_wakeups;
	for (uint32_t i = 0; i < dev->nic->queue_cnt; i++) {
		device_extend_totals(dev, i);
		out->rx_ring_produced += dev->totals[i].rx_produced;
		out->completion_ring_produced += dev->totals[i].completion_produced;
		add_fills(&dev->nic->queues[i], out->rings);
	}
	out->queue_cnt = dev->nic->queue_cnt;
	out->zerocopy = !device_copies(dev);
	out->frame_cnt = dev->nic->umem.frame_cnt;
	memcpy(out->frames, dev->nic->umem.census, sizeof(out->frames));
	err = dev->nic->ops->stats(dev->nic, out);
	/* Of a deleted interface they need not be there any more. */
	return dev->gone ? 0 : err;
}
