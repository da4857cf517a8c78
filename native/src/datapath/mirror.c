/* mirror.c: what is known of the kernel's ways, and the answer.  See mirror.h. */
#include "mirror.h"

#include <errno.h>
#include <string.h>

enum {
	IPV4_BITS = 32,
	IPV6_BITS = 128,
	IPV6_MTU_MIN = 1280, /* RFC 8200 section 5 */
	IPV4_MTU_MIN = 68,   /* RFC 791 */

	/* How few routes must be left before those that found no room are read again. */
	FULL_AGAIN_ROUTES = ROUTES_MAX / 8 * 7
};

#define SECOND_NS 1000000000ull

static uint32_t number_of(uint8_t family)
{
	return family == QX_IPV4 ? 0 : 1;
}

static uint32_t bits_of(uint8_t family)
{
	return family == QX_IPV4 ? IPV4_BITS : IPV6_BITS;
}

static struct qx_addr without_port(const struct qx_addr *a)
{
	struct qx_addr key = *a;

	key.port = 0;
	return key;
}

/* fe80::/10 (RFC 4291 section 2.5.6): every interface has all of it. */
static bool is_link_local(uint8_t family, const uint8_t *ip)
{
	return family == QX_IPV6 && ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

int mirror_init(struct qx_mirror *m, uint32_t ifindex, const uint8_t *mac)
{
	*m = (struct qx_mirror){.ifindex = ifindex};
	memcpy(m->mac, mac, sizeof(m->mac));
	if (routes_open(&m->routes) == 0 &&
	    addr_table_open(&m->neighbours, MIRROR_NEIGHBOURS, sizeof(struct mirror_neigh)) ==
		    0 &&
	    addr_table_open(&m->addresses, MIRROR_ADDRESSES, sizeof(bool)) == 0 &&
	    addr_table_open(&m->exceptions, MIRROR_EXCEPTIONS, sizeof(uint32_t)) == 0) {
		mirror_restart(m);
		return 0;
	}
	mirror_free(m);
	return -ENOMEM;
}

void mirror_free(struct qx_mirror *m)
{
	addr_table_close(m->exceptions);
	addr_table_close(m->addresses);
	addr_table_close(m->neighbours);
	routes_close(m->routes);
	m->routes = NULL;
	m->neighbours = m->addresses = m->exceptions = NULL;
}

void mirror_restart(struct qx_mirror *m)
{
	m->synced = m->wants_dump = m->full = m->hops_full = false;
	m->hop_cnt = ROUTES_HOP_SHARED + 1;
	memset(m->wide_locals, 0, sizeof(m->wide_locals));
	memset(m->foreign_rules, 0, sizeof(m->foreign_rules));
	memset(m->standard_rules, 0, sizeof(m->standard_rules));
	m->has_rules = false;
	routes_clear(m->routes);
	addr_table_clear(m->neighbours);
	addr_table_clear(m->addresses);
	addr_table_clear(m->exceptions);
}

/* ---- What messages say ---- */

void mirror_link(struct qx_mirror *m, bool up, uint32_t mtu_bytes, const uint8_t *mac)
{
	bool moved = mac ? memcmp(mac, m->mac, sizeof(m->mac)) != 0 : m->mac_moved;

	if (up != m->link_up || mtu_bytes != m->mtu_bytes || moved != m->mac_moved)
		m->link_changes++;
	/* IPv4 routes over a link that goes down are deleted without a message
	 * (net/ipv4/fib_frontend.c, fib_disable_ip), and may be there again or not. */
	if (up != m->link_up && m->synced)
		m->wants_dump = true;
	m->link_up = up;
	m->mtu_bytes = mtu_bytes;
	m->mac_moved = moved;
}

void mirror_neigh(struct qx_mirror *m, const struct qx_addr *ip, enum mirror_neigh_kind kind,
		  const uint8_t *mac)
{
	struct mirror_neigh *n;

	/* A group's address, or none, is nobody's. */
	if (kind == NEIGH_UNUSABLE || !mac || mac[0] & 1) {
		addr_table_remove(m->neighbours, ip);
		return;
	}
	n = addr_table_put(m->neighbours, ip, 0);
	if (kind == NEIGH_USABLE)
		n->asked_ns = 0;
	n->kind = (uint8_t)kind;
	memcpy(n->mac, mac, sizeof(n->mac));
}

void mirror_address(struct qx_mirror *m, const struct qx_addr *ip, bool there, bool usable)
{
	if (there) {
		*(bool *)addr_table_put(m->addresses, ip, 0) = usable;
		return;
	}
	addr_table_remove(m->addresses, ip);
	/* Routes that prefer it go with it, without a message (fib_sync_down_addr). */
	m->wants_dump = true;
}

/* hop_for finds or makes the hop; ROUTES_HOP_SHARED (the kernel's) if there are too many. */
static uint16_t hop_for(struct qx_mirror *m, const struct mirror_hop *hop)
{
	uint32_t i = m->hop_cnt;

	/* From the end: routes with the same hop come one after the other. */
	while (i > ROUTES_HOP_SHARED + 1 && memcmp(&m->hops[i - 1], hop, sizeof(*hop)) != 0)
		i--;
	if (i > ROUTES_HOP_SHARED + 1)
		return (uint16_t)(i - 1);
	if (m->hop_cnt > ROUTES_HOP_MAX) {
		/* Hops of routes that are gone end with the next dump, unless that one alone
		 * has as many. */
		m->hops_full |= !m->synced;
		m->wants_dump |= !m->hops_full;
		return ROUTES_HOP_SHARED;
	}
	m->hops[m->hop_cnt] = *hop;
	return (uint16_t)m->hop_cnt++;
}

/* A local prefix wider than a host stands before every longer route of table main; here all
 * are in one table.  Loopback's and multicast's never meet a peer that we would ask for. */
static bool is_wide_local(const struct mirror_route *r)
{
	if (!r->local || r->prefix_bits == bits_of(r->family))
		return false;
	return r->family == QX_IPV4 ? r->ip[0] != 127 : r->ip[0] != 0xff;
}

void mirror_route(struct qx_mirror *m, const struct mirror_route *r, bool there)
{
	struct route route = {.metric = r->metric, .sign = r->sign};
	int rc;

	/* Asked for by scope, not here; and every interface's would be equally good. */
	if (is_link_local(r->family, r->ip) && r->prefix_bits >= 10)
		return;
	if (!there) {
		rc = routes_remove(m->routes, r->family, r->ip, r->prefix_bits, r->metric,
				   r->sign);
		/* What is not there to be removed was never understood, or found no room. */
		if (rc <= 0)
			m->wants_dump |= m->synced && !m->full;
		else if (is_wide_local(r))
			m->wide_locals[number_of(r->family)]--;
		if (m->full && routes_cnt(m->routes) < FULL_AGAIN_ROUTES)
			m->wants_dump = true;
		return;
	}
	if (r->replace) {
		rc = routes_remove_all(m->routes, r->family, r->ip, r->prefix_bits,
				       r->metric);
		/* One of several, perhaps of the other table: the kernel does not say which. */
		if (is_wide_local(r) || rc > 1)
			m->wants_dump = true;
	}
	route.hop = r->usable ? hop_for(m, &r->hop) : ROUTES_HOP_SHARED;
	rc = routes_add(m->routes, r->family, r->ip, r->prefix_bits, &route);
	if (rc < 0)
		m->full = true;
	else if (rc > 0 && is_wide_local(r))
		m->wide_locals[number_of(r->family)]++;
}

void mirror_exception(struct qx_mirror *m, const struct qx_addr *peer, uint32_t mtu_bytes)
{
	if (mtu_bytes >= (peer->family == QX_IPV4 ? IPV4_MTU_MIN : IPV6_MTU_MIN))
		*(uint32_t *)addr_table_put(m->exceptions, peer, 0) = mtu_bytes;
}

void mirror_foreign_rule(struct qx_mirror *m, uint8_t family)
{
	m->foreign_rules[number_of(family)]++;
}

void mirror_standard_rule(struct qx_mirror *m, uint8_t family, enum mirror_rule rule)
{
	m->standard_rules[number_of(family)] |= (uint8_t)rule;
}

/* ---- The answer ---- */

static bool rules_are_standard(const struct qx_mirror *m, uint32_t number)
{
	return m->foreign_rules[number] == 0 &&
	       (!m->has_rules || m->standard_rules[number] == MIRROR_RULES);
}

static bool is_source(struct qx_mirror *m, const struct qx_addr *local)
{
	struct qx_addr key = without_port(local);
	const bool *usable = addr_table_find(m->addresses, &key);

	return usable && *usable;
}

/* may_solicit: is it time to ask for this neighbour again?  Whoever holds many peers must not
 * make us flood the link. */
static bool may_solicit(struct qx_mirror *m, struct mirror_neigh *n, uint64_t now_ns)
{
	if (n->asked_ns != 0 && now_ns - n->asked_ns < MIRROR_SOLICIT_NS)
		return false;
	if (now_ns - m->solicit_window_ns >= SECOND_NS) {
		m->solicit_window_ns = now_ns;
		m->solicit_cnt = 0;
	}
	if (m->solicit_cnt == MIRROR_SOLICITS_PER_S)
		return false;
	m->solicit_cnt++;
	n->asked_ns = now_ns ? now_ns : 1;
	return true;
}

/* find_hop finds the hop that a peer is behind; NULL if the kernel must decide. */
static const struct mirror_hop *find_hop(const struct qx_mirror *m,
					 const struct qx_addr *peer)
{
	static const struct mirror_hop on_link;
	uint32_t hop;

	if (is_link_local(peer->family, peer->ip))
		return peer->scope_id == m->ifindex ? &on_link : NULL;
	hop = routes_find(m->routes, peer->family, peer->ip);
	return hop == ROUTES_NOT_FOUND || hop == ROUTES_HOP_SHARED ? NULL : &m->hops[hop];
}

static uint32_t mtu_for(struct qx_mirror *m, const struct mirror_hop *hop,
			const struct qx_addr *peer)
{
	struct qx_addr key = without_port(peer);
	const uint32_t *exception = addr_table_find(m->exceptions, &key);
	uint32_t mtu_bytes = m->mtu_bytes;

	if (hop->mtu_bytes != 0 && hop->mtu_bytes < mtu_bytes)
		mtu_bytes = hop->mtu_bytes;
	if (exception && *exception < mtu_bytes)
		mtu_bytes = *exception;
	return mtu_bytes;
}

enum mirror_verdict mirror_ask(struct qx_mirror *m, const struct qx_path *path,
			       uint64_t now_ns, struct qx_way *way, struct qx_addr *solicit)
{
	uint32_t number = number_of(path->peer.family);
	const struct mirror_hop *hop;
	struct qx_addr next;
	struct mirror_neigh *n;

	solicit->family = QX_UNSPEC;
	if (m->link_gone || m->mac_moved || (m->synced && !m->link_up))
		return MIRROR_LINK;
	if (!m->synced || m->wants_dump || m->full)
		return MIRROR_UNSURE;
	if (!rules_are_standard(m, number) || m->wide_locals[number] > 0)
		return MIRROR_POLICY;
	if (path->local.family != QX_UNSPEC && !is_source(m, &path->local))
		return MIRROR_SOURCE;
	hop = find_hop(m, &path->peer);
	if (!hop)
		return MIRROR_NO_ROUTE;
	next = without_port(hop->gateway.family != QX_UNSPEC ? &hop->gateway : &path->peer);
	n = addr_table_find(m->neighbours, &next);
	if (!n)
		return MIRROR_NEIGHBOUR;
	if (n->kind == NEIGH_STALE && may_solicit(m, n, now_ns))
		*solicit = next;
	memcpy(way->mac, n->mac, sizeof(way->mac));
	way->source = hop->source;
	way->mtu_bytes = mtu_for(m, hop, &path->peer);
	return MIRROR_YES;
}
