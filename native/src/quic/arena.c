/* arena.c: a list of blocks, filled from the front. */
#include "arena.h"

#include <stdlib.h>

enum {
	ALIGN_BYTES = 8
};

static uint32_t round_up(uint32_t len_bytes)
{
	return (len_bytes + ALIGN_BYTES - 1) & ~(uint32_t)(ALIGN_BYTES - 1);
}

static bool has_room(const struct arena_block *b, uint32_t len_bytes)
{
	return b && b->cap_bytes - b->used_bytes >= len_bytes;
}

static struct arena_block *new_block(uint32_t len_bytes)
{
	const uint32_t cap_bytes =
		len_bytes > ARENA_BLOCK_BYTES ? len_bytes : ARENA_BLOCK_BYTES;
	struct arena_block *b = malloc(sizeof(*b) + cap_bytes);

	if (b)
		*b = (struct arena_block){.cap_bytes = cap_bytes};
	return b;
}

bool arena_ensure(struct arena *a, uint32_t len_bytes)
{
	struct arena_block *b;

	len_bytes = round_up(len_bytes);
	if (has_room(a->at, len_bytes))
		return true;
	if (a->at && has_room(a->at->next, len_bytes)) {
		a->at = a->at->next;
		return true;
	}
	b = new_block(len_bytes);
	if (!b)
		return false;
	if (a->at) {
		b->next = a->at->next;
		a->at->next = b;
	} else {
		a->first = b;
	}
	a->at = b;
	return true;
}

uint8_t *arena_take(struct arena *a, uint32_t len_bytes)
{
	uint8_t *p;

	if (!arena_ensure(a, len_bytes))
		return NULL;
	p = a->at->bytes + a->at->used_bytes;
	a->at->used_bytes += round_up(len_bytes);
	return p;
}

static void free_from(struct arena_block *b)
{
	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void arena_empty(struct arena *a)
{
	struct arena_block **at = &a->first;
	uint32_t kept_bytes = 0;

	for (; *at; at = &(*at)->next) {
		if ((*at)->cap_bytes > ARENA_KEPT_BYTES - kept_bytes)
			break;
		kept_bytes += (*at)->cap_bytes;
		(*at)->used_bytes = 0;
	}
	free_from(*at);
	*at = NULL;
	a->at = a->first;
}

void arena_free(struct arena *a)
{
	free_from(a->first);
	*a = (struct arena){0};
}
