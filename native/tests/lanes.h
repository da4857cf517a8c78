/* lanes.h: a server on AF_XDP at one end of the cable (netns.h, qxb) and plain kernel sockets
 * at the other: what the tests of AF_XDP with traffic share.
 *
 * A datagram's bytes follow from its length and its first byte, so every one is checked. */
#ifndef QX_LANES_H
#define QX_LANES_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "ifinfo.h"
#include "leaks.h"
#include "netns.h"
#include "quicxdp.h"
#include "t.h"

enum {
	SERVER_PORT = 4433,
	ARRIVE_MS = 2000,
	QUIET_MS = 20
};

static struct qx_batch batch;

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- The server ---- */

static inline struct qx_config server_config(struct qx_addr local)
{
	return (struct qx_config){.local = local, .interface = "qxb", .socket_fd = -1};
}

enum {
	SERVER_MAX = 4
};
static struct qx_datapath *servers[SERVER_MAX];

static inline int try_server(struct qx_datapath **out, const struct qx_config *cfg, char *why)
{
	int err = netns_enter(NETNS_B), slot = 0;

	if (!err)
		err = qx_open(out, cfg, why);
	netns_enter(NETNS_A);
	while (servers[slot])
		slot++;
	if (!err)
		servers[slot] = *out;
	return err;
}

static inline void close_server(struct qx_datapath *dp)
{
	for (int i = 0; i < SERVER_MAX; i++)
		if (servers[i] == dp)
			servers[i] = NULL;
	qx_close(dp);
}

/* Is a program attached to qxb?  XDP_ATTACHED_* of linux/if_link.h. */
static inline uint8_t attached_mode(void)
{
	struct ifinfo_xdp xdp = {.mode = UINT8_MAX};

	if (netns_enter(NETNS_B) == 0)
		ifinfo_get_xdp(&xdp, 72);
	netns_enter(NETNS_A);
	return xdp.mode;
}

/* For t_after_each.  What a test left open because it failed half-way must not make the
 * next ones fail; what one left that passed is a leak. */
static inline void lanes_after_each(void)
{
	for (int i = 0; i < SERVER_MAX; i++)
		if (servers[i])
			close_server(servers[i]);
	if (attached_mode() != 0) {
		printf("FAIL it left a program attached\n");
		leaks_found = 1;
	}
	leaks_check();
}

/* lanes_main makes the network and runs the tests, each followed by a leak check. */
static inline int lanes_main(const struct t_case *cases, size_t case_cnt, int argc,
			     char **argv)
{
	char why[QX_WHY_BYTES];
	int failed;

	if (netns_open(why) < 0)
		T_SKIP_PROGRAM("%s", why);
	leaks_check();
	if (!t_after_each)
		t_after_each = lanes_after_each;
	failed = t_main(cases, case_cnt, argc, argv);
	return failed || leaks_found;
}

static inline struct qx_datapath *open_server(struct qx_addr local)
{
	struct qx_config cfg = server_config(local);
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES] = "";
	int err = try_server(&dp, &cfg, why);

	if (err)
		T_FAIL("%d: %s", err, why);
	return dp;
}

static inline struct qx_stats stats_of(struct qx_datapath *dp)
{
	struct qx_stats stats;
	uint32_t sum = 0;

	T_EQ(qx_get_stats(dp, &stats), 0);
	for (int i = 0; i < QX_FRAME_STATE_CNT; i++)
		sum += stats.frames[i];
	T_EQ(sum, stats.frame_cnt);
	return stats;
}

/* What a server heard since heard_clear. */
static struct {
	uint32_t cnt;
	uint32_t lane[QX_LANE_CNT];
	uint32_t max_bytes;
	uint32_t interface;  /* of the last one; UINT32_MAX: the socket */
	struct qx_path path; /* of the last one */
	uint8_t ecn;
} heard;

static inline void heard_clear(void)
{
	memset(&heard, 0, sizeof(heard));
}

static inline uint8_t pattern_byte(uint8_t first, uint32_t i)
{
	return (uint8_t)(first + i * 13u + (i >> 8));
}

static inline void pattern_write(uint8_t *to, uint32_t len_bytes, uint8_t first)
{
	for (uint32_t i = 0; i < len_bytes; i++)
		to[i] = pattern_byte(first, i);
}

/* take receives once and checks every byte.  Returns what qx_recv returned. */
static inline int take(struct qx_datapath *dp)
{
	int n = qx_recv(dp, &batch, now_ns());

	for (uint32_t i = 0; i < batch.datagram_cnt; i++) {
		const struct qx_datagram *d = &batch.datagrams[i];

		for (uint32_t k = 0; k < d->len_bytes; k++)
			if (d->data[k] != pattern_byte(d->data[0], k))
				T_FAIL("byte %u of %u is wrong", k, d->len_bytes);
		heard.cnt++;
		heard.lane[d->lane ? QX_LANE_XDP : QX_LANE_SOCKET]++;
		heard.interface = (uint32_t)d->lane - QX_LANE_XDP;
		if (d->len_bytes > heard.max_bytes)
			heard.max_bytes = d->len_bytes;
		heard.path = batch.paths[d->path];
		heard.ecn = d->ecn;
	}
	qx_recv_done(dp, &batch);
	return n;
}

static inline bool readable(struct qx_datapath *dp, int wait_ms)
{
	struct pollfd p = {.fd = qx_fd(dp), .events = POLLIN};

	return poll(&p, 1, wait_ms) == 1;
}

/* hear waits until want datagrams came in all, or no more come. */
static inline void hear(struct qx_datapath *dp, uint32_t want)
{
	while (heard.cnt < want && readable(dp, ARRIVE_MS))
		T_CHECK(take(dp) >= 0);
	stats_of(dp);
}

/* hear_nothing takes what is under way; at most a few wake-ups without a datagram. */
static inline void hear_nothing(struct qx_datapath *dp)
{
	uint32_t before = heard.cnt;

	for (int i = 0; i < 8 && readable(dp, QUIET_MS); i++)
		T_CHECK(take(dp) >= 0);
	T_EQ(heard.cnt, before);
	stats_of(dp);
}

/* read_news lets the endpoint read what the kernel has to tell besides datagrams.  Quiet for
 * longer than the pause between two dumps (mirror_netlink.c). */
static inline void read_news(struct qx_datapath *dp)
{
	for (int quiet = 0; quiet < 2; quiet++) {
		uint64_t until_ns = now_ns() + ARRIVE_MS * 1000000ull;

		while (readable(dp, QUIET_MS) && now_ns() < until_ns) {
			T_CHECK(take(dp) >= 0);
			quiet = 0;
		}
		T_CHECK(take(dp) >= 0);
	}
}

static inline int send_to(struct qx_datapath *dp, const struct qx_path *path,
			  uint32_t len_bytes, uint8_t first)
{
	struct qx_send_item item = {.len_bytes = len_bytes};
	uint8_t bytes[2048];

	pattern_write(bytes, len_bytes, first);
	return qx_send(dp, bytes, &item, 1, path, 1);
}

/* ---- The peer: a kernel socket of host 1 ---- */

static inline socklen_t to_sockaddr(struct sockaddr_in6 *out, const struct qx_addr *a)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};

	if (a->family == QX_IPV4) {
		memcpy(&in.sin_addr, a->ip, 4);
		memcpy(out, &in, sizeof(in));
		return sizeof(in);
	}
	*out = (struct sockaddr_in6){.sin6_family = AF_INET6,
				     .sin6_port = htons(a->port),
				     .sin6_scope_id = a->scope_id};
	memcpy(&out->sin6_addr, a->ip, 16);
	return sizeof(*out);
}

/* kernel_socket binds in a namespace; port 0 is any.  connect_to may be NULL. */
static inline int kernel_socket(int side, struct qx_addr local,
				const struct qx_addr *connect_to)
{
	struct sockaddr_in6 sa;
	int buffer_bytes = 8 << 20, fd;
	socklen_t len = to_sockaddr(&sa, &local);

	T_EQ(netns_enter(side), 0);
	fd = socket(local.family == QX_IPV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC,
		    0);
	T_EQ(netns_enter(NETNS_A), 0);
	T_CHECK(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes));
	T_EQ(bind(fd, (struct sockaddr *)&sa, len), 0);
	if (connect_to) {
		len = to_sockaddr(&sa, connect_to);
		T_EQ(connect(fd, (struct sockaddr *)&sa, len), 0);
	}
	return fd;
}

static inline int peer(const struct qx_addr *server)
{
	return kernel_socket(NETNS_A, netns_addr(server->family, 1, 0), server);
}

static inline void peer_send(int fd, uint32_t len_bytes, uint8_t first)
{
	static uint8_t bytes[65536];

	pattern_write(bytes, len_bytes, first);
	T_EQ(send(fd, bytes, len_bytes, 0), len_bytes);
}

/* peer_hears waits for one datagram and checks it. */
static inline void peer_hears(int fd, uint32_t len_bytes, uint8_t first)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t bytes[2048];

	if (poll(&p, 1, ARRIVE_MS) != 1)
		T_FAIL("nothing arrived at the peer's socket");
	T_EQ(recv(fd, bytes, sizeof(bytes), 0), len_bytes);
	for (uint32_t i = 0; i < len_bytes; i++)
		T_EQ(bytes[i], pattern_byte(first, i));
}

/* talk_of sends one datagram each way; over this lane it reaches the server. */
static inline void talk_of(struct qx_datapath *dp, const struct qx_addr *addr,
			   enum qx_lane lane, uint32_t len_bytes)
{
	int fd = peer(addr);

	heard_clear();
	peer_send(fd, len_bytes, 1);
	hear(dp, 1);
	T_EQ(heard.lane[lane], 1);
	T_EQ(send_to(dp, &heard.path, len_bytes, 2), 1);
	peer_hears(fd, len_bytes, 2);
	close(fd);
}

static inline void talk(struct qx_datapath *dp, const struct qx_addr *addr, enum qx_lane lane)
{
	talk_of(dp, addr, lane, 100);
}

/* ---- The kernel's own counters, as a second witness ---- */

/* driver_counter reads one number of `ethtool -S qxb`. */
static inline uint64_t driver_counter(const char *name)
{
	enum {
		MAX = 256
	};
	static union {
		struct ethtool_gstrings head;
		char bytes[sizeof(struct ethtool_gstrings) + MAX * ETH_GSTRING_LEN];
	} strings;
	static union {
		struct ethtool_stats head;
		char bytes[sizeof(struct ethtool_stats) + MAX * sizeof(uint64_t)];
	} values;
	struct ifreq ifr = {.ifr_name = "qxb"};
	int fd, ok;

	/* A count of 0 asks for all; a veth with two queues has some 20. */
	strings.head = (struct ethtool_gstrings){.cmd = ETHTOOL_GSTRINGS,
						 .string_set = ETH_SS_STATS};
	values.head = (struct ethtool_stats){.cmd = ETHTOOL_GSTATS};
	T_EQ(netns_enter(NETNS_B), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ifr.ifr_data = strings.bytes;
	ok = ioctl(fd, SIOCETHTOOL, &ifr) == 0;
	ifr.ifr_data = values.bytes;
	ok = ok && ioctl(fd, SIOCETHTOOL, &ifr) == 0;
	close(fd);
	T_EQ(netns_enter(NETNS_A), 0);
	T_CHECK(ok);
	for (uint32_t i = 0; i < values.head.n_stats && i < MAX; i++) {
		const char *text = strings.bytes + sizeof(strings.head) + i * ETH_GSTRING_LEN;
		uint64_t value;

		memcpy(&value, values.bytes + sizeof(values.head) + i * sizeof(value),
		       sizeof(value));
		if (!strncmp(text, name, ETH_GSTRING_LEN))
			return value;
	}
	T_FAIL("the driver has no counter %s", name);
}

/* udp_in_datagrams is what the kernel's UDP (both versions) delivered in namespace B. */
static inline uint64_t udp_in_datagrams(void)
{
	char line[1024];
	uint64_t v4 = 0, v6 = 0;
	int seen = 0;
	FILE *f;

	T_EQ(netns_enter(NETNS_B), 0);
	f = fopen("/proc/thread-self/net/snmp", "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Udp: ", 5) && ++seen == 2)
			v4 = strtoull(line + 5, NULL, 10);
	if (f)
		fclose(f);
	f = fopen("/proc/thread-self/net/snmp6", "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Udp6InDatagrams", 15))
			v6 = strtoull(line + 15, NULL, 10);
	if (f)
		fclose(f);
	T_EQ(netns_enter(NETNS_A), 0);
	T_EQ(seen, 2);
	return v4 + v6;
}

#endif
