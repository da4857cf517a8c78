/* faults.h: makes the Nth system call of an open fail, and knows every BPF object that was
 * made meanwhile, so that a test can ask whether they are gone.
 *
 * The functions below replace libc's at link time (-Wl,--wrap, see FAULTS in the Makefile)
 * in the test program and the library alike.  With faults_at == 0 they only count; objects
 * are recorded while faults_recording is set. */
#ifndef QX_FAULTS_H
#define QX_FAULTS_H

#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "leaks.h"

enum {
	FAULTS_OBJECT_MAX = 8192,
	FAULTS_GONE_MS = 5000
};

static uint32_t faults_at; /* the call to fail, counted from 1; 0: none */
static uint32_t faults_calls;
static int faults_errno = EIO;

struct faults_object {
	enum bpf_cmd fd_by_id;
	uint32_t id;
};

/* What a test answers in the kernel's place.  NULL: the kernel does. */
static struct {
	int (*bind)(int fd, const struct sockaddr *a, socklen_t n);
	int (*setsockopt)(int fd, int level, int opt, const void *v, socklen_t n);
	int (*getsockopt)(int fd, int level, int opt, void *v, socklen_t *n);
	ssize_t (*recv)(int fd, void *p, size_t n, int flags);
	void *(*mmap)(void *addr, size_t n, int prot, int flags, int fd, off_t off);
	ssize_t (*recvfrom)(int fd, void *p, size_t n, int flags, struct sockaddr *a,
			    socklen_t *len);
} faults_answer;

static struct faults_object faults_objects[FAULTS_OBJECT_MAX];
static uint32_t faults_object_cnt;
static int faults_recording;

static inline int faults_now(void)
{
	if (++faults_calls != faults_at)
		return 0;
	errno = faults_errno;
	return 1;
}

#define FAULTS_WRAP(type, name, params, args, failed)                                        \
	type __real_##name params;                                                           \
	type __wrap_##name params;                                                           \
	type __wrap_##name params                                                            \
	{                                                                                    \
		return faults_now() ? (failed) : __real_##name args;                         \
	}

/* The same for a call that tests may answer. */
#define FAULTS_WRAP_ANSWERED(type, name, params, args, failed)                               \
	type __real_##name params;                                                           \
	type __wrap_##name params;                                                           \
	type __wrap_##name params                                                            \
	{                                                                                    \
		if (faults_now())                                                            \
			return failed;                                                       \
		return faults_answer.name ? faults_answer.name args : __real_##name args;    \
	}

FAULTS_WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1)
FAULTS_WRAP_ANSWERED(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n),
		     -1)
FAULTS_WRAP_ANSWERED(int, setsockopt,
		     (int fd, int level, int opt, const void *v, socklen_t n),
		     (fd, level, opt, v, n), -1)
FAULTS_WRAP_ANSWERED(int, getsockopt, (int fd, int level, int opt, void *v, socklen_t *n),
		     (fd, level, opt, v, n), -1)
FAULTS_WRAP(int, madvise, (void *addr, size_t n, int advice), (addr, n, advice), -1)
FAULTS_WRAP_ANSWERED(void *, mmap,
		     (void *addr, size_t n, int prot, int flags, int fd, off_t off),
		     (addr, n, prot, flags, fd, off), MAP_FAILED)
FAULTS_WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAULTS_WRAP(void *, malloc, (size_t size), (size), NULL)
FAULTS_WRAP(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags),
	    -1)
FAULTS_WRAP_ANSWERED(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags),
		     -1)
FAULTS_WRAP_ANSWERED(ssize_t, recvfrom,
		     (int fd, void *p, size_t n, int flags, struct sockaddr *a,
		      socklen_t *len),
		     (fd, p, n, flags, a, len), -1)
FAULTS_WRAP(int, epoll_create1, (int flags), (flags), -1)
FAULTS_WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), -1)
FAULTS_WRAP(int, eventfd, (unsigned int value, int flags), (value, flags), -1)
FAULTS_WRAP(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), -1)

int __real_epoll_ctl(int epfd, int op, int fd, void *event);
int __wrap_epoll_ctl(int epfd, int op, int fd, void *event);
int __wrap_epoll_ctl(int epfd, int op, int fd, void *event)
{
	/* Taking out is undoing, and undoing cannot fail. */
	return op != 2 && faults_now() ? -1 : __real_epoll_ctl(epfd, op, fd, event);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	return faults_now() ? -1 : __real_ioctl(fd, request, arg);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static inline void faults_remember(enum bpf_cmd made_by, int fd)
{
	union {
		struct bpf_map_info map;
		struct bpf_prog_info prog;
		struct bpf_link_info link;
	} info;
	struct faults_object *o = &faults_objects[faults_object_cnt];
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	memset(&info, 0, sizeof(info));
	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info = (uintptr_t)&info;
	attr.info.info_len = made_by == BPF_MAP_CREATE  ? sizeof(info.map)
			     : made_by == BPF_PROG_LOAD ? sizeof(info.prog)
							: sizeof(info.link);
	if (faults_object_cnt == FAULTS_OBJECT_MAX ||
	    __real_syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		abort();
	switch (made_by) {
	case BPF_MAP_CREATE:
		*o = (struct faults_object){BPF_MAP_GET_FD_BY_ID, info.map.id};
		break;
	case BPF_PROG_LOAD:
		*o = (struct faults_object){BPF_PROG_GET_FD_BY_ID, info.prog.id};
		break;
	default:
		*o = (struct faults_object){BPF_LINK_GET_FD_BY_ID, info.link.id};
	}
	faults_object_cnt++;
}

long __wrap_syscall(long number, ...)
{
	va_list args;
	long a[3], rc;

	va_start(args, number);
	for (int i = 0; i < 3; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (faults_now())
		return -1;
	rc = __real_syscall(number, a[0], a[1], a[2]);
	if (faults_recording && number == SYS_bpf && rc >= 0 &&
	    (a[0] == BPF_MAP_CREATE || a[0] == BPF_PROG_LOAD || a[0] == BPF_LINK_CREATE))
		faults_remember((enum bpf_cmd)a[0], (int)rc);
	return rc;
}

/* faults_objects_gone stops recording and waits until the kernel has freed all recorded
 * objects, which it does after a grace period.  Returns how many are still there. */
static inline uint32_t faults_objects_gone(void)
{
	uint32_t left = faults_object_cnt;
	int ms = 0;

	faults_recording = 0;
	while (left && ms < FAULTS_GONE_MS) {
		struct faults_object *o = &faults_objects[left - 1];
		union bpf_attr attr;
		long fd;

		memset(&attr, 0, sizeof(attr));
		attr.map_id = o->id; /* the three ids share their place */
		fd = __real_syscall(SYS_bpf, o->fd_by_id, &attr, sizeof(attr));
		if (fd < 0 && errno == ENOENT) {
			left--;
			continue;
		}
		if (fd >= 0)
			close((int)fd);
		poll(NULL, 0, 1);
		ms++;
	}
	faults_object_cnt = 0;
	return left;
}

static inline int faults_open_fds(void)
{
	return leaks_open_fds();
}

#endif
