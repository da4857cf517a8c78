/* memory_open.c: opening and closing a simulated NIC, and its operations that move nothing. */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "memory_internal.h"
#include "os.h"
#include "why.h"
#include "wire.h"

enum {
	MEMORY_RX_DEFAULT = 1024, /* per queue */
	MEMORY_TX_DEFAULT = 1024,
	MEMORY_FRAMES_MAX = 1 << 15
};

uint32_t memory_frame_bytes(uint32_t mtu_bytes)
{
	uint32_t bytes = MEMORY_FRAME_MIN_BYTES;

	while (bytes < mtu_bytes + WIRE_ETH_BYTES + MEMORY_HEADROOM_BYTES)
		bytes *= 2;
	return bytes;
}

/* ---- Small operations ---- */

/* The device's own table finds duplicates; there is no filter to fill. */
static int admit(struct qx_nic *nic, const struct qx_addr *local)
{
	(void)nic;
	(void)local;
	return 0;
}

static void dismiss(struct qx_nic *nic, const struct qx_addr *local)
{
	(void)nic;
	(void)local;
}

static int attach(struct qx_nic *nic, char *why)
{
	(void)why;
	memory_of(nic)->attached = true;
	return 0;
}

static void detach(struct qx_nic *nic)
{
	memory_of(nic)->attached = false;
}

static int stats(struct qx_nic *nic, struct qx_stats *out)
{
	const struct qx_stats *c = &memory_of(nic)->counted;

	out->kernel_rx_dropped += c->kernel_rx_dropped;
	out->kernel_rx_invalid_descs += c->kernel_rx_invalid_descs;
	out->kernel_tx_invalid_descs += c->kernel_tx_invalid_descs;
	out->kernel_rx_ring_full += c->kernel_rx_ring_full;
	out->kernel_fill_ring_empty += c->kernel_fill_ring_empty;
	out->kernel_tx_ring_empty += c->kernel_tx_ring_empty;
	return 0;
}

static int local_addrs(struct qx_nic *nic, struct qx_addr *out, uint32_t max)
{
	const struct memory_nic *m = memory_of(nic);
	uint32_t cnt = m->addr_cnt < max ? m->addr_cnt : max;

	memcpy(out, m->addrs, sizeof(*out) * cnt);
	return (int)cnt;
}

static void close_queue(struct memory_nic *m, uint32_t queue)
{
	struct kernel_queue *k = &m->queues[queue];

	for (uint32_t i = 0; i < 4; i++)
		if (k->memory[i])
			os_unmap(k->memory[i], k->memory[i]->len_bytes);
	free(k->due);
	if (m->nic.queues[queue].fd >= 0)
		os_event_close(m->nic.queues[queue].fd);
	if (m->nic.queues[queue].tx_fd >= 0)
		os_event_close(m->nic.queues[queue].tx_fd);
}

static void close_nic(struct qx_nic *nic)
{
	struct memory_nic *m = memory_of(nic);

	if (m->link && m->link->ends[m->end] == m)
		m->link->ends[m->end] = NULL;
	for (uint32_t i = 0; i < MEMORY_QUEUE_CNT; i++)
		close_queue(m, i);
	umem_close(&nic->umem);
	free(m);
}

void memory_unplug(struct memory_nic *m)
{
	m->link = NULL;
	m->attached = false;
}

static const struct qx_nic_ops memory_ops = {
	.kick = memory_kick,
	.wake = memory_wake,
	.admit = admit,
	.dismiss = dismiss,
	.attach = attach,
	.detach = detach,
	.stats = stats,
	.local_addrs = local_addrs,
	.close = close_nic,
};

/* ---- Opening ---- */

/* One ring, seen from both sides; mapped, as the kernel's are. */
static int open_ring(struct ring_memory **memory, struct qx_ring *ours,
		     struct qx_ring *kernels, uint32_t size, uint32_t stride_bytes)
{
	size_t bytes = sizeof(**memory) + (size_t)size * stride_bytes;
	struct ring_memory *m = os_map(bytes);

	if (!m)
		return -ENOMEM;
	m->len_bytes = bytes;
	*ours = (struct qx_ring){.producer = &m->producer,
				 .consumer = &m->consumer,
				 .flags = &m->flags,
				 .wakeup_bits = QX_RING_NEED_WAKEUP,
				 .elements = m->elements,
				 .stride_bytes = stride_bytes,
				 .size = size};
	*kernels = *ours;
	*memory = m;
	return 0;
}

static int open_queue(struct memory_nic *m, uint32_t queue, uint32_t rx_size,
		      uint32_t tx_size)
{
	struct qx_queue *q = &m->nic.queues[queue];
	struct kernel_queue *k = &m->queues[queue];

	if (open_ring(&k->memory[0], &q->fill, &k->fill, rx_size, sizeof(uint64_t)) < 0 ||
	    open_ring(&k->memory[1], &q->rx, &k->rx, rx_size, sizeof(struct qx_desc)) < 0 ||
	    open_ring(&k->memory[2], &q->tx, &k->tx, tx_size, sizeof(struct qx_desc)) < 0 ||
	    open_ring(&k->memory[3], &q->completion, &k->completion, tx_size,
		      sizeof(uint64_t)) < 0)
		return -ENOMEM;
	k->due = calloc(tx_size, sizeof(*k->due));
	if (!k->due)
		return -ENOMEM;
	/* Copy mode sends nothing by itself. */
	atomic_store_explicit(k->tx.flags, QX_RING_NEED_WAKEUP, memory_order_relaxed);
	q->fd = os_event_open(false);
	if (q->fd < 0)
		return q->fd;
	q->tx_fd = os_event_open(true); /* always writable */
	return q->tx_fd < 0 ? q->tx_fd : 0;
}

static int frame_cnt_or(uint32_t *cnt, uint32_t otherwise)
{
	if (*cnt == 0)
		*cnt = otherwise;
	return *cnt > MEMORY_FRAMES_MAX || (*cnt & (*cnt - 1)) != 0 ? -EINVAL : 0;
}

static int add_address(struct memory_nic *m, const struct qx_addr *local, char *why)
{
	struct qx_addr addr = *local;

	addr.port = 0;
	for (uint32_t i = 0; i < m->addr_cnt; i++)
		if (memcmp(&m->addrs[i], &addr, sizeof(addr)) == 0)
			return 0;
	if (m->addr_cnt == MEMORY_ADDRS_MAX) {
		why_set(why, "a simulated NIC has at most %d addresses", MEMORY_ADDRS_MAX);
		return -ENOSPC;
	}
	m->addrs[m->addr_cnt++] = addr;
	return 0;
}

static int check_arguments(uint32_t end, const struct qx_addr *local, char *why)
{
	char text[ADDR_TEXT_BYTES];

	if (end >= LINK_END_CNT) {
		why_set(why, "a link has ends 0 and 1, no end %u", end);
		return -EINVAL;
	}
	if (!wire_address_possible(local)) {
		addr_text(text, local);
		why_set(why,
			"%s never stands on a wire; give the simulated NIC an address such as "
			"192.0.2.1 or 2001:db8::1",
			text);
		return -EINVAL;
	}
	return 0;
}

static int open_frames(struct memory_nic *m, uint32_t rx_cnt, uint32_t tx_cnt, char *why)
{
	uint32_t frame_cnt = MEMORY_QUEUE_CNT * rx_cnt + tx_cnt;
	int err = umem_open(&m->nic.umem, frame_cnt, memory_frame_bytes(m->nic.mtu_bytes));

	for (uint32_t i = 0; err == 0 && i < MEMORY_QUEUE_CNT; i++)
		err = open_queue(m, i, rx_cnt, tx_cnt);
	if (err < 0)
		why_set(why, "the simulated NIC's rings and %u frames: %s", frame_cnt,
			strerror(-err));
	return err;
}

static void init_nic(struct memory_nic *m, struct qx_link *link, uint32_t end,
		     uint32_t rx_cnt)
{
	m->link = link;
	m->end = end;
	m->nic = (struct qx_nic){.ops = &memory_ops,
				 .name = {'l', 'i', 'n', 'k', '/', (char)('0' + end)},
				 .ifindex = end + 1,
				 .mac = {0x02, 'q', 'x', 0, 0, (uint8_t)end},
				 .has_peer_mac = 1,
				 .peer_mac = {0x02, 'q', 'x', 0, 0, (uint8_t)(1 - end)},
				 .mtu_bytes = link->cfg.mtu_bytes,
				 .queue_cnt = MEMORY_QUEUE_CNT,
				 .rx_frame_cnt = rx_cnt,
				 .event_fd = -1};
	for (uint32_t i = 0; i < MEMORY_QUEUE_CNT; i++)
		m->nic.queues[i].fd = m->nic.queues[i].tx_fd = -1;
}

int memory_nic_open(struct qx_nic **out, struct qx_link *link, uint32_t end,
		    const struct qx_nic_config *cfg, const struct qx_addr *local, char *why)
{
	uint32_t rx_cnt = cfg->rx_frame_cnt, tx_cnt = cfg->tx_frame_cnt;
	struct memory_nic *m;
	int err;

	if ((err = check_arguments(end, local, why)) < 0)
		return err;
	m = link->ends[end];
	if (m) {
		*out = &m->nic;
		return add_address(m, local, why);
	}
	if (frame_cnt_or(&rx_cnt, MEMORY_RX_DEFAULT) < 0 ||
	    frame_cnt_or(&tx_cnt, MEMORY_TX_DEFAULT) < 0) {
		why_set(why,
			"rx_frame_cnt %u and tx_frame_cnt %u must be powers of two, at most %d, "
			"or 0 for the default",
			rx_cnt, tx_cnt, MEMORY_FRAMES_MAX);
		return -EINVAL;
	}
	m = calloc(1, sizeof(*m));
	if (!m) {
		why_set(why, "no memory for a simulated NIC");
		return -ENOMEM;
	}
	init_nic(m, link, end, rx_cnt);
	if ((err = open_frames(m, rx_cnt, tx_cnt, why)) < 0) {
		close_nic(&m->nic);
		return err;
	}
	add_address(m, local, why);
	link->ends[end] = m;
	*out = &m->nic;
	return 0;
}
