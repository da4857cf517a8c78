/* ring.h: the single-producer single-consumer rings shared with the kernel, and the only
 * memory barriers of the datapath.
 *
 * Some facts (net/xdp/xsk_queue.h; XDP for Windows' afxdp.h has the same four rings):
 *  - A ring is a power-of-two array with a producer and a consumer index, both free-running
 *    32-bit numbers; index & mask is the slot, produced - consumed the fill level.
 *  - fill and tx: we produce, the kernel consumes.  rx and completion: the reverse.
 *  - fill and completion elements are 64-bit offsets into the UMEM, rx and tx elements are
 *    descriptors.  The stride is a field because Windows reports its own.
 *  - Our side's index has a cached copy here, so that a batch publishes once.  The far
 *    side's index is read again only when the cached copy says full or empty.
 *
 * The far side is trusted for liveness, never for bounds: a count read from it is clamped
 * to the ring's size, so a corrupt index cannot make us run past the array. */
#ifndef QX_RING_H
#define QX_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct qx_ring {
	_Atomic uint32_t *producer;
	_Atomic uint32_t *consumer;
	_Atomic uint32_t *flags; /* NULL where there are none */
	uint32_t wakeup_bits;    /* of flags: the far side wants to be called */
	uint8_t *elements;
	uint32_t stride_bytes;
	uint32_t size; /* elements, a power of two */
	uint32_t cached_producer;
	uint32_t cached_consumer;
};

enum {
	QX_RING_NEED_WAKEUP = 1 /* XDP_RING_NEED_WAKEUP: wakeup_bits on Linux */
};

/* struct xdp_desc of linux/if_xdp.h. */
struct qx_desc {
	uint64_t off_bytes;
	uint32_t len_bytes;
	uint32_t options;
};

static inline void *ring_at(const struct qx_ring *r, uint32_t index)
{
	return r->elements + (size_t)(index & (r->size - 1)) * r->stride_bytes;
}

/* ring_free is how many elements we may produce, at least want if that many are free. */
static inline uint32_t ring_free(struct qx_ring *r, uint32_t want)
{
	uint32_t used = r->cached_producer - r->cached_consumer;

	if (r->size - used < want) {
		/* Acquire pairs with the kernel's release of the consumer index: it has
		 * finished reading the elements that we are about to overwrite. */
		r->cached_consumer = atomic_load_explicit(r->consumer, memory_order_acquire);
		used = r->cached_producer - r->cached_consumer;
	}
	return used > r->size ? 0 : r->size - used;
}

/* ring_produce gives the next free element; the caller has asked ring_free. */
static inline void *ring_produce(struct qx_ring *r)
{
	return ring_at(r, r->cached_producer++);
}

/* ring_publish makes what was produced visible to the far side. */
static inline void ring_publish(struct qx_ring *r)
{
	/* Release pairs with the kernel's acquire of the producer index: the elements must
	 * be visible before the index that publishes them. */
	atomic_store_explicit(r->producer, r->cached_producer, memory_order_release);
}

/* ring_unpublished is how many elements were produced since the last ring_publish. */
static inline uint32_t ring_unpublished(const struct qx_ring *r)
{
	return r->cached_producer - atomic_load_explicit(r->producer, memory_order_relaxed);
}

/* ring_available is how many elements we may consume. */
static inline uint32_t ring_available(struct qx_ring *r)
{
	uint32_t ready = r->cached_producer - r->cached_consumer;

	if (ready == 0) {
		/* Acquire pairs with the kernel's release of the producer index. */
		r->cached_producer = atomic_load_explicit(r->producer, memory_order_acquire);
		ready = r->cached_producer - r->cached_consumer;
	}
	return ready > r->size ? r->size : ready;
}

/* ring_consume gives the next element; the caller has asked ring_available. */
static inline const void *ring_consume(struct qx_ring *r)
{
	return ring_at(r, r->cached_consumer++);
}

/* ring_release returns what was consumed to the far side. */
static inline void ring_release(struct qx_ring *r)
{
	/* Release: our reads of the elements happen before the kernel may reuse them. */
	atomic_store_explicit(r->consumer, r->cached_consumer, memory_order_release);
}

/* ring_pending is how many published elements the far side has not consumed yet. */
static inline uint32_t ring_pending(const struct qx_ring *r)
{
	return atomic_load_explicit(r->producer, memory_order_relaxed) -
	       atomic_load_explicit(r->consumer, memory_order_acquire);
}

/* ring_needs_wakeup: after publishing, must the far side be told by a system call? */
static inline bool ring_needs_wakeup(const struct qx_ring *r)
{
	if (!r->flags)
		return true;
	/* The flag is set by the far side after it found the ring empty; our publish must
	 * be visible to it before we look, or both sides would wait for each other. */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(r->flags, memory_order_relaxed) & r->wakeup_bits;
}

#endif
