/* netns.h: two network namespaces of the test program's own, joined by a veth cable.
 *
 *      namespace 0: qxa 10.77.0.1 fd77::1  <-- two queues -->  namespace 1: qxb 10.77.0.2 and
 *                                                              .3, fd77::2 and ::3
 *
 * The namespaces have no names, only descriptors: whichever way the program ends, also by
 * kill -9, the kernel deletes them and what is in them.  Addresses skip duplicate address
 * detection, so that they can be used at once.
 *
 * Where other devices than a veth are to be tested, QX_NETNS_A and QX_NETNS_B name two
 * namespaces that hold such a cable already, QX_NIC_A and QX_NIC_B its ends (lab/README.md). */
#ifndef QX_NETNS_H
#define QX_NETNS_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quicxdp.h"

enum {
	NETNS_A = 0,
	NETNS_B = 1,
	NETNS_CNT = 2
};

static int netns_fds[NETNS_CNT] = {-1, -1};

/* netns_nic names a side's end of the cable. */
static inline const char *netns_nic(int side)
{
	const char *laid = getenv(side == NETNS_A ? "QX_NIC_A" : "QX_NIC_B");

	return laid ? laid : side == NETNS_A ? "qxa" : "qxb";
}

/* netns_enter moves the calling thread.  0 or -errno. */
static inline int netns_enter(int side)
{
	return setns(netns_fds[side], CLONE_NEWNET) < 0 ? -errno : 0;
}

/* netns_ip runs lines of `ip` commands in one namespace.  0, or -1 with ip's own words on
 * standard error. */
static inline int netns_ip(int side, const char *lines)
{
	size_t len = strlen(lines);
	int fds[2], status = -1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(fds[0], STDIN_FILENO);
		if (netns_enter(side) == 0)
			execlp("ip", "ip", "-batch", "-", (char *)NULL);
		_exit(127);
	}
	close(fds[0]);
	if (pid > 0 && write(fds[1], lines, len) != (ssize_t)len)
		fprintf(stderr, "netns_ip: cannot write to ip\n");
	close(fds[1]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return -1;
	return 0;
}

static inline int netns_new(int *fd)
{
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	*fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? -errno : 0;
}

/* netns_cable lays the cable; also to be called again after its end was deleted.  The two
 * ends need different numbers: otherwise the kernel takes carrier changes for no urgent
 * news and tells them up to a second late (net/core/link_watch.c). */
static inline int netns_cable(void)
{
	char lines[256];

	if (netns_enter(NETNS_A) < 0)
		return -1;
	snprintf(lines, sizeof(lines),
		 "link add qxb index 72 numrxqueues 2 numtxqueues 2 type veth peer name qxa "
		 "index 71 numrxqueues 2 numtxqueues 2 netns %d\n",
		 (int)getpid());
	if (netns_ip(NETNS_B, lines) < 0)
		return -1;
	if (netns_ip(NETNS_B, "link set lo up\n"
			      "link set qxb up\n"
			      "addr add 10.77.0.2/24 dev qxb\n"
			      "addr add 10.77.0.3/24 dev qxb\n"
			      "addr add fd77::2/64 dev qxb nodad\n"
			      "addr add fd77::3/64 dev qxb nodad\n") < 0)
		return -1;
	return netns_ip(NETNS_A, "link set lo up\n"
				 "link set qxa up\n"
				 "addr add 10.77.0.1/24 dev qxa\n"
				 "addr add fd77::1/64 dev qxa nodad\n");
}

/* netns_laid enters what QX_NETNS_A and QX_NETNS_B name.  0, or -1 with the reason in why. */
static inline int netns_laid(const char *a, const char *b, char *why)
{
	const char *const names[NETNS_CNT] = {a, b ? b : ""};
	char path[64];

	for (int i = 0; i < NETNS_CNT; i++) {
		snprintf(path, sizeof(path), "/run/netns/%s", names[i]);
		netns_fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (netns_fds[i] < 0 || netns_enter(i) < 0) {
			snprintf(why, QX_WHY_BYTES, "%s: no such network namespace (%s)",
				 path, strerror(errno));
			return -1;
		}
	}
	return netns_enter(NETNS_A);
}

/* netns_open makes both namespaces and the cable, and leaves the caller in namespace 0.
 * 0, or -1 with the reason in why. */
static inline int netns_open(char *why)
{
	const char *laid = getenv("QX_NETNS_A");
	int err = 0;

	if (laid)
		return netns_laid(laid, getenv("QX_NETNS_B"), why);
	for (int i = 0; i < NETNS_CNT && err == 0; i++)
		err = netns_new(&netns_fds[i]);
	if (err) {
		snprintf(why, QX_WHY_BYTES, "no network namespaces (%s): run as root",
			 strerror(-err));
		return -1;
	}
	if (netns_cable() < 0) {
		snprintf(
			why, QX_WHY_BYTES,
			"no veth pair: this needs the ip command and a kernel with CONFIG_VETH");
		return -1;
	}
	return 0;
}

/* The address of host 1 (qxa), 2 or 3 (qxb) on the cable. */
static inline struct qx_addr netns_addr(uint8_t family, uint8_t host, uint16_t port)
{
	struct qx_addr a = {.family = family, .port = port};

	if (family == QX_IPV4)
		memcpy(a.ip, (uint8_t[]){10, 77, 0, host}, 4);
	else
		memcpy(a.ip, (uint8_t[16]){0xfd, 0x77, [15] = host}, 16);
	return a;
}

#endif
