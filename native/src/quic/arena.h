/* arena.h: bytes that live until the end of a turn.
 *
 * Blocks never move, so what was given stays where it is while more is taken.  Emptied as a
 * whole; at most ARENA_KEPT_BYTES stay for the next turn. */
#ifndef QX_ARENA_H
#define QX_ARENA_H

#include <stdbool.h>
#include <stdint.h>

enum {
	ARENA_BLOCK_BYTES = 64 << 10,
	ARENA_KEPT_BYTES = 1 << 20
};

struct arena_block {
	struct arena_block *next;
	uint32_t cap_bytes;
	uint32_t used_bytes;
	_Alignas(8) uint8_t bytes[];
};

struct arena {
	struct arena_block *first;
	struct arena_block *at; /* those behind it are empty */
};

/* arena_ensure makes sure that the next arena_take of len_bytes succeeds. */
bool arena_ensure(struct arena *a, uint32_t len_bytes);
/* arena_take gives len_bytes, aligned to 8; NULL: no memory. */
uint8_t *arena_take(struct arena *a, uint32_t len_bytes);
void arena_empty(struct arena *a);
void arena_free(struct arena *a);

#endif
