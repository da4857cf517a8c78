/* pool.c: the free list.
 *
 * Under AddressSanitizer a block on the free list is poisoned but for its link, so that a
 * use after pool_give is caught as a use after free would be. */
#include "pool.h"

#include <assert.h>
#include <stdlib.h>

#if defined(__has_include)
#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

static void hide(const struct pool *p, struct pool_block *block)
{
	ASAN_POISON_MEMORY_REGION(block + 1, p->block_bytes - sizeof(*block));
}

static void show(const struct pool *p, struct pool_block *block)
{
	ASAN_UNPOISON_MEMORY_REGION(block + 1, p->block_bytes - sizeof(*block));
}

void pool_init(struct pool *p, uint32_t block_bytes, uint32_t max_free)
{
	assert(block_bytes >= sizeof(struct pool_block));
	*p = (struct pool){.block_bytes = block_bytes, .max_free = max_free};
}

void pool_free(struct pool *p)
{
	while (p->free) {
		struct pool_block *block = p->free;

		p->free = block->next;
		show(p, block);
		free(block);
	}
	p->free_cnt = 0;
}

void *pool_take(struct pool *p)
{
	struct pool_block *block = p->free;

	if (block) {
		p->free = block->next;
		p->free_cnt--;
		show(p, block);
	} else {
		block = malloc(p->block_bytes);
		if (!block)
			return NULL;
	}
	p->lent_cnt++;
	return block;
}

void pool_give(struct pool *p, void *block)
{
	struct pool_block *back = block;

	if (!back)
		return;
	assert(p->lent_cnt > 0);
	p->lent_cnt--;
	if (p->free_cnt >= p->max_free) {
		free(back);
		return;
	}
	back->next = p->free;
	p->free = back;
	p->free_cnt++;
	hide(p, back);
}
