/* afxdp.c: a NIC over AF_XDP sockets while it runs; afxdp_open.c makes it.
 *
 * Some facts (net/xdp/xsk.c, measured on Linux 6.18 in copy mode)
 *  - A kick sends at most 32 descriptors (XDP_MAX_TX_SKB_BUDGET raises that from 6.18 on),
 *    then says EAGAIN.  EAGAIN without progress means that the socket's send buffer is full.
 *  - EBUSY: one packet was dropped by the device and completed; the batch stopped there.
 *  - EINVAL: the ring is wedged for good and completes the same frame on every kick.  It
 *    takes metadata options to get there, which we never set, so it is treated as death.
 *  - A down link answers ENETDOWN and keeps the frames; a deleted interface answers ENXIO,
 *    shows nothing at all in poll and says so once in SO_ERROR (ENETDOWN).  The rtnetlink
 *    message of a deletion is sent after that is set (net/core/dev.c). */
#include "afxdp.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	KICK_MAX = 64 /* kicks of one call; what is left waits for the next */
};

#define CHANNELS_NS 250000000ull

static struct afxdp *self(struct qx_nic *nic)
{
	return (struct afxdp *)nic;
}

/* What a kick's errno means: go on, stop here, or an error to return. */
static int after_kick(struct afxdp *x, int err, bool progress)
{
	switch (err) {
	case EINTR:
	case EBUSY:
		return 0;
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return progress ? 0 : -EAGAIN;
	case ENETDOWN:
		return -ENETDOWN;
	default:
		x->gone = 1;
		return -ENXIO;
	}
}

static int kick(struct qx_nic *nic, uint32_t queue)
{
	struct qx_queue *q = &nic->queues[queue];
	struct afxdp *x = self(nic);
	uint32_t pending = ring_pending(&q->tx);

	for (int i = 0; i < KICK_MAX && pending; i++) {
		uint32_t before = pending;
		int err;

		nic->tx_syscalls++;
		if (sendto(q->tx_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
			return 0;
		err = errno;
		pending = ring_pending(&q->tx);
		err = after_kick(x, err, pending != before);
		if (err)
			return err;
	}
	return pending ? -EAGAIN : 0;
}

static int wake(struct qx_nic *nic, uint32_t queue)
{
	nic->rx_syscalls++;
	if (recvfrom(nic->queues[queue].fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) >= 0)
		return 0;
	switch (errno) {
	case EAGAIN:
	case EINTR:
	case EBUSY:
	case ENOBUFS:
		return 0;
	case ENETDOWN:
		return -ENETDOWN;
	default:
		self(nic)->gone = 1;
		return -ENXIO;
	}
}

/* Has the number of queues changed?  Nobody is woken for that: as long as nothing arrives, it
 * does not matter. */
static bool queues_changed(struct afxdp *x, uint64_t now_ns)
{
	uint32_t cnt;

	if (!x->channels || now_ns - x->channels_ns < CHANNELS_NS)
		return false;
	x->channels_ns = now_ns;
	cnt = channels_read(x->channels, &x->nic.rx_syscalls);
	return cnt != 0 && cnt != x->info.rx_queue_cnt;
}

static int events(struct qx_nic *nic, uint64_t now_ns)
{
	struct afxdp *x = self(nic);
	uint32_t news = mirror_netlink_read(x->mirror, now_ns, &nic->rx_syscalls);
	int err = 0;
	socklen_t len = sizeof(err);

	nic->ways_changed += news != 0;
	nic->addrs_changed += (news & MIRROR_READ_ADDRESSES) != 0;
	/* The AF_XDP socket knows best whether it was its interface that went. */
	if (news & MIRROR_READ_LINK && !x->gone) {
		nic->rx_syscalls++;
		if (getsockopt(nic->queues[0].fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 &&
		    err == ENETDOWN)
			x->gone = 1;
	}
	if (x->gone)
		return -ENXIO;
	if (queues_changed(x, now_ns) ||
	    mirror_netlink_outgrows(x->mirror, x->info.mtu_bytes))
		return -ESTALE;
	return 0;
}

static bool way(struct qx_nic *nic, const struct qx_path *path, uint64_t now_ns,
		struct qx_way *out)
{
	return mirror_netlink_way(self(nic)->mirror, path, now_ns, out);
}

static int admit(struct qx_nic *nic, const struct qx_addr *local)
{
	return xdp_prog_admit(&self(nic)->prog, local);
}

static void dismiss(struct qx_nic *nic, const struct qx_addr *local)
{
	xdp_prog_dismiss(&self(nic)->prog, local);
}

static int attach(struct qx_nic *nic, char *why)
{
	struct afxdp *x = self(nic);
	int err;

	if (x->attached)
		return 0;
	err = xdp_prog_attach(&x->prog, nic->name, &x->info, x->mode == QX_XDP_GENERIC, why);
	x->attached = !err;
	return err;
}

static void detach(struct qx_nic *nic)
{
	struct afxdp *x = self(nic);

	/* A child that inherited the link must not take the parent's traffic away. */
	if (x->attached && getpid() == x->pid)
		xdp_prog_detach(&x->prog);
	x->attached = 0;
}

/* add_statistics adds what one socket counts; each has its own rings' part. */
static int add_statistics(int fd, struct qx_stats *out)
{
	struct xdp_statistics s = {0}; /* older kernels fill in less */
	socklen_t len = sizeof(s);

	if (getsockopt(fd, SOL_XDP, XDP_STATISTICS, &s, &len) < 0)
		return -errno;
	out->kernel_rx_dropped += s.rx_dropped;
	out->kernel_rx_invalid_descs += s.rx_invalid_descs;
	out->kernel_tx_invalid_descs += s.tx_invalid_descs;
	out->kernel_rx_ring_full += s.rx_ring_full;
	out->kernel_fill_ring_empty += s.rx_fill_ring_empty_descs;
	out->kernel_tx_ring_empty += s.tx_ring_empty_descs;
	return 0;
}

static int stats(struct qx_nic *nic, struct qx_stats *out)
{
	for (uint32_t i = 0; i < nic->queue_cnt; i++) {
		int err = add_statistics(nic->queues[i].fd, out);

		if (!err)
			err = add_statistics(nic->queues[i].tx_fd, out);
		if (err)
			return err;
	}
	mirror_netlink_stats(self(nic)->mirror, out);
	return 0;
}

static int local_addrs(struct qx_nic *nic, struct qx_addr *out, uint32_t max)
{
	return ifinfo_addrs(nic->name, out, max);
}

static int addrs_now(struct qx_nic *nic, struct qx_addr *out, uint32_t max)
{
	return mirror_netlink_addrs(self(nic)->mirror, out, max);
}

const struct qx_nic_ops afxdp_ops = {
	.kick = kick,
	.wake = wake,
	.admit = admit,
	.dismiss = dismiss,
	.attach = attach,
	.detach = detach,
	.stats = stats,
	.events = events,
	.way = way,
	.local_addrs = local_addrs,
	.addrs_now = addrs_now,
	.close = afxdp_close,
};
