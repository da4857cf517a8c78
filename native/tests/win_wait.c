/* win_wait.c: the wait set of Windows: a list of handles that one thread waits for while its
 * owner goes on (wait.h). */
#include "wait.h"

#include <errno.h>
#include <pthread.h>

#include "os.h"
#include "platform.h"
#include "t.h"

#define NS_PER_MS 1000000ull

enum {
	HANDLES_OF_OTHERS = 61 /* MAXIMUM_WAIT_OBJECTS, less the three of the set */
};

static struct qx_wait *w;

static void open_wait(void)
{
	wait_close(w);
	w = NULL;
	T_EQ(wait_open(&w), 0);
}

static int ready(void)
{
	return wait_until(w, 0, 0);
}

/* A loop that wakes for nothing burns a core. */
static void a_fresh_one_is_quiet(void)
{
	open_wait();
	T_EQ(wait_fd(w), -1);
	T_EQ(ready(), 0);
	wait_clear(w, platform_now_ns());
	T_EQ(ready(), 0);
}

/* A deadline wakes, stays, and goes away only for who says that it has passed. */
static void a_deadline_is_ready_until_it_is_cleared(void)
{
	uint64_t deadline_ns;

	open_wait();
	deadline_ns = platform_now_ns() + 3 * NS_PER_MS;
	T_EQ(wait_arm(w, deadline_ns), 0);
	T_EQ(wait_until(w, 0, 10000 * NS_PER_MS), 1);
	T_CHECK(platform_now_ns() >= deadline_ns);
	wait_clear(w, deadline_ns - 1);
	T_EQ(ready(), 1);
	wait_clear(w, deadline_ns);
	T_EQ(ready(), 0);
}

/* Zero is a time like any other. */
static void deadlines_in_the_past_are_ready_at_once(void)
{
	open_wait();
	T_EQ(wait_arm(w, 0), 0);
	T_EQ(wait_until(w, 0, 1000 * NS_PER_MS), 1);
	wait_clear(w, 0);
	T_EQ(ready(), 0);
	T_EQ(wait_arm(w, 1), 0);
	T_EQ(wait_until(w, 0, 1000 * NS_PER_MS), 1);
	T_EQ(wait_arm(w, UINT64_MAX), 0);
	T_EQ(ready(), 0);
	T_EQ(wait_arm(w, UINT64_MAX - 1), 0);
	T_EQ(ready(), 0);
}

/* Connections re-arm the same deadline with every packet. */
static void an_unchanged_deadline_costs_no_call(void)
{
	uint64_t hour_ns;
	uint32_t calls;

	open_wait();
	hour_ns = platform_now_ns() + 3600ull * 1000 * NS_PER_MS;
	calls = platform_timer_calls();
	for (int i = 0; i < 10; i++)
		T_EQ(wait_arm(w, hour_ns), 0);
	T_EQ(platform_timer_calls(), calls + 1);
	wait_clear(w, platform_now_ns());
	T_EQ(platform_timer_calls(), calls + 1);
	T_EQ(wait_arm(w, UINT64_MAX), 0);
	T_EQ(wait_arm(w, UINT64_MAX), 0);
	T_EQ(platform_timer_calls(), calls + 2);
}

/* Another endpoint found our datagrams: one wake-up, however often it says so. */
static void signals_add_up_to_one(void)
{
	open_wait();
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 100; i++)
			wait_signal(w);
		T_EQ(ready(), 1);
		T_EQ(ready(), 1);
		wait_clear(w, 0);
		T_EQ(ready(), 0);
	}
}

/* What is watched counts, once, and no longer than it is watched. */
static void watched_events_count(void)
{
	int fd = os_event_open(false);

	open_wait();
	T_CHECK(fd > 0);
	T_EQ(wait_watch(w, fd), 0);
	T_EQ(wait_watch(w, fd), -EEXIST);
	T_EQ(ready(), 0);
	T_CHECK(os_event_set(fd));
	T_EQ(ready(), 1);
	T_CHECK(os_event_clear(fd));
	T_EQ(ready(), 0);
	T_CHECK(os_event_set(fd));
	T_EQ(wait_unwatch(w, fd), 0);
	T_EQ(ready(), 0);
	T_EQ(wait_unwatch(w, fd), -ENOENT);
	T_EQ(wait_watch_write(w, fd), 0);
	T_EQ(ready(), 1);
	os_event_close(fd);
}

/* An adapter with more queues than Windows waits for at once is refused with a sentence. */
static void one_handle_too_many_is_refused(void)
{
	int fds[HANDLES_OF_OTHERS + 1];
	char why[QX_WHY_BYTES];

	open_wait();
	for (int i = 0; i <= HANDLES_OF_OTHERS; i++) {
		fds[i] = os_event_open(false);
		T_EQ(wait_watch(w, fds[i]), i < HANDLES_OF_OTHERS ? 0 : -ENOSPC);
	}
	wait_why_watch(why, -ENOSPC);
	T_CHECK(strstr(why, "64") != NULL);
	T_CHECK(os_event_set(fds[HANDLES_OF_OTHERS - 1]));
	T_EQ(ready(), 1);
	T_EQ(wait_unwatch(w, fds[HANDLES_OF_OTHERS - 1]), 0);
	T_EQ(ready(), 0);
	for (int i = 0; i <= HANDLES_OF_OTHERS; i++)
		os_event_close(fds[i]);
}

static void *wait_for_long(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)wait_until(w, 0, UINT64_MAX);
}

static pthread_t start(void)
{
	pthread_t thread;

	T_EQ(pthread_create(&thread, NULL, wait_for_long, NULL), 0);
	return thread;
}

static void join(pthread_t thread)
{
	void *answer = NULL;

	T_EQ(pthread_join(thread, &answer), 0);
	T_EQ((intptr_t)answer, 1);
}

/* The owner's work meanwhile - new handles, deadlines, signals - reaches the thread. */
static void a_thread_waits_while_the_owner_goes_on(void)
{
	int fd = os_event_open(true);
	pthread_t thread;

	open_wait();
	thread = start();
	T_EQ(wait_watch(w, fd), 0);
	join(thread);
	T_EQ(wait_unwatch(w, fd), 0);
	thread = start();
	T_EQ(wait_arm(w, platform_now_ns() + 3600ull * 1000 * NS_PER_MS), 0);
	T_EQ(wait_arm(w, 0), 0);
	join(thread);
	wait_clear(w, 0);
	thread = start();
	wait_signal(w);
	join(thread);
	os_event_close(fd);
}

/* Spinning ends with what comes, or with its time. */
static void spinning_is_bounded(void)
{
	open_wait();
	T_EQ(wait_until(w, NS_PER_MS, 0), 0);
	T_EQ(wait_until(w, NS_PER_MS, 3 * NS_PER_MS), 0);
	wait_signal(w);
	T_EQ(wait_until(w, 3600ull * 1000 * NS_PER_MS, UINT64_MAX), 1);
}

/* Handles are a machine's to run out of. */
static void closing_leaves_no_handle(void)
{
	int handles;

	open_wait();
	wait_close(w);
	w = NULL;
	handles = platform_open_handles();
	for (int i = 0; i < 10; i++) {
		open_wait();
		wait_close(w);
		w = NULL;
	}
	T_EQ(platform_open_handles(), handles);
	wait_close(NULL);
}

static const struct t_case cases[] = {
	{"a fresh one is quiet", a_fresh_one_is_quiet},
	{"a deadline is ready until it is cleared", a_deadline_is_ready_until_it_is_cleared},
	{"deadlines in the past are ready at once", deadlines_in_the_past_are_ready_at_once},
	{"an unchanged deadline costs no call", an_unchanged_deadline_costs_no_call},
	{"signals add up to one", signals_add_up_to_one},
	{"watched events count", watched_events_count},
	{"one handle too many is refused", one_handle_too_many_is_refused},
	{"a thread waits while the owner goes on", a_thread_waits_while_the_owner_goes_on},
	{"spinning is bounded", spinning_is_bounded},
	{"closing leaves no handle", closing_leaves_no_handle},
};

int main(int argc, char **argv)
{
	int rc = t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);

	wait_close(w);
	return rc;
}
