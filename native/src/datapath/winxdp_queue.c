/* winxdp_queue.c: one queue of an adapter: its two sockets, memory and rings.
 *
 * Some facts (microsoft/xdp-for-windows, src/xdp/xsk.c)
 *  - Order: bound, offloads chosen, ring sizes set (each once), activated; the memory may be
 *    registered at any time before that.  Anything else is NT_INVALID_DEVICE_STATE.
 *  - A socket has memory of its own.  Registering locks pages, which may be locked several
 *    times over, so all sockets are given the same memory and offsets mean the same in all
 *    rings.  For sending, the driver keeps a copy of the memory as large as that: sockets
 *    that send are only given the part with frames for sending.
 *  - A queue that does not exist is NT_INVALID_PARAMETER from binding; asking how many there
 *    are is not part of the interface.
 *  - Checksum offload extends TX descriptors; where to and by how much, the driver says. */
#include <errno.h>
#include <string.h>

#include "os.h"
#include "why.h"
#include "winxdp.h"

enum {
	STRIDE_MAX_BYTES = 4096,
	CLOSE_WAIT_MS = 1000
};

static int32_t bind_socket(struct winxdp *x, struct winxdp_xsk *s, uint32_t queue,
			   enum xsk_bind_flags direction)
{
	struct xsk_bind in = {
		.ifindex = x->nic.ifindex,
		.queue = queue,
		.flags = (uint32_t)direction | (x->generic ? (uint32_t)XSK_BIND_GENERIC
							   : (uint32_t)XSK_BIND_NATIVE),
	};

	return winxdp_control(x, s->handle, XSK_IOCTL_BIND, &in, sizeof(in), NULL, NULL);
}

static int32_t open_socket(struct winxdp *x, struct winxdp_xsk *s, uint32_t queue,
			   enum xsk_bind_flags direction)
{
	int32_t status = winxdp_create(x, XDP_XSK, NULL, 0, &s->handle);

	return status == NT_OK ? bind_socket(x, s, queue, direction) : status;
}

int32_t winxdp_bind_queue(struct winxdp *x, uint32_t queue)
{
	struct winxdp_xsk *s = &x->queues[queue].rx;
	int32_t status = open_socket(x, s, queue, XSK_BIND_RX);

	/* An adapter without native XDP is not found in native mode. */
	if (s->handle && queue == 0 && status == NT_NOT_FOUND && !x->generic) {
		x->generic = true;
		status = bind_socket(x, s, queue, XSK_BIND_RX);
	}
	return status;
}

/* ---- Rings ---- */

static bool aligned(uint32_t off, uint32_t bytes)
{
	return (off & (bytes - 1)) == 0;
}

/* use_ring makes a ring of what the driver says of it; false if that cannot be one. */
static bool use_ring(struct qx_ring *r, const struct xsk_ring_info *info, uint32_t size,
		     uint32_t element_bytes, uint32_t wakeup_bits)
{
	uint32_t stride = info->stride_bytes;

	if (!info->ring || !aligned((uint32_t)(uintptr_t)info->ring, 8) ||
	    info->size != size || stride < element_bytes || stride > STRIDE_MAX_BYTES ||
	    !aligned(stride, 8) || !aligned(info->elements_off, 8) ||
	    !aligned(info->producer_off, 4) || !aligned(info->consumer_off, 4) ||
	    !aligned(info->flags_off, 4) || info->producer_off == info->consumer_off ||
	    info->producer_off == info->flags_off || info->consumer_off == info->flags_off)
		return false;
	*r = (struct qx_ring){
		.producer = (_Atomic uint32_t *)(void *)(info->ring + info->producer_off),
		.consumer = (_Atomic uint32_t *)(void *)(info->ring + info->consumer_off),
		.flags = (_Atomic uint32_t *)(void *)(info->ring + info->flags_off),
		.wakeup_bits = wakeup_bits,
		.elements = info->ring + info->elements_off,
		.stride_bytes = stride,
		.size = size,
	};
	return true;
}

/* Also when the ring is no more, so that whoever kicks hears of it. */
enum {
	WAKEUP_BITS = XSK_RING_NEED_POKE | XSK_RING_ERROR
};

static int32_t activate(struct winxdp *x, void *handle, struct xsk_ring_info_set *info)
{
	struct xsk_activate in = {0};
	int32_t status =
		winxdp_control(x, handle, XSK_IOCTL_ACTIVATE, &in, sizeof(in), NULL, NULL);

	if (status == NT_OK)
		status = winxdp_get(x, handle, XSK_RING_INFO, info, sizeof(*info));
	return status;
}

/* memory_bytes is how much of the memory the socket may use, from the front. */
static int32_t give_memory(struct winxdp *x, void *handle, uint64_t memory_bytes)
{
	const struct xsk_umem_reg reg = {.len_bytes = memory_bytes,
					 .chunk_bytes = x->nic.umem.frame_bytes,
					 .address = x->nic.umem.base};

	return winxdp_set(x, handle, XSK_UMEM_REG, &reg, sizeof(reg));
}

static int32_t start_rx(struct winxdp *x, uint32_t queue, uint32_t rx_cnt)
{
	void *handle = x->queues[queue].rx.handle;
	struct qx_queue *q = &x->nic.queues[queue];
	struct xsk_ring_info_set info;
	int32_t status;

	if ((status = give_memory(x, handle, x->nic.umem.len_bytes)) != NT_OK ||
	    (status = winxdp_set(x, handle, XSK_RX_RING_SIZE, &rx_cnt, 4)) != NT_OK ||
	    (status = winxdp_set(x, handle, XSK_RX_FILL_RING_SIZE, &rx_cnt, 4)) != NT_OK ||
	    (status = activate(x, handle, &info)) != NT_OK)
		return status;
	if (!use_ring(&q->rx, &info.rx, rx_cnt, sizeof(struct xsk_descriptor), 0) ||
	    !use_ring(&q->fill, &info.fill, rx_cnt, sizeof(uint64_t), WAKEUP_BITS))
		return NT_NOT_SUPPORTED;
	return NT_OK;
}

/* ---- Checksum offload ---- */

void winxdp_read_checksum(struct winxdp *x, uint32_t queue)
{
	struct xdp_checksum_configuration c = {0};
	uint32_t in = XSK_TX_OFFLOAD_CURRENT_CHECKSUM, got_bytes = sizeof(c);
	int32_t status = winxdp_control(x, x->queues[queue].tx.handle, XSK_IOCTL_GET_SOCKOPT,
					&in, sizeof(in), &c, &got_bytes);

	x->queues[queue].checksum =
		status == NT_OK && got_bytes >= XDP_CHECKSUM_CONFIGURATION_1_BYTES &&
		c.revision >= XDP_CHECKSUM_CONFIGURATION_REVISION_1 && c.enabled;
	/* A frame is built before its queue matters, so all or none. */
	x->nic.tx_checksum = x->nic.tx_extended;
	for (uint32_t i = 0; i < x->nic.queue_cnt; i++)
		if (!x->queues[i].checksum)
			x->nic.tx_checksum = 0;
}

/* Asked for before the ring's size is set, because it makes descriptors longer. */
static void want_checksum(struct winxdp *x, uint32_t queue)
{
	uint32_t on = 1;

	winxdp_read_checksum(x, queue);
	if (x->queues[queue].checksum && winxdp_set(x, x->queues[queue].tx.handle,
						    XSK_TX_OFFLOAD_CHECKSUM, &on, 4) != NT_OK)
		x->queues[queue].checksum = false;
}

/* find_extensions: false if the driver's answers lie outside the descriptor. */
static bool find_extensions(struct winxdp *x, uint32_t queue, uint32_t stride_bytes)
{
	struct winxdp_queue *q = &x->queues[queue];
	const uint32_t first = sizeof(struct xsk_descriptor);
	uint32_t layout_end;

	if (!q->checksum)
		return true;
	if (winxdp_get(x, q->tx.handle, XSK_TX_FRAME_LAYOUT_EXTENSION, &q->layout_off,
		       sizeof(q->layout_off)) != NT_OK ||
	    winxdp_get(x, q->tx.handle, XSK_TX_FRAME_CHECKSUM_EXTENSION, &q->checksum_off,
		       sizeof(q->checksum_off)) != NT_OK)
		return false;
	layout_end = q->layout_off + (uint32_t)XDP_LAYOUT_BYTES;
	return q->layout_off >= first && layout_end <= stride_bytes &&
	       q->checksum_off >= first && q->checksum_off < stride_bytes &&
	       (q->checksum_off < q->layout_off || q->checksum_off >= layout_end);
}

static int32_t start_tx(struct winxdp *x, uint32_t queue, uint32_t tx_cnt)
{
	struct winxdp_xsk *s = &x->queues[queue].tx;
	struct qx_queue *q = &x->nic.queues[queue];
	uint64_t memory_bytes = (uint64_t)tx_cnt << x->nic.umem.frame_shift;
	struct xsk_ring_info_set info;
	int32_t status;

	if ((status = open_socket(x, s, queue, XSK_BIND_TX)) != NT_OK ||
	    (status = give_memory(x, s->handle, memory_bytes)) != NT_OK)
		return status;
	want_checksum(x, queue);
	/* Every frame for sending may be in one queue's rings at once, so none can overflow. */
	if ((status = winxdp_set(x, s->handle, XSK_TX_RING_SIZE, &tx_cnt, 4)) != NT_OK ||
	    (status = winxdp_set(x, s->handle, XSK_TX_COMPLETION_RING_SIZE, &tx_cnt, 4)) !=
		    NT_OK ||
	    (status = activate(x, s->handle, &info)) != NT_OK)
		return status;
	if (!use_ring(&q->tx, &info.tx, tx_cnt, sizeof(struct xsk_descriptor), WAKEUP_BITS) ||
	    !use_ring(&q->completion, &info.completion, tx_cnt, sizeof(uint64_t), 0) ||
	    !find_extensions(x, queue, q->tx.stride_bytes))
		return NT_NOT_SUPPORTED;
	return NT_OK;
}

/* ---- All of it ---- */

static int open_events(struct qx_queue *q)
{
	q->fd = os_event_open(false);
	if (q->fd < 0)
		return q->fd;
	q->tx_fd = os_event_open(false);
	return q->tx_fd < 0 ? q->tx_fd : 0;
}

int winxdp_start_queue(struct winxdp *x, uint32_t queue, uint32_t rx_cnt, uint32_t tx_cnt,
		       char *why)
{
	const char *doing = "receiving";
	int err = open_events(&x->nic.queues[queue]);
	int32_t status;

	if (err < 0) {
		why_set(why, "%s: two events for queue %u: %s", x->nic.name, queue,
			strerror(-err));
		return err;
	}
	status = start_rx(x, queue, rx_cnt);
	if (status == NT_OK) {
		doing = "sending";
		status = start_tx(x, queue, tx_cnt);
	}
	if (status == NT_OK)
		return 0;
	if (status == NT_NOT_SUPPORTED)
		why_set(why,
			"%s: the driver describes the rings of queue %u for %s as no version "
			"of XDP for Windows does that this was made for; update it, or run "
			"without an interface",
			x->nic.name, queue, doing);
	else
		why_set(why, "%s: queue %u for %s: %s (NTSTATUS 0x%08x)", x->nic.name, queue,
			doing, strerror(-winxdp_errno(status)), (uint32_t)status);
	return winxdp_errno(status);
}

/* ---- Closing ---- */

/* close_socket: false if a wait is still the driver's.  Closing ends it, too, but its status
 * is written into our memory, so we see it end before that is freed. */
static bool close_socket(struct winxdp *x, struct winxdp_xsk *s, int event)
{
	struct nt_io_status ignored;

	if (!winxdp_wait_ended(s)) {
		x->nt->cancel_io(s->handle, &s->wait, &ignored);
		os_event_wait(event, CLOSE_WAIT_MS);
	}
	if (s->handle)
		x->nt->close(s->handle);
	s->handle = NULL;
	if (!winxdp_wait_ended(s))
		os_event_wait(event, CLOSE_WAIT_MS);
	return winxdp_wait_ended(s);
}

bool winxdp_close_queue(struct winxdp *x, uint32_t queue)
{
	struct winxdp_queue *own = &x->queues[queue];
	struct qx_queue *q = &x->nic.queues[queue];
	bool rx_ended = close_socket(x, &own->rx, q->fd);
	bool tx_ended = close_socket(x, &own->tx, q->tx_fd);

	if (q->fd >= 0)
		os_event_close(q->fd);
	if (q->tx_fd >= 0)
		os_event_close(q->tx_fd);
	q->fd = q->tx_fd = -1;
	return rx_ended && tx_ended;
}
