/* bufs.c: a free list per power of two. */
#include "bufs.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Under AddressSanitizer what lies here is poisoned, so that reading data that was lent for
 * one turn only is caught. */
#ifdef __SANITIZE_ADDRESS__
#define QX_BUFS_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define QX_BUFS_POISON 1
#endif
#endif
#ifdef QX_BUFS_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

static void keep(struct bufs *b, uint8_t *buf, uint32_t class)
{
	struct bufs_free *f = (struct bufs_free *)(void *)buf;
	const size_t cap_bytes = (size_t)1 << (class + BUFS_MIN_SHIFT);

	f->next = b->kept[class];
	b->kept[class] = f;
	b->kept_bytes += cap_bytes;
	ASAN_POISON_MEMORY_REGION(f, cap_bytes);
}

static uint8_t *use(struct bufs *b, uint32_t class)
{
	struct bufs_free *f = b->kept[class];
	const size_t cap_bytes = (size_t)1 << (class + BUFS_MIN_SHIFT);

	ASAN_UNPOISON_MEMORY_REGION(f, cap_bytes);
	b->kept[class] = f->next;
	b->kept_bytes -= cap_bytes;
	return (uint8_t *)f;
}

void bufs_init(struct bufs *b)
{
	memset(b, 0, sizeof(*b));
}

void bufs_free(struct bufs *b)
{
	for (uint32_t class = 0; class < BUFS_CLASS_CNT; class++)
		while (b->kept[class])
			free(use(b, class));
}

uint8_t *bufs_take(struct bufs *b, uint64_t want_bytes, uint32_t *cap_bytes)
{
	uint32_t shift = BUFS_MIN_SHIFT;
	uint8_t *buf;

	while (shift <= BUFS_MAX_SHIFT && want_bytes > (uint64_t)1 << shift)
		shift++;
	if (shift > BUFS_MAX_SHIFT)
		return NULL;
	if (shift <= BUFS_KEPT_SHIFT && b->kept[shift - BUFS_MIN_SHIFT])
		buf = use(b, shift - BUFS_MIN_SHIFT);
	else
		buf = malloc((size_t)1 << shift);
	if (!buf)
		return NULL;
	b->lent_cnt++;
	*cap_bytes = (uint32_t)1 << shift;
	return buf;
}

void bufs_give(struct bufs *b, uint8_t *buf, uint32_t cap_bytes)
{
	const uint32_t shift = (uint32_t)__builtin_ctz(cap_bytes);

	b->lent_cnt--;
	if (shift > BUFS_KEPT_SHIFT || b->kept_bytes + cap_bytes > BUFS_KEPT_MAX_BYTES)
		free(buf);
	else
		keep(b, buf, shift - BUFS_MIN_SHIFT);
}
