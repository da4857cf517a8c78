/* memory_internal.h: what the two halves of the simulation share.
 *
 *      memory.c         one NIC: the kernel's side of its rings
 *      memory_open.c    its opening, closing and small operations
 *      memory_link.c    the wire between two: delay, loss and the rest, on virtual time */
#ifndef QX_MEMORY_INTERNAL_H
#define QX_MEMORY_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"

enum {
	MEMORY_QUEUE_CNT = 2,
	MEMORY_ADDRS_MAX = 64,
	LINK_END_CNT = 2,
	LINK_MTU_MIN_BYTES = 68, /* RFC 791 */
	LINK_MTU_MAX_BYTES = 16000,
	LINK_MTU_DEFAULT_BYTES = 1500,

	/* Where AF_XDP in copy mode puts packets in their frames. */
	MEMORY_HEADROOM_BYTES = 256,
	MEMORY_FRAME_MIN_BYTES = 2048
};

/* Indices apart, so that the two sides do not share cache lines more than AF_XDP's do. */
struct ring_memory {
	size_t len_bytes;
	_Alignas(64) _Atomic uint32_t producer;
	_Alignas(64) _Atomic uint32_t consumer;
	_Alignas(64) _Atomic uint32_t flags;
	_Alignas(64) uint8_t elements[];
};

struct completion_due {
	uint64_t off_bytes;
	uint64_t left_ns;
};

/* The kernel's own view of a queue: cached indices are each side's private matter. */
struct kernel_queue {
	struct ring_memory *memory[4];
	struct qx_ring fill;
	struct qx_ring rx;
	struct qx_ring tx;
	struct qx_ring completion;
	struct completion_due *due; /* a ring of as many as completion has */
	uint32_t due_first;
	uint32_t due_cnt;
	bool asleep; /* the fill ring ran dry; waits for wake */
	bool signalled;
};

struct memory_nic {
	struct qx_nic nic;    /* first: memory_of casts back */
	struct qx_link *link; /* NULL: unplugged */
	uint32_t end;
	bool attached;
	struct qx_addr addrs[MEMORY_ADDRS_MAX];
	uint32_t addr_cnt;
	struct kernel_queue queues[MEMORY_QUEUE_CNT];
	struct qx_stats counted; /* the kernel_* fields */
};

static inline struct memory_nic *memory_of(struct qx_nic *nic)
{
	return (struct memory_nic *)nic;
}

/* A frame under way.  The heap's order is (due, seq), so frames due together keep theirs. */
struct flight {
	uint64_t due_ns;
	uint64_t seq;
	uint32_t slot;
	uint32_t len_bytes;
	uint32_t to_end;
};

struct qx_link {
	struct qx_link_config cfg;
	uint64_t random;
	uint64_t now_ns;
	uint64_t seq;
	uint64_t busy_until_ns[LINK_END_CNT];  /* of the direction away from that end */
	struct memory_nic *ends[LINK_END_CNT]; /* NULL: not open */

	uint32_t slot_bytes;
	uint8_t *slots;
	uint32_t *free_slots;
	uint32_t free_cnt;
	struct flight *heap;
	uint32_t heap_cnt;
};

/* link_has_room: can one more frame (and its duplicate) be on the way? */
bool link_has_room(const struct qx_link *link);

/* link_send puts a frame on the wire at the link's time; the caller has asked
 * link_has_room.  Returns when its last bit has left. */
uint64_t link_send(struct qx_link *link, uint32_t from_end, const uint8_t *frame,
		   uint32_t len_bytes);

/* memory_frame_bytes is the frame size that holds packets of this MTU. */
uint32_t memory_frame_bytes(uint32_t mtu_bytes);

/* memory_deliver is the arrival of a frame at a NIC: 0, -ENOSPC dropped for want of a ring
 * entry or a frame, -EMSGSIZE longer than a frame. */
int memory_deliver(struct memory_nic *m, const uint8_t *frame, uint32_t len_bytes);

/* memory_complete reports what has left by now.  Returns when the next is due, UINT64_MAX
 * if nothing waits. */
uint64_t memory_complete(struct memory_nic *m, uint64_t now_ns);

/* memory_kick and memory_wake are the system calls. */
int memory_kick(struct qx_nic *nic, uint32_t queue);
int memory_wake(struct qx_nic *nic, uint32_t queue);

/* memory_unplug: the link is being freed under an open NIC; its interface is gone. */
void memory_unplug(struct memory_nic *m);

#endif
