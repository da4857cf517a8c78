/* device_way.c: the way to a peer: our address, the next MAC address, how long a packet may be.
 *
 * A NIC with ops->way knows what the kernel's tables say and is asked about every path; what
 * the peer's frames have shown is then only a hint, for the queue and for which of our
 * addresses it used.  Without ops->way, the frames show the way: replies go back along it. */
#include "device_internal.h"

/* How long a frame from a peer vouches for the way back: the time that a reachable
 * neighbour stays so without confirmation (RFC 4861 section 10, REACHABLE_TIME; Linux's
 * base_reachable_time for IPv4 too).  After it the kernel socket resolves and probes. */
#define NEIGH_AGE_MAX_NS (30 * 1000000000ull)

/* How long an answer of ops->way is used, so that a stale neighbour is asked for in time. */
#define WAY_AGE_MAX_NS 1000000000ull

/* What is found, in either manner. */
struct found {
	struct qx_addr local;
	struct qx_way way;
	uint16_t queue;
};

static bool may_send_from(struct qx_port *port, const struct qx_addr *local, uint8_t family,
			  struct qx_addr *out)
{
	*out = *local;
	out->port = port->number;
	return local->family == family && device_port_of(port->dev, out) == port;
}

/* The source address: the one asked for, else the one that the peer used. */
static bool known_local(struct qx_port *port, const struct qx_path *path,
			const struct qx_neigh *neigh, struct qx_addr *out)
{
	if (path->local.family != QX_UNSPEC)
		return may_send_from(port, &path->local, path->peer.family, out);
	return neigh && may_send_from(port, &neigh->local, path->peer.family, out);
}

/* How many addresses of this family the port has, and the first of them. */
static uint32_t count_addresses(const struct qx_port *port, uint8_t family,
				struct qx_addr *first)
{
	uint32_t cnt = 0;

	for (uint32_t i = port->addr_cnt; i-- > 0;)
		if (port->addrs[i].family == family) {
			*first = port->addrs[i];
			cnt++;
		}
	return cnt;
}

/* ---- By the kernel's tables ---- */

/* Else the one that the route prefers, or the only one.  Among several the kernel knows how
 * to choose (RFC 6724). */
static bool choose_local(struct qx_port *port, const struct qx_path *path,
			 struct qx_addr *out)
{
	struct qx_nic *nic = port->dev->nic;
	struct qx_path any = {.peer = path->peer};
	struct qx_way way;

	return path->local.family == QX_UNSPEC &&
	       nic->ops->way(nic, &any, port->dev->now_ns, &way) &&
	       (may_send_from(port, &way.source, path->peer.family, out) ||
		count_addresses(port, path->peer.family, out) == 1);
}

static bool find_by_tables(struct qx_port *port, const struct qx_path *path,
			   struct found *out)
{
	struct qx_device *dev = port->dev;
	const struct qx_neigh *hint =
		neigh_find(dev->neigh, &path->peer, dev->now_ns, UINT64_MAX);
	struct qx_path whole = {.peer = path->peer};

	addr_set_scope(&whole.peer, dev->nic->ifindex);
	if (!addr_equal(&whole.peer, &path->peer))
		return false; /* link-local, of another link */
	if (!known_local(port, path, hint, &whole.local) &&
	    !choose_local(port, path, &whole.local))
		return false;
	out->local = whole.local;
	out->queue = hint ? hint->queue : 0;
	return dev->nic->ops->way(dev->nic, &whole, dev->now_ns, &out->way);
}

/* ---- By what frames have shown ---- */

static bool find_by_frames(struct qx_port *port, const struct qx_path *path,
			   struct found *out)
{
	struct qx_device *dev = port->dev;
	struct qx_nic *nic = dev->nic;
	const struct qx_neigh *neigh =
		neigh_find(dev->neigh, &path->peer, dev->now_ns, NEIGH_AGE_MAX_NS);
	struct qx_neigh asked;

	if (!neigh && nic->find_way &&
	    nic->find_way(nic->ways, &path->peer, dev->now_ns, &asked) == 1)
		neigh = &asked;
	if (!neigh && !nic->has_peer_mac)
		return false;
	if (!known_local(port, path, neigh, &out->local) &&
	    (path->local.family != QX_UNSPEC ||
	     count_addresses(port, path->peer.family, &out->local) == 0))
		return false;
	out->queue = neigh ? neigh->queue : 0;
	out->way.mtu_bytes = nic->mtu_bytes;
	memcpy(out->way.mac, nic->has_peer_mac ? nic->peer_mac : neigh->mac,
	       sizeof(out->way.mac));
	return true;
}

/* ---- Either way ---- */

/* is_fresh: may the way that was resolved last be used again? */
static bool is_fresh(const struct qx_port *port, const struct qx_path *path)
{
	const struct qx_device *dev = port->dev;
	const struct route *r = &port->route;

	return dev->nic->ops->way && r->asked.peer.family != QX_UNSPEC &&
	       path_equal(&r->asked, path) && r->as_of_ways == dev->nic->ways_changed &&
	       r->as_of_taught == dev->taught_cnt &&
	       dev->now_ns - r->as_of_ns < WAY_AGE_MAX_NS;
}

static bool resolve(struct qx_port *port, const struct qx_path *path)
{
	struct qx_device *dev = port->dev;
	struct qx_nic *nic = dev->nic;
	struct route *r = &port->route;
	struct qx_path whole = {.peer = path->peer};
	struct found found;
	uint32_t ip_max;

	if (!dev->gone && !dev->link_down && is_fresh(port, path))
		return true;
	r->asked.peer.family = QX_UNSPEC;
	if (dev->gone || dev->link_down || path->peer.port == 0 ||
	    !wire_address_possible(&path->peer))
		return false;
	if (!(nic->ops->way ? find_by_tables : find_by_frames)(port, path, &found))
		return false;
	whole.local = found.local;
	if (memcmp(whole.local.ip, whole.peer.ip, sizeof(whole.peer.ip)) == 0)
		return false;

	ip_max = nic->umem.frame_bytes - WIRE_ETH_BYTES;
	if (ip_max > found.way.mtu_bytes)
		ip_max = found.way.mtu_bytes;
	r->header_bytes = wire_header_bytes(whole.peer.family);
	if (ip_max + WIRE_ETH_BYTES < r->header_bytes)
		return false;
	r->payload_max_bytes = ip_max + WIRE_ETH_BYTES - r->header_bytes;
	r->queue = (uint16_t)(found.queue % nic->queue_cnt);
	wire_build_headers(r->headers, found.way.mac, nic->mac, &whole);
	r->asked = *path;
	r->as_of_ways = nic->ways_changed;
	r->as_of_taught = dev->taught_cnt;
	r->as_of_ns = dev->now_ns;
	return true;
}

bool port_can_reach(struct qx_port *port, const struct qx_path *path)
{
	return !port->dev->forked && resolve(port, path);
}
