/* hand_nic.h: a NIC whose kernel is the test: every ring is moved by hand, every call is
 * counted and answers what the test says. */
#ifndef QX_HAND_NIC_H
#define QX_HAND_NIC_H

#include <errno.h>
#include <stdlib.h>

#include "device.h"
#include "frames.h"
#include "nic.h"
#include "t.h"

enum {
	HAND_QUEUES = 2,
	HAND_RX = 64, /* frames and ring entries per queue */
	HAND_TX = 64,
	HAND_RING_MAX = 2048,
	HAND_HEADROOM = 256,
	HAND_ADMITTED_MAX = 64,
	HAND_MTU = 1500
};

struct hand_ring {
	_Atomic uint32_t producer;
	_Atomic uint32_t consumer;
	_Atomic uint32_t flags;
	uint64_t elements[HAND_RING_MAX * 2];
};

struct hand {
	struct qx_nic nic; /* first */
	struct hand_ring memory[HAND_QUEUES][4];
	struct qx_ring fill[HAND_QUEUES]; /* the kernel's views */
	struct qx_ring rx[HAND_QUEUES];
	struct qx_ring tx[HAND_QUEUES];
	struct qx_ring completion[HAND_QUEUES];

	/* What the operations answer, and how often they were called. */
	int kick_answer;
	uint32_t kick_moves; /* descriptors that a kick sends and completes */
	int events_answer, attach_answer, admit_answer, addrs_answer;
	uint32_t admit_fails_at; /* the nth call */
	bool no_way;
	uint32_t way_mtu_bytes; /* 0: the interface's */
	struct qx_addr way_source;
	uint32_t ways, kicks, wakes, events, attaches, detaches, admits, dismisses, closes;
	struct qx_addr addrs[8];
	uint32_t addr_cnt;
};

static const uint8_t hand_mac[6] = {0x02, 0xaa, 0, 0, 0, 1};
static struct hand hand;
static char hand_why[QX_WHY_BYTES];

/* ---- The kernel's side ---- */

/* hand_complete reports an offset as sent. */
static inline void hand_complete(uint32_t queue, uint64_t off_bytes)
{
	struct qx_ring *completion = &hand.completion[queue];

	T_CHECK(ring_free(completion, 1) > 0);
	*(uint64_t *)ring_produce(completion) = off_bytes;
	ring_publish(completion);
}

/* hand_sent takes the next descriptor off a TX ring; false if there is none. */
static inline bool hand_sent(uint32_t queue, struct qx_desc *out)
{
	struct qx_ring *tx = &hand.tx[queue];

	if (ring_available(tx) == 0)
		return false;
	*out = *(const struct qx_desc *)ring_consume(tx);
	ring_release(tx);
	return true;
}

/* hand_desc puts any descriptor on an RX ring. */
static inline void hand_desc(uint32_t queue, uint64_t off_bytes, uint32_t len_bytes,
			     uint32_t options)
{
	struct qx_ring *rx = &hand.rx[queue];

	T_CHECK(ring_free(rx, 1) > 0);
	*(struct qx_desc *)ring_produce(rx) = (struct qx_desc){
		.off_bytes = off_bytes, .len_bytes = len_bytes, .options = options};
	ring_publish(rx);
}

/* hand_fill takes a frame off a fill ring; UINT64_MAX if there is none. */
static inline uint64_t hand_fill(uint32_t queue)
{
	uint64_t off_bytes;

	if (ring_available(&hand.fill[queue]) == 0)
		return UINT64_MAX;
	off_bytes = *(const uint64_t *)ring_consume(&hand.fill[queue]);
	ring_release(&hand.fill[queue]);
	return off_bytes;
}

/* hand_arrive receives a frame properly; false if the fill ring was empty. */
static inline bool hand_arrive(uint32_t queue, const struct frame *f)
{
	uint64_t off_bytes = hand_fill(queue);

	if (off_bytes == UINT64_MAX)
		return false;
	memcpy(hand.nic.umem.base + off_bytes + HAND_HEADROOM, f->bytes, f->len_bytes);
	hand_desc(queue, off_bytes + HAND_HEADROOM, f->len_bytes, 0);
	return true;
}

/* ---- Operations ---- */

static int hand_kick(struct qx_nic *nic, uint32_t queue)
{
	struct qx_desc desc;

	nic->tx_syscalls++;
	hand.kicks++;
	for (uint32_t i = 0; i < hand.kick_moves && hand_sent(queue, &desc); i++)
		hand_complete(queue, desc.off_bytes);
	return hand.kick_answer;
}

static int hand_wake(struct qx_nic *nic, uint32_t queue)
{
	nic->rx_syscalls++;
	hand.wakes++;
	hand.memory[queue][0].flags = 0;
	return 0;
}

static int hand_admit(struct qx_nic *nic, const struct qx_addr *local)
{
	(void)nic;
	(void)local;
	return ++hand.admits == hand.admit_fails_at ? hand.admit_answer : 0;
}

static void hand_dismiss(struct qx_nic *nic, const struct qx_addr *local)
{
	(void)nic;
	(void)local;
	hand.dismisses++;
}

static int hand_attach(struct qx_nic *nic, char *why)
{
	(void)nic;
	hand.attaches++;
	if (hand.attach_answer < 0)
		snprintf(why, QX_WHY_BYTES, "attaching refused by the test");
	return hand.attach_answer;
}

static void hand_detach(struct qx_nic *nic)
{
	(void)nic;
	hand.detaches++;
}

static int hand_stats(struct qx_nic *nic, struct qx_stats *out)
{
	(void)nic;
	out->kernel_rx_dropped += 3;
	return 0;
}

static int hand_events(struct qx_nic *nic, uint64_t now_ns)
{
	(void)nic;
	(void)now_ns;
	hand.events++;
	return hand.events_answer;
}

/* Every peer is behind frames.h's MAC address, unless the test says that there is no way. */
static bool hand_way(struct qx_nic *nic, const struct qx_path *path, uint64_t now_ns,
		     struct qx_way *out)
{
	(void)path;
	(void)now_ns;
	hand.ways++;
	*out = (struct qx_way){.mtu_bytes = hand.way_mtu_bytes ? hand.way_mtu_bytes
							       : nic->mtu_bytes,
			       .source = hand.way_source};
	memcpy(out->mac, "\x02\x00\x00\x00\x00\xfe", sizeof(out->mac));
	return !hand.no_way;
}

static int hand_local_addrs(struct qx_nic *nic, struct qx_addr *out, uint32_t max)
{
	(void)nic;
	T_CHECK(hand.addr_cnt <= max);
	memcpy(out, hand.addrs, sizeof(*out) * hand.addr_cnt);
	return (int)hand.addr_cnt;
}

static void hand_close(struct qx_nic *nic)
{
	hand.closes++;
	umem_close(&nic->umem);
}

static const struct qx_nic_ops hand_ops = {
	.kick = hand_kick,
	.wake = hand_wake,
	.admit = hand_admit,
	.dismiss = hand_dismiss,
	.attach = hand_attach,
	.detach = hand_detach,
	.stats = hand_stats,
	.events = hand_events,
	.local_addrs = hand_local_addrs,
	.close = hand_close,
};

static int hand_addrs_now(struct qx_nic *nic, struct qx_addr *out, uint32_t max)
{
	return hand.addrs_answer < 0 ? hand.addrs_answer : hand_local_addrs(nic, out, max);
}

/* hand_mirrors gives the NIC a mirror of the kernel's tables. */
static inline void hand_mirrors(void)
{
	static struct qx_nic_ops ops;

	ops = *hand.nic.ops;
	ops.way = hand_way;
	ops.addrs_now = hand_addrs_now;
	hand.nic.ops = &ops;
}

/* ---- Opening ---- */

static inline void hand_ring_init(struct hand_ring *m, struct qx_ring *ours,
				  struct qx_ring *kernels, uint32_t size,
				  uint32_t stride_bytes)
{
	*ours = (struct qx_ring){.producer = &m->producer,
				 .consumer = &m->consumer,
				 .flags = &m->flags,
				 .wakeup_bits = QX_RING_NEED_WAKEUP,
				 .elements = (uint8_t *)m->elements,
				 .stride_bytes = stride_bytes,
				 .size = size};
	*kernels = *ours;
}

/* hand_open makes a fresh NIC and its device; rx frames per queue, tx frames in all. */
static inline struct qx_device *hand_open(uint32_t rx, uint32_t tx)
{
	struct qx_device *dev;

	if (hand.nic.umem.base)
		umem_close(&hand.nic.umem);
	memset(&hand, 0, sizeof(hand));
	hand.kick_moves = UINT32_MAX;
	hand.nic = (struct qx_nic){.ops = &hand_ops,
				   .name = "hand0",
				   .ifindex = 7,
				   .mtu_bytes = HAND_MTU,
				   .queue_cnt = HAND_QUEUES,
				   .rx_frame_cnt = rx,
				   .event_fd = -1};
	memcpy(hand.nic.mac, hand_mac, 6);
	T_EQ(umem_open(&hand.nic.umem, HAND_QUEUES * rx + tx, 2048), 0);
	for (uint32_t i = 0; i < HAND_QUEUES; i++) {
		struct qx_queue *q = &hand.nic.queues[i];

		hand_ring_init(&hand.memory[i][0], &q->fill, &hand.fill[i], rx, 8);
		hand_ring_init(&hand.memory[i][1], &q->rx, &hand.rx[i], rx, 16);
		hand_ring_init(&hand.memory[i][2], &q->tx, &hand.tx[i], tx, 16);
		hand_ring_init(&hand.memory[i][3], &q->completion, &hand.completion[i], tx,
			       8);
		hand.memory[i][2].flags = QX_RING_NEED_WAKEUP;
		q->fd = -1;
	}
	if (device_wrap(&dev, &hand.nic, hand_why) < 0)
		T_FAIL("device_wrap: %s", hand_why);
	return dev;
}

/* hand_check_census: all frames are somewhere, and with everything given back, every RX
 * frame is with the kernel. */
static inline void hand_check_census(void)
{
	uint32_t sum = 0;

	for (int i = 0; i < QX_FRAME_STATE_CNT; i++)
		sum += hand.nic.umem.census[i];
	T_EQ(sum, hand.nic.umem.frame_cnt);
}

#endif
