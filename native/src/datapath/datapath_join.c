/* datapath_join.c: how a datapath joins its interface's device, leaves it, and joins it again.
 *
 * Between leaving and joining there is only the socket lane, which holds the port all the
 * time.  What was counted on the interface is kept. */
#include <errno.h>
#include <string.h>

#include "datapath.h"
#include "why.h"

/* ---- Descriptors ---- */

/* The queues whose descriptors are in the wait set: all or none. */
static uint32_t watched_queue_cnt(const struct qx_datapath *dp)
{
	return dp->flags & QX_CFG_SPIN ? 0 : device_queue_cnt(dp->dev);
}

static int watch_device(struct qx_datapath *dp, char *why)
{
	int err = 0, fd = device_event_fd(dp->dev);

	for (uint32_t q = 0; err == 0 && q < watched_queue_cnt(dp); q++)
		err = datapath_watch(dp, device_queue_fd(dp->dev, q), why);
	if (err == 0 && fd >= 0)
		err = datapath_watch(dp, fd, why);
	return err;
}

void datapath_unwatch_port(struct qx_datapath *dp)
{
	int fd = device_event_fd(dp->dev);

	for (uint32_t q = 0; q < watched_queue_cnt(dp); q++)
		wait_unwatch(dp->wait, device_queue_fd(dp->dev, q));
	if (fd >= 0)
		wait_unwatch(dp->wait, fd);
}

/* ---- Joining ---- */

static void wake(void *arg)
{
	struct qx_datapath *dp = arg;

	wait_signal(dp->wait);
}

/* Last, because from port_open on the NIC takes our port's packets from the kernel:
 * everything else that could fail has succeeded. */
int datapath_open_port(struct qx_datapath *dp, char *why)
{
	struct qx_addr local = dp->local;
	int err = watch_device(dp, why);

	if (err < 0)
		return err;
	if (dp->udp && udp_is_dual_stack(dp->udp))
		local = (struct qx_addr){.port = dp->local.port};
	err = port_open(&dp->port, dp->dev, &local, &dp->remote, wake, dp, why);
	if (err == 0 && !(dp->flags & QX_CFG_SPIN))
		port_expect(dp->port, false);
	if (err == 0)
		port_set_acl(dp->port, dp->acl);
	dp->port_sends =
		!dp->udp ||
		!(dp->flags & QX_CFG_TX_SOCKET ||
		  (dp->flags & QX_CFG_TX_SOCKET_IF_COPIED && device_copies(dp->dev)));
	return err;
}

int datapath_join(struct qx_datapath *dp, const struct qx_config *cfg, char *why)
{
	int err;

	memcpy(dp->nic.interface, cfg->interface, sizeof(dp->nic.interface));
	dp->nic.rx_frame_cnt = cfg->rx_frame_cnt;
	dp->nic.tx_frame_cnt = cfg->tx_frame_cnt;
	dp->nic.mode = cfg->xdp_mode;
	dp->nic.busy_poll_us = cfg->busy_poll_us;
	dp->nic.busy_poll_budget = cfg->busy_poll_budget;
	dp->nic.huge_pages = cfg->flags & QX_CFG_HUGE_PAGES;
	if ((err = device_get(&dp->dev, &dp->nic, why)) < 0)
		return err;
	dp->nic.no_zerocopy = device_copies(dp->dev);
	return datapath_open_port(dp, why);
}

/* ---- Leaving ---- */

/* What has grown stays; what tells of now ends with the device. */
static void keep_counters(struct qx_datapath *dp)
{
	struct qx_stats *left = &dp->left;

	port_stats(dp->port, left);
	left->mirror_routes = 0;
	left->frame_cnt = left->queue_cnt = left->zerocopy = 0;
	memset(left->frames, 0, sizeof(left->frames));
	memset(left->rings, 0, sizeof(left->rings));
}

/* leave tells whether there was a device that lives: the kernel releases its queues a moment
 * later, so that trying at once would do everything in vain. */
static bool leave(struct qx_datapath *dp)
{
	bool lived = dp->dev && !dp->port_down;

	if (!dp->dev)
		return false;
	if (!dp->port_down) {
		datapath_want_room(dp, false);
		datapath_unwatch_port(dp);
	}
	keep_counters(dp);
	port_close(dp->port);
	dp->port = NULL;
	dp->port_down = dp->port_stale = false;
	dp->starved[QX_LANE_XDP] = false;
	if (dp->tap)
		device_drop_tap(dp->dev);
	device_put(dp->dev);
	dp->dev = NULL;
	return lived;
}

/* ---- Again ---- */

static int join_again(struct qx_datapath *dp, char *why)
{
	struct qx_nic_config nic = dp->nic;
	int err;

	nic.at_once = true;
	if ((err = device_get(&dp->dev, &nic, why)) < 0)
		return err;
	if (dp->tap && (err = device_set_tap(dp->dev, dp->tap)) < 0) {
		why_set(why, "%s: %s", nic.interface,
			err == -EBUSY
				? "another endpoint captures its packets to another file"
				: "the capture has no room for one more interface");
		goto put_device;
	}
	if ((err = datapath_open_port(dp, why)) < 0)
		goto unwatch;
	return 0;

unwatch:
	datapath_unwatch_port(dp);
	if (dp->tap)
		device_drop_tap(dp->dev);
put_device:
	device_put(dp->dev);
	dp->dev = NULL;
	return err;
}

int qx_rejoin(struct qx_datapath *dp, char *why)
{
	int err = datapath_usable(dp);
	char unread[QX_WHY_BYTES];

	if (!why)
		why = unread;
	why[0] = '\0';
	if (err < 0) {
		why_set(why, "a forked child has no interface");
		return err;
	}
	if (!dp->nic.interface[0]) {
		why_set(why, "this endpoint was opened without an interface");
		return -EINVAL;
	}
	/* One that stays away must not keep the others away. */
	for (struct qx_datapath *m = dp; m; m = m->next) {
		int one;

		if (m->port && !m->port_down && !m->port_stale)
			continue;
		if (dp->lent) {
			why_set(why, "%s: a batch was not given back yet", m->nic.interface);
			return -EBUSY;
		}
		one = leave(m) ? -EAGAIN : join_again(m, err ? unread : why);
		if (one == -EAGAIN && !err)
			why_set(why, "%s: the kernel has yet to release the old queues",
				m->nic.interface);
		err = err ? err : one;
	}
	return err;
}
