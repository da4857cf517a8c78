/* test_ways.c: the XDP lane follows the kernel's routes, neighbours, addresses and link, and
 * what it is not sure of goes by the kernel's socket.  Needs root for namespaces of its own.
 *
 * Beyond host 1 of the cable lie 10.99.0.1 and fd99::1.  Host 9 does not exist; its neighbour
 * entry is made by hand, so that frames to it can be told by their MAC address. */
#define _GNU_SOURCE
#include "lanes.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>

enum {
	FAR_PORT = 6000,
	MANY_ROUTES = 12000,
	ROUNDS_MAX = 50,
	TRIES = 64 /* frames seen before the one that is looked for */
};

#define BOTH(family) (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2)

static const uint8_t mac_of_9[6] = {2, 0, 0, 0, 0, 0x99};

static struct qx_addr far_addr(uint8_t family)
{
	struct qx_addr a = {.family = family, .port = FAR_PORT};

	if (family == QX_IPV4)
		memcpy(a.ip, (uint8_t[]){10, 99, 0, 1}, 4);
	else
		memcpy(a.ip, (uint8_t[16]){0xfd, 0x99, [15] = 1}, 16);
	return a;
}

/* The network as each test finds it, whatever the one before did. */
static void fresh_network(void)
{
	T_EQ(netns_ip(NETNS_A, "link del qxa\n"), 0);
	T_EQ(netns_cable(), 0);
	T_EQ(netns_ip(NETNS_A, "addr replace 10.99.0.1/32 dev lo\n"
			       "addr replace fd99::1/128 dev lo nodad\n"),
	     0);
	T_EQ(netns_ip(NETNS_B, "route add 10.99.0.0/24 via 10.77.0.1\n"
			       "route add fd99::/64 via fd77::1\n"
			       "neigh add 10.77.0.9 lladdr 02:00:00:00:00:99 dev qxb\n"
			       "neigh add fd77::9 lladdr 02:00:00:00:00:99 dev qxb\n"),
	     0);
}

static int far_fd = -1, raw_fd = -1; /* of the test that runs; closed after it */

static void far_socket(struct qx_addr local)
{
	far_fd = kernel_socket(NETNS_A, local, NULL);
}

static void after_each(void)
{
	if (far_fd >= 0)
		close(far_fd);
	if (raw_fd >= 0)
		close(raw_fd);
	far_fd = raw_fd = -1;
	lanes_after_each();
}

/* begin opens a server in a fresh network, and the far socket that *path leads to. */
static struct qx_datapath *begin(uint8_t family, struct qx_path *path)
{
	struct qx_datapath *dp;

	fresh_network();
	dp = open_server(netns_addr(family, 2, SERVER_PORT));
	*path = (struct qx_path){.peer = far_addr(family)};
	far_socket(path->peer);
	return dp;
}

static void end(struct qx_datapath *dp)
{
	close(far_fd);
	far_fd = -1;
	close_server(dp);
}

/* ip_b lets ip in NETNS_B do the line of that family. */
static void ip_b(uint8_t family, const char *line4, const char *line6)
{
	const char *line = family == QX_IPV4 ? line4 : line6;

	if (netns_ip(NETNS_B, line))
		T_FAIL("ip %s", line);
}

static uint64_t sent_over(struct qx_datapath *dp, enum qx_lane lane)
{
	return stats_of(dp).lane[lane].tx_packets;
}

/* send_expect sends one datagram and checks which lane took it. */
static void send_expect(struct qx_datapath *dp, const struct qx_path *path, enum qx_lane lane)
{
	uint64_t before = sent_over(dp, lane), other = sent_over(dp, 1 - lane);

	T_EQ(send_to(dp, path, 300, 1), 1);
	/* What the kernel refuses is counted nowhere as sent. */
	if (lane == QX_LANE_XDP)
		T_EQ(sent_over(dp, lane), before + 1);
	T_EQ(sent_over(dp, 1 - lane), other);
}

/* rings_again sends until the rings take it: the mirror may pause before it reads everything
 * anew, and the kernel may have neighbours to find. */
static void rings_again(struct qx_datapath *dp, const struct qx_path *path)
{
	uint64_t before = sent_over(dp, QX_LANE_XDP);

	for (int i = 0; i < ROUNDS_MAX && sent_over(dp, QX_LANE_XDP) == before; i++) {
		read_news(dp);
		T_EQ(send_to(dp, path, 300, 1), 1);
	}
	T_EQ(sent_over(dp, QX_LANE_XDP), before + 1);
}

/* forget takes what has arrived at the far socket. */
static void forget(void)
{
	uint8_t bytes[2048];

	while (recv(far_fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
		;
}

/* resolve lets the kernel find the neighbours on the way, by the socket. */
static void resolve(struct qx_datapath *dp, const struct qx_path *path)
{
	rings_again(dp, path);
	peer_hears(far_fd, 300, 1);
	forget();
}

/* Sees what arrives from now on. */
static int packet_socket(void)
{
	if (raw_fd >= 0)
		close(raw_fd);
	raw_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	T_CHECK(raw_fd >= 0);
	return raw_fd;
}

/* The MAC address that the next UDP frame on qxa from our server is for. */
static void next_mac(int raw, uint8_t *mac)
{
	struct pollfd p = {.fd = raw, .events = POLLIN};
	uint8_t f[2048];

	for (int i = 0; i < TRIES && poll(&p, 1, ARRIVE_MS) == 1; i++) {
		ssize_t n = recv(raw, f, sizeof(f), 0);
		uint32_t udp = n > 14 && f[12] == 0x08 ? 14 + 20 : 14 + 40;

		if (n > udp + 8 && f[udp] == SERVER_PORT >> 8 &&
		    f[udp + 1] == (SERVER_PORT & 0xff)) {
			memcpy(mac, f, 6);
			return;
		}
	}
	T_FAIL("no frame of the server");
}

/* ---- Tests ---- */

/* The frames go to the gateway's MAC address, whoever the last frame came from; a change
 * holds from the next datagram on. */
static void the_rings_follow_a_change_of_the_gateway(void)
{
	for
		BOTH(family)
		{
			struct qx_path path;
			struct qx_datapath *dp = begin(family, &path);
			uint8_t mac[6];
			int raw;

			resolve(dp, &path);
			send_expect(dp, &path, QX_LANE_XDP);
			peer_hears(far_fd, 300, 1);
			ip_b(family, "route replace 10.99.0.0/24 via 10.77.0.9\n",
			     "route replace fd99::/64 via fd77::9\n");
			read_news(dp);
			raw = packet_socket();
			send_expect(dp, &path, QX_LANE_XDP);
			next_mac(raw, mac);
			T_EQ(memcmp(mac, mac_of_9, 6), 0);
			ip_b(family, "route replace 10.99.0.0/24 via 10.77.0.1\n",
			     "route replace fd99::/64 via fd77::1\n");
			read_news(dp);
			send_expect(dp, &path, QX_LANE_XDP);
			peer_hears(far_fd, 300, 1);
			end(dp);
		}
}

/* A frame with a forged source address, from whatever MAC address, moves nothing. */
static void a_forged_frame_does_not_draw_replies(void)
{
	struct qx_path path;
	struct qx_datapath *dp = begin(QX_IPV4, &path);
	struct qx_addr server = netns_addr(QX_IPV4, 2, SERVER_PORT);
	struct sockaddr_in6 sa;
	uint8_t right[6], now[6];
	int raw;

	resolve(dp, &path);
	raw = packet_socket();
	send_expect(dp, &path, QX_LANE_XDP);
	next_mac(raw, right);
	/* The same address, behind another card. */
	T_EQ(netns_ip(NETNS_A, "link set qxa address 02:00:00:00:00:77\n"), 0);
	T_EQ(connect(far_fd, (struct sockaddr *)&sa, to_sockaddr(&sa, &server)), 0);
	heard_clear();
	peer_send(far_fd, 50, 3);
	hear(dp, 1);
	T_EQ(heard.lane[QX_LANE_XDP], 1);
	raw = packet_socket();
	T_EQ(send_to(dp, &heard.path, 300, 1), 1);
	next_mac(raw, now);
	T_EQ(memcmp(now, right, 6), 0);
	end(dp);
}

/* Lost: the socket asks again.  Back: the rings go on.  Nothing is lost on the way. */
static void a_neighbour_may_be_lost_and_come_back(void)
{
	for
		BOTH(family)
		{
			struct qx_path path;
			struct qx_datapath *dp = begin(family, &path);

			resolve(dp, &path);
			for (int i = 0; i < 3; i++) {
				ip_b(family, "neigh del 10.77.0.1 dev qxb\n",
				     "neigh del fd77::1 dev qxb\n");
				read_news(dp);
				send_expect(dp, &path, QX_LANE_SOCKET);
				peer_hears(far_fd, 300, 1);
				read_news(dp);
				send_expect(dp, &path, QX_LANE_XDP);
				peer_hears(far_fd, 300, 1);
			}
			end(dp);
		}
}

/* The kernel does not see what leaves through the rings; it must be told that the neighbour
 * is in use, but not for every packet. */
static void a_stale_neighbour_is_solicited_once(void)
{
	for
		BOTH(family)
		{
			struct qx_path path;
			struct qx_datapath *dp = begin(family, &path);
			uint64_t before;

			resolve(dp, &path);
			ip_b(family, "neigh change 10.77.0.1 nud stale dev qxb\n",
			     "neigh change fd77::1 nud stale dev qxb\n");
			read_news(dp);
			before = stats_of(dp).mirror_solicits;
			for (int i = 0; i < 5; i++) {
				send_expect(dp, &path, QX_LANE_XDP);
				peer_hears(far_fd, 300, 1);
				read_news(dp);
			}
			T_EQ(stats_of(dp).mirror_solicits, before + 1);
			end(dp);
		}
}

/* What only the kernel understands is the kernel's, until it is gone again. */
static void routes_and_rules_that_are_not_mirrored_mean_the_socket(void)
{
	static const struct {
		const char *set, *undo;
		uint8_t family;
	} cases[] = {
		{"route add blackhole 10.99.0.1\n", "route del blackhole 10.99.0.1\n",
		 QX_IPV4},
		{"route add unreachable fd99::1\n", "route del unreachable fd99::1\n",
		 QX_IPV6},
		{"route add prohibit 10.99.0.0/28\n", "route del prohibit 10.99.0.0/28\n",
		 QX_IPV4},
		{"route add 10.99.0.1 nexthop via 10.77.0.1 nexthop via 10.77.0.9\n",
		 "route del 10.99.0.1\n", QX_IPV4},
		{"route add fd99::1 nexthop via fd77::1 nexthop via fd77::9\n",
		 "route del fd99::1 nexthop via fd77::1 nexthop via fd77::9\n", QX_IPV6},
		{"route add 10.99.0.0/24 tos 0x10 via 10.77.0.9\n",
		 "route del 10.99.0.0/24 tos 0x10 via 10.77.0.9\n", QX_IPV4},
		{"route add 10.99.0.1 dev lo\n", "route del 10.99.0.1 dev lo\n", QX_IPV4},
		{"rule add from 10.77.0.2 table 99\n", "rule del from 10.77.0.2 table 99\n",
		 QX_IPV4},
		{"rule del pref 32766\n", "rule add pref 32766 table main\n", QX_IPV4},
		{"route add local 10.99.0.0/24 dev lo\n",
		 "route del local 10.99.0.0/24 dev lo\n", QX_IPV4},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qx_path path;
		struct qx_datapath *dp = begin(cases[i].family, &path);

		resolve(dp, &path);
		if (netns_ip(NETNS_B, cases[i].set))
			T_FAIL("ip %s", cases[i].set);
		read_news(dp);
		if (sent_over(dp, QX_LANE_XDP) != 1)
			T_FAIL("before %s", cases[i].set);
		send_expect(dp, &path, QX_LANE_SOCKET);
		T_EQ(netns_ip(NETNS_B, cases[i].undo), 0);
		rings_again(dp, &path);
		end(dp);
	}
}

static int reserve_one(struct qx_datapath *dp, const struct qx_path *path, uint32_t len_bytes)
{
	struct qx_slot slot;
	int got = qx_reserve(dp, path, len_bytes, &slot, 1);

	if (got == 1) {
		T_EQ(slot.lane, QX_LANE_XDP);
		slot.len_bytes = 0;
		T_EQ(qx_commit(dp, &slot, 1), 0);
	}
	return got;
}

/* A datagram that the path cannot take is refused where it is handed over. */
static void mtu_changes_of_interface_and_route_are_followed(void)
{
	for
		BOTH(family)
		{
			struct qx_path path;
			struct qx_datapath *dp = begin(family, &path);
			uint32_t headers = family == QX_IPV4 ? 28 : 48;

			resolve(dp, &path);
			T_EQ(reserve_one(dp, &path, 1500 - headers), 1);
			T_EQ(reserve_one(dp, &path, 1500 - headers + 1), -EMSGSIZE);
			T_EQ(netns_ip(NETNS_B, "link set qxb mtu 1400\n"), 0);
			read_news(dp);
			T_EQ(reserve_one(dp, &path, 1400 - headers), 1);
			T_EQ(reserve_one(dp, &path, 1400 - headers + 1), -EMSGSIZE);
			T_EQ(netns_ip(NETNS_B, "link set qxb mtu 1500\n"), 0);
			ip_b(family, "route replace 10.99.0.0/24 via 10.77.0.1 mtu 1300\n",
			     "route replace fd99::/64 via fd77::1 mtu 1300\n");
			read_news(dp);
			T_EQ(reserve_one(dp, &path, 1300 - headers), 1);
			T_EQ(reserve_one(dp, &path, 1300 - headers + 1), -EMSGSIZE);
			T_CHECK(stats_of(dp).mirror_link_changes >= 2);
			end(dp);
		}
}

/* Down: the kernel says what it says.  Up, with its routes: the rings again. */
static void a_link_that_flaps_is_left_and_taken_again(void)
{
	struct qx_path path;
	struct qx_datapath *dp = begin(QX_IPV4, &path);

	resolve(dp, &path);
	for (int i = 0; i < 3; i++) {
		T_EQ(netns_ip(NETNS_B, "link set qxb down\n"), 0);
		read_news(dp);
		send_expect(dp, &path, QX_LANE_SOCKET);
		/* The kernel has deleted the route, and told nobody. */
		T_EQ(netns_ip(NETNS_B, "link set qxb up\n"), 0);
		read_news(dp);
		send_expect(dp, &path, QX_LANE_SOCKET);
		T_EQ(netns_ip(NETNS_B, "route add 10.99.0.0/24 via 10.77.0.1\n"), 0);
		rings_again(dp, &path);
		peer_hears(far_fd, 300, 1);
		forget();
	}
	end(dp);
}

/* Sending from an address that is ours no more would be answered by nobody. */
static void an_address_that_was_taken_away_is_not_sent_from(void)
{
	struct qx_datapath *dp;
	struct qx_path path = {.peer = netns_addr(QX_IPV4, 1, FAR_PORT),
			       .local = netns_addr(QX_IPV4, 3, SERVER_PORT)};

	fresh_network();
	dp = open_server((struct qx_addr){.family = QX_IPV4, .port = SERVER_PORT});
	far_socket(path.peer);
	resolve(dp, &path);
	T_EQ(netns_ip(NETNS_B, "addr del 10.77.0.3/24 dev qxb\n"), 0);
	read_news(dp);
	send_expect(dp, &path, QX_LANE_SOCKET);
	T_EQ(netns_ip(NETNS_B, "addr add 10.77.0.3/24 dev qxb\n"), 0);
	rings_again(dp, &path);
	peer_hears(far_fd, 300, 1);
	end(dp);
}

/* More news than the socket's buffer holds: everything is read again, and right. */
static void lost_messages_are_made_up_for(void)
{
	struct qx_path path;
	struct qx_datapath *dp = begin(QX_IPV4, &path);
	char *lines = malloc(MANY_ROUTES * 64), *at = lines;
	struct qx_stats before, after;

	T_CHECK(lines != NULL);
	resolve(dp, &path);
	before = stats_of(dp);
	for (int i = 0; i < MANY_ROUTES; i++)
		at += sprintf(at, "route add 10.%d.%d.%d via 10.77.0.1\n", 100 + i / 65536,
			      i / 256 % 256, i % 256);
	sprintf(at, "route add blackhole 10.99.0.1\n");
	T_EQ(netns_ip(NETNS_B, lines), 0);
	free(lines);
	read_news(dp);
	after = stats_of(dp);
	T_CHECK(after.mirror_overruns > before.mirror_overruns);
	T_CHECK(after.mirror_dumps > before.mirror_dumps);
	T_EQ(after.mirror_routes, before.mirror_routes + MANY_ROUTES + 1);
	T_EQ(after.mirror_bad_messages, 0);
	send_expect(dp, &path, QX_LANE_SOCKET);
	T_EQ(netns_ip(NETNS_B, "route del blackhole 10.99.0.1\n"), 0);
	rings_again(dp, &path);
	peer_hears(far_fd, 300, 1);
	end(dp);
}

static const struct t_case cases[] = {
	{"the rings follow a change of the gateway",
	 the_rings_follow_a_change_of_the_gateway},
	{"a forged frame does not draw replies", a_forged_frame_does_not_draw_replies},
	{"a neighbour may be lost and come back", a_neighbour_may_be_lost_and_come_back},
	{"a stale neighbour is solicited once", a_stale_neighbour_is_solicited_once},
	{"routes and rules that are not mirrored mean the socket",
	 routes_and_rules_that_are_not_mirrored_mean_the_socket},
	{"MTU changes of interface and route are followed",
	 mtu_changes_of_interface_and_route_are_followed},
	{"a link that flaps is left and taken again",
	 a_link_that_flaps_is_left_and_taken_again},
	{"an address that was taken away is not sent from",
	 an_address_that_was_taken_away_is_not_sent_from},
	{"lost messages are made up for", lost_messages_are_made_up_for},
};

int main(int argc, char **argv)
{
	t_after_each = after_each;
	return lanes_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
