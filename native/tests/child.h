/* child.h: runs a function in a child process, with fewer privileges or to its death. */
#ifndef QX_CHILD_H
#define QX_CHILD_H

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quicxdp.h"

#define CAP_BIT(capability) ((uint64_t)1 << (capability))
#define CAPS_XDP (CAP_BIT(CAP_NET_RAW) | CAP_BIT(CAP_NET_ADMIN) | CAP_BIT(CAP_BPF))

/* child_restrict leaves exactly these capabilities to a user whom nobody else is: locked
 * memory is counted per user. */
static inline int child_restrict(uint64_t caps)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	uid_t uid = 200000 + (uid_t)getpid();

	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted = (uint32_t)(caps >> 32 * i);
		data[i].effective = data[i].permitted;
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

struct child_answer {
	int rc;
	char why[QX_WHY_BYTES];
};

/* child_run calls run in a child, which prctl kills with its parent, and returns what it
 * answered; -ECHILD if it died instead. */
static inline struct child_answer child_run(void (*run)(struct child_answer *, void *),
					    void *arg)
{
	struct child_answer answer = {.rc = -ECHILD};
	int fds[2];
	ssize_t n;
	pid_t pid;

	if (pipe(fds) < 0)
		return answer;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		run(&answer, arg);
		n = write(fds[1], &answer, sizeof(answer));
		_exit(n != sizeof(answer));
	}
	close(fds[1]);
	n = read(fds[0], &answer, sizeof(answer));
	close(fds[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (n != sizeof(answer))
		answer.rc = -ECHILD;
	answer.why[QX_WHY_BYTES - 1] = '\0';
	return answer;
}

/* child_start calls run, which reports by its first answer that it is ready and then goes
 * on until it is killed.  Returns its pid, or -1. */
static inline pid_t child_start(int (*run)(void *), void *arg)
{
	char ready = 0;
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		ready = run(arg) == 0;
		if (write(fds[1], &ready, 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(fds[1]);
	if (read(fds[0], &ready, 1) != 1)
		ready = 0;
	close(fds[0]);
	if (!ready && pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return -1;
	}
	return pid;
}

/* child_kill kills as a power cut would, and returns once the kernel has cleaned up. */
static inline void child_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#endif
