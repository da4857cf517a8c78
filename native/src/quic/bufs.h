/* bufs.h: receive buffers of one engine, by powers of two from 2 KiB, kept for reuse.
 *
 * A stream needs a buffer only between the arrival of its data and the end of the turn, so a
 * few buffers serve many streams, and last in, first out keeps them in the cache.  At most
 * BUFS_KEPT_MAX_BYTES lie here unused. */
#ifndef QX_BUFS_H
#define QX_BUFS_H

#include <stdint.h>

enum {
	BUFS_MIN_SHIFT = 11,
	BUFS_KEPT_SHIFT = 20, /* larger ones go straight back to malloc */
	BUFS_CLASS_CNT = BUFS_KEPT_SHIFT - BUFS_MIN_SHIFT + 1,
	BUFS_MAX_SHIFT = 31, /* larger ones are refused */
	BUFS_KEPT_MAX_BYTES = 4 << 20
};

struct bufs_free {
	struct bufs_free *next;
};

struct bufs {
	struct bufs_free *kept[BUFS_CLASS_CNT];
	uint64_t kept_bytes;
	uint64_t lent_cnt; /* buffers out; 0 at the end of every test */
};

void bufs_init(struct bufs *b);
void bufs_free(struct bufs *b);
/* bufs_take gives at least want_bytes and tells how many; NULL: too many, or no memory. */
uint8_t *bufs_take(struct bufs *b, uint64_t want_bytes, uint32_t *cap_bytes);
void bufs_give(struct bufs *b, uint8_t *buf, uint32_t cap_bytes);

#endif
