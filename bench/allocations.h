/* allocations.h: counts the library's and the program's own calls for memory.
 *
 * For one source file of a program that is linked with harness.py's WRAPS: the linker's
 * --wrap leads those calls here.  What shared libraries allocate for themselves does not
 * come by. */
#ifndef BENCH_ALLOCATIONS_H
#define BENCH_ALLOCATIONS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

static uint64_t allocation_cnt;

void *__real_malloc(size_t size);
void *__real_calloc(size_t cnt, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t cnt, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);

void *__wrap_malloc(size_t size)
{
	allocation_cnt++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t cnt, size_t size)
{
	allocation_cnt++;
	return __real_calloc(cnt, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	allocation_cnt++;
	return __real_realloc(old, size);
}

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	allocation_cnt++;
	return __real_mmap(at, len, prot, flags, fd, off);
}

#endif
