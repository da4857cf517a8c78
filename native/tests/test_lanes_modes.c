/* test_lanes_modes.c: the lanes in the modes that an operator may ask for, with traffic over
 * a cable (netns.h): generic mode, AF_XDP for receiving only, busy polling. */
#define _GNU_SOURCE
#include "lanes.h"

#include <netinet/udp.h>

#define BOTH(family) (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2)

enum {
	MODE_SKB = 2 /* XDP_ATTACHED_SKB */
};

static struct qx_config config_of(uint8_t family)
{
	return server_config(netns_addr(family, 2, SERVER_PORT));
}

static struct qx_datapath *opened(const struct qx_config *cfg)
{
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES] = "";
	int err = try_server(&dp, cfg, why);

	if (err)
		T_FAIL("%d: %s", err, why);
	return dp;
}

static struct qx_interface_info info_of(const struct qx_datapath *dp)
{
	struct qx_interface_info info;

	T_EQ(qx_interface(dp, &info), 1);
	T_EQ(strcmp(info.name, "qxb"), 0);
	T_EQ(info.queue_cnt, 2);
	return info;
}

/* ask sends, hears and answers, and returns the lane that the question came over. */
static void ask(struct qx_datapath *dp, int fd, enum qx_lane lane)
{
	heard_clear();
	peer_send(fd, 1200, 3);
	hear(dp, 1);
	T_EQ(heard.cnt, 1);
	T_EQ(heard.lane[lane], 1);
	T_EQ(send_to(dp, &heard.path, 1200, 5), 1);
	peer_hears(fd, 1200, 5);
}

/* For interfaces whose driver has no native XDP. */
static void generic_mode_carries_traffic_both_ways(void)
{
	for
		BOTH(family)
		{
			struct qx_config cfg = config_of(family);
			struct qx_datapath *dp;
			struct qx_interface_info info;
			struct qx_stats stats;
			int fd, mode;

			cfg.xdp_mode = QX_XDP_GENERIC;
			dp = opened(&cfg);
			mode = attached_mode();
			fd = peer(&cfg.local);
			ask(dp, fd, QX_LANE_XDP);
			info = info_of(dp);
			stats = stats_of(dp);
			close(fd);
			close_server(dp);
			T_EQ(mode, MODE_SKB);
			T_EQ(info.mode[0], QX_XDP_GENERIC);
			T_EQ(info.mode[1], QX_XDP_GENERIC);
			T_EQ(stats.lane[QX_LANE_XDP].tx_packets, 1);
			T_EQ(stats.zerocopy, 0);
		}
}

/* In generic mode the kernel hands over what a segmenting sender made in one piece.  It is no
 * packet of the wire: the kernel's socket takes it apart. */
static void a_gso_sender_loses_nothing_in_generic_mode(void)
{
	for
		BOTH(family)
		{
			struct qx_config cfg = config_of(family);
			struct qx_datapath *dp;
			int fd, segment_bytes = 1200;
			uint8_t bytes[20 * 1200];

			cfg.xdp_mode = QX_XDP_GENERIC;
			dp = opened(&cfg);
			fd = peer(&cfg.local);
			T_EQ(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment_bytes,
					sizeof(segment_bytes)),
			     0);
			for (int i = 0; i < 20; i++)
				pattern_write(bytes + i * 1200, 1200, (uint8_t)i);
			heard_clear();
			T_EQ(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
			hear(dp, 20);
			close(fd);
			close_server(dp);
			T_EQ(heard.cnt, 20);
			T_EQ(heard.max_bytes, 1200);
			T_EQ(heard.lane[QX_LANE_SOCKET], 20);
		}
}

/* The hybrid: AF_XDP in, UDP_SEGMENT out. */
static void what_receives_over_the_rings_may_send_over_the_socket(void)
{
	static const struct {
		uint32_t flags;
		bool rings_send;
	} rules[] = {
		{0, true},
		{QX_CFG_TX_SOCKET, false},
		/* A veth copies. */
		{QX_CFG_TX_SOCKET_IF_COPIED, false},
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct qx_config cfg = config_of(QX_IPV4);
		struct qx_interface_info info;
		struct qx_datapath *dp;
		struct qx_stats stats;
		int fd;

		cfg.flags = rules[i].flags;
		dp = opened(&cfg);
		fd = peer(&cfg.local);
		ask(dp, fd, QX_LANE_XDP);
		stats = stats_of(dp);
		info = info_of(dp);
		close(fd);
		close_server(dp);
		T_EQ(stats.lane[QX_LANE_XDP].tx_packets, rules[i].rings_send);
		T_EQ(stats.lane[QX_LANE_SOCKET].tx_packets, !rules[i].rings_send);
		T_EQ(info.tx, rules[i].rings_send);
		T_EQ(info.mode[0], QX_XDP_COPY);
	}
}

/* Who polls takes what has come, without any wake-up. */
static void busy_polling_carries_traffic(void)
{
	for
		BOTH(family)
		{
			struct qx_config cfg = config_of(family);
			struct qx_interface_info info;
			struct qx_datapath *dp;
			int fd;

			cfg.busy_poll_us = 20;
			dp = opened(&cfg);
			fd = peer(&cfg.local);
			for (int i = 0; i < 20; i++)
				ask(dp, fd, QX_LANE_XDP);
			info = info_of(dp);
			close(fd);
			close_server(dp);
			T_EQ(info.busy_poll, 1);
			T_EQ(info.note[0], 0);
		}
}

/* One device has one mode: who insists on another one must hear of it. */
static void endpoints_of_one_interface_agree_on_the_mode(void)
{
	struct qx_config cfg = config_of(QX_IPV4), second = config_of(QX_IPV6);
	struct qx_datapath *first = opened(&cfg), *other = NULL;
	char why[QX_WHY_BYTES] = "";
	int err;

	second.xdp_mode = QX_XDP_GENERIC;
	err = try_server(&other, &second, why);
	T_EQ(err, -EBUSY);
	if (!strstr(why, "qxb: ") || !strstr(why, "in mode copy") || !strstr(why, "generic"))
		T_FAIL("%s", why);
	second.xdp_mode = QX_XDP_COPY;
	close_server(opened(&second));
	close_server(first);
}

static void a_mode_that_does_not_exist_is_refused(void)
{
	struct qx_config cfg = config_of(QX_IPV4);
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES] = "";

	cfg.xdp_mode = QX_XDP_MODE_CNT;
	T_EQ(try_server(&dp, &cfg, why), -EINVAL);
	T_CHECK(strstr(why, "xdp_mode"));
}

static const struct t_case cases[] = {
	{"generic mode carries traffic both ways", generic_mode_carries_traffic_both_ways},
	{"a GSO sender loses nothing in generic mode",
	 a_gso_sender_loses_nothing_in_generic_mode},
	{"what receives over the rings may send over the socket",
	 what_receives_over_the_rings_may_send_over_the_socket},
	{"busy polling carries traffic", busy_polling_carries_traffic},
	{"endpoints of one interface agree on the mode",
	 endpoints_of_one_interface_agree_on_the_mode},
	{"a mode that does not exist is refused", a_mode_that_does_not_exist_is_refused},
};

int main(int argc, char **argv)
{
	return lanes_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
