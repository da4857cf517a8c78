/* datapath_tap.c: what an endpoint's tap gets to see, and when it ends.  The device shows
 * its frames by itself; a socket has only datagrams, which are shown here. */
#include <errno.h>

#include "datapath.h"

int qx_set_tap(struct qx_datapath *dp, struct qx_tap *tap)
{
	int err = datapath_usable(dp), interface = 0;

	if (err < 0 || tap == dp->tap)
		return err;
	datapath_drop_tap(dp);
	if (!tap)
		return 0;
	if (dp->udp && (interface = tap_interface(tap, TAP_RAW_IP, "socket")) < 0)
		return interface;
	if (dp->dev && (err = device_set_tap(dp->dev, tap)) < 0)
		return err;
	tap_get(tap);
	dp->tap = tap;
	dp->tap_interface = (uint32_t)interface;
	return 0;
}

void datapath_drop_tap(struct qx_datapath *dp)
{
	if (!dp->tap)
		return;
	if (dp->dev)
		device_drop_tap(dp->dev);
	tap_put(dp->tap);
	dp->tap = NULL;
}

void datapath_tap_received(struct qx_datapath *dp, const struct qx_batch *batch,
			   uint32_t first)
{
	for (uint32_t i = first; i < batch->datagram_cnt; i++) {
		const struct qx_datagram *d = &batch->datagrams[i];
		const struct qx_path *path = &batch->paths[d->path];

		tap_datagram(dp->tap, dp->tap_interface, false, path, d->data, d->len_bytes,
			     d->ecn);
		dp->heard_at = path->local;
	}
}

/* Which source address the kernel will pick is not known yet, so the one that datagrams came
 * to last stands for it. */
static struct qx_path complete(const struct qx_datapath *dp, const struct qx_path *path)
{
	struct qx_path whole = *path;

	if (whole.local.family == QX_UNSPEC)
		whole.local =
			dp->heard_at.family == path->peer.family ? dp->heard_at : dp->local;
	if (whole.local.family != path->peer.family)
		whole.local = (struct qx_addr){.family = path->peer.family};
	whole.local.port = dp->local.port;
	return whole;
}

void datapath_tap_sent(const struct qx_datapath *dp, const struct qx_slot *slots, uint32_t n)
{
	struct qx_path path = complete(dp, &dp->reserved_path);

	for (uint32_t i = 0; i < n; i++)
		if (slots[i].len_bytes > 0 || slots[i].empty)
			tap_datagram(dp->tap, dp->tap_interface, true, &path, slots[i].data,
				     slots[i].len_bytes, slots[i].ecn);
}
