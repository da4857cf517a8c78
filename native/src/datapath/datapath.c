/* datapath.c: the life of a datapath: opening, waiting, asking, closing. */
#include "datapath.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "why.h"

enum {
	STATS_GAUGE_CNT =
		(offsetof(struct qx_stats, zerocopy) - offsetof(struct qx_stats, frame_cnt)) /
		sizeof(uint32_t)
};

/* Grows in every forked child, so a datapath opened before the fork knows that it is the
 * parent's.  Datapaths of several threads read it: atomic, and no registry to lock. */
static _Atomic uint32_t fork_generation;

int datapath_usable(const struct qx_datapath *dp)
{
	uint32_t now = atomic_load_explicit(&fork_generation, memory_order_relaxed);

	return dp->fork_generation == now ? 0 : -EPERM;
}

void qx_forked(void)
{
	atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
	device_forked();
}

/* ---- Opening ---- */

static struct qx_datapath *new_datapath(const struct qx_config *cfg, char *why)
{
	struct qx_datapath *dp = calloc(1, sizeof(*dp));

	if (!dp) {
		why_set(why, "no memory for a datapath (%u bytes)", (uint32_t)sizeof(*dp));
		return NULL;
	}
	dp->fork_generation = atomic_load_explicit(&fork_generation, memory_order_relaxed);
	dp->flags = cfg->flags;
	return dp;
}

static int open_wait(struct qx_datapath *dp, char *why)
{
	int err = wait_open(&dp->wait);

	if (err < 0)
		wait_why_open(why, err);
	return err;
}

static int open_udp(struct qx_datapath *dp, const struct qx_config *cfg, char *why)
{
	int err = icmp_open(&dp->icmp, cfg->remote.family != QX_UNSPEC);

	if (err < 0) {
		why_set(why, "no memory for the table of peers that ICMP is checked against");
		return err;
	}
	if ((err = udp_open(&dp->udp, cfg, why)) < 0)
		return err;
	udp_set_icmp(dp->udp, dp->icmp);
	udp_local(dp->udp, &dp->local);
	udp_remote(dp->udp, &dp->remote);
	udp_set_acl(dp->udp, dp->acl);
	return 0;
}

int datapath_watch(struct qx_datapath *dp, int fd, char *why)
{
	int err = wait_watch(dp->wait, fd);

	if (err < 0)
		wait_why_watch(why, err);
	return err;
}

/* join_more adds the other interfaces, each behind the last. */
static int join_more(struct qx_datapath *first, struct qx_config *cfg, char *why)
{
	struct qx_datapath *last = first;
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < QX_MORE_INTERFACES_MAX; i++) {
		struct qx_datapath *dp;

		if (!cfg->more_interfaces[i][0])
			break;
		memcpy(cfg->interface, cfg->more_interfaces[i], sizeof(cfg->interface));
		if (!(dp = new_datapath(cfg, why)))
			return -ENOMEM;
		dp->local = first->local;
		dp->remote = first->remote;
		dp->acl = first->acl;
		dp->wait = first->wait;
		dp->udp = first->udp;
		last = last->next = dp;
		err = datapath_join(dp, cfg, why);
	}
	return err;
}

int qx_open(struct qx_datapath **out, const struct qx_config *config, char *why)
{
	struct qx_config cfg = *config;
	char unread[QX_WHY_BYTES];
	struct qx_datapath *dp;
	int err;

	if (!why)
		why = unread;
	why[0] = 0;
	if ((err = datapath_check_config(&cfg, why)) < 0)
		return err;
	if (cfg.socket_fd < 0 && (err = datapath_pick_family(&cfg, why)) < 0)
		return err;
	if (!(dp = new_datapath(&cfg, why)))
		return -ENOMEM;
	if ((err = acl_open(&dp->acl, cfg.source_rules, cfg.source_rule_cnt, why)) < 0)
		goto close_datapath;
	if ((err = open_wait(dp, why)) < 0)
		goto close_datapath;
	if ((err = open_udp(dp, &cfg, why)) < 0)
		goto close_datapath;
	if ((err = datapath_watch(dp, udp_fd(dp->udp), why)) < 0)
		goto disown_socket;
	if (cfg.interface[0] && (err = datapath_join(dp, &cfg, why)) < 0)
		goto disown_socket;
	if ((err = join_more(dp, &cfg, why)) < 0)
		goto disown_socket;
	*out = dp;
	return 0;

disown_socket:
	/* An adopted socket stays the caller's when we fail. */
	if (cfg.socket_fd >= 0)
		udp_disown(dp->udp);
close_datapath:
	qx_close(dp);
	return err;
}

int datapath_open_simulated(struct qx_datapath **out, const struct qx_config *cfg,
			    datapath_nic_opener *open_nic, void *arg, char *why)
{
	char unread[QX_WHY_BYTES];
	struct qx_datapath *dp;
	struct qx_nic *nic;
	int err;

	if (!why)
		why = unread;
	why[0] = 0;
	if ((err = datapath_check_config(cfg, why)) < 0)
		return err;
	if (cfg->local.family == QX_UNSPEC || cfg->local.port == 0) {
		why_set(why,
			"the simulation has no kernel to pick an address: name the local "
			"address and port");
		return -EINVAL;
	}
	if (!(dp = new_datapath(cfg, why)))
		return -ENOMEM;
	dp->simulated = true;
	dp->local = cfg->local;
	dp->remote = cfg->remote;
	if ((err = acl_open(&dp->acl, cfg->source_rules, cfg->source_rule_cnt, why)) < 0)
		goto close_datapath;
	if ((err = open_wait(dp, why)) < 0)
		goto close_datapath;
	if ((err = open_nic(&nic, cfg, arg, why)) < 0)
		goto close_datapath;
	if ((err = device_wrap(&dp->dev, nic, why)) < 0)
		goto close_datapath;
	if ((err = datapath_open_port(dp, why)) < 0)
		goto close_datapath;
	*out = dp;
	return 0;

close_datapath:
	qx_close(dp);
	return err;
}

void qx_close(struct qx_datapath *dp)
{
	if (!dp)
		return;
	if (dp->udp && datapath_usable(dp) < 0)
		udp_forked(dp->udp);
	datapath_drop_tap(dp);
	for (struct qx_datapath *m = dp; m; m = m->next) {
		if (m->port)
			port_close(m->port);
		if (m->dev)
			device_put(m->dev);
	}
	while (dp->next) {
		struct qx_datapath *m = dp->next;

		dp->next = m->next;
		free(m);
	}
	udp_close(dp->udp);
	icmp_close(dp->icmp);
	wait_close(dp->wait);
	acl_close(dp->acl);
	addr_table_close(dp->tap_sources);
	free(dp);
}

/* ---- Waiting ---- */

int qx_fd(const struct qx_datapath *dp)
{
	return wait_fd(dp->wait);
}

int qx_wait(struct qx_datapath *dp, uint64_t spin_ns, uint64_t timeout_ns)
{
	int err = datapath_usable(dp);

	return err < 0 ? err : wait_until(dp->wait, spin_ns, timeout_ns);
}

/* Between two looks into the drivers' queues. */
#define BUSY_POLL_NS 2000

int qx_spin(struct qx_datapath *dp, uint64_t spin_ns)
{
	int err = datapath_usable(dp), got = 0;
	bool busy = false;

	if (err < 0)
		return err;
	for (const struct qx_datapath *m = dp; m; m = m->next)
		busy |= m->port && !m->port_down && port_busy_polls(m->port);
	if (!busy)
		return wait_until(dp->wait, spin_ns, spin_ns);
	for (uint64_t spent = 0; spent < spin_ns && got == 0; spent += BUSY_POLL_NS) {
		for (struct qx_datapath *m = dp; m; m = m->next)
			if (m->port && !m->port_down)
				port_busy_poll(m->port);
		got = wait_until(dp->wait, BUSY_POLL_NS, BUSY_POLL_NS);
	}
	return got;
}

int qx_arm(struct qx_datapath *dp, uint64_t deadline_ns)
{
	int err = datapath_usable(dp);

	if (err < 0 || dp->simulated)
		return err;
	return wait_arm(dp->wait, deadline_ns);
}

int qx_hold(struct qx_datapath *dp, uint32_t hold)
{
	int err = datapath_usable(dp);

	if (err < 0 || dp->simulated)
		return err;
	return wait_hold(dp->wait, hold != 0);
}

/* ---- Asking ---- */

void qx_local(const struct qx_datapath *dp, struct qx_addr *out)
{
	*out = dp->local;
}

size_t qx_memory(const struct qx_datapath *dp, uint32_t lane, uint8_t **base)
{
	*base = NULL;
	if (datapath_usable(dp) < 0)
		return 0;
	if (lane == QX_LANE_SOCKET && dp->udp)
		return udp_memory(dp->udp, base);
	if (lane < QX_LANE_XDP)
		return 0;
	dp = datapath_member(dp, lane - QX_LANE_XDP);
	return dp && dp->dev ? device_memory(dp->dev, base) : 0;
}

int qx_next_error(struct qx_datapath *dp, struct qx_error *out)
{
	int err = datapath_usable(dp);

	if (err < 0)
		return err;
	if (errors_pop(&dp->errors, out))
		return 1;
	return dp->udp ? udp_next_error(dp->udp, out) : 0;
}

uint32_t qx_error_cnt(const struct qx_datapath *dp)
{
	return dp->errors.cnt + (dp->udp ? udp_error_cnt(dp->udp) : 0);
}

int qx_interface(const struct qx_datapath *dp, uint32_t n, struct qx_interface_info *out)
{
	int err = datapath_usable(dp);

	if (err < 0)
		return err;
	dp = datapath_member(dp, n);
	if (!dp || !dp->dev || dp->port_down || dp->port_stale)
		return 0;
	device_info(dp->dev, out);
	out->tx = dp->port_sends;
	return 1;
}

/* Counters and gauges of interfaces are summed; all but the last one.  They are 64-bit numbers
 * up to frame_cnt and 32-bit ones from there. */
static void add_interface(struct qx_stats *sum, const struct qx_stats *one, bool first)
{
	uint64_t *wide = (uint64_t *)sum;
	uint32_t *narrow = &sum->frame_cnt;
	uint32_t zerocopy = one->zerocopy && (first || sum->zerocopy);

	for (size_t i = 0; i < offsetof(struct qx_stats, frame_cnt) / sizeof(*wide); i++)
		wide[i] += ((const uint64_t *)one)[i];
	for (size_t i = 0; i < STATS_GAUGE_CNT; i++)
		narrow[i] += (&one->frame_cnt)[i];
	sum->zerocopy = zerocopy;
}

int qx_get_stats(struct qx_datapath *dp, struct qx_stats *out)
{
	int err = datapath_usable(dp);

	*out = (struct qx_stats){0};
	if (err < 0)
		return err;
	for (const struct qx_datapath *m = dp; m; m = m->next) {
		struct qx_stats one = m->left;

		if (m->port)
			err = port_stats(m->port, &one);
		if (err < 0)
			return err;
		add_interface(out, &one, m == dp);
	}
	if (dp->udp)
		udp_stats(dp->udp, out);
	if (dp->icmp)
		icmp_stats(dp->icmp, out);
	for (uint32_t i = 0; i < QX_DROP_CNT; i++)
		out->drop[i] += dp->drop[i];
	out->errors_lost += dp->errors.lost;
	out->turns = dp->turns;
	out->turns_empty = dp->turns_empty;
	return err;
}
