/* umem.h: the frames of a device, and who owns each.
 *
 * Each frame is in exactly one of five places:
 *
 *              reserve            commit
 *      FREE ------------> BUILT ------------> TX
 *       ^  <------------                      |
 *       |     cancelled       completion ring |
 *       +-------------------------------------+
 *
 *              rx ring            recv_done
 *      FILL ------------> LENT ------------> FILL
 *
 * FILL counts a frame until we take it off the rx ring, TX until we take it off the
 * completion ring.  A counter per place moves only at its own transition, so the census
 * adding up to frame_cnt is a real check; umem_move also keeps an owner byte per frame and
 * refuses a move from the wrong place, which is how a phantom completion (an EINVAL
 * kick completes the same frame again and again) or a frame given back twice is caught.
 *
 * Receiving and sending frames never mix: what a queue was given to FILL comes back to its
 * fill ring, so a burst of sends cannot starve receiving. */
#ifndef QX_UMEM_H
#define QX_UMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quicxdp.h"

struct qx_umem {
	uint8_t *base; /* frame_cnt * frame_bytes, page aligned, MADV_DONTFORK */
	size_t len_bytes;
	size_t map_bytes;     /* what is mapped there; huge pages are rounded up */
	uint8_t pages;        /* enum qx_pages */
	uint32_t frame_bytes; /* a power of two */
	uint32_t frame_shift; /* log2(frame_bytes) */
	uint32_t frame_cnt;
	uint32_t census[QX_FRAME_STATE_CNT];
	uint8_t *state;       /* frame_cnt bytes of enum qx_frame_state */
	uint32_t *free_stack; /* frames in FREE; census[QX_FRAME_FREE] is its depth */
};

/* umem_open maps and numbers the frames, all FREE.  -ENOMEM; undone on failure.
 * umem_open_huge takes huge pages if there are any. */
int umem_open(struct qx_umem *u, uint32_t frame_cnt, uint32_t frame_bytes);
int umem_open_huge(struct qx_umem *u, uint32_t frame_cnt, uint32_t frame_bytes);
void umem_close(struct qx_umem *u);

/* umem_take pops a FREE frame and marks it to_state (BUILT or FILL).  Returns the frame,
 * or UINT32_MAX if none is free.  Last in, first out: the frame used last is in the cache. */
static inline uint32_t umem_take(struct qx_umem *u, enum qx_frame_state to_state)
{
	uint32_t frame;

	if (u->census[QX_FRAME_FREE] == 0)
		return UINT32_MAX;
	frame = u->free_stack[--u->census[QX_FRAME_FREE]];
	u->state[frame] = (uint8_t)to_state;
	u->census[to_state]++;
	return frame;
}

/* umem_move changes a frame's owner.  Returns false, changing nothing, if the frame number
 * is out of range or the frame is not in from_state: the caller counts a
 * QX_DROP_DESCRIPTOR.  Moving to FREE pushes it on the stack.  Both are inline because they
 * run for every packet with constant states. */
static inline bool umem_move(struct qx_umem *u, uint32_t frame,
			     enum qx_frame_state from_state, enum qx_frame_state to_state)
{
	if (frame >= u->frame_cnt || u->state[frame] != from_state)
		return false;
	u->state[frame] = (uint8_t)to_state;
	u->census[from_state]--;
	if (to_state == QX_FRAME_FREE)
		u->free_stack[u->census[QX_FRAME_FREE]] = frame;
	u->census[to_state]++;
	return true;
}

static inline uint8_t *umem_frame(const struct qx_umem *u, uint32_t frame)
{
	return u->base + ((size_t)frame << u->frame_shift);
}

/* umem_frame_of is the frame that an offset lies in; may be out of range (compare before
 * narrowing to 32 bits). */
static inline uint64_t umem_frame_of(const struct qx_umem *u, uint64_t off_bytes)
{
	return off_bytes >> u->frame_shift;
}

#endif
