/* test_datapath_life.c: who owns what while an endpoint is opened, forked and closed, and what
 * it tells about itself. */
#define _GNU_SOURCE
#include "datapath_pair.h"

#include <sys/wait.h>

static void refused(const struct qx_config *cfg, int code)
{
	char why[QX_WHY_BYTES] = "";
	struct qx_datapath *none;

	T_EQ(qx_open(&none, cfg, why), code);
	T_CHECK(strlen(why) > 10);
	T_EQ(fake.refs, 0);
	T_EQ(fake.ports, 0);
}

/* The port is open in the kernel before the NIC takes anything away from it, and the
 * device is told what the kernel picked. */
static void the_device_is_told_what_the_socket_became(void)
{
	struct qx_config cfg = with_interface(0);
	struct qx_addr local;

	open_both(0);
	T_EQ(fake.refs, 1);
	T_EQ(fake.ports, 1);
	local = local_of(dp);
	T_EQ(memcmp(&fake.local, &local, sizeof(local)), 0);
	T_EQ(fake.remote.family, QX_UNSPEC);
	qx_close(dp);
	T_EQ(fake.refs, 0);
	T_EQ(fake.ports, 0);

	cfg.remote = local_of(peer);
	dp = open_config(&cfg);
	T_EQ(memcmp(&fake.remote, &cfg.remote, sizeof(cfg.remote)), 0);
	qx_close(dp);

	/* Dual stack: the device must take both families. */
	cfg.remote.family = QX_UNSPEC;
	cfg.local = (struct qx_addr){.family = QX_IPV6};
	dp = open_config(&cfg);
	T_EQ(fake.local.family, QX_UNSPEC);
	T_EQ(fake.local.port, local_of(dp).port);
	qx_close(dp);
	cfg.flags = QX_CFG_V6ONLY;
	dp = open_config(&cfg);
	T_EQ(fake.local.family, QX_IPV6);
	qx_close(dp);
	dp = NULL;

	fake.fail_get = -EBUSY;
	refused(&cfg, -EBUSY);
	fake.fail_get = 0;
	fake.fail_open = -ENOSPC;
	refused(&cfg, -ENOSPC);
}

/* Metrics are the sum of the lanes and of what the datapath itself refused. */
static void statistics_add_both_lanes(void)
{
	struct qx_path there;
	struct qx_stats stats;

	open_both(0);
	there = path_to(peer);
	T_EQ(send_equal(dp, &there, 5, 100, 0), 5);
	stats = stats_of(dp);
	T_EQ(stats.lane[QX_LANE_SOCKET].tx_packets, 5);
	T_EQ(stats.drop[QX_DROP_NOT_OURS], 3);
	T_EQ(stats.frame_cnt, 10);
}

/* Python slices payloads out of these; a lane that is not there has none. */
static void each_lane_has_its_memory(void)
{
	uint8_t *base;

	open_both(0);
	T_EQ(qx_memory(dp, QX_LANE_XDP, &base), FAKE_MEMORY_BYTES);
	T_CHECK(base == fake.memory);
	T_CHECK(qx_memory(dp, QX_LANE_SOCKET, &base) >= 64 * 65536);
	T_CHECK(base != NULL);
	T_EQ(qx_memory(peer, QX_LANE_XDP, &base), 0);
	T_CHECK(base == NULL);
	T_EQ(qx_memory(dp, QX_LANE_CNT, &base), 0);
}

static int child_of_fork(void)
{
	struct qx_stats stats;
	struct qx_error error;
	struct qx_slot slot;
	struct qx_path there = {0};
	uint8_t *base;

	qx_forked();
	if (qx_recv(dp, &batch, now_ns) != -EPERM || qx_arm(dp, 1) != -EPERM ||
	    qx_reserve(dp, &there, 1, &slot, 1) != -EPERM ||
	    qx_commit(dp, &slot, 0) != -EPERM || qx_flush(dp) != -EPERM ||
	    qx_send(dp, payload, NULL, 0, NULL, 0) != -EPERM ||
	    qx_next_error(dp, &error) != -EPERM || qx_get_stats(dp, &stats) != -EPERM ||
	    qx_memory(dp, QX_LANE_SOCKET, &base) != 0)
		return 1;
	qx_recv_done(dp, &batch);
	qx_close(dp);
	qx_close(peer);
	if (fake.forked != 1)
		return 2;
	/* A child that wants its own endpoint gets one. */
	dp = open_at(loopback4(1, 0), 0);
	if (qx_recv(dp, &batch, now_ns) != 0)
		return 3;
	qx_close(dp);
	return 0;
}

/* A forked child (subprocess, multiprocessing) that touches its parent's endpoint is told
 * so, and the parent notices nothing. */
static void a_forked_child_is_refused_and_the_parent_goes_on(void)
{
	struct qx_path there;
	int status = -1;
	pid_t pid;

	open_both(0);
	there = path_to(dp);
	T_EQ(send_equal(peer, &there, 1, 100, 1), 1);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(child_of_fork());
	T_EQ(waitpid(pid, &status, 0), pid);
	T_EQ(status, 0);
	T_CHECK(readable(dp));
	expect_equal(dp, 1, 100, 1);
	T_CHECK(!readable(dp));
	T_EQ(qx_arm(dp, 1), 0);
	T_CHECK(readable(dp));
}

/* Every reason has a name of its own, and the end of the list is marked. */
static void all_reasons_and_states_have_names(void)
{
	for (uint32_t i = 0; i < QX_DROP_CNT; i++) {
		T_CHECK(qx_drop_name(i) != NULL);
		for (uint32_t k = 0; k < i; k++)
			T_CHECK(strcmp(qx_drop_name(i), qx_drop_name(k)) != 0);
	}
	T_CHECK(qx_drop_name(QX_DROP_CNT) == NULL);
	for (uint32_t i = 0; i < QX_FRAME_STATE_CNT; i++)
		T_CHECK(qx_frame_state_name(i) != NULL);
	T_CHECK(qx_frame_state_name(QX_FRAME_STATE_CNT) == NULL);
}

static const struct t_case cases[] = {
	{"the device is told what the socket became",
	 the_device_is_told_what_the_socket_became},
	{"statistics add both lanes", statistics_add_both_lanes},
	{"each lane has its memory", each_lane_has_its_memory},
	{"a forked child is refused and the parent goes on",
	 a_forked_child_is_refused_and_the_parent_goes_on},
	{"all reasons and states have names", all_reasons_and_states_have_names},
};

int main(int argc, char **argv)
{
	fake_reset();
	enter_loopback();
	t_after_each = after_each;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
