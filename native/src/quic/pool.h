/* pool.h: fixed-size blocks of one engine, kept on a free list: nothing is allocated per
 * packet once the free list is warm.  Bounded: beyond max_free blocks are freed. */
#ifndef QX_POOL_H
#define QX_POOL_H

#include <stddef.h>
#include <stdint.h>

struct pool_block {
	struct pool_block *next;
};

struct pool {
	struct pool_block *free;
	uint32_t block_bytes;
	uint32_t free_cnt;
	uint32_t max_free;
	uint64_t lent_cnt; /* blocks out; 0 at the end of every test */
};

void pool_init(struct pool *p, uint32_t block_bytes, uint32_t max_free);
void pool_free(struct pool *p);
void *pool_take(struct pool *p); /* NULL: memory ran out */
void pool_give(struct pool *p, void *block);

#endif
