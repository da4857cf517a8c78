/* wait.h: what wakes the owner of a datapath: one descriptor that an event loop watches, or
 * a thread that waits in its place.
 *
 * wait_linux.c is an epoll instance that holds another one with the lanes' descriptors (so
 * that they can be held back together), a timerfd for the armed deadline (event loops do not
 * fire below a millisecond) and an eventfd by which another endpoint of the same device, or
 * this one, signals.  wait_win.c is a list of handles that a thread waits for.
 *
 * Everything here belongs to the datapath's thread, except wait_until. */
#ifndef QX_WAIT_H
#define QX_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct qx_wait;

int wait_open(struct qx_wait **out);
void wait_close(struct qx_wait *w);

/* wait_fd is the descriptor to watch, -1 where there is none (Windows). */
int wait_fd(const struct qx_wait *w);

/* These fill in why for what wait_open and wait_watch returned. */
void wait_why_open(char *why, int err);
void wait_why_watch(char *why, int err);

/* wait_watch adds a descriptor for reading; wait_want_write also (or no longer) waits
 * until every watched descriptor of writable kind can be written. */
int wait_watch(struct qx_wait *w, int fd);
/* wait_watch_write adds a descriptor for writing only. */
int wait_watch_write(struct qx_wait *w, int fd);
int wait_unwatch(struct qx_wait *w, int fd);
int wait_want_write(struct qx_wait *w, int fd, bool want);

/* wait_hold: nothing that is watched wakes anybody until it is taken back; deadline and
 * signals do.  At most one system call.  -EOPNOTSUPP on Windows. */
int wait_hold(struct qx_wait *w, bool hold);

/* wait_arm sets the deadline (CLOCK_MONOTONIC ns, UINT64_MAX none); no system call if it
 * is the one already set. */
int wait_arm(struct qx_wait *w, uint64_t deadline_ns);

/* wait_signal makes wait_fd readable from now until wait_clear. */
void wait_signal(struct qx_wait *w);

/* wait_clear takes back signals and a deadline that has passed at now_ns, so that wait_fd
 * is not readable for them; no system call if there are none. */
void wait_clear(struct qx_wait *w, uint64_t now_ns);

/* wait_until is qx_wait: from any one thread, while the owner uses w but does not close it. */
int wait_until(struct qx_wait *w, uint64_t spin_ns, uint64_t timeout_ns);

#endif
