/* wait_linux.c: see wait.h.
 *
 * The epoll instance is never waited on by us: it is itself watched by an event loop, which
 * asks it whether anything in it is ready.  So everything in it is level-triggered and must
 * be made unready by whoever handled it, also a timer that expired. */
#define _GNU_SOURCE
#include "wait.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "why.h"

enum {
	NS_PER_S = 1000000000
};

struct qx_wait {
	int epoll_fd;
	int timer_fd;
	int event_fd;
	bool signalled;
	int lanes_fd;         /* an epoll instance in epoll_fd: all that is watched */
	bool held;            /* lanes_fd wakes nobody */
	uint64_t deadline_ns; /* as armed; UINT64_MAX none */
};

static int control(int epoll_fd, int operation, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

int wait_open(struct qx_wait **out)
{
	struct qx_wait *w = malloc(sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	*w = (struct qx_wait){.deadline_ns = UINT64_MAX};
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0) {
		err = -errno;
		goto free_wait;
	}
	w->lanes_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->lanes_fd < 0) {
		err = -errno;
		goto close_epoll;
	}
	w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (w->timer_fd < 0) {
		err = -errno;
		goto close_lanes;
	}
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->event_fd < 0) {
		err = -errno;
		goto close_timer;
	}
	if ((err = control(w->epoll_fd, EPOLL_CTL_ADD, w->timer_fd, EPOLLIN)) < 0 ||
	    (err = control(w->epoll_fd, EPOLL_CTL_ADD, w->event_fd, EPOLLIN)) < 0 ||
	    (err = control(w->epoll_fd, EPOLL_CTL_ADD, w->lanes_fd, EPOLLIN)) < 0)
		goto close_event;
	*out = w;
	return 0;

close_event:
	close(w->event_fd);
close_timer:
	close(w->timer_fd);
close_lanes:
	close(w->lanes_fd);
close_epoll:
	close(w->epoll_fd);
free_wait:
	free(w);
	return err;
}

void wait_close(struct qx_wait *w)
{
	if (!w)
		return;
	/* Only closing: a forked child shares the epoll instance with its parent, so that
	 * EPOLL_CTL_DEL here would deafen the parent. */
	close(w->event_fd);
	close(w->timer_fd);
	close(w->lanes_fd);
	close(w->epoll_fd);
	free(w);
}

int wait_fd(const struct qx_wait *w)
{
	return w->epoll_fd;
}

void wait_why_open(char *why, int err)
{
	why_set(why,
		"epoll, timerfd or eventfd: %s; each endpoint needs four descriptors "
		"besides its sockets (ulimit -n)",
		strerror(-err));
}

void wait_why_watch(char *why, int err)
{
	why_set(why, "epoll_ctl: %s; fs.epoll.max_user_watches may be too low",
		strerror(-err));
}

int wait_watch(struct qx_wait *w, int fd)
{
	return control(w->lanes_fd, EPOLL_CTL_ADD, fd, EPOLLIN);
}

int wait_unwatch(struct qx_wait *w, int fd)
{
	return control(w->lanes_fd, EPOLL_CTL_DEL, fd, 0);
}

int wait_watch_write(struct qx_wait *w, int fd)
{
	return control(w->lanes_fd, EPOLL_CTL_ADD, fd, EPOLLOUT);
}

int wait_want_write(struct qx_wait *w, int fd, bool want)
{
	return control(w->lanes_fd, EPOLL_CTL_MOD, fd, want ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

int wait_hold(struct qx_wait *w, bool hold)
{
	int err;

	if (w->held == hold)
		return 0;
	err = control(w->epoll_fd, EPOLL_CTL_MOD, w->lanes_fd, hold ? 0 : EPOLLIN);
	if (err == 0)
		w->held = hold;
	return err;
}

int wait_arm(struct qx_wait *w, uint64_t deadline_ns)
{
	struct itimerspec when = {0};

	if (deadline_ns == w->deadline_ns)
		return 0;
	if (deadline_ns != UINT64_MAX) {
		when.it_value.tv_sec = (time_t)(deadline_ns / NS_PER_S);
		when.it_value.tv_nsec = (long)(deadline_ns % NS_PER_S);
		/* All zero would disarm; zero is long past, and so is 1 ns. */
		if (deadline_ns == 0)
			when.it_value.tv_nsec = 1;
	}
	if (timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return -errno;
	w->deadline_ns = deadline_ns;
	return 0;
}

void wait_signal(struct qx_wait *w)
{
	uint64_t one = 1;

	/* Cannot fail: the counter is 0 or 1. */
	if (!w->signalled && write(w->event_fd, &one, sizeof(one)) == sizeof(one))
		w->signalled = true;
}

void wait_clear(struct qx_wait *w, uint64_t now_ns)
{
	uint64_t count;

	if (w->signalled && read(w->event_fd, &count, sizeof(count)) == sizeof(count))
		w->signalled = false;
	/* Not by reading: the caller's clock may be ahead of the timer's interrupt, and the
	 * expiry would come afterwards with nobody to clear it. */
	if (w->deadline_ns <= now_ns)
		wait_arm(w, UINT64_MAX);
}

/* ---- Waiting ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct timespec time_until(uint64_t end_ns, uint64_t from_ns)
{
	uint64_t left_ns = end_ns > from_ns ? end_ns - from_ns : 0;

	return (struct timespec){.tv_sec = (time_t)(left_ns / NS_PER_S),
				 .tv_nsec = (long)(left_ns % NS_PER_S)};
}

int wait_until(struct qx_wait *w, uint64_t spin_ns, uint64_t timeout_ns)
{
	uint64_t began = now_ns(), now = began;
	uint64_t end = timeout_ns > UINT64_MAX - began ? UINT64_MAX : began + timeout_ns;
	struct timespec left;
	int got;

	for (;;) {
		struct pollfd p = {.fd = w->epoll_fd, .events = POLLIN};

		left = time_until(now - began < spin_ns ? now : end, now);
		got = ppoll(&p, 1, &left, NULL);
		if (got > 0)
			return 1;
		if (got < 0 && errno != EINTR)
			return -errno;
		now = now_ns();
		if (now >= end)
			return 0;
	}
}
