/* winxdp_open.c: makes the sockets, rings and memory of one adapter.
 *
 * Order: sockets bound (which tells how many queues there are), memory for so many, rings,
 * activation.  Nothing is redirected before ops->attach, when everything that could fail has
 * succeeded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "why.h"
#include "winxdp.h"
#include "wire.h"

enum {
	RX_DEFAULT = 2048, /* per queue: 20 ms of 100,000 packets/s */
	TX_DEFAULT = 1024, /* all queues together */
	FRAMES_MIN = 16,
	FRAMES_MAX = 1 << 16,
	FRAME_MIN_BYTES = 2048,
	FRAME_MAX_BYTES = 1 << 14
};

static int frame_cnt_of(uint32_t wanted, uint32_t otherwise)
{
	uint32_t cnt = wanted ? wanted : otherwise;

	return cnt < FRAMES_MIN || cnt > FRAMES_MAX || (cnt & (cnt - 1)) ? -EINVAL : (int)cnt;
}

static uint32_t frame_bytes_of(uint32_t mtu_bytes)
{
	uint32_t bytes = FRAME_MIN_BYTES;

	while (bytes < mtu_bytes + WIRE_ETH_BYTES && bytes < FRAME_MAX_BYTES)
		bytes *= 2;
	return bytes;
}

/* why_not_bound explains why not even the first queue could be had. */
static void why_not_bound(const struct winxdp *x, int32_t status, char *why)
{
	const char *name = x->nic.name;

	switch (status) {
	case NT_OBJECT_NAME_NOT_FOUND:
	case NT_OBJECT_PATH_NOT_FOUND:
		why_set(why,
			"%s: the driver of XDP for Windows is not there; install it (version "
			"1.1 or newer: xdp-setup.ps1 -Install xdp), or run without an interface",
			name);
		break;
	case NT_ACCESS_DENIED:
		why_set(why,
			"%s: XDP for Windows is there but not for this user; run as "
			"Administrator, or allow it: xdpcfg.exe SetDeviceSddl xsk <SDDL>, and "
			"restart the driver",
			name);
		break;
	case NT_NOT_FOUND:
		why_set(why,
			"%s (index %u): XDP for Windows does not serve this adapter, neither "
			"native nor generic; is it up, and bound to it (Get-NetAdapterBinding "
			"-ComponentID ms_xdp)?",
			name, x->nic.ifindex);
		break;
	case NT_NOT_SUPPORTED:
		why_set(why,
			"%s: this driver of XDP for Windows is older than 1.1, whose interface "
			"is needed; update it, or run without an interface",
			name);
		break;
	default:
		why_set(why, "%s: opening an XDP socket on queue 0: %s (NTSTATUS 0x%08x)",
			name, strerror(-winxdp_errno(status)), (uint32_t)status);
	}
}

/* bind_queues finds out how many there are by binding one after the other. */
static int bind_queues(struct winxdp *x, char *why)
{
	int32_t status = NT_OK;
	uint32_t cnt = 0;

	for (; cnt < WINXDP_QUEUE_MAX; cnt++) {
		status = winxdp_bind_queue(x, cnt);
		if (status != NT_OK) {
			winxdp_close_queue(x, cnt);
			break;
		}
	}
	x->nic.queue_cnt = cnt;
	if (cnt > 0 && (status == NT_OK || status == NT_INVALID_PARAMETER))
		return 0;
	if (cnt == 0) {
		why_not_bound(x, status, why);
		return winxdp_errno(status);
	}
	why_set(why, "%s: binding an XDP socket to queue %u: %s (NTSTATUS 0x%08x)",
		x->nic.name, cnt, strerror(-winxdp_errno(status)), (uint32_t)status);
	return winxdp_errno(status);
}

static int start_queues(struct winxdp *x, uint32_t rx_cnt, uint32_t tx_cnt, char *why)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < x->nic.queue_cnt; i++)
		err = winxdp_start_queue(x, i, rx_cnt, tx_cnt, why);
	if (err < 0)
		return err;
	/* Descriptors are stamped if any queue's have room for it; checksums are left to the
	 * adapter if it finishes all queues'. */
	for (uint32_t i = 0; i < x->nic.queue_cnt; i++)
		x->nic.tx_extended |= x->queues[i].layout_off != 0;
	x->nic.tx_checksum = x->nic.tx_extended;
	for (uint32_t i = 0; i < x->nic.queue_cnt; i++)
		if (!x->queues[i].checksum)
			x->nic.tx_checksum = 0;
	return 0;
}

static int open_frames(struct winxdp *x, const struct qx_nic_config *cfg, char *why)
{
	int rx_cnt = frame_cnt_of(cfg->rx_frame_cnt, RX_DEFAULT);
	int tx_cnt = frame_cnt_of(cfg->tx_frame_cnt, TX_DEFAULT);
	uint32_t frame_cnt;
	int err;

	if (rx_cnt < 0 || tx_cnt < 0) {
		why_set(why,
			"%s: %u receive and %u send buffers were asked for; each must be a power "
			"of two from %d to %d, or 0 for the default",
			x->nic.name, cfg->rx_frame_cnt, cfg->tx_frame_cnt, FRAMES_MIN,
			FRAMES_MAX);
		return -EINVAL;
	}
	frame_cnt = x->nic.queue_cnt * (uint32_t)rx_cnt + (uint32_t)tx_cnt;
	x->nic.rx_frame_cnt = (uint32_t)rx_cnt;
	err = umem_open(&x->nic.umem, frame_cnt, frame_bytes_of(x->nic.mtu_bytes));
	if (err < 0) {
		why_set(why, "%s: memory for %u packets: %s; ask for fewer buffers",
			x->nic.name, frame_cnt, strerror(-err));
		return err;
	}
	return start_queues(x, (uint32_t)rx_cnt, (uint32_t)tx_cnt, why);
}

/* note says in why, although all is well, what is less than it could be. */
static void note(const struct winxdp *x, char *why)
{
	why[0] = 0;
	if (x->generic)
		why_set(why,
			"%s: its driver has no native XDP, so XDP runs in generic mode, above the "
			"driver: slower, and offloads of other traffic may suffer",
			x->nic.name);
	else if (x->nic.queue_cnt == WINXDP_QUEUE_MAX)
		why_set(why,
			"%s: the first %u queues are served; flows on others, if there are more, "
			"go through Windows' sockets. Fewer queues: Set-NetAdapterRss "
			"-NumberOfReceiveQueues %u",
			x->nic.name, x->nic.queue_cnt, x->nic.queue_cnt);
}

static void init(struct winxdp *x, const struct winxdp_nt *nt,
		 const struct winxdp_adapter *adapter, const struct qx_nic_config *cfg)
{
	x->nt = nt;
	x->adapter = *adapter;
	x->nic.ops = &winxdp_ops;
	x->nic.ifindex = adapter->ifindex;
	x->nic.mtu_bytes = adapter->mtu_bytes;
	x->nic.kick_after_reap = 1;
	x->nic.event_fd = -1;
	x->call_event = -1;
	memcpy(x->nic.mac, adapter->mac, sizeof(x->nic.mac));
	memcpy(x->nic.name, cfg->interface, sizeof(x->nic.name) - 1);
	for (uint32_t i = 0; i < QX_QUEUE_MAX; i++)
		x->nic.queues[i].fd = x->nic.queues[i].tx_fd = -1;
}

int winxdp_open(struct qx_nic **out, const struct winxdp_nt *nt,
		const struct winxdp_adapter *adapter, const struct qx_nic_config *cfg,
		char *why)
{
	struct winxdp *x = calloc(1, sizeof(*x));
	int err;

	if (!x) {
		why_set(why, "%s: out of memory", cfg->interface);
		return -ENOMEM;
	}
	init(x, nt, adapter, cfg);
	x->call_event = os_event_open(false);
	if (x->call_event < 0) {
		err = x->call_event;
		why_set(why, "%s: an event: %s", x->nic.name, strerror(-err));
		goto close;
	}
	if ((err = bind_queues(x, why)) < 0 || (err = open_frames(x, cfg, why)) < 0)
		goto close;
	note(x, why);
	*out = &x->nic;
	return 0;

close:
	winxdp_close(&x->nic);
	return err;
}

void winxdp_close(struct qx_nic *nic)
{
	struct winxdp *x = winxdp_of(nic);
	bool ended = true;

	winxdp_detach(nic);
	for (uint32_t i = 0; i < WINXDP_QUEUE_MAX; i++)
		ended &= winxdp_close_queue(x, i);
	for (uint32_t i = 0; i < x->address_cnt; i++)
		os_unmap(x->addresses[i].ports, XDP_PORT_SET_BYTES);
	umem_close(&nic->umem);
	/* A driver that keeps a request although its socket is closed will write to x. */
	if (!ended || x->stuck)
		return;
	if (x->call_event >= 0)
		os_event_close(x->call_event);
	free(x);
}
