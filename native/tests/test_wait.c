/* test_wait.c: the one descriptor that an event loop watches.
 *
 * An event loop nests it: it is readable as long as something in it is ready, and nobody
 * ever waits on it or reads it. */
#define _GNU_SOURCE
#include "wait.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

#include "faults.h"
#include "t.h"

enum {
	NS_PER_MS = 1000000
};

static struct qx_wait *w;
static uint32_t timer_calls;

/* Counts; the test program's own replaces libc's. */
int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
	timer_calls++;
	return (int)__real_syscall(SYS_timerfd_settime, fd, flags, value, old);
}

static void open_wait(void)
{
	wait_close(w);
	w = NULL;
	T_EQ(wait_open(&w), 0);
	timer_calls = 0;
}

static int readable_within(int timeout_ms)
{
	struct pollfd p = {.fd = wait_fd(w), .events = POLLIN};

	return poll(&p, 1, timeout_ms);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A fresh one must not wake anybody. */
static void a_fresh_one_is_quiet(void)
{
	open_wait();
	T_EQ(readable_within(0), 0);
	wait_clear(w, now_ns());
	T_EQ(readable_within(0), 0);
	T_EQ(timer_calls, 0);
}

/* A deadline wakes, stays, and goes away only for who says that it has passed. */
static void a_deadline_is_readable_until_it_is_cleared(void)
{
	uint64_t deadline_ns;

	open_wait();
	deadline_ns = now_ns() + 3 * NS_PER_MS;
	T_EQ(wait_arm(w, deadline_ns), 0);
	T_EQ(readable_within(10000), 1);
	T_CHECK(now_ns() >= deadline_ns);
	wait_clear(w, deadline_ns - 1);
	T_EQ(readable_within(0), 1);
	wait_clear(w, deadline_ns);
	T_EQ(readable_within(0), 0);
}

/* Zero is a time like any other, although the kernel's zero means "off". */
static void deadlines_in_the_past_are_readable_at_once(void)
{
	open_wait();
	T_EQ(wait_arm(w, 0), 0);
	T_EQ(readable_within(1000), 1);
	wait_clear(w, 0);
	T_EQ(readable_within(0), 0);
	T_EQ(wait_arm(w, 1), 0);
	T_EQ(readable_within(1000), 1);
	T_EQ(wait_arm(w, UINT64_MAX), 0);
	T_EQ(readable_within(0), 0);
	T_EQ(wait_arm(w, UINT64_MAX - 1), 0);
	T_EQ(readable_within(0), 0);
}

/* The clock of who clears may run ahead of the timer's interrupt: the expiry that comes
 * later must not wake anybody, or the loop would spin with nothing to do. */
static void a_deadline_that_is_cleared_before_it_fires_never_fires(void)
{
	uint64_t deadline_ns;

	open_wait();
	deadline_ns = now_ns() + 20 * NS_PER_MS;
	T_EQ(wait_arm(w, deadline_ns), 0);
	wait_clear(w, deadline_ns);
	T_EQ(readable_within(40), 0);
}

/* Connections re-arm the same deadline with every packet. */
static void an_unchanged_deadline_costs_no_call(void)
{
	uint64_t hour_ns;

	open_wait();
	hour_ns = now_ns() + 3600ull * 1000 * NS_PER_MS;
	for (int i = 0; i < 10; i++)
		T_EQ(wait_arm(w, hour_ns), 0);
	T_EQ(timer_calls, 1);
	wait_clear(w, now_ns());
	T_EQ(timer_calls, 1);
	T_EQ(wait_arm(w, UINT64_MAX), 0);
	T_EQ(wait_arm(w, UINT64_MAX), 0);
	T_EQ(timer_calls, 2);
	/* Cleared counts as changed. */
	T_EQ(wait_arm(w, 5), 0);
	wait_clear(w, 5);
	T_EQ(wait_arm(w, 5), 0);
	T_EQ(readable_within(1000), 1);
}

/* Another endpoint found our datagrams: one wake-up, however often it says so. */
static void signals_add_up_to_one(void)
{
	open_wait();
	for (int i = 0; i < 1000; i++)
		wait_signal(w);
	T_EQ(readable_within(0), 1);
	wait_clear(w, 0);
	T_EQ(readable_within(0), 0);
	wait_signal(w);
	T_EQ(readable_within(0), 1);
	wait_clear(w, 0);
	T_EQ(readable_within(0), 0);
}

/* What is watched is readable through it, and writable only where asked for. */
static void watched_descriptors_count_for_what_was_asked(void)
{
	uint64_t value = 1;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	open_wait();
	T_CHECK(fd >= 0);
	T_EQ(wait_watch(w, fd), 0);
	T_EQ(wait_watch(w, fd), -EEXIST);
	T_EQ(readable_within(0), 0);
	T_EQ(wait_want_write(w, fd, true), 0);
	T_EQ(readable_within(0), 1);
	T_EQ(wait_want_write(w, fd, false), 0);
	T_EQ(readable_within(0), 0);
	T_EQ(write(fd, &value, sizeof(value)), sizeof(value));
	T_EQ(readable_within(0), 1);
	T_EQ(wait_unwatch(w, fd), 0);
	T_EQ(readable_within(0), 0);
	T_EQ(wait_unwatch(w, fd), -ENOENT);
	/* For writing alone: what arrives there is somebody else's. */
	T_EQ(wait_watch_write(w, fd), 0);
	T_EQ(readable_within(0), 1);
	T_EQ(wait_unwatch(w, fd), 0);
	T_EQ(readable_within(0), 0);
	close(fd);
}

/* An event loop's own epoll holds it, like asyncio's and uvloop's. */
static void it_can_be_nested_in_an_event_loop(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int loop = epoll_create1(EPOLL_CLOEXEC);

	open_wait();
	T_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, wait_fd(w), &event), 0);
	for (int i = 0; i < 3; i++) {
		T_EQ(epoll_wait(loop, &event, 1, 0), 0);
		T_EQ(wait_arm(w, 1), 0);
		T_EQ(epoll_wait(loop, &event, 1, 1000), 1);
		T_EQ(epoll_wait(loop, &event, 1, 0), 1);
		wait_clear(w, 1);
		T_EQ(epoll_wait(loop, &event, 1, 0), 0);
		wait_signal(w);
		T_EQ(epoll_wait(loop, &event, 1, 0), 1);
		wait_clear(w, 0);
	}
	close(loop);
}

static void *wait_for_long(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)wait_until(w, 0, UINT64_MAX);
}

/* A thread that waits in place of an event loop is woken by all that wakes a loop, and sent
 * home by its owner's arming. */
static void a_thread_may_wait_while_the_owner_goes_on(void)
{
	pthread_t thread;
	void *answer;

	open_wait();
	T_EQ(wait_until(w, 0, 0), 0);
	T_EQ(wait_until(w, NS_PER_MS, 0), 0);
	T_EQ(wait_until(w, NS_PER_MS, 2 * NS_PER_MS), 0);
	T_EQ(pthread_create(&thread, NULL, wait_for_long, NULL), 0);
	T_EQ(wait_arm(w, UINT64_MAX - 1), 0);
	T_EQ(wait_arm(w, 0), 0);
	T_EQ(pthread_join(thread, &answer), 0);
	T_EQ((intptr_t)answer, 1);
	T_EQ(wait_until(w, 3600ull * 1000 * NS_PER_MS, 0), 1);
	wait_clear(w, 1);
	T_EQ(wait_until(w, 0, 0), 0);
	wait_signal(w);
	T_EQ(wait_until(w, 0, UINT64_MAX), 1);
}

/* Opening may fail at each of its calls and leaves nothing behind. */
static void whatever_call_fails_nothing_is_left_open(void)
{
	int fds, err;
	uint32_t n = 0;

	wait_close(w);
	w = NULL;
	fds = faults_open_fds();
	faults_errno = EMFILE;
	do {
		faults_calls = 0;
		faults_at = ++n;
		err = wait_open(&w);
		faults_at = 0;
		if (err == 0)
			break;
		T_CHECK(err == -EMFILE || err == -ENOMEM);
		T_CHECK(w == NULL);
		T_EQ(faults_open_fds(), fds);
	} while (n < 100);
	T_EQ(err, 0);
	T_EQ(n, 9);
	T_EQ(faults_open_fds(), fds + 4);
	wait_close(w);
	w = NULL;
	T_EQ(faults_open_fds(), fds);
	wait_close(NULL);
}

static const struct t_case cases[] = {
	{"a fresh one is quiet", a_fresh_one_is_quiet},
	{"a deadline is readable until it is cleared",
	 a_deadline_is_readable_until_it_is_cleared},
	{"deadlines in the past are readable at once",
	 deadlines_in_the_past_are_readable_at_once},
	{"a deadline that is cleared before it fires never fires",
	 a_deadline_that_is_cleared_before_it_fires_never_fires},
	{"an unchanged deadline costs no call", an_unchanged_deadline_costs_no_call},
	{"signals add up to one", signals_add_up_to_one},
	{"watched descriptors count for what was asked",
	 watched_descriptors_count_for_what_was_asked},
	{"it can be nested in an event loop", it_can_be_nested_in_an_event_loop},
	{"a thread may wait while the owner goes on",
	 a_thread_may_wait_while_the_owner_goes_on},
	{"whatever call fails, nothing is left open",
	 whatever_call_fails_nothing_is_left_open},
};

int main(int argc, char **argv)
{
	int rc = t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);

	wait_close(w);
	return rc;
}
