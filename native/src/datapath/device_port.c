/* device_port.c: ports, and the table from local address and port to port. */
#include <errno.h>
#include <stdlib.h>

#include "addr.h"
#include "device_internal.h"
#include "why.h"

/* ---- The table ---- */

static void table_insert(struct qx_device *dev, const struct qx_addr *local,
			 struct qx_port *port)
{
	uint32_t i = addr_hash(local);

	while (dev->bindings[i & dev->binding_mask].local.port != 0)
		i++;
	dev->bindings[i & dev->binding_mask] = (struct binding){*local, port};
}

/* table_rebuild enters the addresses of all ports; open addressing has no cheap removal
 * and ports come and go rarely. */
static void table_rebuild(struct qx_device *dev)
{
	dev->hit = NULL;
	memset(dev->bindings, 0, sizeof(*dev->bindings) * ((size_t)dev->binding_mask + 1));
	for (struct qx_port *p = dev->ports; p; p = p->next)
		for (uint32_t i = 0; i < p->addr_cnt; i++)
			table_insert(dev, &p->addrs[i], p);
}

/* table_grow makes room for so many more.  At most a quarter full: probes end. */
static int table_grow(struct qx_device *dev, uint32_t more)
{
	uint32_t cnt = more, cap = 16;
	struct binding *bigger;

	for (const struct qx_port *p = dev->ports; p; p = p->next)
		cnt += p->addr_cnt;
	while (cap < cnt * 4)
		cap *= 2;
	if (cap <= dev->binding_mask + 1)
		return 0;
	bigger = calloc(cap, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	free(dev->bindings);
	dev->bindings = bigger;
	dev->binding_mask = cap - 1;
	table_rebuild(dev);
	return 0;
}

/* ---- Opening ---- */

/* make_own keeps the addresses that the port may answer to, with its number. */
static uint32_t make_own(const struct qx_port *port, struct qx_addr *addrs, uint32_t cnt)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cnt; i++) {
		if (!wire_address_possible(&addrs[i]) ||
		    (port->family != QX_UNSPEC && addrs[i].family != port->family))
			continue;
		addrs[kept] = addrs[i];
		addrs[kept].port = port->number;
		addr_set_scope(&addrs[kept++], port->dev->nic->ifindex);
	}
	return kept;
}

/* find_addrs fills in which addresses the port answers to. */
static int find_addrs(struct qx_port *port, const struct qx_addr *local, char *why)
{
	struct qx_nic *nic = port->dev->nic;
	bool wildcard = local->family == QX_UNSPEC || addr_is_wildcard(local);
	char text[ADDR_TEXT_BYTES];
	int cnt = 1;

	port->addrs = calloc(wildcard ? DEVICE_ADDRS_MAX : 1, sizeof(*port->addrs));
	if (!port->addrs) {
		why_set(why, "no memory for the addresses of %s", nic->name);
		return -ENOMEM;
	}
	if (!wildcard) {
		port->addrs[0] = *local;
	} else if ((cnt = nic->ops->local_addrs(nic, port->addrs, DEVICE_ADDRS_MAX)) < 0) {
		why_set(why, "%s: asking for its addresses: %s", nic->name, strerror(-cnt));
		return cnt;
	}
	port->all_addrs = wildcard;
	port->family = local->family;
	port->addr_cnt = make_own(port, port->addrs, (uint32_t)cnt);
	if (port->addr_cnt > 0)
		return 0;
	addr_text(text, local);
	if (wildcard)
		why_set(why, "%s has no %s address; add one (ip addr add ... dev %s)",
			nic->name, local->family == QX_IPV6 ? "IPv6" : "IPv4", nic->name);
	else
		why_set(why,
			"%s cannot arrive over %s: loopback, multicast and broadcast "
			"addresses stay inside the kernel; use io=\"socket\" for them",
			text, nic->name);
	return -EADDRNOTAVAIL;
}

/* admit tells the NIC's filter; *done counts, for undoing. */
static int admit(struct qx_port *port, uint32_t *done, char *why)
{
	struct qx_nic *nic = port->dev->nic;
	char text[ADDR_TEXT_BYTES];
	int err;

	for (*done = 0; *done < port->addr_cnt; ++*done) {
		const struct qx_addr *local = &port->addrs[*done];

		addr_text(text, local);
		if (device_port_of(port->dev, local)) {
			why_set(why,
				"%s: another endpoint of this process already receives "
				"for %s",
				nic->name, text);
			return -EADDRINUSE;
		}
		err = nic->ops->admit(nic, local);
		if (err < 0) {
			why_set(why, "%s: entering %s into the XDP filter: %s", nic->name,
				text, strerror(-err));
			return err == -EEXIST ? -EADDRINUSE : err;
		}
	}
	return 0;
}

static void dismiss(struct qx_port *port, uint32_t cnt)
{
	struct qx_nic *nic = port->dev->nic;

	for (uint32_t i = 0; i < cnt; i++)
		nic->ops->dismiss(nic, &port->addrs[i]);
}

/* The smallest id that no port of the device has. */
static int pick_id(const struct qx_device *dev, uint16_t *out)
{
	for (uint32_t id = 0; id <= UINT16_MAX; id++) {
		const struct qx_port *p = dev->ports;

		while (p && p->id != id)
			p = p->next;
		if (!p) {
			*out = (uint16_t)id;
			return 0;
		}
	}
	return -ENOSPC;
}

static int check_open(const struct qx_device *dev, const struct qx_addr *local,
		      const struct qx_addr *remote, char *why)
{
	if (dev->gone) {
		why_set(why, "%s: the interface is gone", dev->nic->name);
		return -ENODEV;
	}
	if (local->port == 0) {
		why_set(why, "%s: an endpoint needs its port before it can join an interface",
			dev->nic->name);
		return -EINVAL;
	}
	if (local->family != QX_UNSPEC && remote->family != QX_UNSPEC &&
	    local->family != remote->family) {
		why_set(why,
			"the local and the remote address are of different families; give "
			"both as IPv4 or both as IPv6");
		return -EINVAL;
	}
	return 0;
}

int port_open(struct qx_port **out, struct qx_device *dev, const struct qx_addr *local,
	      const struct qx_addr *remote, void (*wake)(void *), void *arg, char *why)
{
	struct qx_port *port;
	uint32_t admitted = 0;
	int err;

	if ((err = check_open(dev, local, remote, why)) < 0)
		return err;
	port = calloc(1, sizeof(*port));
	if (!port) {
		why_set(why, "no memory for an endpoint's registration");
		return -ENOMEM;
	}
	port->dev = dev;
	port->number = local->port;
	port->remote = *remote;
	addr_set_scope(&port->remote, dev->nic->ifindex);
	port->wake = wake;
	port->wake_arg = arg;
	if ((err = pick_id(dev, &port->id)) < 0) {
		why_set(why, "%s: 65,536 endpoints are open", dev->nic->name);
		goto free_port;
	}
	if ((err = find_addrs(port, local, why)) < 0)
		goto free_port;
	if ((err = table_grow(dev, port->addr_cnt)) < 0) {
		why_set(why, "no memory for the table of local addresses");
		goto free_port;
	}
	if ((err = admit(port, &admitted, why)) < 0)
		goto undo_admit;
	/* Last, because from here the NIC takes the port's packets from the kernel. */
	if (dev->port_cnt == 0 && (err = dev->nic->ops->attach(dev->nic, why)) < 0)
		goto undo_admit;

	port->next = dev->ports;
	dev->ports = port;
	dev->port_cnt++;
	dev->ref_cnt++;
	table_rebuild(dev);
	*out = port;
	return 0;

undo_admit:
	dismiss(port, admitted);
free_port:
	free(port->addrs);
	free(port);
	return err;
}

/* ---- Addresses that come and go ---- */

static bool is_among(const struct qx_addr *a, const struct qx_addr *addrs, uint32_t cnt)
{
	while (cnt > 0 && !addr_equal(a, &addrs[cnt - 1]))
		cnt--;
	return cnt > 0;
}

static void forget_others(struct qx_port *port, const struct qx_addr *now, uint32_t cnt)
{
	struct qx_nic *nic = port->dev->nic;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < port->addr_cnt; i++)
		if (is_among(&port->addrs[i], now, cnt))
			port->addrs[kept++] = port->addrs[i];
		else
			nic->ops->dismiss(nic, &port->addrs[i]);
	port->addr_cnt = kept;
	table_rebuild(port->dev);
}

/* What finds no room, or belongs to somebody else, goes through the kernel's socket. */
static void add_new(struct qx_port *port, const struct qx_addr *now, uint32_t cnt)
{
	struct qx_device *dev = port->dev;

	for (uint32_t i = 0; i < cnt && port->addr_cnt < DEVICE_ADDRS_MAX; i++) {
		if (device_port_of(dev, &now[i]) || table_grow(dev, 1) < 0 ||
		    dev->nic->ops->admit(dev->nic, &now[i]) < 0)
			continue;
		port->addrs[port->addr_cnt++] = now[i];
		table_insert(dev, &now[i], port);
	}
}

void device_follow_addrs(struct qx_device *dev)
{
	struct qx_nic *nic = dev->nic;
	struct qx_addr all[DEVICE_ADDRS_MAX], own[DEVICE_ADDRS_MAX];
	uint32_t cnt;
	int all_cnt;

	if (!nic->ops->addrs_now || nic->addrs_changed == dev->addrs_seen)
		return;
	all_cnt = nic->ops->addrs_now(nic, all, DEVICE_ADDRS_MAX);
	if (all_cnt < 0)
		return;
	dev->addrs_seen = nic->addrs_changed;
	dev->taught_cnt++; /* no way that was found stays without a look */
	for (struct qx_port *p = dev->ports; p; p = p->next) {
		if (!p->all_addrs)
			continue;
		memcpy(own, all, sizeof(*own) * (uint32_t)all_cnt);
		cnt = make_own(p, own, (uint32_t)all_cnt);
		forget_others(p, own, cnt);
		add_new(p, own, cnt);
	}
}

/* ---- Closing ---- */

/* What the port holds goes back: its inbox, a batch that was never returned, and slots
 * that were never committed. */
static void reclaim(struct qx_port *port)
{
	struct qx_device *dev = port->dev;
	struct qx_umem *u = &dev->nic->umem;

	for (uint32_t frame = 0; frame < u->frame_cnt; frame++) {
		if (dev->tags[frame].port != port->id)
			continue;
		if (u->state[frame] == QX_FRAME_LENT)
			device_give_back(dev, frame);
		else if (u->state[frame] == QX_FRAME_BUILT)
			umem_move(u, frame, QX_FRAME_BUILT, QX_FRAME_FREE);
	}
	for (uint32_t i = 0; i < dev->nic->queue_cnt; i++)
		device_publish_fill(dev, i);
}

void port_close(struct qx_port *port)
{
	struct qx_device *dev = port->dev;
	struct qx_port **at = &dev->ports;

	while (*at != port)
		at = &(*at)->next;
	*at = port->next;
	dev->port_cnt--;
	table_rebuild(dev);
	/* In a forked child filter and rings are the parent's: hands off. */
	if (!dev->forked) {
		dismiss(port, port->addr_cnt);
		if (dev->port_cnt == 0)
			dev->nic->ops->detach(dev->nic);
		reclaim(port);
	}
	free(port->addrs);
	free(port);
	device_put(dev);
}
