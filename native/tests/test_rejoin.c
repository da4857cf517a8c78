/* test_rejoin.c: an interface that goes and comes back, or is not what it was: the socket lane
 * bridges the gap, and then the rings carry again.  Needs root for namespaces of its own. */
#define _GNU_SOURCE
#include "lanes.h"

#include <linux/if_link.h>
#include <sys/mman.h>

#include "child.h"
#include "faults.h"
#include "quicxdp_tap.h"

enum {
	TRIES_MAX = 2000,
	TURNS_MAX = 64
};

static char why[QX_WHY_BYTES];

static int rejoin(struct qx_datapath *dp)
{
	int err = netns_enter(NETNS_B);

	if (!err)
		err = qx_rejoin(dp, why);
	netns_enter(NETNS_A);
	return err;
}

/* The kernel releases queues and memory a moment later. */
static void rejoin_soon(struct qx_datapath *dp)
{
	int err;

	for (int i = 0; i < TRIES_MAX && (err = rejoin(dp)) != 0; i++) {
		if (err != -EAGAIN)
			T_FAIL("%d: %s", err, why);
		poll(NULL, 0, 1);
	}
	T_EQ(err, 0);
}

/* told takes until the endpoint says code. */
static void told(struct qx_datapath *dp, int code)
{
	int n = 0;

	for (int i = 0; i < TURNS_MAX && n != code && readable(dp, ARRIVE_MS); i++)
		n = take(dp);
	T_EQ(n, code);
}

static void delete_interface(void)
{
	T_EQ(netns_ip(NETNS_B, "link del qxb\n"), 0);
}

/* The peer must ask for it anew: nobody tells it. */
static void change_mac(uint8_t last)
{
	char line[64];

	snprintf(line, sizeof(line), "link set qxb address 02:00:00:00:77:%02x\n", last);
	T_EQ(netns_ip(NETNS_B, line), 0);
	T_EQ(netns_ip(NETNS_A, "neigh flush dev qxa\n"), 0);
}

/* ---- Gone and back ---- */

static void comes_back(uint8_t family)
{
	struct qx_addr addr = netns_addr(family, 2, SERVER_PORT);
	struct qx_datapath *dp = open_server(addr);
	struct qx_stats before, after;

	for (int i = 1; i <= 3; i++) {
		talk(dp, &addr, QX_LANE_XDP);
		before = stats_of(dp);
		delete_interface();
		told(dp, -ENETDOWN);
		T_EQ(rejoin(dp), -ENODEV);
		if (!strstr(why, "qxb: there is no such interface"))
			T_FAIL("%s", why);
		T_EQ(netns_cable(), 0);
		talk(dp, &addr, QX_LANE_SOCKET);
		rejoin_soon(dp);
		talk(dp, &addr, QX_LANE_XDP);
		/* Counters go on; a restart would look like traffic that never was. */
		after = stats_of(dp);
		T_EQ(after.lane[QX_LANE_XDP].rx_packets, 2 * i);
		T_EQ(after.rx_ring_produced, 2 * i);
		T_CHECK(after.mirror_dumps > before.mirror_dumps);
		T_CHECK(after.lane[QX_LANE_XDP].rx_syscalls >=
			before.lane[QX_LANE_XDP].rx_syscalls);
		T_EQ(after.queue_cnt, 2);
	}
	close_server(dp);
}

/* A cloud that takes a card away and gives it back must not leave a server on the slow lane
 * until somebody restarts it. */
static void an_interface_that_comes_back_is_used_again(void)
{
	comes_back(QX_IPV4);
	comes_back(QX_IPV6);
}

/* Whoever is bound to all addresses has those that the new interface has. */
static void a_wildcard_endpoint_comes_back_with_all_addresses(void)
{
	struct qx_addr addrs[] = {netns_addr(QX_IPV4, 2, SERVER_PORT),
				  netns_addr(QX_IPV4, 3, SERVER_PORT),
				  netns_addr(QX_IPV6, 2, SERVER_PORT)};
	struct qx_datapath *dp =
		open_server((struct qx_addr){.family = QX_IPV6, .port = SERVER_PORT});

	delete_interface();
	told(dp, -ENETDOWN);
	T_EQ(netns_cable(), 0);
	rejoin_soon(dp);
	for (uint32_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++)
		talk(dp, &addrs[i], QX_LANE_XDP);
	/* Also those that it gets later. */
	T_EQ(netns_ip(NETNS_B, "addr add 10.77.0.9/24 dev qxb\n"
			       "addr del 10.77.0.3/24 dev qxb\n"
			       "addr add fd77::9/64 dev qxb nodad\n"),
	     0);
	read_news(dp);
	addrs[0] = netns_addr(QX_IPV4, 9, SERVER_PORT);
	addrs[2] = netns_addr(QX_IPV6, 9, SERVER_PORT);
	talk(dp, &addrs[0], QX_LANE_XDP);
	talk(dp, &addrs[2], QX_LANE_XDP);
	close_server(dp);
	T_EQ(netns_ip(NETNS_B, "link del qxb\n"), 0);
	T_EQ(netns_cable(), 0);
}

/* Each leaves and joins on its own, and they share the new device as they did the old. */
static void endpoints_that_share_an_interface_come_back_together(void)
{
	struct qx_addr one = netns_addr(QX_IPV4, 2, SERVER_PORT),
		       two = netns_addr(QX_IPV6, 2, SERVER_PORT);
	struct qx_datapath *a = open_server(one), *b = open_server(two);

	for (int i = 0; i < 2; i++) {
		delete_interface();
		T_EQ(netns_cable(), 0);
		told(a, -ENETDOWN);
		told(b, -ENETDOWN);
		rejoin_soon(a);
		talk(a, &one, QX_LANE_XDP);
		talk(b, &two, QX_LANE_SOCKET);
		rejoin_soon(b);
		talk(a, &one, QX_LANE_XDP);
		talk(b, &two, QX_LANE_XDP);
		T_CHECK(stats_of(a).rx_ring_produced >= 2);
	}
	close_server(a);
	close_server(b);
}

/* ---- Changed ---- */

/* The filter takes what is for the MAC address that it knows: with another one everything
 * would go through the socket lane, and nobody would be told. */
static void another_mac_address_is_told_and_followed(void)
{
	struct qx_addr addr = netns_addr(QX_IPV4, 2, SERVER_PORT);
	struct qx_datapath *a = open_server(addr);
	struct qx_addr other = netns_addr(QX_IPV6, 2, SERVER_PORT);
	struct qx_datapath *b = open_server(other);

	talk(a, &addr, QX_LANE_XDP);
	change_mac(2);
	told(a, -ESTALE);
	T_EQ(attached_mode(), XDP_ATTACHED_NONE);
	talk(a, &addr, QX_LANE_SOCKET);
	/* The old device ends when both have left it. */
	T_EQ(rejoin(a), -EAGAIN);
	told(b, -ESTALE);
	rejoin_soon(b);
	rejoin_soon(a);
	talk(a, &addr, QX_LANE_XDP);
	talk(b, &other, QX_LANE_XDP);
	T_EQ(attached_mode(), XDP_ATTACHED_DRV);
	close_server(a);
	close_server(b);
}

/* Packets longer than the filter knows are the socket's until the device is opened anew. */
static void a_larger_mtu_is_told_and_followed(void)
{
	struct qx_addr addr = netns_addr(QX_IPV4, 2, SERVER_PORT);
	struct qx_datapath *dp;

	T_EQ(netns_ip(NETNS_B, "link set qxb mtu 1300\n"), 0);
	dp = open_server(addr);
	T_EQ(netns_ip(NETNS_B, "link set qxb mtu 1500\n"), 0);
	told(dp, -ESTALE);
	rejoin_soon(dp);
	talk_of(dp, &addr, QX_LANE_XDP, 1472);
	close_server(dp);
}

/* What stands in the rings when the change is heard of arrives all the same. */
static void nothing_that_arrived_is_lost_to_a_change(void)
{
	struct qx_addr addr = netns_addr(QX_IPV4, 2, SERVER_PORT);
	struct qx_datapath *dp = open_server(addr);
	int fd = peer(&addr);

	heard_clear();
	for (int i = 0; i < 200; i++)
		peer_send(fd, 100, 1);
	change_mac(3);
	for (int i = 0; i < 100; i++)
		peer_send(fd, 100, 1);
	told(dp, -ESTALE);
	rejoin_soon(dp);
	hear(dp, 300);
	T_EQ(heard.cnt, 300);
	close(fd);
	close_server(dp);
}

/* ---- What cannot be ---- */

static void what_has_nothing_to_join_is_refused(void)
{
	struct qx_addr addr = netns_addr(QX_IPV4, 2, SERVER_PORT);
	struct qx_config cfg = server_config(addr);
	struct qx_datapath *dp;
	int fd;

	cfg.interface[0] = '\0';
	T_EQ(try_server(&dp, &cfg, why), 0);
	T_EQ(rejoin(dp), -EINVAL);
	close_server(dp);
	dp = open_server(addr);
	T_EQ(rejoin(dp), 0); /* nothing to do */
	talk(dp, &addr, QX_LANE_XDP);
	/* A lent batch lies in the memory that would go. */
	fd = peer(&addr);
	peer_send(fd, 100, 1);
	T_CHECK(readable(dp, ARRIVE_MS));
	T_EQ(qx_recv(dp, &batch, now_ns()), 1);
	delete_interface();
	for (int i = 0; i < TURNS_MAX && batch.datagrams[0].data[0] != 1; i++)
		;
	T_EQ(rejoin(dp), 0); /* not told yet */
	qx_recv_done(dp, &batch);
	told(dp, -ENETDOWN);
	T_EQ(netns_cable(), 0);
	rejoin_soon(dp);
	close(fd);
	close_server(dp);
}

static void join_without_rights(struct child_answer *answer, void *arg)
{
	struct qx_config cfg = server_config(netns_addr(QX_IPV4, 2, SERVER_PORT));
	struct qx_datapath *dp;

	(void)arg;
	if (netns_enter(NETNS_B))
		return;
	answer->rc = qx_open(&dp, &cfg, answer->why);
	if (answer->rc)
		return;
	/* The parent's namespaces and `ip` need rights that are about to go. */
	delete_interface();
	T_EQ(netns_cable(), 0);
	netns_enter(NETNS_B);
	told(dp, -ENETDOWN);
	answer->rc = child_restrict(0);
	if (!answer->rc)
		answer->rc = qx_rejoin(dp, answer->why);
	/* The socket is there, and would take everything. */
	if (answer->rc == -EPERM && take(dp) != 0)
		answer->rc = -EIO;
	qx_close(dp);
}

/* A server that gave its rights up cannot come back, says so, and goes on. */
static void without_the_rights_it_is_refused_with_the_remedy(void)
{
	struct child_answer answer = child_run(join_without_rights, NULL);

	T_EQ(answer.rc, -EPERM);
	if (!strstr(answer.why, "CAP_NET_RAW"))
		T_FAIL("%s", answer.why);
}

/* A capture sees what travels after the return, too. */
static void a_capture_goes_on(void)
{
	struct qx_addr addr = netns_addr(QX_IPV4, 2, SERVER_PORT);
	struct qx_datapath *dp = open_server(addr);
	struct qx_tap_stats before, after;
	struct qx_tap_config cfg = {.fd = memfd_create("tap", MFD_CLOEXEC)};
	struct qx_tap *tap;

	T_EQ(qx_tap_open(&tap, &cfg), 0);
	T_EQ(qx_set_tap(dp, tap), 0);
	delete_interface();
	told(dp, -ENETDOWN);
	T_EQ(netns_cable(), 0);
	rejoin_soon(dp);
	qx_tap_get_stats(tap, &before);
	talk(dp, &addr, QX_LANE_XDP);
	qx_tap_get_stats(tap, &after);
	T_EQ(after.packets, before.packets + 2);
	close_server(dp);
	qx_tap_close(tap);
	close(cfg.fd);
}

/* ---- Nothing is left behind ---- */

/* leave_device: with somebody else still on the old device, leaving is all that works. */
static void leave_device(struct qx_datapath *dp)
{
	struct qx_datapath *holder = open_server(netns_addr(QX_IPV4, 3, SERVER_PORT));
	static uint8_t last = 4;

	change_mac(last++);
	told(dp, -ESTALE);
	T_EQ(rejoin(dp), -EAGAIN);
	close_server(holder);
}

/* The same with the nth call failing, until it is not for lack of time. */
static int rejoin_failing(struct qx_datapath *dp, uint32_t nth)
{
	int err = -EAGAIN;

	for (int i = 0; i < TRIES_MAX && err == -EAGAIN; i++) {
		faults_calls = 0;
		faults_at = nth;
		faults_recording = 1;
		err = rejoin(dp);
		faults_recording = 0;
		faults_at = 0;
		if (err == -EAGAIN)
			poll(NULL, 0, 1);
	}
	return err;
}

/* Whatever call fails: an error, the socket lane serves, and trying again works. */
static void a_failure_at_any_call_leaves_the_socket_lane(void)
{
	struct qx_config cfg = server_config(netns_addr(QX_IPV4, 2, SERVER_PORT));
	int fds = faults_open_fds(), failed = 0, with_lane, without;
	struct qx_datapath *dp = NULL;
	uint32_t nth = 0;
	int err;

	cfg.rx_frame_cnt = cfg.tx_frame_cnt = 64;
	T_EQ(try_server(&dp, &cfg, why), 0);
	with_lane = faults_open_fds();
	leave_device(dp);
	without = faults_open_fds();
	do {
		err = rejoin_failing(dp, ++nth);
		if (err) {
			failed++;
			T_CHECK(strlen(why) > 10);
			T_EQ(faults_open_fds(), without);
			T_EQ(attached_mode(), XDP_ATTACHED_NONE);
		} else if (nth <= faults_calls) {
			/* Some only cost something: the second queue, say. */
			leave_device(dp);
			T_EQ(faults_open_fds(), without);
		}
		if (err && nth % 8 == 0)
			talk(dp, &cfg.local, QX_LANE_SOCKET);
	} while (err || nth <= faults_calls);
	printf("  %u calls, %d of them fatal\n", faults_calls, failed);
	T_CHECK(faults_calls > 60 && failed > 50);
	talk(dp, &cfg.local, QX_LANE_XDP);
	T_EQ(faults_open_fds(), with_lane);
	close_server(dp);
	T_EQ(faults_objects_gone(), 0);
	T_EQ(faults_open_fds(), fds);
}

static const struct t_case cases[] = {
	{"an interface that comes back is used again",
	 an_interface_that_comes_back_is_used_again},
	{"a wildcard endpoint comes back with all addresses",
	 a_wildcard_endpoint_comes_back_with_all_addresses},
	{"endpoints that share an interface come back together",
	 endpoints_that_share_an_interface_come_back_together},
	{"another MAC address is told and followed",
	 another_mac_address_is_told_and_followed},
	{"a larger MTU is told and followed", a_larger_mtu_is_told_and_followed},
	{"nothing that arrived is lost to a change",
	 nothing_that_arrived_is_lost_to_a_change},
	{"what has nothing to join is refused", what_has_nothing_to_join_is_refused},
	{"without the rights it is refused with the remedy",
	 without_the_rights_it_is_refused_with_the_remedy},
	{"a capture goes on", a_capture_goes_on},
	{"a failure at any call leaves the socket lane",
	 a_failure_at_any_call_leaves_the_socket_lane},
};

int main(int argc, char **argv)
{
	return lanes_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
