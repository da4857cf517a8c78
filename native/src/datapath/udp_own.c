/* udp_own.c: see udp_own.h; what udp.h asks of every socket lane and no system answers. */
#include "udp_own.h"

/* It is the first member (the systems' headers see to it). */
static struct udp_own *own_of(struct qx_udp *u)
{
	return (struct udp_own *)(void *)u;
}

static const struct udp_own *own_of_const(const struct qx_udp *u)
{
	return (const struct udp_own *)(const void *)u;
}

void udp_set_acl(struct qx_udp *u, const struct qx_acl *acl)
{
	own_of(u)->acl = acl;
}

void udp_local(const struct qx_udp *u, struct qx_addr *out)
{
	*out = own_of_const(u)->local;
}

void udp_remote(const struct qx_udp *u, struct qx_addr *out)
{
	*out = own_of_const(u)->remote;
}

bool udp_is_dual_stack(const struct qx_udp *u)
{
	const struct udp_own *own = own_of_const(u);

	return own->family == AF_INET6 && !own->v6only && addr_is_wildcard(&own->local);
}

int udp_next_error(struct qx_udp *u, struct qx_error *out)
{
	return errors_pop(&own_of(u)->errors, out);
}

uint32_t udp_error_cnt(const struct qx_udp *u)
{
	return own_of_const(u)->errors.cnt;
}

void udp_own_stats(const struct udp_own *own, struct qx_stats *out)
{
	out->lane[QX_LANE_SOCKET] = own->stats;
	for (uint32_t i = 0; i < QX_DROP_CNT; i++)
		out->drop[i] += own->drop[i];
	out->errors_lost += own->errors.lost;
}
