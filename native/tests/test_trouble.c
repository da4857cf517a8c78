/* test_trouble.c: an endpoint on AF_XDP when things go wrong: refused, killed, forked, the
 * interface deleted, any system call failing.  Needs root for namespaces of its own. */
#define _GNU_SOURCE
#include "lanes.h"

#include <linux/if_link.h>

#include "child.h"
#include "faults.h"

static struct qx_addr addr4(void)
{
	return netns_addr(QX_IPV4, 2, SERVER_PORT);
}

/* The port is free and works: nothing that failed before holds it. */
static void expect_service(const struct qx_addr *addr, enum qx_lane lane)
{
	struct qx_config cfg = server_config(*addr);
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES];
	int err;

	if (lane == QX_LANE_SOCKET)
		cfg.interface[0] = '\0';
	err = try_server(&dp, &cfg, why);
	if (err)
		T_FAIL("%d: %s", err, why);
	talk(dp, addr, lane);
	close_server(dp);
}

/* ---- Refusals ---- */

static void another_program_first_means_an_error_and_the_socket_still_works(void)
{
	static const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct qx_config cfg = server_config(addr4());
	struct qx_addr addr = addr4();
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES];
	union bpf_attr attr;
	int prog, link, err;
	uint8_t mode;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uintptr_t)pass;
	attr.insn_cnt = 2;
	attr.license = (uintptr_t)"GPL";
	prog = (int)__real_syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	T_CHECK(prog >= 0);
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_ifindex = 72;
	attr.link_create.attach_type = BPF_XDP;
	T_EQ(netns_enter(NETNS_B), 0);
	link = (int)__real_syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	T_EQ(netns_enter(NETNS_A), 0);
	close(prog);
	T_CHECK(link >= 0);

	err = try_server(&dp, &cfg, why);
	mode = attached_mode();
	expect_service(&addr, QX_LANE_SOCKET);
	close(link);
	T_EQ(err, -EBUSY);
	if (!strstr(why, "qxb: another XDP program (id "))
		T_FAIL("%s", why);
	T_EQ(mode, XDP_ATTACHED_DRV);
	expect_service(&addr, QX_LANE_XDP);
}

struct attempt {
	uint64_t caps;
	uint64_t memlock_bytes;
};

static void attempt_open(struct child_answer *answer, void *arg)
{
	struct attempt *a = arg;
	struct rlimit limit = {.rlim_cur = a->memlock_bytes, .rlim_max = a->memlock_bytes};
	struct qx_config cfg = server_config(addr4());
	struct qx_datapath *dp;

	if (netns_enter(NETNS_B) || setrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return;
	answer->rc = child_restrict(a->caps);
	if (!answer->rc)
		answer->rc = qx_open(&dp, &cfg, answer->why);
	if (!answer->rc)
		qx_close(dp);
}

static void a_missing_capability_is_an_error_with_the_remedy(void)
{
	struct attempt a = {.caps = CAPS_XDP & ~CAP_BIT(CAP_BPF), .memlock_bytes = 8 << 20};
	struct child_answer answer = child_run(attempt_open, &a);

	T_EQ(answer.rc, -EPERM);
	if (!strstr(answer.why, "needs CAP_BPF.") ||
	    !strstr(answer.why, "AmbientCapabilities"))
		T_FAIL("%s", answer.why);
}

static void too_little_memlock_is_an_error_and_a_little_a_note(void)
{
	struct attempt a = {.caps = CAPS_XDP, .memlock_bytes = 64 << 10};
	struct child_answer answer = child_run(attempt_open, &a);

	T_EQ(answer.rc, -ENOBUFS);
	if (!strstr(answer.why, "64 KiB") || !strstr(answer.why, "LimitMEMLOCK=32M"))
		T_FAIL("%s", answer.why);
	a.memlock_bytes = 8 << 20;
	answer = child_run(attempt_open, &a);
	if (answer.rc)
		T_FAIL("%d: %s", answer.rc, answer.why);
	if (!strstr(answer.why,
		    "qxb: the limit on locked memory allows 1024 receive buffers"))
		T_FAIL("%s", answer.why);
}

/* ---- Processes ---- */

static int serve_forever(void *arg)
{
	struct qx_config cfg = server_config(addr4());
	char why[QX_WHY_BYTES];
	struct qx_datapath *dp;

	(void)arg;
	return netns_enter(NETNS_B) || qx_open(&dp, &cfg, why);
}

/* No clean-up command, no waiting: the next process takes the port and the interface. */
static void a_killed_server_leaves_nothing_and_the_next_serves_at_once(void)
{
	struct qx_addr addr = addr4();

	for (int i = 0; i < 3; i++) {
		pid_t pid = child_start(serve_forever, NULL);
		uint8_t alive, dead;

		T_CHECK(pid > 0);
		alive = attached_mode();
		child_kill(pid);
		dead = attached_mode();
		expect_service(&addr, QX_LANE_XDP);
		T_EQ(alive, XDP_ATTACHED_DRV);
		T_EQ(dead, XDP_ATTACHED_NONE);
	}
}

static void use_in_child(struct child_answer *answer, void *arg)
{
	struct qx_datapath *dp = arg;
	struct qx_path path = {.peer = netns_addr(QX_IPV4, 1, 5000)};
	struct qx_send_item item = {.len_bytes = 1};
	struct qx_stats stats;

	qx_forked();
	answer->rc = qx_recv(dp, &batch, now_ns()) == -EPERM &&
		     qx_send(dp, (const uint8_t *)"x", &item, 1, &path, 1) == -EPERM &&
		     qx_get_stats(dp, &stats) == -EPERM;
	qx_close(dp);
}

static void a_forked_child_is_refused_and_harms_nothing(void)
{
	struct qx_addr addr = addr4();
	struct qx_datapath *dp = open_server(addr);
	struct child_answer answer = child_run(use_in_child, dp);
	int fd = peer(&addr);

	T_EQ(answer.rc, 1);
	T_EQ(attached_mode(), XDP_ATTACHED_DRV);
	heard_clear();
	peer_send(fd, 100, 1);
	hear(dp, 1);
	T_EQ(heard.lane[QX_LANE_XDP], 1);
	T_EQ(send_to(dp, &heard.path, 100, 2), 1);
	peer_hears(fd, 100, 2);
	close(fd);
	close_server(dp);
}

/* ---- The interface ---- */

/* A server that only receives must learn of it too: qx_fd says so. */
static void a_deleted_interface_is_reported_once_and_the_socket_goes_on(void)
{
	struct qx_datapath *dp =
		open_server((struct qx_addr){.family = QX_IPV4, .port = SERVER_PORT});
	struct qx_addr addr = addr4();
	int fd = peer(&addr), gone = 0, rounds;
	struct qx_stats stats;

	heard_clear();
	peer_send(fd, 100, 1);
	hear(dp, 1);
	T_EQ(heard.lane[QX_LANE_XDP], 1);
	close(fd);
	T_EQ(netns_ip(NETNS_B, "link del qxb\n"), 0);
	for (rounds = 0; rounds < 16 && readable(dp, gone ? QUIET_MS : ARRIVE_MS); rounds++) {
		int n = take(dp);

		T_CHECK(n == 0 || n == -ENETDOWN);
		gone += n == -ENETDOWN;
	}
	T_EQ(gone, 1);
	T_CHECK(rounds < 16); /* it does not stay readable for nothing */
	T_EQ(netns_cable(), 0);
	fd = peer(&addr);
	heard_clear();
	peer_send(fd, 100, 2);
	hear(dp, 1);
	T_EQ(heard.lane[QX_LANE_SOCKET], 1);
	T_EQ(send_to(dp, &heard.path, 100, 3), 1);
	peer_hears(fd, 100, 3);
	stats = stats_of(dp);
	T_EQ(stats.frames[QX_FRAME_LENT], 0);
	close(fd);
	close_server(dp);
	expect_service(&addr, QX_LANE_XDP);
}

/* Frames under way when the interface goes are counted, not lost from the census. */
static void an_interface_deleted_while_sending_keeps_the_census(void)
{
	struct qx_addr addr = addr4();
	struct qx_datapath *dp = open_server(addr);
	struct qx_slot slots[32];
	struct qx_stats stats;
	int fd = peer(&addr), n;

	heard_clear();
	peer_send(fd, 100, 1);
	hear(dp, 1);
	n = qx_reserve(dp, &heard.path, 100, slots, 32);
	T_EQ(n, 32);
	for (int i = 0; i < n; i++)
		pattern_write(slots[i].data, 100, 1);
	T_EQ(slots[0].lane, QX_LANE_XDP);
	T_EQ(netns_ip(NETNS_B, "link del qxb\n"), 0);
	T_EQ(qx_commit(dp, slots, (uint32_t)n), 0);
	T_CHECK(qx_flush(dp) >= 0);
	for (int i = 0; i < 16 && readable(dp, QUIET_MS); i++)
		take(dp);
	stats = stats_of(dp);
	close(fd);
	close_server(dp);
	T_EQ(netns_cable(), 0);
	T_EQ(stats.frames[QX_FRAME_TX], 0);
	T_EQ(stats.frames[QX_FRAME_BUILT], 0);
	T_EQ(stats.drop[QX_DROP_DEVICE_GONE], 32);
}

/* A link that goes down and up again: the socket takes over, and then the rings do. */
static void a_link_that_was_down_works_again(void)
{
	struct qx_addr addr = addr4();
	struct qx_datapath *dp = open_server(addr);
	int fd = peer(&addr);

	for (int i = 0; i < 2; i++) {
		heard_clear();
		peer_send(fd, 100, 1);
		hear(dp, 1);
		T_EQ(heard.lane[QX_LANE_XDP], 1);
		T_EQ(netns_ip(NETNS_B, "link set qxb down\n"), 0);
		T_CHECK(send_to(dp, &heard.path, 100, 2) >= 0);
		T_CHECK(take(dp) >= 0);
		T_EQ(netns_ip(NETNS_B, "link set qxb up\n"), 0);
	}
	heard_clear();
	peer_send(fd, 100, 3);
	hear(dp, 1);
	T_EQ(heard.lane[QX_LANE_XDP], 1);
	close(fd);
	close_server(dp);
	T_EQ(netns_ip(NETNS_B, "link del qxb\n"), 0); /* its IPv6 addresses are gone */
	T_EQ(netns_cable(), 0);
}

/* ---- Nothing is left behind ---- */

static void a_failure_at_any_system_call_leaves_nothing(void)
{
	int fds = faults_open_fds(), failed = 0;
	struct qx_addr addr = addr4();
	uint32_t total, left;

	faults_recording = 1;
	for (uint32_t nth = 1;; nth++) {
		struct qx_config cfg = server_config(addr);
		struct qx_datapath *dp = NULL;
		char why[QX_WHY_BYTES] = "";
		int err;

		cfg.rx_frame_cnt = 64;
		cfg.tx_frame_cnt = 64;
		T_EQ(netns_enter(NETNS_B), 0);
		faults_calls = 0;
		faults_at = nth;
		err = qx_open(&dp, &cfg, why);
		faults_at = 0;
		total = faults_calls;
		T_EQ(netns_enter(NETNS_A), 0);
		qx_close(dp);
		failed += err != 0;
		if (err && strlen(why) < 10)
			T_FAIL("call %u: error %d without a reason: '%s'", nth, err, why);
		if (faults_open_fds() != fds)
			T_FAIL("call %u leaked descriptors: %d, %d", nth, fds,
			       faults_open_fds());
		if (attached_mode() != XDP_ATTACHED_NONE)
			T_FAIL("call %u left a program attached", nth);
		if (nth > total) {
			T_EQ(err, 0);
			break;
		}
	}
	left = faults_objects_gone();
	printf("  %u calls, %d of them fatal\n", total, failed);
	T_CHECK(total > 60 && failed > 50);
	T_EQ(left, 0);
	expect_service(&addr, QX_LANE_XDP);
}

static const struct t_case cases[] = {
	{"another program first means an error, and the socket still works",
	 another_program_first_means_an_error_and_the_socket_still_works},
	{"a missing capability is an error with the remedy",
	 a_missing_capability_is_an_error_with_the_remedy},
	{"too little memlock is an error, and a little a note",
	 too_little_memlock_is_an_error_and_a_little_a_note},
	{"a killed server leaves nothing and the next serves at once",
	 a_killed_server_leaves_nothing_and_the_next_serves_at_once},
	{"a forked child is refused and harms nothing",
	 a_forked_child_is_refused_and_harms_nothing},
	{"a deleted interface is reported once and the socket goes on",
	 a_deleted_interface_is_reported_once_and_the_socket_goes_on},
	{"an interface deleted while sending keeps the census",
	 an_interface_deleted_while_sending_keeps_the_census},
	{"a link that was down works again", a_link_that_was_down_works_again},
	{"a failure at any system call leaves nothing",
	 a_failure_at_any_system_call_leaves_nothing},
};

int main(int argc, char **argv)
{
	return lanes_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
