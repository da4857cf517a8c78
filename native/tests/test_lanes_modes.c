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

	T_EQ(qx_interface(dp, 0, &info), 1);
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

/* ---- Several interfaces ---- */

/* A second cable: qxc 10.78.0.1, fd78::1 in namespace A, qxd 10.78.0.2, fd78::2 in B. */
static void lay_second_cable(void)
{
	char lines[256];

	snprintf(lines, sizeof(lines),
		 "link add qxd index 74 type veth peer name qxc index 73 netns %d\n",
		 (int)getpid());
	T_EQ(netns_enter(NETNS_A), 0);
	T_EQ(netns_ip(NETNS_B, lines), 0);
	T_EQ(netns_ip(NETNS_B, "link set qxd up\naddr add 10.78.0.2/24 dev qxd\n"
			       "addr add fd78::2/64 dev qxd nodad\n"),
	     0);
	T_EQ(netns_ip(NETNS_A, "link set qxc up\naddr add 10.78.0.1/24 dev qxc\n"
			       "addr add fd78::1/64 dev qxc nodad\n"),
	     0);
}

static void cut_second_cable(void)
{
	netns_ip(NETNS_A, "link del qxc\n");
}

/* The address of a host at the first or the second cable. */
static struct qx_addr at_cable(uint32_t cable, uint8_t family, uint8_t host, uint16_t port)
{
	struct qx_addr a = netns_addr(family, host, port);

	a.ip[1] = (uint8_t)(a.ip[1] + cable);
	return a;
}

static struct qx_config config_of_both(void)
{
	struct qx_addr any = {.family = QX_IPV6, .port = SERVER_PORT};
	struct qx_config cfg = server_config(any);

	snprintf(cfg.more_interfaces[0], QX_IFNAME_BYTES, "qxd");
	return cfg;
}

/* A wildcard server that names both has both, in either family. */
static void an_endpoint_serves_several_interfaces(void)
{
	struct qx_config cfg = config_of_both();
	struct qx_interface_info infos[2], none;
	struct qx_stats before, stats;
	struct qx_datapath *dp;
	uint8_t *memory[2];
	int cnt;

	lay_second_cable();
	dp = opened(&cfg);
	before = stats_of(dp);
	for (uint32_t cable = 0; cable < 2; cable++)
		for
			BOTH(family)
			{
				struct qx_addr to = at_cable(cable, family, 2, SERVER_PORT);
				int fd = kernel_socket(NETNS_A, at_cable(cable, family, 1, 0),
						       &to);

				/* The first answer may go by socket, which finds the way. */
				for (int i = 0; i < 5; i++) {
					ask(dp, fd, QX_LANE_XDP);
					T_EQ(heard.interface, cable);
					to.port = heard.path.local.port;
					T_EQ(memcmp(&heard.path.local, &to, sizeof(to)), 0);
					if (i == 0)
						read_news(dp);
				}
				close(fd);
			}
	stats = stats_of(dp);
	cnt = qx_interface(dp, 0, &infos[0]) + qx_interface(dp, 1, &infos[1]) +
	      qx_interface(dp, 2, &none);
	T_CHECK(qx_memory(dp, QX_LANE_XDP, &memory[0]) > 0);
	T_CHECK(qx_memory(dp, QX_LANE_XDP + 1, &memory[1]) > 0);
	T_EQ(qx_memory(dp, QX_LANE_XDP + 2, &memory[1]), 0);
	close_server(dp);
	cut_second_cable();
	T_EQ(cnt, 2);
	T_EQ(strcmp(infos[0].name, "qxb"), 0);
	T_EQ(strcmp(infos[1].name, "qxd"), 0);
	T_EQ(stats.lane[QX_LANE_XDP].rx_packets, 20);
	T_EQ(stats.rx_ring_produced, 20);
	T_EQ(stats.lane[QX_LANE_XDP].tx_packets + stats.lane[QX_LANE_SOCKET].tx_packets, 20);
	T_CHECK(stats.lane[QX_LANE_XDP].tx_packets >= 16);
	T_EQ(stats.queue_cnt, 2 + infos[1].queue_cnt);
	T_EQ(before.mirror_dumps, 2);
}

/* One interface that goes takes nothing with it; when it is back, it is joined again. */
static void one_of_several_interfaces_may_go_and_come_back(void)
{
	struct qx_addr first = at_cable(0, QX_IPV4, 2, SERVER_PORT);
	struct qx_addr second = at_cable(1, QX_IPV4, 2, SERVER_PORT);
	struct qx_config cfg = config_of_both();
	int fd, gone = 0, rejoined = -EAGAIN;
	struct qx_interface_info info;
	char why[QX_WHY_BYTES];
	struct qx_datapath *dp;

	lay_second_cable();
	dp = opened(&cfg);
	cut_second_cable();
	for (int i = 0; i < 50 && !gone; i++)
		if (readable(dp, QUIET_MS))
			gone = take(dp);
	T_EQ(gone, -ENETDOWN);
	T_EQ(qx_interface(dp, 0, &info), 1);
	T_EQ(qx_interface(dp, 1, &info), 0);
	fd = peer(&first);
	ask(dp, fd, QX_LANE_XDP);
	T_EQ(qx_rejoin(dp, why), -ENODEV);
	ask(dp, fd, QX_LANE_XDP);
	close(fd);
	lay_second_cable();
	T_EQ(netns_enter(NETNS_B), 0);
	for (int i = 0; i < 100 && rejoined < 0; i++) {
		rejoined = qx_rejoin(dp, why);
		if (rejoined < 0)
			poll(NULL, 0, 10);
	}
	T_EQ(netns_enter(NETNS_A), 0);
	fd = kernel_socket(NETNS_A, at_cable(1, QX_IPV4, 1, 0), &second);
	ask(dp, fd, QX_LANE_XDP);
	T_EQ(heard.interface, 1);
	close(fd);
	close_server(dp);
	cut_second_cable();
	T_EQ(rejoined, 0);
}

/* A host that loses two cards at once must not count, and tell, one. */
static void interfaces_that_go_together_are_told_one_by_one(void)
{
	struct qx_config cfg = config_of_both();
	struct qx_datapath *dp;
	int told = 0;

	lay_second_cable();
	dp = opened(&cfg);
	T_EQ(netns_ip(NETNS_B, "link del qxb\nlink del qxd\n"), 0);
	for (int i = 0; i < 50 && readable(dp, QUIET_MS); i++)
		told += take(dp) == -ENETDOWN;
	close_server(dp);
	T_EQ(netns_cable(), 0);
	T_EQ(told, 2);
}

/* All of them or none: what was opened before the one that fails is closed again. */
static void an_interface_that_fails_takes_the_others_with_it(void)
{
	struct qx_config cfg = config_of_both();
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES] = "";

	T_EQ(try_server(&dp, &cfg, why), -ENODEV);
	if (strncmp(why, "qxd: ", 5))
		T_FAIL("%s", why);
	T_EQ(attached_mode(), 0);
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
	{"an endpoint serves several interfaces", an_endpoint_serves_several_interfaces},
	{"one of several interfaces may go and come back",
	 one_of_several_interfaces_may_go_and_come_back},
	{"interfaces that go together are told one by one",
	 interfaces_that_go_together_are_told_one_by_one},
	{"an interface that fails takes the others with it",
	 an_interface_that_fails_takes_the_others_with_it},
};

int main(int argc, char **argv)
{
	return lanes_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
