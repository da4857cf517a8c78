/* tap_win.c: the tap's file and clock.  The descriptor is one of the C library, as Python's
 * os.open gives it. */
#include "tap.h"

#include <errno.h>
#include <io.h>
#include <winsock2.h>

#include "error_win.h"

enum {
	WRITE_MAX_BYTES = 1 << 30
};

/* FILETIME counts 100 ns since 1601. */
#define FILETIME_UNIX_EPOCH 116444736000000000ull
#define FILETIME_NS 100ull

int tap_file_write(int fd, const void *bytes, uint64_t len_bytes, uint64_t off_bytes)
{
	HANDLE file = (HANDLE)_get_osfhandle(fd);
	const uint8_t *at = bytes;

	if (file == INVALID_HANDLE_VALUE)
		return -EBADF;
	while (len_bytes > 0) {
		OVERLAPPED place = {.Offset = (DWORD)off_bytes,
				    .OffsetHigh = (DWORD)(off_bytes >> 32)};
		DWORD part = len_bytes < WRITE_MAX_BYTES ? (DWORD)len_bytes : WRITE_MAX_BYTES;
		DWORD cnt = 0;

		if (!WriteFile(file, at, part, &cnt, &place))
			return -error_of(GetLastError());
		/* Nothing written and no error: no file, and no way to go on. */
		if (cnt == 0)
			return -EIO;
		at += cnt;
		off_bytes += cnt;
		len_bytes -= cnt;
	}
	return 0;
}

uint64_t tap_clock_ns(void)
{
	FILETIME now;
	uint64_t ticks;

	GetSystemTimePreciseAsFileTime(&now);
	ticks = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
	return (ticks - FILETIME_UNIX_EPOCH) * FILETIME_NS;
}
