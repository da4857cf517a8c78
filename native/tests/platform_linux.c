/* platform_linux.c: see platform.h. */
#define _GNU_SOURCE
#include "platform.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "leaks.h"

enum {
	DATAPATHS_MAX = 16
};

static uint32_t timer_calls;

/* Defined here, it replaces libc's in the whole program. */
int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
	timer_calls++;
	return (int)syscall(SYS_timerfd_settime, fd, flags, value, old);
}

uint32_t platform_timer_calls(void)
{
	return timer_calls;
}

int platform_open_handles(void)
{
	return leaks_open_fds();
}

bool platform_readable(struct qx_datapath *dp, int timeout_ms)
{
	struct pollfd p = {.fd = qx_fd(dp), .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

void platform_pump(struct qx_datapath *const *dps, uint32_t cnt, int timeout_ms)
{
	struct pollfd fds[DATAPATHS_MAX];

	for (uint32_t i = 0; i < cnt; i++)
		fds[i] = (struct pollfd){.fd = qx_fd(dps[i]), .events = POLLIN};
	poll(fds, cnt, timeout_ms);
}

uint64_t platform_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
