/* datapath_tap.c: what an endpoint's tap gets to see, and when it ends.  The device shows
 * its frames by itself; a socket has only datagrams, which are shown here. */
#include <errno.h>
#include <string.h>

#include "addr.h"
#include "datapath.h"

enum {
	SOURCES = 1024
};

/* After it a route that has changed is noticed. */
#define SOURCE_AGE_MAX_NS 10000000000ull

/* From where the kernel sends to a peer. */
struct source {
	struct qx_addr local;
	uint64_t asked_ns;
};

/* drop_devices undoes what qx_set_tap has done with the devices so far. */
static void drop_devices(struct qx_datapath *dp)
{
	for (struct qx_datapath *m = dp; m; m = m->next) {
		if (m->tap && m->dev)
			device_drop_tap(m->dev);
		m->tap = NULL;
	}
}

int qx_set_tap(struct qx_datapath *dp, struct qx_tap *tap)
{
	int err = datapath_usable(dp), interface = 0;

	if (err < 0 || tap == dp->tap)
		return err;
	datapath_drop_tap(dp);
	if (!tap)
		return 0;
	if (dp->udp && addr_is_wildcard(&dp->local) && !dp->tap_sources &&
	    (err = addr_table_open(&dp->tap_sources, SOURCES, sizeof(struct source))) < 0)
		return err;
	if (dp->udp && (interface = tap_interface(tap, TAP_RAW_IP, "socket")) < 0)
		return interface;
	for (struct qx_datapath *m = dp; m; m = m->next) {
		if (m->dev && (err = device_set_tap(m->dev, tap)) < 0)
			goto drop;
		m->tap = tap;
	}
	tap_get(tap);
	dp->tap_interface = (uint32_t)interface;
	return 0;

drop:
	drop_devices(dp);
	return err;
}

void datapath_drop_tap(struct qx_datapath *dp)
{
	struct qx_tap *tap = dp->tap;

	if (!tap)
		return;
	drop_devices(dp);
	tap_put(tap);
}

void datapath_tap_received(const struct qx_datapath *dp, const struct qx_batch *batch,
			   uint32_t first)
{
	for (uint32_t i = first; i < batch->datagram_cnt; i++) {
		const struct qx_datagram *d = &batch->datagrams[i];

		tap_datagram(dp->tap, dp->tap_interface, false, &batch->paths[d->path],
			     d->data, d->len_bytes, d->ecn);
	}
}

/* The source address that the kernel will pick is part of a record: readers tell the two sides
 * of a connection by it.  Asking for it takes four system calls, so answers are kept for a
 * while, one per peer: a server answers many in turn. */
static struct qx_addr source_of(struct qx_datapath *dp, const struct qx_path *path)
{
	struct qx_addr key = path->peer;
	struct source *known;

	if (path->local.family != QX_UNSPEC)
		return path->local;
	if (!dp->tap_sources)
		return dp->local;
	key.port = 0;
	known = addr_table_find(dp->tap_sources, &key);
	if (!known || dp->now_ns - known->asked_ns >= SOURCE_AGE_MAX_NS) {
		known = addr_table_put(dp->tap_sources, &key, dp->now_ns);
		*known = (struct source){.asked_ns = dp->now_ns};
		udp_source_for(&path->peer, &known->local);
	}
	return known->local;
}

void datapath_tap_sent(struct qx_datapath *dp, const struct qx_slot *slots, uint32_t n)
{
	struct qx_path path = dp->reserved_path;

	path.local = source_of(dp, &path);
	if (path.local.family != path.peer.family)
		path.local = (struct qx_addr){.family = path.peer.family};
	path.local.port = dp->local.port;
	for (uint32_t i = 0; i < n; i++)
		if (slots[i].len_bytes > 0 || slots[i].empty)
			tap_datagram(dp->tap, dp->tap_interface, true, &path, slots[i].data,
				     slots[i].len_bytes, slots[i].ecn);
}
