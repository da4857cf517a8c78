/* os_win.c: see os.h. */
#include "os.h"

#include <errno.h>
#include <winsock2.h>

/* Needs the types of the one above. */
#include <bcrypt.h>

#include "error_win.h"
#include "handle_win.h"

void *os_map(size_t len_bytes)
{
	return VirtualAlloc(NULL, len_bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

/* Windows' large pages take a privilege that services rarely have. */
void *os_map_huge(size_t *len_bytes, enum qx_pages *got)
{
	(void)len_bytes;
	*got = QX_PAGES_NORMAL;
	return NULL;
}

void os_unmap(void *base, size_t len_bytes)
{
	(void)len_bytes;
	VirtualFree(base, 0, MEM_RELEASE);
}

/* Windows has no fork. */
int os_keep_to_parent(void *base, size_t len_bytes)
{
	(void)base;
	(void)len_bytes;
	return 0;
}

bool os_random(void *out, size_t len_bytes)
{
	return BCryptGenRandom(NULL, out, (ULONG)len_bytes,
			       BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}

int os_event_open(bool set)
{
	/* Manual reset: readable until whoever handled it says so. */
	HANDLE event = CreateEventW(NULL, TRUE, set, NULL);

	return event ? fd_of_handle(event) : -error_of(GetLastError());
}

bool os_event_set(int fd)
{
	return SetEvent(handle_of_fd(fd));
}

bool os_event_clear(int fd)
{
	return ResetEvent(handle_of_fd(fd));
}

void os_event_close(int fd)
{
	CloseHandle(handle_of_fd(fd));
}

bool os_event_wait(int fd, uint32_t timeout_ms)
{
	return WaitForSingleObject(handle_of_fd(fd), timeout_ms) == WAIT_OBJECT_0;
}
