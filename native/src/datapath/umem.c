/* umem.c: maps the frames of a device and numbers them; the moves are inline in umem.h. */
#include "umem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

static void *map(struct qx_umem *u, bool huge)
{
	enum qx_pages pages;
	void *base = NULL;

	u->map_bytes = u->len_bytes;
	if (huge && (base = os_map_huge(&u->map_bytes, &pages)) != NULL)
		u->pages = (uint8_t)pages;
	return base ? base : os_map(u->map_bytes);
}

static int open_on(struct qx_umem *u, uint32_t frame_cnt, uint32_t frame_bytes, bool huge)
{
	memset(u, 0, sizeof(*u));
	if (frame_cnt == 0 || frame_bytes == 0 || (frame_bytes & (frame_bytes - 1)) != 0)
		return -EINVAL;

	u->frame_cnt = frame_cnt;
	u->frame_bytes = frame_bytes;
	u->frame_shift = (uint32_t)__builtin_ctz(frame_bytes);
	u->len_bytes = (size_t)frame_cnt << u->frame_shift;
	if (u->len_bytes > UINT32_MAX)
		return -EINVAL; /* qx_datagram.off_bytes has 32 bits */

	u->state = calloc(frame_cnt, sizeof(*u->state));
	if (!u->state)
		goto forget;
	u->free_stack = calloc(frame_cnt, sizeof(*u->free_stack));
	if (!u->free_stack)
		goto free_state;
	u->base = map(u, huge);
	if (!u->base)
		goto free_stack;
	/* A forked child must not get copies of pages that the kernel goes on writing for
	 * the parent: copy-on-write would move the parent off the pinned pages. */
	if (os_keep_to_parent(u->base, u->map_bytes) < 0)
		goto unmap;

	/* The highest number on top: the frames for receiving, which are taken first and never
	 * come back, lie behind those for sending, which so are one piece from the front. */
	for (uint32_t i = 0; i < frame_cnt; i++)
		u->free_stack[i] = i;
	u->census[QX_FRAME_FREE] = frame_cnt;
	return 0;

unmap:
	os_unmap(u->base, u->map_bytes);
free_stack:
	free(u->free_stack);
free_state:
	free(u->state);
forget:
	memset(u, 0, sizeof(*u));
	return -ENOMEM;
}

int umem_open(struct qx_umem *u, uint32_t frame_cnt, uint32_t frame_bytes)
{
	return open_on(u, frame_cnt, frame_bytes, false);
}

int umem_open_huge(struct qx_umem *u, uint32_t frame_cnt, uint32_t frame_bytes)
{
	return open_on(u, frame_cnt, frame_bytes, true);
}

void umem_close(struct qx_umem *u)
{
	/* In a forked child the range was not inherited; unmapping a hole is no error. */
	if (u->base)
		os_unmap(u->base, u->map_bytes);
	free(u->free_stack);
	free(u->state);
	memset(u, 0, sizeof(*u));
}
