/* os_linux.c: see os.h. */
#define _GNU_SOURCE
#include "os.h"

#include <errno.h>
#include <linux/mman.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	HUGE_BYTES = 2 << 20
};

void *os_map(size_t len_bytes)
{
	void *base = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return base == MAP_FAILED ? NULL : base;
}

/* Where a huge page begins, so that the kernel can make one of it. */
static void *map_aligned(size_t len_bytes)
{
	uint8_t *base = os_map(len_bytes + HUGE_BYTES), *at;
	size_t before;

	if (!base)
		return NULL;
	before = (HUGE_BYTES - ((uintptr_t)base & (HUGE_BYTES - 1))) & (HUGE_BYTES - 1);
	at = base + before;
	if (before)
		munmap(base, before);
	munmap(at + len_bytes, HUGE_BYTES - before);
	return at;
}

void *os_map_huge(size_t *len_bytes, enum qx_pages *got)
{
	size_t len = (*len_bytes + HUGE_BYTES - 1) & ~(size_t)(HUGE_BYTES - 1);
	void *base = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);

	*got = QX_PAGES_HUGE;
	if (base == MAP_FAILED) {
		*got = QX_PAGES_ADVISED;
		base = map_aligned(len);
		if (base && madvise(base, len, MADV_HUGEPAGE) < 0) {
			os_unmap(base, len);
			base = NULL;
		}
	}
	if (base)
		*len_bytes = len;
	return base;
}

void os_unmap(void *base, size_t len_bytes)
{
	munmap(base, len_bytes);
}

int os_keep_to_parent(void *base, size_t len_bytes)
{
	return madvise(base, len_bytes, MADV_DONTFORK) < 0 ? -errno : 0;
}

bool os_random(void *out, size_t len_bytes)
{
	return getrandom(out, len_bytes, GRND_NONBLOCK) == (ssize_t)len_bytes;
}

int os_event_open(bool set)
{
	int fd = eventfd(set, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

bool os_event_set(int fd)
{
	return eventfd_write(fd, 1) == 0;
}

bool os_event_clear(int fd)
{
	eventfd_t value;

	return eventfd_read(fd, &value) == 0;
}

void os_event_close(int fd)
{
	close(fd);
}

bool os_event_wait(int fd, uint32_t timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, (int)timeout_ms) == 1;
}
