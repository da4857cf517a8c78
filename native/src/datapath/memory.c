/* memory.c: a simulated NIC: the kernel's side of the four rings, in plain memory.
 *
 * It behaves as AF_XDP in copy mode does (net/xdp/xsk.c), including what is inconvenient:
 *  - packets start 256 bytes into their frames;
 *  - a kick works off 32 descriptors and answers -EAGAIN if some are left; one of an
 *    impossible length is completed unsent and ends the kick with -EBUSY;
 *  - an invalid descriptor is skipped and its address completed all the same;
 *  - the fill ring's consumer index is published later than the packets (xsk_flush).
 * As drivers in zero-copy mode do, it asks to be woken over the fill ring's flag: after the
 * fill ring ran dry it takes nothing from it until then.
 *
 * The event of a queue is readable while packets are in its RX ring.  Nobody calls the
 * kernel to empty a ring, so the flag is also how this NIC gets to take the signal back. */
#include <errno.h>
#include <string.h>

#include "memory_internal.h"
#include "os.h"
#include "wire.h"

enum {
	KICK_BUDGET = 32
}; /* TX_BATCH_SIZE of xsk.c */

/* ---- Receiving ---- */

static void signal_queue(struct memory_nic *m, uint32_t queue)
{
	struct kernel_queue *k = &m->queues[queue];

	if (k->signalled)
		return;
	k->signalled = os_event_set(m->nic.queues[queue].fd);
	atomic_store_explicit(k->fill.flags, QX_RING_NEED_WAKEUP, memory_order_release);
}

/* Both directions of a flow come to the same queue, as with a symmetric RSS key. */
static uint32_t choose_queue(const uint8_t *frame, uint32_t len_bytes)
{
	uint32_t ports = WIRE_ETH_BYTES + WIRE_IPV4_BYTES, mix;

	if (len_bytes > WIRE_ETH_BYTES && frame[WIRE_ETH_BYTES] >> 4 == 6)
		ports = WIRE_ETH_BYTES + WIRE_IPV6_BYTES;
	if (len_bytes < ports + 4)
		return 0;
	mix = (uint32_t)(frame[ports] ^ frame[ports + 1] ^ frame[ports + 2] ^
			 frame[ports + 3]);
	mix ^= mix >> 4;
	mix ^= mix >> 2;
	return (mix ^ mix >> 1) % MEMORY_QUEUE_CNT;
}

/* next_fill takes a frame for receiving; false if there is none. */
static bool next_fill(struct memory_nic *m, struct kernel_queue *k, uint64_t *off_bytes)
{
	const struct qx_umem *u = &m->nic.umem;

	ring_release(&k->fill); /* of last time: late on purpose, see above */
	while (!k->asleep && ring_available(&k->fill) > 0) {
		*off_bytes = *(const uint64_t *)ring_consume(&k->fill);
		if (umem_frame_of(u, *off_bytes) < u->frame_cnt) {
			*off_bytes &= ~(uint64_t)(u->frame_bytes - 1);
			return true;
		}
		m->counted.kernel_rx_invalid_descs++;
	}
	k->asleep = true;
	atomic_store_explicit(k->fill.flags, QX_RING_NEED_WAKEUP, memory_order_release);
	m->counted.kernel_fill_ring_empty++;
	return false;
}

int memory_deliver(struct memory_nic *m, const uint8_t *frame, uint32_t len_bytes)
{
	uint32_t queue = choose_queue(frame, len_bytes);
	struct kernel_queue *k = &m->queues[queue];
	struct qx_desc *desc;
	uint64_t off_bytes;

	if (!m->attached)
		return 0; /* the kernel's sockets would get it */
	if (len_bytes > m->nic.umem.frame_bytes - MEMORY_HEADROOM_BYTES) {
		m->counted.kernel_rx_dropped++;
		return -EMSGSIZE;
	}
	if ((m->link->cfg.rx_stalled & 1u << m->end) || ring_free(&k->rx, 1) == 0) {
		m->counted.kernel_rx_dropped++;
		m->counted.kernel_rx_ring_full++;
		return -ENOSPC;
	}
	if (!next_fill(m, k, &off_bytes)) {
		m->counted.kernel_rx_dropped++;
		return -ENOSPC;
	}
	off_bytes += MEMORY_HEADROOM_BYTES;
	memcpy(m->nic.umem.base + off_bytes, frame, len_bytes);
	desc = ring_produce(&k->rx);
	*desc = (struct qx_desc){.off_bytes = off_bytes, .len_bytes = len_bytes};
	ring_publish(&k->rx);
	signal_queue(m, queue);
	return 0;
}

int memory_wake(struct qx_nic *nic, uint32_t queue)
{
	struct memory_nic *m = memory_of(nic);
	struct kernel_queue *k = &m->queues[queue];

	nic->rx_syscalls++;
	k->asleep = false;
	ring_release(&k->fill);
	if (ring_pending(&k->rx) > 0)
		return 0;
	atomic_store_explicit(k->fill.flags, 0, memory_order_release);
	if (k->signalled && os_event_clear(nic->queues[queue].fd))
		k->signalled = false;
	return m->link ? 0 : -ENXIO;
}

/* ---- Sending ---- */

static void post_completion(struct kernel_queue *k, uint64_t off_bytes, uint64_t left_ns)
{
	uint32_t at = (k->due_first + k->due_cnt++) & (k->completion.size - 1);

	k->due[at] = (struct completion_due){off_bytes, left_ns};
}

static bool descriptor_valid(const struct memory_nic *m, const struct qx_desc *desc)
{
	const struct qx_umem *u = &m->nic.umem;
	uint64_t inside = desc->off_bytes & (u->frame_bytes - 1);

	return umem_frame_of(u, desc->off_bytes) < u->frame_cnt && desc->options == 0 &&
	       desc->len_bytes > 0 && desc->len_bytes <= u->frame_bytes - inside;
}

/* transmit works off one descriptor: 0, or -EBUSY if it was refused. */
static int transmit(struct memory_nic *m, struct kernel_queue *k, const struct qx_desc *desc)
{
	struct qx_link *link = m->link;
	uint64_t left_ns = link->now_ns;
	bool sendable = desc->len_bytes >= WIRE_ETH_BYTES &&
			desc->len_bytes <= m->nic.mtu_bytes + WIRE_ETH_BYTES;

	if (!descriptor_valid(m, desc)) {
		m->counted.kernel_tx_invalid_descs++;
		sendable = true;
	} else if (sendable) {
		left_ns = link_send(link, m->end, m->nic.umem.base + desc->off_bytes,
				    desc->len_bytes);
	}
	post_completion(k, desc->off_bytes, left_ns);
	return sendable ? 0 : -EBUSY;
}

int memory_kick(struct qx_nic *nic, uint32_t queue)
{
	struct memory_nic *m = memory_of(nic);
	struct kernel_queue *k = &m->queues[queue];
	int err = 0;

	nic->tx_syscalls++;
	if (!m->link)
		return -ENXIO;
	memory_complete(m, m->link->now_ns);
	for (int i = 0; i < KICK_BUDGET && err == 0 && ring_available(&k->tx) > 0; i++) {
		/* A place in the completion ring is reserved before sending. */
		uint32_t unread = ring_pending(&k->completion);
		struct qx_desc desc;

		if (!link_has_room(m->link) || k->due_cnt + unread >= k->completion.size)
			break;
		desc = *(const struct qx_desc *)ring_consume(&k->tx);
		err = transmit(m, k, &desc);
	}
	ring_release(&k->tx);
	memory_complete(m, m->link->now_ns);
	if (err == 0 && ring_available(&k->tx) > 0)
		err = -EAGAIN;
	else if (err == 0)
		m->counted.kernel_tx_ring_empty++;
	return err;
}

uint64_t memory_complete(struct memory_nic *m, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	if (m->link->cfg.tx_stalled & 1u << m->end)
		return next_ns;
	for (uint32_t i = 0; i < m->nic.queue_cnt; i++) {
		struct kernel_queue *k = &m->queues[i];

		while (k->due_cnt > 0 && k->due[k->due_first].left_ns <= now_ns &&
		       ring_free(&k->completion, 1) > 0) {
			*(uint64_t *)ring_produce(&k->completion) =
				k->due[k->due_first].off_bytes;
			k->due_first = (k->due_first + 1) & (k->completion.size - 1);
			k->due_cnt--;
		}
		ring_publish(&k->completion);
		if (k->due_cnt > 0 && k->due[k->due_first].left_ns < next_ns)
			next_ns = k->due[k->due_first].left_ns;
	}
	return next_ns;
}
