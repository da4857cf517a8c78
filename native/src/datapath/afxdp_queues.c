/* afxdp_queues.c: the packet memory, the sockets and the rings of an AF_XDP NIC.
 *
 * Some facts (net/xdp/xsk.c, net/xdp/xdp_umem.c, net/xdp/xsk_buff_pool.c)
 *  - One UMEM serves all queues; each has its own four rings.  A socket that shares names
 *    the first one and must give no other flags: it takes over the first one's mode.
 *  - A socket that shares the UMEM on the first one's own queue gets no fill and completion
 *    rings but theirs, and may have just a TX ring.  So each queue has two: one receives and
 *    is watched, the other sends and is not (nic.h says why).
 *  - Memory and queues of a closed socket, also a killed process's, are released later, from
 *    a work queue: for a while UMEM_REG says ENOBUFS and bind EBUSY.  So both are tried
 *    again for a second, which blocks; only opening does that.
 *  - bind without XDP_COPY or XDP_ZEROCOPY picks a mode silently; XDP_OPTIONS tells which.
 *  - A driver that offers zero-copy may refuse it, each in its own words: virtio_net says
 *    EINVAL without an IOMMU and ENOENT without ring reset. */
#include "afxdp.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "privilege.h"
#include "why.h"

#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9 /* Linux 6.18 */
#endif

enum {
	TX_BUDGET = 256,
	BUSY_POLL_BUDGET = 64 /* NAPI_POLL_WEIGHT */
};

static int xsk_socket(struct afxdp *x, char *why)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int err;

	if (fd >= 0)
		return fd;
	err = -errno;
	if (err == -EPERM)
		privilege_why(why, x->nic.name, "an AF_XDP socket");
	else if (err == -EAFNOSUPPORT)
		why_set(why, "%s: this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)",
			x->nic.name);
	else
		why_set(why, "%s: an AF_XDP socket failed: %s", x->nic.name, strerror(-err));
	return err;
}

void afxdp_why_no_memory(char *why, const char *name, const struct afxdp_sizes *s)
{
	uint64_t limit_bytes = privilege_memlock_bytes();
	char limit[32] = "unlimited";

	if (limit_bytes != UINT64_MAX)
		snprintf(limit, sizeof(limit), "%llu KiB",
			 (unsigned long long)limit_bytes >> 10);
	why_set(why,
		"%s: packet buffers need at least %llu KiB of locked memory, and the limit (%s for "
		"all of this user's processes) does not allow that. Raise it (LimitMEMLOCK=32M, "
		"ulimit -l 32768) or add CAP_IPC_LOCK",
		name, (unsigned long long)afxdp_sizes_bytes(s) >> 10, limit);
}

static int register_on(struct afxdp *x, const struct afxdp_sizes *s, int fd, bool huge)
{
	struct qx_umem *u = &x->nic.umem;
	struct xdp_umem_reg reg = {0};
	uint32_t frame_cnt = s->queue_cnt * s->rx_frame_cnt + s->tx_frame_cnt;
	int err = huge ? umem_open_huge(u, frame_cnt, s->frame_bytes)
		       : umem_open(u, frame_cnt, s->frame_bytes);

	if (err)
		return err;
	reg.addr = (uintptr_t)u->base;
	reg.len = u->len_bytes;
	reg.chunk_size = s->frame_bytes;
	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) == 0)
		return 0;
	err = -errno;
	umem_close(u);
	return err;
}

/* A control group's limit on huge pages shows only when they are first used, that is here. */
static int register_umem(struct afxdp *x, const struct afxdp_sizes *s, int fd, bool huge)
{
	int err = register_on(x, s, fd, huge);

	return huge && err && err != -ENOBUFS ? register_on(x, s, fd, false) : err;
}

/* open_umem registers as much as the kernel lets us lock, and leaves in *s what that was. */
static int open_umem(struct afxdp *x, struct afxdp_sizes *s, int fd, bool huge, char *why)
{
	uint64_t waited_ns = 0;
	int err;

	while ((err = register_umem(x, s, fd, huge)) == -ENOBUFS) {
		if (afxdp_retry(x, &waited_ns, AFXDP_RETRY_NS))
			continue;
		if (x->at_once) {
			err = -EAGAIN;
			break;
		}
		if (!afxdp_sizes_fit(s, afxdp_sizes_bytes(s) - 1))
			break;
	}
	if (err == -ENOBUFS)
		afxdp_why_no_memory(why, x->nic.name, s);
	else if (err)
		why_set(why, "%s: making %llu KiB of packet buffers failed: %s", x->nic.name,
			(unsigned long long)afxdp_sizes_bytes(s) >> 10, strerror(-err));
	return err;
}

static int map_ring(struct qx_ring *r, struct afxdp_map *map, int fd, off_t page_off,
		    const struct xdp_ring_offset *off, uint32_t size, uint32_t stride_bytes)
{
	uint8_t *base;

	map->len_bytes = off->desc + (size_t)size * stride_bytes;
	base = mmap(NULL, map->len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		    fd, page_off);
	if (base == MAP_FAILED)
		return -errno;
	map->addr = base;
	/* A child that wrote to the rings would corrupt the parent's. */
	if (madvise(base, map->len_bytes, MADV_DONTFORK) < 0)
		return -errno;
	*r = (struct qx_ring){
		.producer = (_Atomic uint32_t *)(void *)(base + off->producer),
		.consumer = (_Atomic uint32_t *)(void *)(base + off->consumer),
		.flags = (_Atomic uint32_t *)(void *)(base + off->flags),
		.wakeup_bits = QX_RING_NEED_WAKEUP,
		.elements = base + off->desc,
		.stride_bytes = stride_bytes,
		.size = size,
	};
	return 0;
}

static int set_ring_size(int fd, int option, uint32_t size)
{
	return setsockopt(fd, SOL_XDP, option, &size, sizeof(size)) < 0 ? -errno : 0;
}

static int make_rings(struct afxdp *x, const struct afxdp_sizes *s, uint32_t queue)
{
	struct qx_queue *q = &x->nic.queues[queue];
	struct afxdp_map *maps = x->maps[queue];
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	uint32_t rx = s->rx_frame_cnt, tx = s->tx_frame_cnt;
	uint32_t budget = tx < TX_BUDGET ? tx : (uint32_t)TX_BUDGET;
	int err;

	/* Every TX frame may be in one queue's rings at once, so none can overflow. */
	if ((err = set_ring_size(q->fd, XDP_UMEM_FILL_RING, rx)) ||
	    (err = set_ring_size(q->fd, XDP_UMEM_COMPLETION_RING, tx)) ||
	    (err = set_ring_size(q->fd, XDP_RX_RING, rx)) ||
	    (err = set_ring_size(q->tx_fd, XDP_TX_RING, tx)))
		return err;
	/* Fewer kicks per batch; older kernels do not know it. */
	set_ring_size(q->tx_fd, XDP_MAX_TX_SKB_BUDGET, budget);
	if (getsockopt(q->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len) < 0)
		return -errno;
	if (len != sizeof(off))
		return -EOPNOTSUPP; /* before 5.4, without need-wakeup */
	if ((err = map_ring(&q->fill, &maps[0], q->fd, (off_t)XDP_UMEM_PGOFF_FILL_RING,
			    &off.fr, rx, sizeof(uint64_t))) ||
	    (err = map_ring(&q->completion, &maps[1], q->fd,
			    (off_t)XDP_UMEM_PGOFF_COMPLETION_RING, &off.cr, tx,
			    sizeof(uint64_t))) ||
	    (err = map_ring(&q->rx, &maps[2], q->fd, XDP_PGOFF_RX_RING, &off.rx, rx,
			    sizeof(struct qx_desc))) ||
	    (err = map_ring(&q->tx, &maps[3], q->tx_fd, (off_t)XDP_PGOFF_TX_RING, &off.tx, tx,
			    sizeof(struct qx_desc))))
		return err;
	return 0;
}

/* bind_socket binds to a queue, sharing the memory of shared_fd (-1: this one has its own). */
static int bind_socket(struct afxdp *x, uint32_t queue, int fd, int shared_fd)
{
	uint32_t mode = x->mode == QX_XDP_ZEROCOPY ? XDP_ZEROCOPY : XDP_COPY;
	struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = (uint16_t)(mode | XDP_USE_NEED_WAKEUP),
		.sxdp_ifindex = x->info.ifindex,
		.sxdp_queue_id = queue,
	};
	uint64_t waited_ns = 0;

	if (shared_fd >= 0) {
		addr.sxdp_flags = XDP_SHARED_UMEM;
		addr.sxdp_shared_umem_fd = (uint32_t)shared_fd;
	}
	while (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int err = -errno;

		if (err != -EBUSY || !afxdp_retry(x, &waited_ns, AFXDP_RETRY_NS))
			return err;
	}
	return 0;
}

static int bind_queue(struct afxdp *x, uint32_t queue)
{
	struct qx_queue *q = &x->nic.queues[queue];
	int err = bind_socket(x, queue, q->fd, queue == 0 ? -1 : x->nic.queues[0].fd);

	return err ? err : bind_socket(x, queue, q->tx_fd, q->fd);
}

/* mode_of asks the kernel: neither what was asked for nor what the driver offers is proof. */
static uint8_t mode_of(const struct afxdp *x, int fd)
{
	struct xdp_options options = {0};
	socklen_t len = sizeof(options);

	if (x->mode == QX_XDP_GENERIC)
		return QX_XDP_GENERIC;
	if (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &len) == 0 &&
	    options.flags & XDP_OPTIONS_ZEROCOPY)
		return QX_XDP_ZEROCOPY;
	return QX_XDP_COPY;
}

static int open_queue(struct afxdp *x, const struct afxdp_sizes *s, uint32_t queue, char *why)
{
	const char *name = x->nic.name;
	int err = xsk_socket(x, why);

	if (err < 0)
		return err;
	x->nic.queues[queue].tx_fd = err;
	err = make_rings(x, s, queue);
	if (err) {
		why_set(why, "%s: making the rings of queue %u failed: %s", name, queue,
			strerror(-err));
		return err;
	}
	err = bind_queue(x, queue);
	if (err == -EBUSY && x->at_once)
		err = -EAGAIN;
	if (err && err != -EBUSY && err != -EAGAIN && x->mode == QX_XDP_ZEROCOPY)
		x->zerocopy_err = err;
	if (err == -EBUSY) {
		why_set(why,
			"%s: queue %u belongs to another AF_XDP socket (tried for a second); stop its "
			"owner, or run without an interface",
			name, queue);
		return err;
	}
	if (err) {
		why_set(why, "%s: binding an AF_XDP socket to queue %u failed: %s", name,
			queue, strerror(-err));
		return err;
	}
	x->nic.queues[queue].mode = mode_of(x, x->nic.queues[queue].fd);
	err = xdp_prog_set_queue(&x->prog, queue, x->nic.queues[queue].fd);
	if (err)
		why_set(why, "%s: putting queue %u into the filter's map failed: %s", name,
			queue, strerror(-err));
	return err;
}

int afxdp_open_queues(struct afxdp *x, const struct qx_nic_config *cfg, struct afxdp_sizes *s,
		      char *why)
{
	struct qx_nic *nic = &x->nic;
	int err;

	if ((err = xsk_socket(x, why)) < 0)
		return err;
	nic->queues[0].fd = err;
	if ((err = open_umem(x, s, nic->queues[0].fd, cfg->huge_pages, why)))
		return err;
	nic->queue_cnt = s->queue_cnt;
	nic->rx_frame_cnt = s->rx_frame_cnt;
	for (uint32_t i = 0; i < s->queue_cnt; i++) {
		if (i > 0) {
			if ((err = xsk_socket(x, why)) < 0)
				return err;
			nic->queues[i].fd = err;
		}
		if ((err = open_queue(x, s, i, why)))
			return err;
	}
	return 0;
}

/* The sending sockets are left alone: the driver's queue is one for both. */
int afxdp_busy_poll(struct afxdp *x, uint32_t poll_us, uint32_t budget)
{
	const struct {
		int option;
		int value;
	} wanted[] = {
		{SO_PREFER_BUSY_POLL, 1},
		{SO_BUSY_POLL, (int)poll_us},
		{SO_BUSY_POLL_BUDGET, (int)(budget ? budget : BUSY_POLL_BUDGET)},
	};

	for (uint32_t q = 0; q < x->nic.queue_cnt; q++)
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (setsockopt(x->nic.queues[q].fd, SOL_SOCKET, wanted[i].option,
				       &wanted[i].value, sizeof(wanted[i].value)) < 0)
				return -errno;
	x->nic.busy_poll = 1;
	return 0;
}
