/* wait_win.c: see wait.h.
 *
 * Windows has no descriptor that holds others, and its event loops watch different things
 * (sockets, completions), so wait_fd is -1 and one thread per datapath waits in wait_until
 * and wakes the loop.  What it waits for are manual-reset events, so that, as in an epoll
 * instance, everything stays ready until whoever handled it says so.
 *
 * Some facts (Microsoft's documentation of each function):
 *  - WaitForMultipleObjects takes at most 64 handles (MAXIMUM_WAIT_OBJECTS).
 *  - A waitable timer of high resolution (Windows 10 1803) is exact to about half a
 *    millisecond; an ordinary one to the 15.6 ms of the system's clock.
 *  - CancelWaitableTimer leaves an expired timer signalled; setting it anew does not.
 *  - Relative due times are negative and count 100 ns. */
#include "wait.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "error_win.h"
#include "handle_win.h"
#include "why.h"

enum {
	NS_PER_S = 1000000000,
	NS_PER_MS = 1000000,
	NS_PER_TICK = 100,
	/* The list's first three are ours. */
	OWN_CHANGED = 0,
	OWN_TIMER = 1,
	OWN_SIGNAL = 2,
	OWN_CNT = 3
};

/* A hundred years, in ticks: a timer that nobody waits for. */
#define NEVER_TICKS (100ll * 365 * 86400 * (NS_PER_S / NS_PER_TICK))

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 2
#endif

struct qx_wait {
	bool signalled;
	uint64_t deadline_ns; /* as armed; UINT64_MAX none */
	/* The list, which a waiting thread copies; changed (auto-reset) tells it to. */
	SRWLOCK lock;
	DWORD cnt;
	HANDLE handles[MAXIMUM_WAIT_OBJECTS];
};

/* The clock of qx_recv's now_ns: time.perf_counter_ns of Python. */
static uint64_t now_ns(void)
{
	LARGE_INTEGER count, hz;

	QueryPerformanceCounter(&count);
	QueryPerformanceFrequency(&hz);
	/* Whole seconds apart from the rest, or the product would overflow. */
	return (uint64_t)(count.QuadPart / hz.QuadPart) * NS_PER_S +
	       (uint64_t)(count.QuadPart % hz.QuadPart) * NS_PER_S / (uint64_t)hz.QuadPart;
}

static HANDLE open_timer(void)
{
	HANDLE timer = CreateWaitableTimerExW(NULL, NULL,
					      CREATE_WAITABLE_TIMER_MANUAL_RESET |
						      CREATE_WAITABLE_TIMER_HIGH_RESOLUTION,
					      TIMER_ALL_ACCESS);

	/* Before Windows 10 1803: later wake-ups rather than none. */
	return timer ? timer : CreateWaitableTimerW(NULL, TRUE, NULL);
}

int wait_open(struct qx_wait **out)
{
	struct qx_wait *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->deadline_ns = UINT64_MAX;
	InitializeSRWLock(&w->lock);
	w->handles[OWN_CHANGED] = CreateEventW(NULL, FALSE, FALSE, NULL);
	w->handles[OWN_TIMER] = open_timer();
	w->handles[OWN_SIGNAL] = CreateEventW(NULL, TRUE, FALSE, NULL);
	w->cnt = OWN_CNT;
	for (uint32_t i = 0; i < OWN_CNT; i++)
		if (!w->handles[i]) {
			err = -error_of(GetLastError());
			wait_close(w);
			return err;
		}
	*out = w;
	return 0;
}

void wait_close(struct qx_wait *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < OWN_CNT; i++)
		if (w->handles[i])
			CloseHandle(w->handles[i]);
	free(w);
}

int wait_fd(const struct qx_wait *w)
{
	(void)w;
	return -1;
}

void wait_why_open(char *why, int err)
{
	why_set(why, "a waitable timer or an event: %s; close some endpoints",
		strerror(-err));
}

void wait_why_watch(char *why, int err)
{
	why_set(why,
		"waiting for one more handle: %s; Windows waits for %d at once, which "
		"leaves %d for the queues of an interface: let it have fewer (RSS settings)",
		strerror(-err), MAXIMUM_WAIT_OBJECTS, MAXIMUM_WAIT_OBJECTS - OWN_CNT - 2);
}

/* ---- The list ---- */

static DWORD place_of(const struct qx_wait *w, HANDLE handle)
{
	DWORD i = OWN_CNT;

	while (i < w->cnt && w->handles[i] != handle)
		i++;
	return i;
}

int wait_watch(struct qx_wait *w, int fd)
{
	HANDLE handle = handle_of_fd(fd);
	int err = 0;

	AcquireSRWLockExclusive(&w->lock);
	if (place_of(w, handle) < w->cnt)
		err = -EEXIST;
	else if (w->cnt == MAXIMUM_WAIT_OBJECTS)
		err = -ENOSPC;
	else
		w->handles[w->cnt++] = handle;
	ReleaseSRWLockExclusive(&w->lock);
	SetEvent(w->handles[OWN_CHANGED]);
	return err;
}

int wait_unwatch(struct qx_wait *w, int fd)
{
	int err = -ENOENT;
	DWORD place;

	AcquireSRWLockExclusive(&w->lock);
	place = place_of(w, handle_of_fd(fd));
	if (place < w->cnt) {
		w->handles[place] = w->handles[--w->cnt];
		err = 0;
	}
	ReleaseSRWLockExclusive(&w->lock);
	SetEvent(w->handles[OWN_CHANGED]);
	return err;
}

/* An event that says "can be sent" is an event like any other. */
int wait_watch_write(struct qx_wait *w, int fd)
{
	return wait_watch(w, fd);
}

/* A socket's event tells of room as soon as sending has failed for want of it (FD_WRITE,
 * udp_win.c), wanted or not. */
int wait_want_write(struct qx_wait *w, int fd, bool want)
{
	(void)w;
	(void)fd;
	(void)want;
	return 0;
}

int wait_hold(struct qx_wait *w, bool hold)
{
	(void)w;
	return hold ? -EOPNOTSUPP : 0;
}

/* ---- Deadlines and signals ---- */

int wait_arm(struct qx_wait *w, uint64_t deadline_ns)
{
	LARGE_INTEGER due = {.QuadPart = -NEVER_TICKS};
	uint64_t now, ticks;

	if (deadline_ns == w->deadline_ns)
		return 0;
	if (deadline_ns != UINT64_MAX) {
		now = now_ns();
		/* Rounded up: a wake-up before the deadline would be for nothing. */
		ticks = deadline_ns <= now ? 0 : (deadline_ns - now - 1) / NS_PER_TICK + 1;
		if (ticks < (uint64_t)NEVER_TICKS)
			due.QuadPart = -(int64_t)ticks;
	}
	if (!SetWaitableTimer(w->handles[OWN_TIMER], &due, 0, NULL, NULL, FALSE))
		return -error_of(GetLastError());
	w->deadline_ns = deadline_ns;
	return 0;
}

void wait_signal(struct qx_wait *w)
{
	if (!w->signalled && SetEvent(w->handles[OWN_SIGNAL]))
		w->signalled = true;
}

void wait_clear(struct qx_wait *w, uint64_t now)
{
	if (w->signalled && ResetEvent(w->handles[OWN_SIGNAL]))
		w->signalled = false;
	if (w->deadline_ns <= now)
		wait_arm(w, UINT64_MAX);
}

/* ---- Waiting ---- */

/* One look of at most timeout_ms.  1 something is ready, 0 nothing, -EAGAIN the list has
 * changed. */
static int look(struct qx_wait *w, DWORD timeout_ms)
{
	HANDLE handles[MAXIMUM_WAIT_OBJECTS];
	DWORD cnt, got;

	AcquireSRWLockShared(&w->lock);
	cnt = w->cnt;
	memcpy(handles, w->handles, sizeof(handles[0]) * cnt);
	ReleaseSRWLockShared(&w->lock);
	got = WaitForMultipleObjects(cnt, handles, FALSE, timeout_ms);
	if (got == WAIT_OBJECT_0 + OWN_CHANGED)
		return -EAGAIN;
	if (got < WAIT_OBJECT_0 + cnt)
		return 1;
	return got == WAIT_TIMEOUT ? 0 : -error_of(GetLastError());
}

static DWORD ms_until(uint64_t end_ns, uint64_t now)
{
	uint64_t left_ns = end_ns > now ? end_ns - now : 0;
	uint64_t left_ms = left_ns / NS_PER_MS + (left_ns % NS_PER_MS != 0);

	return left_ms < INFINITE ? (DWORD)left_ms : INFINITE;
}

int wait_until(struct qx_wait *w, uint64_t spin_ns, uint64_t timeout_ns)
{
	uint64_t began = now_ns(), now = began;
	uint64_t end = timeout_ns > UINT64_MAX - began ? UINT64_MAX : began + timeout_ns;
	int got;

	for (;;) {
		got = look(w, now - began < spin_ns ? 0 : ms_until(end, now));
		now = now_ns();
		if (got != 0 && got != -EAGAIN)
			return got;
		/* A changed list is looked at once more, however little time is left. */
		if (got == 0 && now >= end)
			return 0;
	}
}
