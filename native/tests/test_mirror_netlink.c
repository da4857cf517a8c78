/* test_mirror_netlink.c: the socket that feeds a mirror: what is left when calls fail, and what
 * becomes of messages that were lost. */
#define _GNU_SOURCE
#include "mirror_netlink.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>

#include "faults.h"
#include "mirror.h"
#include "t.h"

#define SECOND_NS 1000000000ull

static bool overrunning; /* every other receive says that messages were lost */
static int32_t refusal;  /* rules are answered with this error; 0: with rules */

/* Stands before libc's, behind the one of faults.h, whose syscall passes three arguments. */
ssize_t recvfrom(int fd, void *bytes, size_t len, int flags, struct sockaddr *from,
		 socklen_t *from_len)
{
	static bool turn;
	struct nlmsghdr h;
	ssize_t got;

	turn = overrunning && !turn;
	if (turn) {
		errno = ENOBUFS;
		return -1;
	}
	got = __real_syscall(SYS_recvfrom, fd, bytes, len, flags, from, from_len);
	if (refusal == 0 || got < (ssize_t)sizeof(h))
		return got;
	memcpy(&h, bytes, sizeof(h));
	if (h.nlmsg_type != RTM_NEWRULE)
		return got;
	h.nlmsg_type = NLMSG_ERROR;
	memcpy(bytes, &h, sizeof(h));
	memcpy((uint8_t *)bytes + sizeof(h), &refusal, sizeof(refusal));
	return got;
}

static void enter_namespace(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0)
		T_SKIP_PROGRAM("no network namespace of our own: %s", strerror(errno));
}

static void without_memory_nothing_is_left(void)
{
	struct qx_mirror m = {0};

	for (faults_at = 1;; faults_at++) {
		int err;

		faults_calls = 0;
		err = mirror_init(&m, 7, (const uint8_t[6]){0});
		if (err == 0)
			break;
		T_EQ(err, -ENOMEM);
		T_CHECK(!m.routes && !m.neighbours && !m.addresses && !m.exceptions);
	}
	T_EQ(faults_at, 5);
	faults_at = 0;
	mirror_free(&m);
}

/* Opening with each system call and allocation failing, and then reading with each failing:
 * an error or a mirror that is unsure, and afterwards everything is right again. */
static void a_failure_at_any_call_is_survived(void)
{
	struct qx_path path = {.peer = {.family = QX_IPV4, .ip = {10, 9, 0, 9}, .port = 443}};
	struct qx_mirror_netlink *n = NULL;
	int fds = faults_open_fds(), failed = 0;
	uint64_t calls = 0, now_ns = SECOND_NS;
	struct qx_stats stats = {0};
	struct qx_way way;

	for (uint32_t nth = 1;; nth++) {
		int err;

		faults_calls = 0;
		faults_at = nth;
		err = mirror_netlink_open(&n, 1, (const uint8_t[6]){0});
		faults_at = 0;
		failed += err != 0;
		if (err == 0)
			mirror_netlink_close(n);
		T_EQ(faults_open_fds(), fds);
		if (nth > faults_calls) {
			T_EQ(err, 0);
			break;
		}
	}
	T_CHECK(failed > 10);

	T_EQ(mirror_netlink_open(&n, 1, (const uint8_t[6]){0}), 0);
	for (uint32_t nth = 1; nth <= 12; nth++) {
		faults_errno = nth % 2 ? ENOBUFS : EIO;
		faults_calls = 0;
		faults_at = nth;
		for (int i = 0; i < 4; i++, now_ns += SECOND_NS)
			mirror_netlink_read(n, now_ns, &calls);
		faults_at = 0;
		for (int i = 0; i < 4; i++, now_ns += SECOND_NS)
			mirror_netlink_read(n, now_ns, &calls);
	}
	faults_errno = EIO;
	/* Unsure would be told by the routes: loopback alone has some once it is read. */
	mirror_netlink_stats(n, &stats);
	T_CHECK(stats.mirror_dumps > 3);
	T_CHECK(!mirror_netlink_way(n, &path, now_ns, &way));
	mirror_netlink_close(n);
	T_EQ(faults_open_fds(), fds);
}

/* However often a dump is repeated at once: if messages were lost during the last one too,
 * it is not believed either, and there is one more after the pause. */
static void lost_messages_always_mean_another_dump(void)
{
	struct qx_mirror_netlink *n = NULL;
	struct qx_stats stats = {0};
	int fds = faults_open_fds();
	uint64_t calls = 0, dumps;

	overrunning = true;
	T_EQ(mirror_netlink_open(&n, 1, (const uint8_t[6]){0}), 0);
	overrunning = false;
	mirror_netlink_stats(n, &stats);
	dumps = stats.mirror_dumps;
	T_CHECK(dumps > 1);
	T_CHECK(stats.mirror_overruns >= dumps);
	mirror_netlink_read(n, SECOND_NS, &calls);
	stats = (struct qx_stats){0};
	mirror_netlink_stats(n, &stats);
	T_EQ(stats.mirror_dumps, dumps + 1);
	/* That one was complete. */
	for (uint64_t s = 2; s < 5; s++)
		mirror_netlink_read(n, s * SECOND_NS, &calls);
	stats = (struct qx_stats){0};
	mirror_netlink_stats(n, &stats);
	T_EQ(stats.mirror_dumps, dumps + 1);
	mirror_netlink_close(n);
	T_EQ(faults_open_fds(), fds);
}

/* A kernel may be built without policy routing.  Any other error means that nobody knows which
 * rules there are, and then the mirror must not answer for them. */
static void only_a_kernel_without_rules_may_refuse_them(void)
{
	static const int32_t lacks[] = {-EOPNOTSUPP, -EAFNOSUPPORT};
	static const int32_t others[] = {-EPERM, -ENOMEM, -EINVAL};
	struct qx_mirror_netlink *n = NULL;
	int fds = faults_open_fds();

	for (uint32_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++) {
		refusal = lacks[i];
		T_EQ(mirror_netlink_open(&n, 1, (const uint8_t[6]){0}), 0);
		mirror_netlink_close(n);
	}
	for (uint32_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		refusal = others[i];
		T_EQ(mirror_netlink_open(&n, 1, (const uint8_t[6]){0}), refusal);
	}
	refusal = 0;
	T_EQ(faults_open_fds(), fds);
}

/* A dump that was over within a turn has cost something too, although no time has passed on
 * the turn's clock: a machine whose links flap all the time must not do nothing but dump. */
static void the_pause_between_dumps_follows_from_their_length(void)
{
	const uint64_t at_ns = 10 * SECOND_NS, least_ns = 10000000;
	struct qx_mirror_netlink *n = NULL;
	struct qx_stats stats = {0};
	uint64_t calls = 0;

	T_EQ(mirror_netlink_open(&n, 1, (const uint8_t[6]){0}), 0);
	overrunning = true;
	mirror_netlink_read(n, at_ns, &calls); /* begins one */
	overrunning = false;
	mirror_netlink_read(n, at_ns, &calls); /* and ends it, in no time */
	overrunning = true;
	mirror_netlink_read(n, at_ns + least_ns, &calls);
	mirror_netlink_stats(n, &stats);
	T_EQ(stats.mirror_dumps, 2);
	overrunning = false;
	mirror_netlink_read(n, at_ns + 2 * least_ns, &calls);
	stats = (struct qx_stats){0};
	mirror_netlink_stats(n, &stats);
	T_EQ(stats.mirror_dumps, 3);
	mirror_netlink_close(n);
}

static const struct t_case cases[] = {
	{"without memory nothing is left", without_memory_nothing_is_left},
	{"a failure at any call is survived", a_failure_at_any_call_is_survived},
	{"only a kernel without rules may refuse them",
	 only_a_kernel_without_rules_may_refuse_them},
	{"the pause between dumps follows from their length",
	 the_pause_between_dumps_follows_from_their_length},
	{"lost messages always mean another dump", lost_messages_always_mean_another_dump},
};

int main(int argc, char **argv)
{
	enter_namespace();
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
