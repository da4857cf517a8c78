/* test_afxdp_open.c: opening, attaching and closing the AF_XDP back end; refusals and their
 * reasons; what is left after a failure (nothing).  Needs root for namespaces of its own. */
#define _GNU_SOURCE
#include "nic_rig.h"

/* refused opens what must not open, and returns the sentence that it says. */
static const char *refused(const struct qx_nic_config *cfg, int code)
{
	static char why[QX_WHY_BYTES];
	struct qx_nic *nic = NULL;
	int err;

	memset(why, 'x', sizeof(why));
	err = afxdp_open(&nic, cfg, why);
	if (err == 0)
		nic->ops->close(nic);
	T_EQ(err, code);
	T_CHECK(memchr(why, 0, sizeof(why)));
	if (strncmp(why, cfg->interface, strlen(cfg->interface)))
		T_FAIL("does not name the interface: %s", why);
	return why;
}

/* ---- Opening, attaching, closing ---- */

static void opens_every_queue_and_attaches_only_when_told(void)
{
	struct qx_stats stats = {0};
	struct qx_nic *nic = open_small();
	int mode_open = attached_mode(71), mode_attached, mode_detached;
	uint32_t index = nic->ifindex, queues = nic->queue_cnt, mtu = nic->mtu_bytes;
	uint32_t frames = nic->umem.frame_cnt, mode_queue = nic->queues[1].mode;
	uint8_t mac[6];

	memcpy(mac, ((struct afxdp *)nic)->info.mac, 6);
	T_EQ(memcmp(nic->mac, mac, 6), 0);
	attach_nic(nic);
	attach_nic(nic);
	mode_attached = attached_mode(71);
	T_EQ(nic->ops->stats(nic, &stats), 0);
	nic->ops->detach(nic);
	nic->ops->detach(nic);
	mode_detached = attached_mode(71);
	attach_nic(nic);
	nic->ops->close(nic);

	T_EQ(index, 71);
	T_EQ(queues, 2);
	T_EQ(mtu, 1500);
	T_EQ(frames, 2 * 256 + 512);
	T_EQ(mode_open, XDP_ATTACHED_NONE);
	T_EQ(mode_attached, XDP_ATTACHED_DRV);
	T_EQ(mode_detached, XDP_ATTACHED_NONE);
	T_EQ(attached_mode(71), XDP_ATTACHED_NONE);
	T_EQ(mode_queue, QX_XDP_COPY); /* a veth has no zero-copy */
}

static bool has_addr(const struct qx_addr *addrs, int n, struct qx_addr want)
{
	for (int i = 0; i < n; i++)
		if (!memcmp(&addrs[i], &want, sizeof(want)))
			return true;
	return false;
}

static void knows_its_own_addresses(void)
{
	struct qx_addr addrs[8];
	struct qx_nic *nic = open_small();
	int n = nic->ops->local_addrs(nic, addrs, 8);
	int few = nic->ops->local_addrs(nic, addrs + 7, 1);

	nic->ops->close(nic);
	T_EQ(n, 3);
	T_EQ(few, 1);
	T_CHECK(has_addr(addrs, n, netns_addr(QX_IPV4, 1, 0)));
	T_CHECK(has_addr(addrs, n, netns_addr(QX_IPV6, 1, 0)));
	for (int i = 0; i < n; i++)
		T_EQ(addrs[i].scope_id, addrs[i].ip[0] == 0xfe ? 71 : 0);
}

static void reopens_at_once(void)
{
	for (int i = 0; i < 5; i++) {
		struct qx_nic *nic = open_small();

		attach_nic(nic);
		nic->ops->close(nic);
	}
}

/* ---- Refusals ---- */

static void refuses_what_cannot_work_and_says_why(void)
{
	struct qx_nic_config cfg = config("qxnone");

	T_CHECK(strstr(refused(&cfg, -ENODEV), "no such interface"));
	cfg = config("lo");
	T_CHECK(strstr(refused(&cfg, -EOPNOTSUPP), "loopback"));
	cfg = config("qxa");
	cfg.rx_frame_cnt = 100;
	T_CHECK(strstr(refused(&cfg, -EINVAL), "power of two"));
	memset(cfg.interface, 'q', sizeof(cfg.interface) - 1);
	cfg.rx_frame_cnt = 0;
	refused(&cfg, -ENODEV);
}

/* An ifb is an Ethernet device whose driver has no native XDP. */
static void names_the_driver_that_has_no_native_xdp(void)
{
	struct qx_nic_config cfg = config("qxi");
	char why[QX_WHY_BYTES] = "";
	struct qx_nic *nic;
	int err;

	T_EQ(netns_ip(NETNS_A, "link add qxi type ifb\nlink set qxi up\n"), 0);
	nic = open_nic(&cfg);
	err = nic->ops->attach(nic, why);
	nic->ops->close(nic);
	T_EQ(netns_ip(NETNS_A, "link del qxi\n"), 0);
	T_EQ(err, -EOPNOTSUPP);
	if (!strstr(why, "qxi: ") || !strstr(why, "ifb") || !strstr(why, "no native XDP"))
		T_FAIL("%s", why);
}

/* Somebody else's program: two instructions that pass everything. */
static int attach_other_program(uint32_t ifindex, uint32_t flags)
{
	static const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr;
	int prog, link;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uintptr_t)pass;
	attr.insn_cnt = 2;
	attr.license = (uintptr_t)"GPL";
	prog = (int)__real_syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	T_CHECK(prog >= 0);
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = BPF_XDP;
	attr.link_create.flags = flags;
	link = (int)__real_syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	close(prog);
	T_CHECK(link >= 0);
	return link;
}

static void another_program_stays_and_is_named(void)
{
	static const uint32_t modes[] = {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};
	struct qx_nic_config cfg = config("qxa");

	for (size_t i = 0; i < 2; i++) {
		int other = attach_other_program(71, modes[i]);
		char why[QX_WHY_BYTES], id[32];
		struct ifinfo_xdp before, after;

		T_EQ(ifinfo_get_xdp(&before, 71), 0);
		snprintf(why, sizeof(why), "%s", refused(&cfg, -EBUSY));
		T_EQ(ifinfo_get_xdp(&after, 71), 0);
		close(other);
		T_EQ(after.id, before.id);
		T_EQ(after.mode, before.mode);
		snprintf(id, sizeof(id), "(id %u, %s)", before.id, i ? "generic" : "native");
		if (!strstr(why, id) || !strstr(why, "it stays"))
			T_FAIL("%s", why);
	}
}

/* The same when the other one comes between our opening and our attaching. */
static void another_program_that_comes_first_to_attach_stays(void)
{
	static const uint32_t modes[] = {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};

	for (size_t i = 0; i < 2; i++) {
		struct qx_nic *nic = open_small();
		int other = attach_other_program(71, modes[i]);
		char why[QX_WHY_BYTES] = "";
		int err = nic->ops->attach(nic, why);
		struct ifinfo_xdp after;

		nic->ops->detach(nic);
		nic->ops->close(nic);
		T_EQ(ifinfo_get_xdp(&after, 71), 0);
		close(other);
		T_EQ(err, -EBUSY);
		T_CHECK(strstr(why, "another XDP program (id "));
		T_EQ(after.mode, i ? XDP_ATTACHED_SKB : XDP_ATTACHED_DRV);
	}
}

static void a_queue_that_belongs_to_somebody_is_refused(void)
{
	struct qx_nic_config cfg = config("qxa");
	struct qx_nic *nic = open_small();
	char why[QX_WHY_BYTES];

	snprintf(why, sizeof(why), "%s", refused(&cfg, -EBUSY));
	nic->ops->close(nic);
	T_CHECK(strstr(why, "queue 0 belongs to another AF_XDP socket"));
}

/* ---- Privileges and limits ---- */

struct attempt {
	uint64_t caps;
	uint64_t memlock_bytes; /* 0: as it is */
	struct qx_nic_config cfg;
	uint32_t frame_cnt;
};

static void attempt_open(struct child_answer *answer, void *arg)
{
	struct attempt *a = arg;
	struct rlimit limit = {.rlim_cur = a->memlock_bytes, .rlim_max = a->memlock_bytes};
	struct qx_nic *nic;

	if (a->memlock_bytes && setrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return;
	answer->rc = child_restrict(a->caps);
	if (answer->rc)
		return;
	answer->rc = afxdp_open(&nic, &a->cfg, answer->why);
	if (answer->rc)
		return;
	if (nic->ops->attach(nic, answer->why))
		answer->rc = -EACCES;
	else if (attached_mode(71) != XDP_ATTACHED_DRV)
		answer->rc = -ENOTCONN;
	else
		answer->rc = (int)nic->umem.frame_cnt;
	nic->ops->close(nic);
}

static void three_capabilities_suffice(void)
{
	struct attempt a = {.caps = CAPS_XDP, .cfg = config("qxa")};
	struct child_answer answer = child_run(attempt_open, &a);

	if (answer.rc != 2 * 256 + 512)
		T_FAIL("%d: %s", answer.rc, answer.why);
	T_EQ(answer.why[0], 0);
	T_EQ(attached_mode(71), XDP_ATTACHED_NONE);
}

static void each_missing_capability_is_named(void)
{
	static const struct {
		uint64_t cap;
		const char *sentence;
	} missing[] = {
		{CAP_BIT(CAP_NET_RAW), "needs CAP_NET_RAW."},
		{CAP_BIT(CAP_NET_ADMIN), "needs CAP_NET_ADMIN."},
		{CAP_BIT(CAP_BPF), "needs CAP_BPF."},
		{CAPS_XDP, "needs CAP_NET_RAW CAP_NET_ADMIN CAP_BPF."},
	};

	for (size_t i = 0; i < 4; i++) {
		struct attempt a = {.caps = CAPS_XDP & ~missing[i].cap, .cfg = config("qxa")};
		struct child_answer answer = child_run(attempt_open, &a);

		T_EQ(answer.rc, -EPERM);
		if (!strstr(answer.why, missing[i].sentence) ||
		    !strstr(answer.why, "CAP_NET_RAW CAP_NET_ADMIN CAP_BPF"))
			T_FAIL("%s", answer.why);
	}
}

/* What the limit allows is used, and the loss is told. */
static void a_small_memlock_limit_shrinks_the_buffers_and_says_so(void)
{
	struct attempt a = {
		.caps = CAPS_XDP, .memlock_bytes = 4 << 20, .cfg = {.interface = "qxa"}};
	struct child_answer answer = child_run(attempt_open, &a);

	if (answer.rc != 2 * 512 + 1024)
		T_FAIL("%d: %s", answer.rc, answer.why);
	if (!strstr(answer.why, "512 receive buffers") || !strstr(answer.why, "CAP_IPC_LOCK"))
		T_FAIL("%s", answer.why);
}

static void a_memlock_limit_that_is_too_small_is_an_error_with_the_remedy(void)
{
	struct attempt a = {
		.caps = CAPS_XDP, .memlock_bytes = 64 << 10, .cfg = {.interface = "qxa"}};
	struct child_answer answer = child_run(attempt_open, &a);

	T_EQ(answer.rc, -ENOBUFS);
	if (!strstr(answer.why, "64 KiB") || !strstr(answer.why, "LimitMEMLOCK"))
		T_FAIL("%s", answer.why);
	/* Sizes that were asked for are never quietly reduced. */
	a.memlock_bytes = 4 << 20;
	a.cfg.rx_frame_cnt = 2048;
	answer = child_run(attempt_open, &a);
	T_EQ(answer.rc, -ENOBUFS);
}

/* Another process of the same user holds most of what may be locked. */
static void shared_attempt(struct child_answer *answer, void *arg)
{
	struct rlimit limit = {.rlim_cur = 4 << 20, .rlim_max = 4 << 20};
	struct qx_nic_config holder = {
		.interface = "qxb", .rx_frame_cnt = 256, .tx_frame_cnt = 1024};
	struct qx_nic_config cfg = {.interface = "qxa"};
	struct qx_nic *first, *second;

	(void)arg;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || netns_enter(NETNS_B) < 0)
		return;
	/* Joining a namespace takes CAP_SYS_ADMIN, so before the rest is given up. */
	answer->rc = child_restrict(CAPS_XDP | CAP_BIT(CAP_SYS_ADMIN));
	if (answer->rc || (answer->rc = afxdp_open(&first, &holder, answer->why)) ||
	    (answer->rc = netns_enter(NETNS_A)) ||
	    (answer->rc = afxdp_open(&second, &cfg, answer->why)))
		return;
	answer->rc = (int)second->umem.frame_cnt;
	second->ops->close(second);
	first->ops->close(first);
}

static void memory_locked_by_others_shrinks_the_buffers_too(void)
{
	struct child_answer answer = child_run(shared_attempt, NULL);

	/* 4 MiB are 2,048 frames; the other device holds 1,536. */
	if (answer.rc != 512)
		T_FAIL("%d: %s", answer.rc, answer.why);
	T_CHECK(strstr(answer.why, "LimitMEMLOCK") != NULL);
}

/* ---- Nothing is left behind ---- */

static int open_and_attach(char *why)
{
	struct qx_nic_config cfg = config("qxa");
	struct qx_nic *nic;
	int err = afxdp_open(&nic, &cfg, why);

	if (err)
		return err;
	err = nic->ops->attach(nic, why);
	nic->ops->close(nic);
	return err;
}

/* Fails the first, second, ... call of an open until one gets through without failing. */
static void a_failure_at_any_system_call_leaves_nothing(void)
{
	int fds = faults_open_fds(), failed = 0;
	uint32_t total;

	faults_recording = 1;
	for (uint32_t nth = 1;; nth++) {
		char why[QX_WHY_BYTES] = "";
		int err;

		faults_calls = 0;
		faults_at = nth;
		err = open_and_attach(why);
		faults_at = 0;
		total = faults_calls;
		failed += err != 0;
		if (err && strncmp(why, "qxa: ", 5))
			T_FAIL("call %u: error %d without a reason: '%s'", nth, err, why);
		if (faults_open_fds() != fds)
			T_FAIL("call %u leaked descriptors: %d, %d", nth, fds,
			       faults_open_fds());
		if (attached_mode(71) != XDP_ATTACHED_NONE)
			T_FAIL("call %u left a program attached", nth);
		if (nth > total) {
			T_EQ(err, 0);
			break;
		}
	}
	printf("  %u calls, %d of them fatal\n", total, failed);
	T_CHECK(total > 50 && failed > 40);
	T_EQ(faults_objects_gone(), 0);
}

static void closing_leaves_no_bpf_objects(void)
{
	int fds = faults_open_fds();
	char why[QX_WHY_BYTES];
	uint32_t made, left;

	faults_recording = 1;
	T_EQ(open_and_attach(why), 0);
	made = faults_object_cnt;
	left = faults_objects_gone();
	T_EQ(made, 5); /* three maps, a program, a link */
	T_EQ(left, 0);
	T_EQ(faults_open_fds(), fds);
}

static const struct t_case cases[] = {
	{"opens every queue and attaches only when told",
	 opens_every_queue_and_attaches_only_when_told},
	{"knows its own addresses", knows_its_own_addresses},
	{"reopens at once", reopens_at_once},
	{"refuses what cannot work and says why", refuses_what_cannot_work_and_says_why},
	{"names the driver that has no native XDP", names_the_driver_that_has_no_native_xdp},
	{"another program stays and is named", another_program_stays_and_is_named},
	{"another program that comes first to attach stays",
	 another_program_that_comes_first_to_attach_stays},
	{"a queue that belongs to somebody is refused",
	 a_queue_that_belongs_to_somebody_is_refused},
	{"three capabilities suffice", three_capabilities_suffice},
	{"each missing capability is named", each_missing_capability_is_named},
	{"a small memlock limit shrinks the buffers and says so",
	 a_small_memlock_limit_shrinks_the_buffers_and_says_so},
	{"a memlock limit that is too small is an error with the remedy",
	 a_memlock_limit_that_is_too_small_is_an_error_with_the_remedy},
	{"memory locked by others shrinks the buffers too",
	 memory_locked_by_others_shrinks_the_buffers_too},
	{"a failure at any system call leaves nothing",
	 a_failure_at_any_system_call_leaves_nothing},
	{"closing leaves no BPF objects", closing_leaves_no_bpf_objects},
};

int main(int argc, char **argv)
{
	return nic_rig_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
