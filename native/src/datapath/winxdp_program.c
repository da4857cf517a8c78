/* winxdp_program.c: which addresses and ports the driver takes out of Windows' stack.
 *
 * One rule per local address: UDP to it, on a port of its set, goes to the XSK of the queue
 * that it came in on.  Everything else stays with Windows; of IPv4 with options, IPv6 with
 * extension headers and VLAN tags the driver's parser itself keeps away.  One thing is taken
 * that should not be: it does not look at fragment offsets, so the first fragment of a
 * fragmented datagram matches, and is dropped by wire.c.  QUIC is never fragmented
 * (RFC 9000 section 14).
 *
 * A program belongs to one queue, since its rules name that queue's XSK, and lives as long as
 * its handle.  Several may be on a queue, ours and other processes': so new rules are put in
 * place before the old ones are taken off, and no packet is missed in between.
 *
 * Ports come and go in the sets, which the driver reads for every packet; only a new address
 * needs new programs. */
#include <errno.h>
#include <string.h>

#include "os.h"
#include "why.h"
#include "winxdp.h"

/* The port as the driver indexes the set: network order, read as a native number. */
static uint16_t port_index(uint16_t port)
{
	return (uint16_t)(port << 8 | port >> 8);
}

/* Only those with ports count: the others are on their way out. */
static struct winxdp_address *find_address(struct winxdp *x, const struct qx_addr *local)
{
	struct qx_addr wanted = *local;

	wanted.port = 0;
	wanted.scope_id = 0;
	for (uint32_t i = 0; i < x->address_cnt; i++)
		if (x->addresses[i].port_cnt > 0 &&
		    memcmp(&x->addresses[i].addr, &wanted, sizeof(wanted)) == 0)
			return &x->addresses[i];
	return NULL;
}

/* ---- Programs ---- */

static uint32_t make_rules(const struct winxdp *x, uint32_t queue,
			   struct xdp_rule rules[WINXDP_RULE_MAX])
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < x->address_cnt; i++) {
		const struct winxdp_address *a = &x->addresses[i];
		struct xdp_rule *rule = &rules[cnt];

		if (a->port_cnt == 0)
			continue;
		cnt++;
		*rule = (struct xdp_rule){
			.match = a->addr.family == QX_IPV4
					 ? (uint32_t)XDP_MATCH_IPV4_UDP_PORT_SET
					 : (uint32_t)XDP_MATCH_IPV6_UDP_PORT_SET,
			.action = XDP_ACTION_REDIRECT,
			.redirect = {.target_type = XDP_TARGET_XSK,
				     .target = x->queues[queue].rx.handle},
		};
		memcpy(rule->pattern.ip_port_set.address, a->addr.ip, sizeof(a->addr.ip));
		rule->pattern.ip_port_set.ports.bits = a->ports;
	}
	return cnt;
}

static int32_t create_program(struct winxdp *x, uint32_t queue, void **program)
{
	struct xdp_rule rules[WINXDP_RULE_MAX];
	const struct xdp_program_open params = {
		.ifindex = x->nic.ifindex,
		.hook = {XDP_HOOK_L2, XDP_HOOK_RX, XDP_HOOK_INSPECT},
		.queue = queue,
		.flags = x->generic ? (uint32_t)XDP_PROGRAM_GENERIC
				    : (uint32_t)XDP_PROGRAM_NATIVE,
		.rule_cnt = make_rules(x, queue, rules),
		.rules = rules,
	};

	return winxdp_create(x, XDP_PROGRAM, &params, sizeof(params), program);
}

static void close_programs(struct winxdp *x, void **programs, uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++)
		if (programs[i])
			x->nt->close(programs[i]);
}

/* plumb puts today's rules on all queues, or on none.  *failed is the queue that refused. */
static int32_t plumb(struct winxdp *x, uint32_t *failed)
{
	void *fresh[WINXDP_QUEUE_MAX] = {NULL};
	int32_t status;

	for (uint32_t i = 0; i < x->nic.queue_cnt; i++) {
		status = create_program(x, i, &fresh[i]);
		if (status != NT_OK) {
			close_programs(x, fresh, i);
			*failed = i;
			return status;
		}
	}
	for (uint32_t i = 0; i < x->nic.queue_cnt; i++) {
		void *old = x->queues[i].program;

		x->queues[i].program = fresh[i];
		close_programs(x, &old, 1);
	}
	return NT_OK;
}

/* ---- Addresses and ports ---- */

static void set_port(struct winxdp_address *a, uint16_t port, bool on)
{
	uint16_t at = port_index(port);
	uint8_t bit = (uint8_t)(1u << (at & 7));

	/* Atomic, since the driver reads while we write; the neighbouring bits are ours too. */
	if (on)
		__atomic_fetch_or(&a->ports[at >> 3], bit, __ATOMIC_RELEASE);
	else
		__atomic_fetch_and(&a->ports[at >> 3], (uint8_t)~bit, __ATOMIC_RELEASE);
	a->port_cnt += on ? 1u : UINT32_MAX;
}

static bool has_port(const struct winxdp_address *a, uint16_t port)
{
	uint16_t at = port_index(port);

	return a->ports[at >> 3] >> (at & 7) & 1;
}

static uint32_t count_used(const struct winxdp *x)
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < x->address_cnt; i++)
		cnt += x->addresses[i].port_cnt > 0;
	return cnt;
}

/* drop_unused forgets addresses without ports.  No program may name them any more. */
static void drop_unused(struct winxdp *x)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < x->address_cnt; i++) {
		if (x->addresses[i].port_cnt > 0)
			x->addresses[kept++] = x->addresses[i];
		else
			os_unmap(x->addresses[i].ports, XDP_PORT_SET_BYTES);
	}
	x->address_cnt = kept;
}

/* add_address enters an address with its first port, and makes programs anew if there are
 * any.  Those that lost all their ports are only forgotten then: until new programs are in
 * place, the driver reads their sets. */
static int add_address(struct winxdp *x, const struct qx_addr *local)
{
	struct winxdp_address a = {.addr = *local};
	int32_t status = NT_OK;
	uint32_t failed;

	a.addr.port = 0;
	a.addr.scope_id = 0;
	if (count_used(x) == WINXDP_RULE_MAX)
		return -ENOSPC;
	a.ports = os_map(XDP_PORT_SET_BYTES);
	if (!a.ports)
		return -ENOMEM;
	set_port(&a, local->port, true);
	x->addresses[x->address_cnt++] = a;
	if (x->attached)
		status = plumb(x, &failed);
	if (status == NT_OK) {
		drop_unused(x);
		return 0;
	}
	x->address_cnt--;
	os_unmap(a.ports, XDP_PORT_SET_BYTES);
	return winxdp_errno(status);
}

int winxdp_admit(struct qx_nic *nic, const struct qx_addr *local)
{
	struct winxdp *x = winxdp_of(nic);
	struct winxdp_address *a = find_address(x, local);

	if (x->gone)
		return -ENXIO;
	if (!a)
		return add_address(x, local);
	if (has_port(a, local->port))
		return -EEXIST;
	set_port(a, local->port, true);
	return 0;
}

void winxdp_dismiss(struct qx_nic *nic, const struct qx_addr *local)
{
	struct winxdp_address *a = find_address(winxdp_of(nic), local);

	if (a && has_port(a, local->port))
		set_port(a, local->port, false);
}

/* ---- All of them ---- */

int winxdp_attach(struct qx_nic *nic, char *why)
{
	struct winxdp *x = winxdp_of(nic);
	uint32_t failed = 0;
	int32_t status;

	if (x->attached)
		return 0;
	status = plumb(x, &failed);
	if (status == NT_OK) {
		x->attached = true;
		return 0;
	}
	if (status == NT_ACCESS_DENIED)
		why_set(why,
			"%s: this user may not redirect packets; run as Administrator, or "
			"allow it: xdpcfg.exe SetDeviceSddl program <SDDL>, and restart the "
			"driver",
			nic->name);
	else
		why_set(why,
			"%s: redirecting packets of queue %u (of %u) was refused: %s "
			"(NTSTATUS 0x%08x); nothing is redirected",
			nic->name, failed, nic->queue_cnt, strerror(-winxdp_errno(status)),
			(uint32_t)status);
	return winxdp_errno(status);
}

void winxdp_detach(struct qx_nic *nic)
{
	struct winxdp *x = winxdp_of(nic);

	for (uint32_t i = 0; i < nic->queue_cnt; i++) {
		close_programs(x, &x->queues[i].program, 1);
		x->queues[i].program = NULL;
	}
	x->attached = false;
}
