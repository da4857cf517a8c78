/* test_icmp.c: which ICMP messages are believed, in a table alone; and the kernel's own, over
 * both lanes, between namespaces.  Needs root for those.
 *
 * Host 1 of the cable is the router to 10.99.0.1 and fd99::1, which live behind it in the same
 * namespace; what it refuses, it refuses by ICMP. */
#define _GNU_SOURCE
#include "icmp.h"

#include "faults.h"
#include "lanes.h"

#define BOTH(family) (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2)
#define SECOND_NS 1000000000ull

enum {
	CLOSED_PORT = 6001
};

/* ---- The table ---- */

static struct qx_icmp *table;

static const struct qx_addr there = {.family = QX_IPV4, .ip = {192, 0, 2, 1}, .port = 443};

/* A datagram that begins like one of QUIC: a byte that changes, then a connection ID. */
static void sent(uint32_t len_bytes, const char *connection_id, uint64_t at_ns)
{
	uint8_t payload[2048] = {0x40};

	memcpy(payload + 1, connection_id, 8);
	icmp_limit(table, &there, at_ns);
	icmp_sent(table, payload, len_bytes);
}

static struct icmp_claim claim_of(int code, uint32_t mtu_bytes, const char *connection_id)
{
	struct icmp_claim c = {.peer = there, .code = code, .mtu_bytes = mtu_bytes};

	if (connection_id) {
		c.quote_bytes = 20;
		memcpy(c.quote + 1, connection_id, 8);
	}
	return c;
}

static bool believed(int code, uint32_t mtu_bytes, const char *connection_id)
{
	struct icmp_claim c = claim_of(code, mtu_bytes, connection_id);

	return icmp_believe(table, &c);
}

static void fresh_table(void)
{
	icmp_close(table);
	table = NULL;
	T_EQ(icmp_open(&table, false), 0);
}

static void only_what_was_sent_lately_can_be_refused(void)
{
	struct icmp_claim c = claim_of(ECONNREFUSED, 0, NULL);
	struct qx_stats stats = {0};

	fresh_table();
	T_CHECK(!believed(ECONNREFUSED, 0, NULL));
	icmp_limit(table, &there, SECOND_NS); /* asked, but nothing sent */
	T_CHECK(!believed(ECONNREFUSED, 0, NULL));
	sent(100, "AAAAAAAA", SECOND_NS);
	T_CHECK(believed(ECONNREFUSED, 0, NULL));
	c.peer.port++;
	T_CHECK(!icmp_believe(table, &c));
	c.peer = there;
	c.peer.ip[3]++;
	T_CHECK(!icmp_believe(table, &c));
	icmp_limit(table, &there, SECOND_NS + ICMP_AGE_NS + 1);
	T_CHECK(!believed(ECONNREFUSED, 0, NULL));
	icmp_stats(table, &stats);
	T_EQ(stats.icmp_believed, 1);
	T_EQ(stats.icmp_ignored, 5);
}

/* Off the path nobody knows the connection ID. */
static void a_quote_must_begin_as_what_was_sent(void)
{
	fresh_table();
	sent(1400, "AAAAAAAA", SECOND_NS);
	T_CHECK(believed(EHOSTUNREACH, 0, "XXXXXXXX")); /* sent once: it tells nothing yet */
	sent(1400, "AAAAAAAA", SECOND_NS);
	T_CHECK(!believed(EHOSTUNREACH, 0, "XXXXXXXX"));
	T_CHECK(!believed(EHOSTUNREACH, 0, NULL));
	T_CHECK(!believed(EMSGSIZE, 1300, "XXXXXXXX"));
	T_EQ(icmp_limit(table, &there, SECOND_NS), UINT32_MAX);
	T_CHECK(believed(EHOSTUNREACH, 0, "AAAAAAAA"));
	/* The one before is still under way. */
	sent(1400, "BBBBBBBB", SECOND_NS);
	sent(1400, "BBBBBBBB", SECOND_NS);
	T_CHECK(believed(EHOSTUNREACH, 0, "AAAAAAAA"));
	T_CHECK(believed(EHOSTUNREACH, 0, "BBBBBBBB"));
	T_CHECK(!believed(EHOSTUNREACH, 0, "CCCCCCCC"));
}

/* RFC 9000 section 14.2.1: never below 1200 bytes, never up, never what was not sent. */
static void too_big_lowers_the_limit_within_bounds_and_for_a_while(void)
{
	fresh_table();
	sent(1400, "AAAAAAAA", SECOND_NS);
	T_CHECK(!believed(EMSGSIZE, 1200 + 28 - 1, NULL));
	T_CHECK(!believed(EMSGSIZE, 0, NULL));
	T_CHECK(!believed(EMSGSIZE, 1400 + 28, NULL)); /* it would have fitted */
	T_EQ(icmp_limit(table, &there, SECOND_NS), UINT32_MAX);
	T_CHECK(believed(EMSGSIZE, 1300, NULL));
	T_EQ(icmp_limit(table, &there, SECOND_NS), 1300 - 28);
	T_CHECK(!believed(EMSGSIZE, 1350, NULL));
	T_EQ(icmp_limit(table, &there, SECOND_NS), 1300 - 28);
	T_CHECK(believed(EMSGSIZE, 1250, NULL));
	T_EQ(icmp_limit(table, &there, SECOND_NS + ICMP_MTU_NS - 1), 1250 - 28);
	T_EQ(icmp_limit(table, &there, SECOND_NS + ICMP_MTU_NS), UINT32_MAX);
}

static void without_memory_nothing_is_left(void)
{
	for (faults_at = 1; faults_at <= 2; faults_at++) {
		struct qx_icmp *t;

		faults_calls = 0;
		T_EQ(icmp_open(&t, true), -ENOMEM);
	}
	faults_at = 0;
	icmp_close(table);
	table = NULL;
}

/* ---- The kernel's ---- */

static struct qx_addr far_addr(uint8_t family, uint16_t port)
{
	struct qx_addr a = {.family = family, .port = port};

	if (family == QX_IPV4)
		memcpy(a.ip, (uint8_t[]){10, 99, 0, 1}, 4);
	else
		memcpy(a.ip, (uint8_t[16]){0xfd, 0x99, [15] = 1}, 16);
	return a;
}

static void set_forwarding(const char *path)
{
	FILE *f = fopen(path, "we");

	T_CHECK(f != NULL);
	fputs("1", f);
	fclose(f);
}

/* Host 1 routes to a third namespace's cable of MTU 1300, in which nobody answers: what is
 * longer comes back as "too big". */
static void narrow_network(void)
{
	static bool laid;

	T_EQ(netns_ip(NETNS_A, "link del qxa\n"), 0);
	T_EQ(netns_cable(), 0);
	if (laid)
		T_EQ(netns_ip(NETNS_A, "link del qxn\n"), 0);
	laid = true;
	T_EQ(netns_ip(NETNS_A, "link add qxn type veth peer name qxm\n"
			       "link set qxn mtu 1300 up\n"
			       "link set qxm mtu 1300 up\n"
			       "addr add 10.99.0.254/24 dev qxn\n"
			       "addr add fd99::fe/64 dev qxn nodad\n"
			       "neigh add 10.99.0.1 lladdr 02:00:00:00:00:55 dev qxn\n"
			       "neigh add fd99::1 lladdr 02:00:00:00:00:55 dev qxn\n"),
	     0);
	T_EQ(netns_ip(NETNS_B, "route add 10.99.0.0/24 via 10.77.0.1\n"
			       "route add fd99::/64 via fd77::1\n"),
	     0);
	set_forwarding("/proc/sys/net/ipv4/ip_forward");
	set_forwarding("/proc/sys/net/ipv6/conf/all/forwarding");
}

static struct qx_datapath *open_client(struct qx_addr local, const struct qx_addr *remote,
				       bool rings)
{
	struct qx_config cfg = server_config(local);
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES] = "";

	if (remote)
		cfg.remote = *remote;
	if (!rings)
		cfg.interface[0] = '\0';
	if (try_server(&dp, &cfg, why))
		T_FAIL("%s", why);
	return dp;
}

/* Sends until the rings take it, if there are any. */
static void send_by(struct qx_datapath *dp, const struct qx_path *path, bool rings,
		    uint32_t len_bytes)
{
	enum qx_lane lane = rings ? QX_LANE_XDP : QX_LANE_SOCKET;
	uint64_t before = stats_of(dp).lane[lane].tx_packets;

	for (int i = 0; i < 4 && stats_of(dp).lane[lane].tx_packets == before; i++) {
		read_news(dp);
		T_EQ(send_to(dp, path, len_bytes, 1), 1);
	}
	T_CHECK(stats_of(dp).lane[lane].tx_packets > before);
}

/* A connected endpoint hears that nobody is there, whichever lane it sent by; and of what it
 * sends afterwards, nothing is lost to the news. */
static void a_refused_port_is_reported_from_both_lanes(void)
{
	for
		BOTH(family)
	for (int rings = 0; rings < 2; rings++) {
		struct qx_addr closed = netns_addr(family, 1, CLOSED_PORT);
		struct qx_datapath *dp =
			open_client(netns_addr(family, 2, SERVER_PORT), &closed, rings);
		struct qx_path path = {.peer = closed};
		struct qx_error error;
		uint32_t errors = 0;

		send_by(dp, &path, rings, 100);
		read_news(dp);
		while (qx_next_error(dp, &error)) {
			T_EQ(error.code, ECONNREFUSED);
			T_EQ(error.icmp, 1);
			T_EQ(memcmp(&error.peer, &closed, sizeof(closed)), 0);
			errors++;
		}
		T_CHECK(errors > 0);
		T_CHECK(!readable(dp, 0));
		T_CHECK(stats_of(dp).icmp_believed >= errors);
		close_server(dp);
	}
}

/* A server hears nothing of clients that are gone, and serves the others meanwhile. */
static void an_unconnected_endpoint_counts_and_goes_on(void)
{
	struct qx_datapath *dp =
		open_client(netns_addr(QX_IPV4, 2, SERVER_PORT), NULL, false);
	struct qx_path gone = {.peer = netns_addr(QX_IPV4, 1, CLOSED_PORT)};
	struct qx_path here = {.peer = netns_addr(QX_IPV4, 1, CLOSED_PORT + 1)};
	int fd = kernel_socket(NETNS_A, here.peer, NULL);
	struct qx_error error;

	for (int i = 0; i < 20; i++) {
		T_EQ(send_to(dp, &gone, 100, 1), 1);
		T_EQ(send_to(dp, &here, 200, 2), 1);
		peer_hears(fd, 200, 2);
	}
	read_news(dp);
	T_EQ(qx_next_error(dp, &error), 0);
	T_CHECK(stats_of(dp).icmp_believed > 0);
	T_EQ(stats_of(dp).drop[QX_DROP_SEND_ERROR], 0);
	T_EQ(stats_of(dp).lane[QX_LANE_SOCKET].tx_packets, 40);
	close(fd);
	close_server(dp);
}

/* "Too big" of a router on the way limits both lanes, for that peer alone. */
static void a_packet_that_is_too_big_lowers_what_is_sent(void)
{
	for
		BOTH(family)
	for (int rings = 0; rings < 2; rings++) {
		struct qx_addr far = far_addr(family, SERVER_PORT);
		uint32_t headers = family == QX_IPV4 ? 28 : 48;
		struct qx_path path = {.peer = far};
		struct qx_datapath *dp;
		struct qx_error error;
		struct qx_slot slot;

		narrow_network();
		dp = open_client(netns_addr(family, 2, SERVER_PORT), &far, rings);
		send_by(dp, &path, rings, 1200);
		send_by(dp, &path, rings, 1400);
		read_news(dp);
		T_EQ(qx_next_error(dp, &error), 1);
		T_EQ(error.code, EMSGSIZE);
		T_EQ(error.mtu_bytes, 1300);
		T_EQ(error.icmp, 1);
		T_EQ(qx_reserve(dp, &path, 1300 - headers + 1, &slot, 1), -EMSGSIZE);
		T_EQ(qx_reserve(dp, &path, 1300 - headers, &slot, 1), 1);
		slot.len_bytes = 0;
		T_EQ(qx_commit(dp, &slot, 1), 0);
		close_server(dp);
	}
}

/* From somebody who guesses addresses and ports, and even the start of the datagram. */
static void a_forged_message_changes_nothing(void)
{
	struct qx_addr far = netns_addr(QX_IPV4, 1, 6000);
	struct qx_datapath *dp =
		open_client(netns_addr(QX_IPV4, 2, SERVER_PORT), NULL, false);
	struct qx_path path = {.peer = far};
	int fd = kernel_socket(NETNS_A, far, NULL);
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a4d0002)};
	/* Fragmentation needed, MTU 1228; our IP header, UDP header, 16 bytes of payload. */
	uint8_t icmp[8 + 20 + 8 + 16] = {3, 4, 0, 0, 0, 0, 0x04, 0xcc};
	uint8_t *ip = icmp + 8, *udp = ip + 20;
	uint32_t sum = 0;
	struct qx_slot slot;

	T_CHECK(raw >= 0);
	for (int i = 0; i < 3; i++) {
		T_EQ(send_to(dp, &path, 1400, 1), 1);
		peer_hears(fd, 1400, 1);
	}
	ip[0] = 0x45;
	ip[2] = 1428 >> 8;
	ip[3] = 1428 & 0xff;
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	memcpy(ip + 12, (uint8_t[]){10, 77, 0, 2}, 4);
	memcpy(ip + 16, (uint8_t[]){10, 77, 0, 1}, 4);
	memcpy(udp, (uint8_t[]){SERVER_PORT >> 8, SERVER_PORT & 0xff, 6000 >> 8, 6000 & 0xff},
	       4);
	for (uint32_t i = 0; i < sizeof(icmp); i += 2)
		sum += (uint32_t)icmp[i] << 8 | icmp[i + 1];
	sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
	icmp[2] = (uint8_t)(sum >> 8);
	icmp[3] = (uint8_t)sum;
	T_EQ(sendto(raw, icmp, sizeof(icmp), 0, (struct sockaddr *)&to, sizeof(to)),
	     sizeof(icmp));
	read_news(dp);
	close(raw);
	T_EQ(stats_of(dp).icmp_ignored, 1);
	T_EQ(stats_of(dp).icmp_believed, 0);
	T_EQ(qx_reserve(dp, &path, 1400, &slot, 1), 1);
	slot.len_bytes = 0;
	T_EQ(qx_commit(dp, &slot, 1), 0);
	close(fd);
	close_server(dp);
}

static const struct t_case cases[] = {
	{"only what was sent lately can be refused",
	 only_what_was_sent_lately_can_be_refused},
	{"a quote must begin as what was sent", a_quote_must_begin_as_what_was_sent},
	{"too big lowers the limit within bounds and for a while",
	 too_big_lowers_the_limit_within_bounds_and_for_a_while},
	{"without memory nothing is left", without_memory_nothing_is_left},
	{"a refused port is reported from both lanes",
	 a_refused_port_is_reported_from_both_lanes},
	{"an unconnected endpoint counts and goes on",
	 an_unconnected_endpoint_counts_and_goes_on},
	{"a packet that is too big lowers what is sent",
	 a_packet_that_is_too_big_lowers_what_is_sent},
	{"a forged message changes nothing", a_forged_message_changes_nothing},
};

int main(int argc, char **argv)
{
	return lanes_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
