/* frame_queue.h: frames that wait to be sent: aioquic's control frames, and DATAGRAMs.
 *
 * Blocks come from a pool of the engine; only a datagram that is larger than a block is
 * allocated by itself.  The caller bounds what waits. */
#ifndef QX_FRAME_QUEUE_H
#define QX_FRAME_QUEUE_H

#include <stdint.h>

#include "pool.h"

enum {
	FRAME_BLOCK_BYTES = 2048
};

struct queued_frame {
	struct queued_frame *next;
	uint64_t token;
	uint32_t flags; /* enum qx_control_flags */
	uint32_t len_bytes;
	uint8_t bytes[];
};

struct frame_queue {
	struct queued_frame *head, *tail;
	uint64_t bytes; /* of all frames */
};

/* frame_queue_push copies a frame to the end.  0 or -ENOMEM. */
int frame_queue_push(struct frame_queue *q, struct pool *blocks, const uint8_t *data,
		     uint32_t len_bytes, uint64_t token, uint32_t flags);
/* frame_queue_pop ends the first one. */
void frame_queue_pop(struct frame_queue *q, struct pool *blocks);

#endif
