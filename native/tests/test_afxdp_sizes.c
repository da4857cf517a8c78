/* test_afxdp_sizes.c: how many packet buffers a device gets. */
#include <errno.h>

#include "afxdp.h"
#include "t.h"

static void check_sizes(uint32_t queues, uint64_t memlock, uint32_t want_queues, uint32_t rx,
			uint32_t tx)
{
	struct qx_nic_config cfg = {.interface = "x"};
	struct afxdp_sizes s;

	T_EQ(afxdp_sizes_init(&s, &cfg, queues, 1500, memlock), 0);
	T_EQ(s.queue_cnt, want_queues);
	T_EQ(s.rx_frame_cnt, rx);
	T_EQ(s.tx_frame_cnt, tx);
	T_EQ(s.frame_bytes, 2048);
	T_CHECK(memlock == UINT64_MAX || afxdp_sizes_bytes(&s) <= memlock);
}

/* 20 ms of blocking at 100,000 packets/s needs 2,000 buffers per queue; less only if the
 * kernel will not lock more, and fewer queues only after that. */
static void sizes_follow_the_design(void)
{
	const uint64_t mib = 1 << 20;

	check_sizes(1, UINT64_MAX, 1, 4096, 2048);
	check_sizes(2, UINT64_MAX, 2, 4096, 2048);
	check_sizes(4, UINT64_MAX, 4, 2048, 2048);
	check_sizes(16, UINT64_MAX, 16, 2048, 1024);
	check_sizes(64, UINT64_MAX, 64, 2048, 1024);
	check_sizes(100, UINT64_MAX, 64, 2048, 1024);
	check_sizes(1, 8 * mib, 1, 2048, 2048);
	check_sizes(2, 8 * mib, 2, 1024, 1024);
	check_sizes(16, 8 * mib, 15, 256, 256);
	check_sizes(64, 8 * mib, 15, 256, 256);
	check_sizes(4, 1 * mib, 1, 256, 256);
}

static void sizes_that_were_asked_for_are_kept_or_refused(void)
{
	struct qx_nic_config cfg = {.interface = "x", .rx_frame_cnt = 8192};
	struct afxdp_sizes s;

	T_EQ(afxdp_sizes_init(&s, &cfg, 2, 1500, 33 << 20), 0);
	T_EQ(s.rx_frame_cnt, 8192);
	T_EQ(s.tx_frame_cnt, 512);
	T_EQ(s.queue_cnt, 2);
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1500, 8 << 20), -ENOBUFS);
	cfg.rx_frame_cnt = 3000;
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1500, UINT64_MAX), -EINVAL);
	cfg.rx_frame_cnt = 8;
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1500, UINT64_MAX), -EINVAL);
	cfg.rx_frame_cnt = 131072;
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1500, UINT64_MAX), -EINVAL);
}

static void frames_are_long_enough_for_the_mtu(void)
{
	struct qx_nic_config cfg = {.interface = "x"};
	struct afxdp_sizes s;

	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1778, UINT64_MAX), 0);
	T_EQ(s.frame_bytes, 2048);
	T_EQ(afxdp_sizes_init(&s, &cfg, 1, 1779, UINT64_MAX), 0);
	T_EQ(s.frame_bytes, 4096);
}

static const struct t_case cases[] = {
	{"sizes follow the design", sizes_follow_the_design},
	{"sizes that were asked for are kept or refused",
	 sizes_that_were_asked_for_are_kept_or_refused},
	{"frames are long enough for the MTU", frames_are_long_enough_for_the_mtu},
};

T_MAIN(cases)
