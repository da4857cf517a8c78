/* test_afxdp_modes.c: zero-copy, copy and generic mode, huge pages and busy polling of the
 * AF_XDP back end.
 *
 * No device here has zero-copy, so a kernel that has it is played: its answers to bind,
 * XDP_OPTIONS and the question for a driver's features are made up, over a veth that copies. */
#define _GNU_SOURCE
#include "nic_rig.h"

#include <linux/genetlink.h>
#include <linux/if_xdp.h>
#include <linux/rtnetlink.h>

enum {
	DEV_XDP_FEATURES = 3, /* linux/netdev.h */
	RX_CNT = 256,
	TX_CNT = 512,
	FD_MAX = 1024
};

/* ---- A kernel whose driver has zero-copy ---- */

static struct {
	bool offers;
	int refuses_queue; /* -1: none */
	int refuses_with;
	uint32_t asked; /* binds that want zero-copy */
	bool is_zerocopy[FD_MAX];
	uint32_t busy_poll_cnt; /* options of busy polling that were set */
	int busy_poll_err;
	int no_huge;
} kernel;

static bool answers_features(const struct nlmsghdr *h, ssize_t n)
{
	return n >= (ssize_t)(NLMSG_HDRLEN + GENL_HDRLEN) && h->nlmsg_type > GENL_ID_CTRL &&
	       h->nlmsg_type < 0x1000 && ((const struct genlmsghdr *)NLMSG_DATA(h))->cmd == 1;
}

static ssize_t play_recv(int fd, void *p, size_t n, int flags)
{
	ssize_t got = __real_recv(fd, p, n, flags);
	char *at = p, *end = at + got;
	int protocol = -1;
	socklen_t len = sizeof(protocol);

	if (__real_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 ||
	    protocol != NETLINK_GENERIC || !answers_features(p, got))
		return got;
	for (at += NLMSG_HDRLEN + GENL_HDRLEN; at + sizeof(struct rtattr) < end;) {
		struct rtattr *a = (struct rtattr *)at;

		if (a->rta_type == DEV_XDP_FEATURES) {
			uint64_t bits;

			memcpy(&bits, RTA_DATA(a), sizeof(bits));
			bits |= kernel.offers ? IFINFO_XSK_ZEROCOPY : 0;
			memcpy(RTA_DATA(a), &bits, sizeof(bits));
		}
		at += RTA_ALIGN((size_t)a->rta_len);
	}
	return got;
}

static int play_bind(int fd, const struct sockaddr *a, socklen_t n)
{
	struct sockaddr_xdp x;

	if (a->sa_family != AF_XDP || n != sizeof(x))
		return __real_bind(fd, a, n);
	memcpy(&x, a, sizeof(x));
	/* A socket that shares takes over the mode, and the driver is asked again. */
	kernel.is_zerocopy[fd] = x.sxdp_flags & XDP_SHARED_UMEM
					 ? kernel.is_zerocopy[x.sxdp_shared_umem_fd]
					 : !!(x.sxdp_flags & XDP_ZEROCOPY);
	if (kernel.is_zerocopy[fd]) {
		kernel.asked++;
		if (kernel.refuses_queue == (int)x.sxdp_queue_id) {
			errno = kernel.refuses_with;
			return -1;
		}
		if (x.sxdp_flags & XDP_ZEROCOPY)
			x.sxdp_flags = (uint16_t)((x.sxdp_flags & ~XDP_ZEROCOPY) | XDP_COPY);
	}
	return __real_bind(fd, (struct sockaddr *)&x, n);
}

static int play_getsockopt(int fd, int level, int opt, void *v, socklen_t *n)
{
	int rc = __real_getsockopt(fd, level, opt, v, n);

	if (rc == 0 && level == SOL_XDP && opt == XDP_OPTIONS && kernel.is_zerocopy[fd])
		((struct xdp_options *)v)->flags |= XDP_OPTIONS_ZEROCOPY;
	return rc;
}

static int play_setsockopt(int fd, int level, int opt, const void *v, socklen_t n)
{
	if (level == SOL_SOCKET && (opt == SO_PREFER_BUSY_POLL || opt == SO_BUSY_POLL ||
				    opt == SO_BUSY_POLL_BUDGET)) {
		kernel.busy_poll_cnt++;
		if (kernel.busy_poll_err) {
			errno = kernel.busy_poll_err;
			return -1;
		}
	}
	return __real_setsockopt(fd, level, opt, v, n);
}

static void *play_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t off)
{
	if (flags & MAP_HUGETLB && kernel.no_huge) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return __real_mmap(addr, n, prot, flags, fd, off);
}

static void play(bool offers, int refuses_queue, int refuses_with)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.offers = offers;
	kernel.refuses_queue = refuses_queue;
	kernel.refuses_with = refuses_with;
	faults_answer.recv = play_recv;
	faults_answer.bind = play_bind;
	faults_answer.getsockopt = play_getsockopt;
	faults_answer.setsockopt = play_setsockopt;
	faults_answer.mmap = play_mmap;
}

static void stop_playing(void)
{
	faults_at = 0;
	memset(&faults_answer, 0, sizeof(faults_answer));
	nic_rig_after_each();
}

/* What opening qxa came to. */
struct outcome {
	int err;
	int attached; /* XDP_ATTACHED_* */
	uint32_t modes[2];
	uint32_t frame_bytes;
	uint8_t pages;
	uint8_t busy_poll;
	char why[QX_WHY_BYTES];
};

static struct outcome opened(const struct qx_nic_config *cfg)
{
	struct outcome o = {0};
	struct qx_nic *nic;

	o.err = afxdp_open(&nic, cfg, o.why);
	if (o.err)
		return o;
	o.err = nic->ops->attach(nic, o.why);
	if (!faults_at)
		o.attached = attached_mode(71);
	for (int i = 0; i < 2; i++)
		o.modes[i] = nic->queues[i].mode;
	o.frame_bytes = nic->umem.frame_bytes;
	o.pages = nic->umem.pages;
	o.busy_poll = nic->busy_poll;
	nic->ops->close(nic);
	return o;
}

static struct outcome opened_in(uint32_t mode)
{
	struct qx_nic_config cfg = config("qxa");

	cfg.mode = mode;
	return opened(&cfg);
}

static void said(const struct outcome *o, const char *word, const char *word2)
{
	if (!strstr(o->why, word) || !strstr(o->why, word2))
		T_FAIL("'%s' lacks '%s' or '%s'", o->why, word, word2);
}

/* ---- Zero-copy ---- */

static void zero_copy_is_taken_where_it_is_offered_and_confirmed_by_the_kernel(void)
{
	struct outcome o;

	play(true, -1, 0);
	o = opened_in(QX_XDP_AUTO);
	T_EQ(o.err, 0);
	T_EQ(o.modes[0], QX_XDP_ZEROCOPY);
	T_EQ(o.modes[1], QX_XDP_ZEROCOPY);
	T_EQ(o.attached, XDP_ATTACHED_DRV);
	T_EQ(o.why[0], 0);
	/* A driver that nobody has tried gets a page for a frame. */
	T_EQ(o.frame_bytes, 4096);
	T_EQ(kernel.asked, 4); /* two queues, each with a socket for either direction */
}

static void a_driver_that_does_not_offer_zero_copy_is_not_asked(void)
{
	struct outcome o;

	play(false, -1, 0);
	o = opened_in(QX_XDP_AUTO);
	T_EQ(o.err, 0);
	T_EQ(o.modes[0], QX_XDP_COPY);
	T_EQ(o.frame_bytes, 2048);
	T_EQ(o.why[0], 0);
	T_EQ(kernel.asked, 0);
	o = opened_in(QX_XDP_ZEROCOPY);
	T_EQ(o.err, -EOPNOTSUPP);
	said(&o, "qxa: its driver (veth) has no zero-copy", "ask for copy");
	T_EQ(kernel.asked, 0);
}

/* As virtio_net does without an IOMMU, at the first queue or at a later one. */
static void a_refusal_leads_to_copying_and_is_told(void)
{
	static const int errors[] = {EINVAL, ENOENT, ENOMEM, EOPNOTSUPP};

	for (int queue = 0; queue < 2; queue++)
		for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
			struct outcome o;

			play(true, queue, errors[i]);
			o = opened_in(QX_XDP_AUTO);
			T_EQ(o.err, 0);
			T_EQ(o.modes[0], QX_XDP_COPY);
			T_EQ(o.modes[1], QX_XDP_COPY);
			T_EQ(o.frame_bytes, 2048);
			T_CHECK(kernel.asked > 0);
			if (errors[i] == EOPNOTSUPP)
				T_EQ(o.why[0], 0);
			else
				said(&o, "veth) offers zero-copy and refused it",
				     strerror(errors[i]));
		}
}

static void who_insists_on_zero_copy_hears_of_the_refusal(void)
{
	struct outcome o;

	play(true, 1, EINVAL);
	o = opened_in(QX_XDP_ZEROCOPY);
	T_EQ(o.err, -EINVAL);
	said(&o, "no zero-copy for AF_XDP as it is set up now", "Invalid argument");
}

static void who_asks_for_copying_gets_it(void)
{
	struct outcome o;

	play(true, -1, 0);
	o = opened_in(QX_XDP_COPY);
	T_EQ(o.err, 0);
	T_EQ(o.modes[0], QX_XDP_COPY);
	T_EQ(kernel.asked, 0);
}

/* A queue that is somebody else's is that in any mode. */
static void a_queue_that_is_taken_is_no_refusal_of_zero_copy(void)
{
	struct qx_nic *nic = open_small();
	struct outcome o;

	play(true, -1, 0);
	o = opened_in(QX_XDP_AUTO);
	nic->ops->close(nic);
	T_EQ(o.err, -EBUSY);
	said(&o, "belongs to another AF_XDP socket", "queue 0");
}

/* ---- Generic mode ---- */

static void generic_mode_is_for_who_asks_for_it(void)
{
	struct outcome o;

	play(true, -1, 0);
	o = opened_in(QX_XDP_GENERIC);
	T_EQ(o.err, 0);
	T_EQ(o.attached, XDP_ATTACHED_SKB);
	T_EQ(o.modes[0], QX_XDP_GENERIC);
	T_EQ(o.modes[1], QX_XDP_GENERIC);
	T_EQ(kernel.asked, 0);
}

/* ---- Huge pages ---- */

static struct outcome opened_huge(void)
{
	struct qx_nic_config cfg = config("qxa");

	cfg.huge_pages = true;
	return opened(&cfg);
}

static void without_huge_pages_the_kernel_is_asked_for_transparent_ones(void)
{
	struct outcome o;

	play(false, -1, 0);
	kernel.no_huge = true;
	o = opened_huge();
	T_EQ(o.err, 0);
	T_CHECK(o.pages == QX_PAGES_ADVISED || o.pages == QX_PAGES_NORMAL);
	said(&o, "no huge pages were free", "vm.nr_hugepages=1");
}

/* Needs a reserved page: one is made if the kernel has one to spare. */
static void reserved_huge_pages_are_used(void)
{
	static const char knob[] = "/proc/sys/vm/nr_hugepages";
	FILE *f = fopen(knob, "r+");
	int before = -1, now = -1;
	struct outcome o;

	if (!f || fscanf(f, "%d", &before) != 1)
		before = -1;
	if (f && before >= 0) {
		rewind(f);
		fprintf(f, "%d", before + 1);
		fflush(f);
		rewind(f);
		if (fscanf(f, "%d", &now) != 1)
			now = -1;
	}
	play(false, -1, 0);
	o = opened_huge();
	if (f && before >= 0) {
		rewind(f);
		fprintf(f, "%d", before);
	}
	if (f)
		fclose(f);
	T_EQ(o.err, 0);
	if (now <= before) {
		printf("  no huge page to be had here\n");
		said(&o, "no huge pages were free", "");
		return;
	}
	T_EQ(o.pages, QX_PAGES_HUGE);
	T_EQ(o.why[0], 0);
}

/* ---- Busy polling ---- */

static void busy_polling_is_set_on_every_receiving_socket(void)
{
	struct qx_nic_config cfg = config("qxa");
	struct outcome o;

	cfg.busy_poll_us = 20;
	play(false, -1, 0);
	o = opened(&cfg);
	T_EQ(o.err, 0);
	T_EQ(kernel.busy_poll_cnt, 2 * 3);
	T_EQ(o.busy_poll, 1);
	T_EQ(o.why[0], 0);
}

static void busy_polling_that_is_refused_is_told_and_done_without(void)
{
	struct qx_nic_config cfg = config("qxa");
	struct outcome o;

	cfg.busy_poll_us = 20;
	play(false, -1, 0);
	kernel.busy_poll_err = EPERM;
	o = opened(&cfg);
	T_EQ(o.err, 0);
	T_EQ(o.busy_poll, 0);
	said(&o, "busy polling was refused", "CAP_NET_ADMIN");
}

/* ---- Nothing is left behind ---- */

/* All that may fail on the way through a refusal, with everything asked for.  Attaching is
 * test_afxdp_open.c's. */
static void a_failure_at_any_call_leaves_nothing(void)
{
	struct qx_nic_config cfg = config("qxa");
	int fds = faults_open_fds(), failed = 0;
	uint32_t total;

	cfg.huge_pages = true;
	cfg.busy_poll_us = 20;
	faults_recording = 1;
	for (uint32_t nth = 1;; nth++) {
		char why[QX_WHY_BYTES] = "";
		struct qx_nic *nic;
		int err;

		play(true, 1, EINVAL);
		faults_calls = 0;
		faults_at = nth;
		err = afxdp_open(&nic, &cfg, why);
		total = faults_calls;
		faults_at = 0;
		failed += err != 0;
		if (!err)
			nic->ops->close(nic);
		else if (strncmp(why, "qxa: ", 5))
			T_FAIL("call %u: error %d without a reason: '%s'", nth, err, why);
		T_EQ(faults_open_fds(), fds);
		if (nth > total) {
			T_EQ(err, 0);
			break;
		}
	}
	printf("  %u calls, %d of them fatal\n", total, failed);
	T_CHECK(total > 100 && failed > 70);
	T_EQ(faults_objects_gone(), 0);
}

static const struct t_case cases[] = {
	{"zero-copy is taken where it is offered, and confirmed by the kernel",
	 zero_copy_is_taken_where_it_is_offered_and_confirmed_by_the_kernel},
	{"a driver that does not offer zero-copy is not asked",
	 a_driver_that_does_not_offer_zero_copy_is_not_asked},
	{"a refusal leads to copying and is told", a_refusal_leads_to_copying_and_is_told},
	{"who insists on zero-copy hears of the refusal",
	 who_insists_on_zero_copy_hears_of_the_refusal},
	{"who asks for copying gets it", who_asks_for_copying_gets_it},
	{"a queue that is taken is no refusal of zero-copy",
	 a_queue_that_is_taken_is_no_refusal_of_zero_copy},
	{"generic mode is for who asks for it", generic_mode_is_for_who_asks_for_it},
	{"without huge pages the kernel is asked for transparent ones",
	 without_huge_pages_the_kernel_is_asked_for_transparent_ones},
	{"reserved huge pages are used", reserved_huge_pages_are_used},
	{"busy polling is set on every receiving socket",
	 busy_polling_is_set_on_every_receiving_socket},
	{"busy polling that is refused is told and done without",
	 busy_polling_that_is_refused_is_told_and_done_without},
	{"a failure at any call leaves nothing", a_failure_at_any_call_leaves_nothing},
};

int main(int argc, char **argv)
{
	int failed;

	t_after_each = stop_playing;
	failed = nic_rig_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
	return failed;
}
