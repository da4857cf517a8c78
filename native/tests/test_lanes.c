/* test_lanes.c: which datagrams an endpoint on AF_XDP gets over the rings and which over its
 * kernel socket, and that none is lost between the two.
 *
 * The other end is the kernel's own UDP, or raw frames; the driver's and the stack's
 * counters are the witnesses.  Needs root for network namespaces of its own.
 *
 * Over 500 lines: every case asks the one question, which lane, of the same pair of ends, and
 * is only understood beside the others. */
#define _GNU_SOURCE
#include "lanes.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/udp.h>

#include "afxdp.h"
#include "frames.h"

enum {
	FLOW_CNT = 32,
	PER_FLOW = 20,
	FLOOD_CNT = 20000
};

#define BOTH(family) (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2)

/* raw_socket sends whole frames on qxa. */
static int raw_socket(void)
{
	struct sockaddr_ll any = {.sll_family = AF_PACKET, .sll_ifindex = 71};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	T_CHECK(fd >= 0);
	T_EQ(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	return fd;
}

static void server_mac(uint8_t mac[6])
{
	struct ifinfo info;

	T_EQ(netns_enter(NETNS_B), 0);
	T_EQ(ifinfo_get(&info, "qxb"), 0);
	T_EQ(netns_enter(NETNS_A), 0);
	memcpy(mac, info.mac, 6);
}

/* frame_to_server builds what a peer (host 1, this port) would send. */
static void frame_to_server(struct frame *f, uint8_t family, uint16_t port,
			    uint32_t len_bytes)
{
	struct qx_addr from = netns_addr(family, 1, port);
	struct qx_addr to = netns_addr(family, 2, SERVER_PORT);
	uint8_t mac[6];

	server_mac(mac);
	frame_udp(f, mac, &from, &to, len_bytes);
	for (uint32_t i = 0, at = f->len_bytes - len_bytes; i < len_bytes; i++)
		f->bytes[at + i] = pattern_byte(7, i);
	frame_fix_udp_sum(f);
}

/* ---- The rings carry the traffic ---- */

/* The promise of the whole back end, by three witnesses: ours, the driver's, the stack's. */
static void traffic_goes_over_the_rings_of_both_queues(void)
{
	for
		BOTH(family)
		{
			struct qx_addr addr = netns_addr(family, 2, SERVER_PORT);
			struct qx_datapath *dp = open_server(addr);
			uint64_t udp_before = udp_in_datagrams(), udp_after;
			uint64_t q0 = driver_counter("rx_queue_0_xdp_redirect");
			uint64_t q1 = driver_counter("rx_queue_1_xdp_redirect");
			int fds[FLOW_CNT];
			struct qx_stats stats;

			heard_clear();
			for (int i = 0; i < FLOW_CNT; i++)
				fds[i] = peer(&addr);
			for (int k = 0; k < PER_FLOW; k++) {
				for (int i = 0; i < FLOW_CNT; i++)
					peer_send(fds[i], 1200, (uint8_t)i);
				hear(dp, (uint32_t)(k + 1) * FLOW_CNT);
			}
			for (int i = 0; i < FLOW_CNT; i++)
				close(fds[i]);
			stats = stats_of(dp);
			q0 = driver_counter("rx_queue_0_xdp_redirect") - q0;
			q1 = driver_counter("rx_queue_1_xdp_redirect") - q1;
			udp_after = udp_in_datagrams();
			close_server(dp);
			T_EQ(heard.cnt, FLOW_CNT * PER_FLOW);
			T_EQ(heard.lane[QX_LANE_XDP], FLOW_CNT * PER_FLOW);
			T_EQ(stats.rx_ring_produced, FLOW_CNT * PER_FLOW);
			T_EQ(stats.lane[QX_LANE_XDP].rx_packets, FLOW_CNT * PER_FLOW);
			T_EQ(stats.queue_cnt, 2);
			T_EQ(q0 + q1, FLOW_CNT * PER_FLOW);
			T_CHECK(q0 > 0 && q1 > 0);
			T_EQ(udp_after, udp_before);
		}
}

/* Replies leave over the rings, with checksums that the kernel's UDP accepts. */
static void replies_go_over_the_rings(void)
{
	for
		BOTH(family)
		{
			struct qx_addr addr = netns_addr(family, 2, SERVER_PORT);
			struct qx_datapath *dp = open_server(addr);
			int fd = peer(&addr);
			struct qx_stats stats;

			for (uint32_t len = 0; len <= 1400; len += 7) {
				heard_clear();
				peer_send(fd, len, 3);
				hear(dp, 1);
				T_EQ(heard.cnt, 1);
				T_EQ(send_to(dp, &heard.path, len, 5), 1);
				peer_hears(fd, len, 5);
			}
			take(dp);
			stats = stats_of(dp);
			close(fd);
			close_server(dp);
			T_EQ(stats.lane[QX_LANE_XDP].tx_packets, 201);
			T_EQ(stats.lane[QX_LANE_SOCKET].tx_packets, 0);
			T_EQ(stats.completion_ring_produced, 201);
			T_EQ(stats.frames[QX_FRAME_TX], 0);
		}
}

/* A wildcard server answers from the address that was asked, on the rings too. */
static void a_wildcard_server_hears_both_families_on_all_addresses(void)
{
	struct qx_datapath *dp =
		open_server((struct qx_addr){.family = QX_IPV6, .port = SERVER_PORT});

	for
		BOTH(family)
	for (uint8_t host = 2; host <= 3; host++) {
		struct qx_addr addr = netns_addr(family, host, SERVER_PORT);
		int fd = peer(&addr);

		heard_clear();
		peer_send(fd, 500, 1);
		hear(dp, 1);
		T_EQ(heard.lane[QX_LANE_XDP], 1);
		T_EQ(memcmp(&heard.path.local, &addr, sizeof(addr)), 0);
		T_EQ(send_to(dp, &heard.path, 77, 2), 1);
		peer_hears(fd, 77, 2); /* connected: from addr only */
		close(fd);
	}
	close_server(dp);
}

/* A GSO sender's superframe is segmented by the kernel before native XDP sees it. */
static void datagrams_of_a_gso_sender_arrive_one_by_one(void)
{
	for
		BOTH(family)
		{
			struct qx_addr addr = netns_addr(family, 2, SERVER_PORT);
			struct qx_datapath *dp = open_server(addr);
			int fd = peer(&addr), segment = 1200;
			uint8_t bytes[10 * 1200];

			for (int i = 0; i < 10; i++)
				pattern_write(bytes + i * 1200, 1200, (uint8_t)i);
			T_EQ(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)),
			     0);
			heard_clear();
			for (int i = 0; i < 20; i++)
				T_EQ(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
			hear(dp, 200);
			close(fd);
			close_server(dp);
			T_EQ(heard.cnt, 200);
			T_EQ(heard.max_bytes, 1200);
			T_EQ(heard.lane[QX_LANE_XDP], 200);
		}
}

static void ecn_marks_are_seen_on_the_rings(void)
{
	for
		BOTH(family)
		{
			struct qx_addr addr = netns_addr(family, 2, SERVER_PORT);
			struct qx_datapath *dp = open_server(addr);
			int fd = peer(&addr);

			for (int ecn = 0; ecn < 4; ecn++) {
				if (family == QX_IPV4)
					T_EQ(setsockopt(fd, SOL_IP, IP_TOS, &ecn,
							sizeof(ecn)),
					     0);
				else
					T_EQ(setsockopt(fd, SOL_IPV6, IPV6_TCLASS, &ecn,
							sizeof(ecn)),
					     0);
				heard_clear();
				peer_send(fd, 10, 1);
				hear(dp, 1);
				T_EQ(heard.lane[QX_LANE_XDP], 1);
				T_EQ(heard.ecn, ecn);
			}
			close(fd);
			close_server(dp);
		}
}

/* One flow whose packets come on another queue, as after a rebinding or a change of the
 * hash: all queues are polled, so nothing notices. */
static void a_flow_that_changes_queue_keeps_working(void)
{
	for
		BOTH(family)
		{
			struct qx_datapath *dp =
				open_server(netns_addr(family, 2, SERVER_PORT));
			struct qx_nic_config cfg = {
				.interface = "qxa", .rx_frame_cnt = 64, .tx_frame_cnt = 64};
			struct qx_nic *nic = NULL;
			char why[QX_WHY_BYTES];
			struct frame f;

			T_EQ(afxdp_open(&nic, &cfg, why), 0);
			frame_to_server(&f, family, 5000, 100);
			heard_clear();
			for (uint32_t i = 0; i < 32; i++) {
				struct qx_ring *tx = &nic->queues[i / 3 % 2].tx;
				uint32_t frame = umem_take(&nic->umem, QX_FRAME_BUILT);

				T_CHECK(frame != UINT32_MAX && ring_free(tx, 1));
				memcpy(umem_frame(&nic->umem, frame), f.bytes, f.len_bytes);
				*(struct qx_desc *)ring_produce(tx) = (struct qx_desc){
					(uint64_t)frame << nic->umem.frame_shift, f.len_bytes,
					0};
				ring_publish(tx);
				T_EQ(nic->ops->kick(nic, i / 3 % 2), 0);
				hear(dp, i + 1);
			}
			nic->ops->close(nic);
			close_server(dp);
			T_EQ(heard.lane[QX_LANE_XDP], 32);
		}
}

/* ---- The socket has the rest ---- */

static void fragments_arrive_over_the_socket(void)
{
	for
		BOTH(family)
		{
			struct qx_addr addr = netns_addr(family, 2, SERVER_PORT);
			struct qx_datapath *dp = open_server(addr);
			int fd = peer(&addr);

			heard_clear();
			peer_send(fd, 4000, 9);
			peer_send(fd, 60000, 10);
			hear(dp, 2);
			close(fd);
			close_server(dp);
			T_EQ(heard.cnt, 2);
			T_EQ(heard.lane[QX_LANE_SOCKET], 2);
			T_EQ(heard.max_bytes, 60000);
		}
}

static void ip_options_and_extension_headers_arrive_over_the_socket(void)
{
	static const uint8_t nops[4] = {1, 1, 1, 0};
	static const uint8_t destination_options[8] = {0, 0, 1, 4}; /* padding */

	for
		BOTH(family)
		{
			struct qx_addr addr = netns_addr(family, 2, SERVER_PORT);
			struct qx_datapath *dp = open_server(addr);
			int fd = peer(&addr);

			if (family == QX_IPV4)
				T_EQ(setsockopt(fd, SOL_IP, IP_OPTIONS, nops, sizeof(nops)),
				     0);
			else
				T_EQ(setsockopt(fd, SOL_IPV6, IPV6_DSTOPTS,
						destination_options,
						sizeof(destination_options)),
				     0);
			heard_clear();
			peer_send(fd, 700, 9);
			hear(dp, 1);
			close(fd);
			close_server(dp);
			T_EQ(heard.lane[QX_LANE_SOCKET], 1);
		}
}

/* The neighbours of our port on the same interface must not notice us. */
static void other_ports_and_addresses_are_left_to_their_owners(void)
{
	for
		BOTH(family)
		{
			struct qx_addr addr = netns_addr(family, 2, SERVER_PORT),
				       other = addr, host = addr;
			struct qx_datapath *dp = open_server(addr);
			int other_fd, host_fd, fd;

			other.port++;
			host = netns_addr(family, 3, SERVER_PORT);
			other_fd = kernel_socket(NETNS_B, other, NULL);
			host_fd = kernel_socket(NETNS_B, host, NULL);
			heard_clear();
			fd = peer(&other);
			peer_send(fd, 100, 1);
			peer_hears(other_fd, 100, 1);
			close(fd);
			fd = peer(&host);
			peer_send(fd, 100, 2);
			peer_hears(host_fd, 100, 2);
			close(fd);
			hear_nothing(dp);
			close(other_fd);
			close(host_fd);
			close_server(dp);
			T_EQ(heard.cnt, 0);
		}
}

/* Nobody here has a VLAN device, so tagged frames end in the kernel, not with us. */
static void tagged_frames_are_left_to_the_kernel(void)
{
	for
		BOTH(family)
		{
			struct qx_datapath *dp =
				open_server(netns_addr(family, 2, SERVER_PORT));
			int raw = raw_socket();
			struct qx_stats before, after;
			struct frame f;

			frame_to_server(&f, family, 5000, 100);
			before = stats_of(dp);
			heard_clear();
			frame_insert(&f, 12, "\x81\x00\x00\x05", 4);
			T_EQ(send(raw, f.bytes, f.len_bytes, 0), f.len_bytes);
			frame_insert(&f, 12, "\x88\xa8\x00\x06", 4);
			T_EQ(send(raw, f.bytes, f.len_bytes, 0), f.len_bytes);
			hear_nothing(dp);
			after = stats_of(dp);
			close(raw);
			close_server(dp);
			T_EQ(after.rx_ring_produced, before.rx_ring_produced);
		}
}

/* The first datagram to a neighbour that is not resolved needs ARP or neighbour discovery:
 * the kernel does it, and what it found the rings use. */
static void an_unknown_neighbour_is_reached_over_the_socket_first(void)
{
	for
		BOTH(family)
		{
			struct qx_datapath *dp =
				open_server(netns_addr(family, 2, SERVER_PORT));
			int fd = kernel_socket(NETNS_A, netns_addr(family, 1, 6000), NULL);
			struct qx_path path = {.peer = netns_addr(family, 1, 6000)};
			struct qx_addr server = netns_addr(family, 2, SERVER_PORT);
			struct qx_stats first, then;
			struct sockaddr_in6 sa;

			T_EQ(netns_ip(NETNS_B, "neigh flush dev qxb\n"), 0);
			read_news(dp);
			T_EQ(send_to(dp, &path, 300, 1), 1);
			peer_hears(fd, 300, 1);
			first = stats_of(dp);
			T_EQ(connect(fd, (struct sockaddr *)&sa, to_sockaddr(&sa, &server)),
			     0);
			heard_clear();
			peer_send(fd, 20, 2);
			hear(dp, 1);
			read_news(dp);
			T_EQ(send_to(dp, &path, 300, 3), 1);
			peer_hears(fd, 300, 3);
			then = stats_of(dp);
			close(fd);
			close_server(dp);
			T_EQ(first.lane[QX_LANE_SOCKET].tx_packets, 1);
			T_EQ(first.lane[QX_LANE_XDP].tx_packets, 0);
			T_EQ(then.lane[QX_LANE_SOCKET].tx_packets, 1);
			T_EQ(then.lane[QX_LANE_XDP].tx_packets, 1);
		}
}

/* ---- Floods ---- */

static void expect_service(struct qx_datapath *dp, const struct qx_addr *addr)
{
	int fd = peer(addr);

	heard_clear();
	peer_send(fd, 1000, 4);
	hear(dp, 1);
	T_EQ(heard.lane[QX_LANE_XDP], 1);
	T_EQ(send_to(dp, &heard.path, 1000, 5), 1);
	peer_hears(fd, 1000, 5);
	close(fd);
	take(dp);
}

/* Whatever bytes come, every frame stays accounted for and service goes on. */
static void a_flood_of_mangled_frames_costs_no_frame(void)
{
	for
		BOTH(family)
		{
			struct qx_addr addr = netns_addr(family, 2, SERVER_PORT);
			struct qx_datapath *dp = open_server(addr);
			int raw = raw_socket();
			uint64_t seed = 99, drops = 0;
			struct frame good, f;
			struct qx_stats stats;

			frame_to_server(&good, family, 5000, 300);
			heard_clear();
			for (int i = 0; i < FLOOD_CNT; i++) {
				uint32_t at = 12 + (uint32_t)(t_random(&seed) % 60);

				/* A queue hole of the cable is legal; a truncated frame likewise. */
				f = good;
				f.bytes[at] = (uint8_t)t_random(&seed);
				if (i % 4 == 0)
					f.len_bytes = 14 + (uint32_t)(t_random(&seed) % 330);
				if (i % 2)
					frame_fix_ip_sum(&f);
				T_CHECK(send(raw, f.bytes, f.len_bytes, 0) > 0 ||
					errno == ENOBUFS);
				if (i % 64 == 0) {
					int n = qx_recv(dp, &batch, now_ns());

					T_CHECK(n >= 0);
					qx_recv_done(dp, &batch);
				}
			}
			while (qx_recv(dp, &batch, now_ns()) > 0)
				qx_recv_done(dp, &batch);
			stats = stats_of(dp);
			for (int i = 0; i < QX_DROP_CNT; i++)
				drops += stats.drop[i];
			T_EQ(stats.frames[QX_FRAME_LENT], 0);
			T_EQ(stats.drop[QX_DROP_DESCRIPTOR], 0);
			T_EQ(stats.drop[QX_DROP_NOT_OURS], 0);
			T_CHECK(drops > 100);
			expect_service(dp, &addr);
			close(raw);
			close_server(dp);
		}
}

/* A reader that does not read loses what does not fit, and nothing after it reads again. */
static void a_flood_while_nobody_reads_costs_no_frame(void)
{
	struct qx_config cfg = server_config(netns_addr(QX_IPV4, 2, SERVER_PORT));
	struct qx_datapath *dp = NULL;
	struct qx_stats stats;
	char why[QX_WHY_BYTES];
	int fd;

	cfg.rx_frame_cnt = 128;
	cfg.tx_frame_cnt = 64;
	T_EQ(try_server(&dp, &cfg, why), 0);
	fd = peer(&cfg.local);
	for (int round = 0; round < 20; round++) {
		heard_clear();
		for (int i = 0; i < 1000; i++)
			peer_send(fd, 200, (uint8_t)i);
		while (take(dp) > 0)
			;
		stats = stats_of(dp);
		T_EQ(stats.frames[QX_FRAME_LENT], 0);
		T_EQ(stats.frames[QX_FRAME_FILL], 2 * 128);
		T_CHECK(heard.lane[QX_LANE_XDP] >= 128);
	}
	T_CHECK(stats.kernel_rx_dropped + stats.kernel_rx_ring_full +
			stats.kernel_fill_ring_empty >
		0);
	close(fd);
	expect_service(dp, &cfg.local);
	close_server(dp);
}

/* A batch that the caller keeps lends its frames for as long; the rest goes on. */
static void two_endpoints_of_one_interface_share_it(void)
{
	struct qx_addr one = netns_addr(QX_IPV4, 2, SERVER_PORT);
	struct qx_addr two = netns_addr(QX_IPV6, 3, SERVER_PORT + 1);
	struct qx_datapath *a = open_server(one), *b = open_server(two);
	int fd_one = peer(&one), fd_two = peer(&two);

	for (int i = 0; i < 50; i++) {
		peer_send(fd_one, 100, 1);
		peer_send(fd_two, 200, 2);
	}
	heard_clear();
	hear(a, 50);
	T_EQ(heard.cnt, 50);
	T_EQ(heard.max_bytes, 100);
	/* What a's polling found for b woke b. */
	T_CHECK(readable(b, ARRIVE_MS));
	heard_clear();
	hear(b, 50);
	T_EQ(heard.cnt, 50);
	T_EQ(heard.lane[QX_LANE_XDP], 50);
	close_server(a);
	/* The interface stays attached for the one that is left. */
	heard_clear();
	peer_send(fd_two, 200, 3);
	hear(b, 1);
	T_EQ(heard.lane[QX_LANE_XDP], 1);
	close(fd_one);
	close(fd_two);
	close_server(b);
}

static const struct t_case cases[] = {
	{"traffic goes over the rings of both queues",
	 traffic_goes_over_the_rings_of_both_queues},
	{"replies go over the rings", replies_go_over_the_rings},
	{"a wildcard server hears both families on all addresses",
	 a_wildcard_server_hears_both_families_on_all_addresses},
	{"datagrams of a GSO sender arrive one by one",
	 datagrams_of_a_gso_sender_arrive_one_by_one},
	{"ECN marks are seen on the rings", ecn_marks_are_seen_on_the_rings},
	{"a flow that changes queue keeps working", a_flow_that_changes_queue_keeps_working},
	{"fragments arrive over the socket", fragments_arrive_over_the_socket},
	{"IP options and extension headers arrive over the socket",
	 ip_options_and_extension_headers_arrive_over_the_socket},
	{"other ports and addresses are left to their owners",
	 other_ports_and_addresses_are_left_to_their_owners},
	{"tagged frames are left to the kernel", tagged_frames_are_left_to_the_kernel},
	{"an unknown neighbour is reached over the socket first",
	 an_unknown_neighbour_is_reached_over_the_socket_first},
	{"a flood of mangled frames costs no frame",
	 a_flood_of_mangled_frames_costs_no_frame},
	{"a flood while nobody reads costs no frame",
	 a_flood_while_nobody_reads_costs_no_frame},
	{"two endpoints of one interface share it", two_endpoints_of_one_interface_share_it},
};

int main(int argc, char **argv)
{
	return lanes_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
