/* tap_linux.c: the tap's file and clock. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

int tap_file_write(int fd, const void *bytes, uint64_t len_bytes, uint64_t off_bytes)
{
	const uint8_t *at = bytes;

	while (len_bytes > 0) {
		ssize_t cnt = pwrite(fd, at, len_bytes, (off_t)off_bytes);

		if (cnt < 0 && errno != EINTR)
			return -errno;
		/* Nothing written and no error: no file, and no way to go on. */
		if (cnt == 0)
			return -EIO;
		if (cnt > 0) {
			at += cnt;
			off_bytes += (uint64_t)cnt;
			len_bytes -= (uint64_t)cnt;
		}
	}
	return 0;
}

uint64_t tap_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
