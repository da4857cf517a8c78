/* counting.h: counts what the library and the program allocate, and makes one call fail
 * (-Wl,--wrap, see COUNTED in the Makefile). */
#ifndef QX_COUNTING_H
#define QX_COUNTING_H

#include <stddef.h>
#include <stdint.h>

static uint64_t counting_allocations;
static uint64_t counting_fail_at; /* the call to fail, counted from 1; 0: none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t cnt, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t cnt, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
	return ++counting_allocations == counting_fail_at ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t cnt, size_t size)
{
	return ++counting_allocations == counting_fail_at ? NULL : __real_calloc(cnt, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return ++counting_allocations == counting_fail_at ? NULL : __real_realloc(old, size);
}

#endif
