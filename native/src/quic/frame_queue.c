/* frame_queue.c: a list, first in, first out. */
#include "frame_queue.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool fits_block(uint32_t len_bytes)
{
	return len_bytes <= FRAME_BLOCK_BYTES - sizeof(struct queued_frame);
}

int frame_queue_push(struct frame_queue *q, struct pool *blocks, const uint8_t *data,
		     uint32_t len_bytes, uint64_t token, uint32_t flags)
{
	struct queued_frame *f =
		fits_block(len_bytes) ? pool_take(blocks) : malloc(sizeof(*f) + len_bytes);

	if (!f)
		return -ENOMEM;
	*f = (struct queued_frame){.token = token, .flags = flags, .len_bytes = len_bytes};
	if (len_bytes > 0)
		memcpy(f->bytes, data, len_bytes);
	if (q->tail)
		q->tail->next = f;
	else
		q->head = f;
	q->tail = f;
	q->bytes += len_bytes;
	return 0;
}

void frame_queue_pop(struct frame_queue *q, struct pool *blocks)
{
	struct queued_frame *f = q->head;

	q->head = f->next;
	if (!q->head)
		q->tail = NULL;
	q->bytes -= f->len_bytes;
	if (fits_block(f->len_bytes))
		pool_give(blocks, f);
	else
		free(f);
}
