/* afxdp_open.c: makes the AF_XDP sockets, rings, memory and filter of one interface.
 *
 * Order: interface asked, filter loaded (names what is missing before anything is taken),
 * memory registered, sockets bound, sockets put into the filter's map.  The filter is
 * attached later, by ops->attach, when everything that could fail has succeeded.
 *
 * A mapped ring keeps its socket, and so its queue, alive after close (net/xdp/xsk.c): closing
 * unmaps first. */
#include "afxdp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "privilege.h"
#include "why.h"

enum {
	ETH_BYTES = 14,
	HEADROOM_BYTES = 256, /* XDP_PACKET_HEADROOM, at the start of every frame */
	RETRY_PAUSE_MIN_NS = 1000000,
	RETRY_PAUSE_MAX_NS = 10000000
};

bool afxdp_retry(const struct afxdp *x, uint64_t *waited_ns, uint64_t limit_ns)
{
	struct timespec pause = {.tv_nsec = RETRY_PAUSE_MAX_NS};

	if (x->at_once || *waited_ns >= limit_ns)
		return false;
	if (*waited_ns < RETRY_PAUSE_MAX_NS)
		pause.tv_nsec = (long)*waited_ns + RETRY_PAUSE_MIN_NS;
	nanosleep(&pause, NULL);
	*waited_ns += (uint64_t)pause.tv_nsec;
	return true;
}

static int ask_interface(struct afxdp *x, char *why)
{
	const char *name = x->nic.name;
	int err = ifinfo_get(&x->info, name);

	if (err == -ENODEV) {
		why_set(why, "%s: there is no such interface here; see: ip link", name);
		return err;
	}
	if (err) {
		why_set(why, "%s: asking for the interface failed: %s", name, strerror(-err));
		return err;
	}
	if (x->info.loopback) {
		why_set(why,
			"%s: the loopback device has no native XDP, and the socket lane with GSO and "
			"GRO is faster there; run without an interface",
			name);
		return -EOPNOTSUPP;
	}
	if (!x->info.ethernet) {
		why_set(why, "%s: not an Ethernet interface; run without an interface", name);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* refuse_other_program saves the trouble, and says why, if attaching would fail anyway; a
 * program of a process that has just ended gets a moment to go. */
static int refuse_other_program(struct afxdp *x, char *why)
{
	struct ifinfo_xdp xdp;
	uint64_t waited_ns = 0;

	do {
		if (ifinfo_get_xdp(&xdp, x->info.ifindex) || !xdp.mode)
			return 0; /* attaching will tell */
	} while (afxdp_retry(x, &waited_ns, AFXDP_RETRY_NS / 5));
	xdp_prog_why_busy(why, x->nic.name, x->info.ifindex);
	return -EBUSY;
}

/* note_sizes says, although all is well, that less was had than wanted. */
static void note_sizes(char *note, const struct afxdp *x, const struct afxdp_sizes *wanted,
		       const struct afxdp_sizes *got)
{
	uint32_t here = x->info.rx_queue_cnt;
	uint64_t wanted_mib = (afxdp_sizes_bytes(wanted) + (1 << 20) - 1) >> 20;

	if (got->queue_cnt < wanted->queue_cnt)
		why_add(note,
			"%s: the limit on locked memory allows only %u of %u receive queues; flows on "
			"the others go through the socket lane. Raise it (LimitMEMLOCK=%lluM) or add "
			"CAP_IPC_LOCK",
			x->nic.name, got->queue_cnt, here, (unsigned long long)wanted_mib);
	else if (afxdp_sizes_bytes(got) < afxdp_sizes_bytes(wanted))
		why_add(note,
			"%s: the limit on locked memory allows %u receive buffers per queue and %u "
			"for sending instead of %u and %u. Raise it (LimitMEMLOCK=%lluM) or add "
			"CAP_IPC_LOCK",
			x->nic.name, got->rx_frame_cnt, got->tx_frame_cnt,
			wanted->rx_frame_cnt, wanted->tx_frame_cnt,
			(unsigned long long)wanted_mib);
	else if (got->queue_cnt < here)
		why_add(note,
			"%s: %u of %u receive queues are served; flows on the others go through the "
			"socket lane. Fewer channels: ethtool -L %s combined %u",
			x->nic.name, got->queue_cnt, here, x->nic.name, got->queue_cnt);
}

/* note_pages tells how to get huge pages. */
static void note_pages(char *note, const struct afxdp *x)
{
	uint64_t cnt = (x->nic.umem.map_bytes + (2 << 20) - 1) >> 21;

	if (x->nic.umem.pages == QX_PAGES_HUGE)
		return;
	why_add(note,
		"%s: no huge pages were free%s; reserve them: sysctl -w vm.nr_hugepages=%llu",
		x->nic.name,
		x->nic.umem.pages == QX_PAGES_ADVISED ? ", transparent ones were asked for"
						      : "",
		(unsigned long long)cnt);
}

static int choose_sizes(struct afxdp_sizes *wanted, struct afxdp_sizes *s,
			const struct afxdp *x, const struct qx_nic_config *cfg, char *why)
{
	int err = afxdp_sizes_init(wanted, cfg, x->info.rx_queue_cnt, x->info.mtu_bytes,
				   UINT64_MAX);

	if (err == -EINVAL) {
		why_set(why,
			"%s: %u receive and %u send buffers were asked for; each must be a power of "
			"two from 16 to 65536, or 0 for the default",
			x->nic.name, cfg->rx_frame_cnt, cfg->tx_frame_cnt);
		return err;
	}
	if (x->mode == QX_XDP_ZEROCOPY)
		afxdp_sizes_zerocopy(wanted, x->info.driver);
	*s = *wanted;
	if (afxdp_sizes_fit(s, privilege_memlock_bytes()))
		return 0;
	afxdp_why_no_memory(why, x->nic.name, s);
	return -ENOBUFS;
}

/* The filter must not hand over what is no single packet of this device, or would not fit. */
static uint32_t frame_max_bytes(const struct afxdp *x, const struct afxdp_sizes *s)
{
	uint32_t of_mtu = x->info.mtu_bytes + ETH_BYTES;
	uint32_t of_frame = s->frame_bytes - HEADROOM_BYTES;

	return of_mtu < of_frame ? of_mtu : of_frame;
}

/* A driver that does not offer zero-copy is not asked for it: the frames might be registered
 * twice, and what a user may lock is given back late.  A kernel that cannot tell is asked by
 * binding. */
static bool offers_zerocopy(const struct afxdp *x)
{
	uint64_t features;

	return ifinfo_xdp_features(&features, x->info.ifindex) != 0 ||
	       (features & IFINFO_XSK_ZEROCOPY);
}

/* open_rings opens filter, memory and sockets in x->mode. */
static int open_rings(struct afxdp *x, const struct qx_nic_config *cfg, char *why)
{
	struct afxdp_sizes wanted, sizes;
	int err;

	if ((err = choose_sizes(&wanted, &sizes, x, cfg, why)) ||
	    (err = xdp_prog_open(&x->prog, x->nic.name, x->nic.mac,
				 frame_max_bytes(x, &sizes), sizes.queue_cnt, why)))
		return err;
	err = afxdp_open_queues(x, cfg, &sizes, why);
	if (!err)
		note_sizes(x->nic.note, x, &wanted, &sizes);
	return err;
}

static void why_no_zerocopy(const struct afxdp *x, char *why)
{
	why_set(why,
		"%s: its driver (%s) has no zero-copy for AF_XDP as it is set up now (%s); leave "
		"the mode to us, or ask for copy",
		x->nic.name, x->info.driver[0] ? x->info.driver : "unknown",
		strerror(-x->zerocopy_err));
}

/* open_zerocopy tries zero-copy, and undoes it all if the driver refuses.  A queue may
 * refuse when others have accepted, and one socket's memory knows one mode only. */
static int open_zerocopy(struct afxdp *x, const struct qx_nic_config *cfg, char *why)
{
	int err = -EOPNOTSUPP;

	x->mode = QX_XDP_ZEROCOPY;
	if (offers_zerocopy(x))
		err = open_rings(x, cfg, why);
	else
		x->zerocopy_err = err;
	if (err && x->zerocopy_err) {
		why_no_zerocopy(x, why);
		afxdp_close_queues(x);
		xdp_prog_close(&x->prog);
	}
	return err;
}

static int open_in_some_mode(struct afxdp *x, const struct qx_nic_config *cfg, char *why)
{
	int err;

	if ((cfg->mode == QX_XDP_AUTO && !cfg->no_zerocopy) || cfg->mode == QX_XDP_ZEROCOPY) {
		err = open_zerocopy(x, cfg, why);
		if (!err || !x->zerocopy_err || cfg->mode == QX_XDP_ZEROCOPY)
			return err;
		/* Not offered is no news. */
		if (x->zerocopy_err != -EOPNOTSUPP)
			why_add(x->nic.note,
				"%s: its driver (%s) offers zero-copy and refused it (%s); "
				"packets are copied",
				x->nic.name, x->info.driver, strerror(-x->zerocopy_err));
	}
	x->mode = cfg->mode == QX_XDP_GENERIC ? QX_XDP_GENERIC : QX_XDP_COPY;
	return open_rings(x, cfg, why);
}

/* Nothing of this is needed to run. */
static void open_extras(struct afxdp *x, const struct qx_nic_config *cfg)
{
	int err;

	if (cfg->huge_pages)
		note_pages(x->nic.note, x);
	if (!cfg->busy_poll_us)
		return;
	err = afxdp_busy_poll(x, cfg->busy_poll_us, cfg->busy_poll_budget);
	if (err)
		why_add(x->nic.note,
			"%s: busy polling was refused (%s); it needs Linux 5.11 and "
			"CAP_NET_ADMIN",
			x->nic.name, strerror(-err));
}

int afxdp_open(struct qx_nic **out, const struct qx_nic_config *cfg, char *why)
{
	struct afxdp *x = calloc(1, sizeof(*x));
	int err;

	if (!x) {
		why_set(why, "%s: out of memory", cfg->interface);
		return -ENOMEM;
	}
	x->nic.ops = &afxdp_ops;
	x->nic.event_fd = -1;
	x->pid = getpid();
	x->at_once = cfg->at_once;
	x->prog = (struct xdp_prog){.map_fds = {-1, -1, -1}, .prog_fd = -1, .link_fd = -1};
	for (uint32_t i = 0; i < QX_QUEUE_MAX; i++)
		x->nic.queues[i].fd = x->nic.queues[i].tx_fd = -1;
	memcpy(x->nic.name, cfg->interface, sizeof(x->nic.name) - 1);
	if ((err = ask_interface(x, why)) || (err = refuse_other_program(x, why)))
		goto close;
	x->nic.ifindex = x->info.ifindex;
	x->nic.mtu_bytes = x->info.mtu_bytes;
	memcpy(x->nic.mac, x->info.mac, sizeof(x->nic.mac));
	if ((err = open_in_some_mode(x, cfg, why)))
		goto close;
	open_extras(x, cfg);
	err = mirror_netlink_open(&x->mirror, x->nic.ifindex, x->nic.mac);
	if (err) {
		why_set(why,
			"%s: reading the kernel's routes and neighbours over netlink failed: %s",
			x->nic.name, strerror(-err));
		goto close;
	}
	x->nic.event_fd = mirror_netlink_fd(x->mirror);
	/* Without it, flows of new queues go through the socket lane until somebody asks. */
	err = channels_open(&x->channels, x->nic.ifindex);
	if (err == -ENOMEM) {
		why_set(why, "%s: out of memory", x->nic.name);
		goto close;
	}
	memcpy(why, x->nic.note, QX_WHY_BYTES);
	*out = &x->nic;
	return 0;

close:
	afxdp_close(&x->nic);
	return err;
}

void afxdp_close_queues(struct afxdp *x)
{
	struct qx_nic *nic = &x->nic;
	bool ours = getpid() == x->pid;

	for (uint32_t i = 0; i < QX_QUEUE_MAX; i++) {
		struct qx_queue *q = &nic->queues[i];

		/* A forked child has no mappings there, or by now others of its own. */
		for (int r = 0; ours && r < AFXDP_RING_CNT; r++)
			if (x->maps[i][r].addr)
				munmap(x->maps[i][r].addr, x->maps[i][r].len_bytes);
		memset(x->maps[i], 0, sizeof(x->maps[i]));
		if (q->tx_fd >= 0)
			close(q->tx_fd);
		if (q->fd >= 0)
			close(q->fd);
		*q = (struct qx_queue){.fd = -1, .tx_fd = -1};
	}
	if (!ours)
		nic->umem.base = NULL;
	umem_close(&nic->umem);
}

void afxdp_close(struct qx_nic *nic)
{
	struct afxdp *x = (struct afxdp *)nic;

	nic->ops->detach(nic);
	afxdp_close_queues(x);
	channels_close(x->channels);
	mirror_netlink_close(x->mirror);
	xdp_prog_close(&x->prog);
	free(x);
}
