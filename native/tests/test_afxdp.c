/* test_afxdp.c: the AF_XDP back end as a NIC, below device.c: rings, kicks, attaching,
 * refusals, and what is left after a failure (nothing).
 *
 * Needs root for network namespaces of its own; traffic stays inside them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>

#include "afxdp.h"
#include "child.h"
#include "faults.h"
#include "frames.h"
#include "netns.h"
#include "privilege.h"
#include "t.h"

enum { PORT = 4433, ARRIVE_MS = 2000 };

static struct qx_nic_config config(const char *name)
{
	struct qx_nic_config cfg = {.rx_frame_cnt = 256, .tx_frame_cnt = 512};

	snprintf(cfg.interface, sizeof(cfg.interface), "%s", name);
	return cfg;
}

static struct qx_nic *open_nic(const struct qx_nic_config *cfg)
{
	char why[QX_WHY_BYTES] = "";
	struct qx_nic *nic = NULL;
	int err = afxdp_open(&nic, cfg, why);

	if (err)
		T_FAIL("%d: %s", err, why);
	return nic;
}

/* open_small opens qxa with small rings. */
static struct qx_nic *open_small(void)
{
	struct qx_nic_config cfg = config("qxa");

	return open_nic(&cfg);
}

static void attach_nic(struct qx_nic *nic)
{
	char why[QX_WHY_BYTES] = "";
	int err = nic->ops->attach(nic, why);

	if (err)
		T_FAIL("%d: %s", err, why);
}

static uint8_t attached_mode(uint32_t ifindex)
{
	struct ifinfo_xdp xdp;

	T_EQ(ifinfo_get_xdp(&xdp, ifindex), 0);
	return xdp.mode;
}

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

/* ---- How many frames ---- */

static void check_sizes(uint32_t queues, uint64_t memlock, uint32_t want_queues, uint32_t rx,
			uint32_t tx)
{
	struct qx_nic_config cfg = {.interface = "x"};
	struct afxdp_sizes s;

	T_EQ(afxdp_sizes_init(&s, &cfg, queues, 1500, memlock), 0);
	T_EQ(s.queue_cnt, want_queues);
	T_EQ(s.rx_frame_cnt, rx);
	T_EQ(s.tx_frame_cnt, tx);
	T_EQ(s.frame_bytes, 2048);
	T_CHECK(memlock == UINT64_MAX || afxdp_sizes_bytes(&s) <= memlock);
}

/* 20 ms of blocking at 100,000 packets/s needs 2,000 buffers per queue; less only if the
 * kernel will not lock more, and fewer queues only after that. */
static void sizes_follow_the_design(void)
{
	const uint64_t mib = 1 << 20;

	check_sizes(1, UINT64_MAX, 1, 4096, 2048);
	check_sizes(2, UINT64_MAX, 2, 4096, 2048);
	check_sizes(4, UINT64_MAX, 4, 2048, 2048);
	check_sizes(16, UINT64_MAX, 16, 2048, 1024);
	check_sizes(64, UINT64_MAX, 64, 2048, 1024);
	check_sizes(100, UINT64_MAX, 64, 2048, 1024);
	check_sizes(1, 8 * mib, 1, 2048, 2048);
	check_sizes(2, 8 * mib, 2, 1024, 1024);
	check_sizes(16, 8 * mib, 15, 256, 256);
	check_sizes(64, 8 * mib, 15, 256, 256);
	check_sizes(4, 1 * mib, 1, 256, 256);
}

static void sizes_that_were_asked_for_are_kept_or_refused(void)
{
	struct qx_nic_config cfg = {.interface = "x", .rx_frame_cnt = 8192};
	struct afxdp_sizes s;

	T_EQ(afxdp_sizes_init(&s, &cfg, 2, 1500, 33 << 20), 0);
	T_EQ(s.rx_frame_cnt, 8192);
	T_EQ(s.tx_frame_cnt, 512);
	T_EQ(s.queue_cnt, 2);
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1500, 8 << 20), -ENOBUFS);
	cfg.rx_frame_cnt = 3000;
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1500, UINT64_MAX), -EINVAL);
	cfg.rx_frame_cnt = 8;
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1500, UINT64_MAX), -EINVAL);
	cfg.rx_frame_cnt = 131072;
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1500, UINT64_MAX), -EINVAL);
}

static void frames_are_long_enough_for_the_mtu(void)
{
	struct qx_nic_config cfg = {.interface = "x"};
	struct afxdp_sizes s;

	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1778, UINT64_MAX), 0);
	T_EQ(s.frame_bytes, 2048);
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1779, UINT64_MAX), 0);
	T_EQ(s.frame_bytes, 4096);
}

/* ---- Opening, attaching, closing ---- */

static void opens_every_queue_and_attaches_only_when_told(void)
{
	struct qx_stats stats = {0};
	struct qx_nic *nic = open_small();
	int mode_open = attached_mode(71), mode_attached, mode_detached;
	uint32_t index = nic->ifindex, queues = nic->queue_cnt, mtu = nic->mtu_bytes;
	uint32_t frames = nic->umem.frame_cnt;
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
	T_EQ(stats.zerocopy, 0);   /* a veth has none, whatever was asked */
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
	attr.license = (uintptr_t) "GPL";
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
	uint64_t memlock_bytes;        /* 0: as it is */
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
	if (!strstr(answer.why, "512 receive buffers") ||
	    !strstr(answer.why, "CAP_IPC_LOCK"))
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

/* ---- Traffic, frame by frame ---- */

static void fill(struct qx_nic *nic)
{
	for (uint32_t q = 0; q < nic->queue_cnt; q++) {
		struct qx_ring *r = &nic->queues[q].fill;

		for (uint32_t i = 0; i < nic->rx_frame_cnt; i++) {
			uint32_t frame = umem_take(&nic->umem, QX_FRAME_FILL);

			T_CHECK(frame != UINT32_MAX && ring_free(r, 1));
			*(uint64_t *)ring_produce(r) = (uint64_t)frame << nic->umem.frame_shift;
		}
		ring_publish(r);
	}
}

/* put_tx queues one frame on a queue's TX ring. */
static void put_tx(struct qx_nic *nic, uint32_t queue, const struct frame *f)
{
	uint32_t frame = umem_take(&nic->umem, QX_FRAME_BUILT);
	struct qx_ring *r = &nic->queues[queue].tx;

	T_CHECK(frame != UINT32_MAX && ring_free(r, 1));
	memcpy(umem_frame(&nic->umem, frame), f->bytes,
	       f->len_bytes < 2048 ? f->len_bytes : 2048);
	*(struct qx_desc *)ring_produce(r) =
		(struct qx_desc){(uint64_t)frame << nic->umem.frame_shift, f->len_bytes, 0};
	ring_publish(r);
	T_CHECK(umem_move(&nic->umem, frame, QX_FRAME_BUILT, QX_FRAME_TX));
}

/* reap takes completions of one queue and returns how many. */
static uint32_t reap(struct qx_nic *nic, uint32_t queue)
{
	struct qx_ring *r = &nic->queues[queue].completion;
	uint32_t n = ring_available(r);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t off = *(const uint64_t *)ring_consume(r);

		T_CHECK(umem_move(&nic->umem, (uint32_t)umem_frame_of(&nic->umem, off),
				  QX_FRAME_TX, QX_FRAME_FREE));
	}
	ring_release(r);
	return n;
}

/* A UDP socket of host 2 in the other namespace. */
static int peer_socket(uint8_t family)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	struct qx_addr a = netns_addr(family, 2, PORT);
	int buffer_bytes = 8 << 20, fd;

	memcpy(&in.sin_addr, a.ip, 4);
	memcpy(&in6.sin6_addr, a.ip, 16);
	T_EQ(netns_enter(NETNS_B), 0);
	fd = socket(family == QX_IPV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	T_EQ(netns_enter(NETNS_A), 0);
	T_CHECK(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes));
	T_EQ(family == QX_IPV4 ? bind(fd, (struct sockaddr *)&in, sizeof(in))
			       : bind(fd, (struct sockaddr *)&in6, sizeof(in6)),
	     0);
	return fd;
}

static void peer_send(int fd, const struct qx_addr *to, const void *bytes, size_t len)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(to->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};

	memcpy(&in.sin_addr, to->ip, 4);
	memcpy(&in6.sin6_addr, to->ip, 16);
	if (to->family == QX_IPV4)
		T_EQ(sendto(fd, bytes, len, 0, (struct sockaddr *)&in, sizeof(in)), len);
	else
		T_EQ(sendto(fd, bytes, len, 0, (struct sockaddr *)&in6, sizeof(in6)), len);
}

/* A frame of ours to the peer's socket; the peer's MAC address comes from its namespace. */
static void frame_to_peer(struct frame *f, uint8_t family, uint32_t payload_bytes)
{
	struct qx_addr from = netns_addr(family, 1, PORT), to = netns_addr(family, 2, PORT);
	struct ifinfo info;

	T_EQ(netns_enter(NETNS_B), 0);
	T_EQ(ifinfo_get(&info, "qxb"), 0);
	T_EQ(netns_enter(NETNS_A), 0);
	frame_udp(f, info.mac, &from, &to, payload_bytes);
}

static uint32_t peer_count(int fd, uint32_t want)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char bytes[2048];
	uint32_t n = 0;

	while (n < want && poll(&p, 1, ARRIVE_MS) == 1)
		while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
			n++;
	return n;
}

/* receive waits for one frame on any queue.  Returns its length and copies it. */
static uint32_t receive(struct qx_nic *nic, uint8_t *bytes)
{
	struct pollfd fds[QX_QUEUE_MAX];

	for (uint32_t q = 0; q < nic->queue_cnt; q++)
		fds[q] = (struct pollfd){.fd = nic->queues[q].fd, .events = POLLIN};
	if (poll(fds, nic->queue_cnt, ARRIVE_MS) <= 0)
		return 0;
	for (uint32_t q = 0; q < nic->queue_cnt; q++) {
		struct qx_ring *r = &nic->queues[q].rx;
		struct qx_desc d;

		if (!ring_available(r))
			continue;
		d = *(const struct qx_desc *)ring_consume(r);
		ring_release(r);
		memcpy(bytes, nic->umem.base + d.off_bytes, d.len_bytes);
		return d.len_bytes;
	}
	return 0;
}

static void frames_come_in_over_the_rings(void)
{
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		struct qx_nic *nic = open_small();
		struct qx_addr ours = netns_addr(family, 1, PORT);
		uint32_t header = family == QX_IPV4 ? 42 : 62, len;
		int fd = peer_socket(family);
		uint8_t bytes[2048];

		T_EQ(nic->ops->admit(nic, &ours), 0);
		T_EQ(nic->ops->admit(nic, &ours), -EEXIST);
		fill(nic);
		attach_nic(nic);
		peer_send(fd, &ours, "hello, ring", 11);
		len = receive(nic, bytes);
		nic->ops->dismiss(nic, &ours);
		nic->ops->close(nic);
		close(fd);
		T_EQ(len, header + 11);
		T_EQ(memcmp(bytes + header, "hello, ring", 11), 0);
	}
}

static void frames_go_out_over_the_rings(void)
{
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		struct qx_nic *nic = open_small();
		int fd = peer_socket(family), rc[2];
		struct frame f;
		uint32_t n, done = 0;

		frame_to_peer(&f, family, 1200);
		for (uint32_t q = 0; q < 2; q++) {
			put_tx(nic, q, &f);
			T_CHECK(ring_needs_wakeup(&nic->queues[q].tx));
			rc[q] = nic->ops->kick(nic, q);
		}
		n = peer_count(fd, 2);
		done = reap(nic, 0) + reap(nic, 1);
		nic->ops->close(nic);
		close(fd);
		T_EQ(rc[0], 0);
		T_EQ(rc[1], 0);
		T_EQ(n, 2);
		T_EQ(done, 2);
	}
}

/* A full ring leaves in one call of kick, in few system calls where the kernel lets us. */
static void one_kick_sends_a_full_ring(void)
{
	struct qx_nic *nic = open_small();
	int fd = peer_socket(QX_IPV4), rc;
	uint32_t n, done;
	struct frame f;

	frame_to_peer(&f, QX_IPV4, 100);
	for (int i = 0; i < 512; i++)
		put_tx(nic, 0, &f);
	rc = nic->ops->kick(nic, 0);
	n = peer_count(fd, 512);
	done = reap(nic, 0);
	printf("  %llu system calls for 512 frames\n", (unsigned long long)nic->tx_syscalls);
	T_CHECK(nic->tx_syscalls <= 1 + 512 / 32 + 1);
	nic->ops->close(nic);
	close(fd);
	T_EQ(rc, 0);
	T_EQ(n, 512);
	T_EQ(done, 512);
}

/* The kernel stops at a frame that the device refuses; the rest must not wait for it. */
static void a_frame_too_long_costs_only_itself(void)
{
	struct qx_nic *nic = open_small();
	int fd = peer_socket(QX_IPV4), rc;
	struct frame f, overlong;
	uint32_t n, done;

	frame_to_peer(&f, QX_IPV4, 100);
	overlong = f;
	overlong.len_bytes = 1600;   /* an MTU, Ethernet and a VLAN tag are let through */
	for (int i = 0; i < 8; i++) {
		put_tx(nic, 0, &f);
		put_tx(nic, 0, &overlong);
	}
	rc = nic->ops->kick(nic, 0);
	n = peer_count(fd, 8);
	done = reap(nic, 0);
	nic->ops->close(nic);
	close(fd);
	T_EQ(rc, 0);
	T_EQ(n, 8);
	T_EQ(done, 16);
}

static void a_link_that_is_down_keeps_the_frames(void)
{
	struct qx_nic *nic = open_small();
	int fd = peer_socket(QX_IPV4), down, up, event;
	uint32_t kept, n, done;
	struct frame f;

	frame_to_peer(&f, QX_IPV4, 100);
	T_EQ(netns_ip(NETNS_A, "link set qxa down\n"), 0);
	put_tx(nic, 0, &f);
	down = nic->ops->kick(nic, 0);
	kept = ring_pending(&nic->queues[0].tx);
	event = nic->ops->events(nic);
	T_EQ(netns_ip(NETNS_A, "link set qxa up\naddr add fd77::1/64 dev qxa nodad\n"), 0);
	up = nic->ops->kick(nic, 0);
	n = peer_count(fd, 1);
	done = reap(nic, 0);
	nic->ops->close(nic);
	close(fd);
	T_EQ(down, -ENETDOWN);
	T_EQ(kept, 1);
	T_EQ(event, 0);
	T_EQ(up, 0);
	T_EQ(n, 1);
	T_EQ(done, 1);
}

/* poll shows nothing on a deleted interface's sockets: event_fd is how one learns. */
static void a_deleted_interface_is_noticed_without_sending(void)
{
	struct qx_nic *nic = open_small();
	struct pollfd p = {.fd = nic->event_fd, .events = POLLIN};
	struct qx_stats stats = {0};
	int quiet, other, deleted, again, kicked, readable;
	struct frame f;

	attach_nic(nic);
	nic->ops->events(nic);
	quiet = poll(&p, 1, 0);
	T_EQ(netns_ip(NETNS_A, "link add qxi type ifb\nlink del qxi\n"), 0);
	other = poll(&p, 1, ARRIVE_MS) == 1 ? nic->ops->events(nic) : 1;
	frame_to_peer(&f, QX_IPV4, 100);
	T_EQ(netns_ip(NETNS_A, "link del qxa\n"), 0);
	readable = poll(&p, 1, ARRIVE_MS);
	deleted = nic->ops->events(nic);
	again = nic->ops->events(nic);
	put_tx(nic, 0, &f);
	kicked = nic->ops->kick(nic, 0);
	nic->ops->stats(nic, &stats);
	nic->ops->detach(nic);
	nic->ops->close(nic);
	T_EQ(netns_cable(), 0);
	T_EQ(quiet, 0);
	T_EQ(other, 0);
	T_EQ(readable, 1);
	T_EQ(deleted, -ENXIO);
	T_EQ(again, -ENXIO);
	T_EQ(kicked, -ENXIO);
}

/* ---- Processes ---- */

static void close_in_child(struct child_answer *answer, void *arg)
{
	struct qx_nic *nic = arg;

	nic->ops->close(nic);
	answer->rc = 0;
}

static void a_forked_child_takes_nothing_from_its_parent(void)
{
	struct qx_nic *nic = open_small();
	struct qx_addr ours = netns_addr(QX_IPV4, 1, PORT);
	int fd = peer_socket(QX_IPV4);
	struct child_answer answer;
	uint8_t bytes[2048], mode;
	uint32_t len;

	T_EQ(nic->ops->admit(nic, &ours), 0);
	fill(nic);
	attach_nic(nic);
	answer = child_run(close_in_child, nic);
	mode = attached_mode(71);
	peer_send(fd, &ours, "still here", 10);
	len = receive(nic, bytes);
	nic->ops->close(nic);
	close(fd);
	T_EQ(answer.rc, 0);
	T_EQ(mode, XDP_ATTACHED_DRV);
	T_EQ(len, 42 + 10);
}

static int forever(void *arg)
{
	(void)arg;
	return 0;
}

/* A child that lives on has copies of all descriptors, the link's too. */
static void closing_detaches_although_a_child_lives_on(void)
{
	struct qx_nic *nic = open_small();
	uint8_t mode;
	pid_t pid;

	attach_nic(nic);
	pid = child_start(forever, NULL);
	nic->ops->close(nic);
	mode = attached_mode(71);
	T_CHECK(pid > 0);
	child_kill(pid);
	T_EQ(mode, XDP_ATTACHED_NONE);
}

static int serve_forever(void *arg)
{
	char why[QX_WHY_BYTES];
	struct qx_nic_config cfg = config("qxa");
	struct qx_addr ours = netns_addr(QX_IPV4, 1, PORT);
	struct qx_nic *nic;

	(void)arg;
	if (afxdp_open(&nic, &cfg, why) || nic->ops->admit(nic, &ours))
		return -1;
	fill(nic);
	return nic->ops->attach(nic, why);
}

static void a_killed_process_leaves_nothing_and_the_next_one_takes_over(void)
{
	struct qx_addr ours = netns_addr(QX_IPV4, 1, PORT);
	int fd = peer_socket(QX_IPV4);
	uint8_t bytes[2048];

	for (int i = 0; i < 3; i++) {
		pid_t pid = child_start(serve_forever, NULL);
		uint8_t alive, dead;
		struct qx_nic *nic;
		uint32_t len;

		T_CHECK(pid > 0);
		alive = attached_mode(71);
		child_kill(pid);
		dead = attached_mode(71);
		nic = open_small();
		T_EQ(nic->ops->admit(nic, &ours), 0);
		fill(nic);
		attach_nic(nic);
		peer_send(fd, &ours, "next", 4);
		len = receive(nic, bytes);
		nic->ops->close(nic);
		T_EQ(alive, XDP_ATTACHED_DRV);
		T_EQ(dead, XDP_ATTACHED_NONE);
		T_EQ(len, 42 + 4);
	}
	close(fd);
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
			T_FAIL("call %u leaked descriptors: %d, %d", nth, fds, faults_open_fds());
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
	T_EQ(made, 5);   /* three maps, a program, a link */
	T_EQ(left, 0);
	T_EQ(faults_open_fds(), fds);
}

static const struct t_case cases[] = {
	{"sizes follow the design", sizes_follow_the_design},
	{"sizes that were asked for are kept or refused",
	 sizes_that_were_asked_for_are_kept_or_refused},
	{"frames are long enough for the MTU", frames_are_long_enough_for_the_mtu},
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
	{"frames come in over the rings", frames_come_in_over_the_rings},
	{"frames go out over the rings", frames_go_out_over_the_rings},
	{"one kick sends a full ring", one_kick_sends_a_full_ring},
	{"a frame too long costs only itself", a_frame_too_long_costs_only_itself},
	{"a link that is down keeps the frames", a_link_that_is_down_keeps_the_frames},
	{"a deleted interface is noticed without sending",
	 a_deleted_interface_is_noticed_without_sending},
	{"a forked child takes nothing from its parent",
	 a_forked_child_takes_nothing_from_its_parent},
	{"closing detaches although a child lives on",
	 closing_detaches_although_a_child_lives_on},
	{"a killed process leaves nothing and the next one takes over",
	 a_killed_process_leaves_nothing_and_the_next_one_takes_over},
	{"a failure at any system call leaves nothing",
	 a_failure_at_any_system_call_leaves_nothing},
	{"closing leaves no BPF objects", closing_leaves_no_bpf_objects},
};

int main(int argc, char **argv)
{
	char why[QX_WHY_BYTES];

	if (!privilege_has(CAP_NET_ADMIN) || !privilege_has(CAP_BPF) ||
	    !privilege_has(CAP_SYS_ADMIN))
		T_SKIP_PROGRAM("AF_XDP and network namespaces need root");
	if (netns_open(why) < 0)
		T_SKIP_PROGRAM("%s", why);
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
