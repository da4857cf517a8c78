/* test_udp_addresses.c: whom the socket lane sends to, whom it hears, and as whom. */
#define _GNU_SOURCE
#include "udp_pair.h"

#include <net/if.h>

static void open_plain(void)
{
	open_two(loopback4(1, 0), loopback4(1, 0), 0);
}

/* Paths that no datagram can ever take are refused before anything is written. */
static void impossible_paths_are_refused(void)
{
	struct qx_path none = {0}, no_port, v6, mixed;
	struct qx_slot slot;

	open_plain();
	no_port = v6 = mixed = path_to(b);
	no_port.peer.port = 0;
	v6.peer = loopback6(1, 9);
	mixed.local = loopback6(1, 0);
	T_EQ(qx_reserve(a, &none, 10, &slot, 1), -EDESTADDRREQ);
	T_EQ(qx_reserve(a, &no_port, 10, &slot, 1), -EINVAL);
	T_EQ(qx_reserve(a, &v6, 10, &slot, 1), -EAFNOSUPPORT);
	T_EQ(qx_reserve(a, &mixed, 10, &slot, 1), -EINVAL);
	T_EQ(qx_commit(a, &slot, 1), -EINVAL);

	open_two(loopback6(1, 0), loopback6(1, 0), QX_CFG_V6ONLY);
	no_port.peer = loopback4(1, 9);
	T_EQ(qx_reserve(a, &no_port, 10, &slot, 1), -EAFNOSUPPORT);
}

static void ask_and_answer(struct qx_addr server_as_asked, struct qx_path *seen)
{
	struct qx_path there = {.peer = server_as_asked}, back;

	T_EQ(send_equal(a, &there, 1, 30, 7), 1);
	T_EQ(recv_once(b), 1);
	*seen = batch.paths[0];
	T_EQ(memcmp(&seen->local, &server_as_asked, sizeof(server_as_asked)), 0);
	back = *seen;
	qx_recv_done(b, &batch);
	T_EQ(send_equal(b, &back, 1, 30, 8), 1);
	T_EQ(recv_once(a), 1);
	T_EQ(memcmp(&batch.paths[0].peer, &server_as_asked, sizeof(server_as_asked)), 0);
	qx_recv_done(a, &batch);
}

/* One IPv6 socket serves both families, and nobody above sees ::ffff:127.0.0.1. */
static void a_dual_stack_socket_speaks_ipv4_as_ipv4(void)
{
	struct qx_addr any6 = {.family = QX_IPV6};
	struct qx_send_item marked = {.len_bytes = 40, .ecn = QX_ECN_ECT0};
	struct qx_path seen, there;
	uint16_t port;

	open_two(loopback4(1, 0), any6, 0);
	port = local_of(b).port;
	ask_and_answer(loopback4(1, port), &seen);
	ask_and_answer(loopback4(2, port), &seen);
	T_EQ(seen.peer.family, QX_IPV4);
	there = (struct qx_path){.peer = loopback4(2, port)};
	T_EQ(qx_send(a, payload, &marked, 1, &there, 1), 1);
	T_EQ(recv_once(b), 1);
	T_EQ(batch.datagrams[0].ecn, QX_ECN_ECT0);
	seen = batch.paths[0];
	qx_recv_done(b, &batch);
	T_EQ(qx_send(b, payload, &marked, 1, &seen, 1), 1);
	T_EQ(recv_once(a), 1);
	T_EQ(batch.datagrams[0].ecn, QX_ECN_ECT0);
	qx_recv_done(a, &batch);

	qx_close(a);
	a = NULL;
	a = open_at(loopback6(1, 0), 0);
	ask_and_answer(loopback6(1, port), &seen);
	ask_and_answer(loopback6(2, port), &seen);
	T_EQ(seen.peer.family, QX_IPV6);
}

/* A connected IPv6 wildcard reaches IPv4 servers: the usual client socket. */
static void a_dual_stack_socket_can_be_connected_to_ipv4(void)
{
	struct qx_config cfg = {.local = {.family = QX_IPV6}, .socket_fd = -1};
	struct qx_path to_remote = {0}, back;

	open_plain();
	cfg.remote = local_of(b);
	qx_close(a);
	a = NULL;
	a = open_config(&cfg);
	T_EQ(local_of(a).family, QX_IPV4);
	T_EQ(send_equal(a, &to_remote, 3, 100, 1), 3);
	T_EQ(recv_once(b), 3);
	back = batch.paths[0];
	qx_recv_done(b, &batch);
	T_EQ(send_equal(b, &back, 3, 100, 1), 3);
	expect_equal(a, 3, 100, 1);
}

/* Link-local addresses mean nothing without their interface (RFC 4007 section 6). */
static void link_local_addresses_carry_their_scope(void)
{
	struct own_loopback_in6 link_local = {.prefix_bits = 64};
	struct qx_addr at = {.family = QX_IPV6}, any = {.family = QX_IPV6};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	struct qx_path seen;

	at.ip[0] = 0xfe;
	at.ip[1] = 0x80;
	at.ip[15] = 9;
	at.scope_id = if_nametoindex("lo");
	memcpy(&link_local.addr, at.ip, 16);
	link_local.ifindex = (int)at.scope_id;
	T_CHECK(ioctl(fd, SIOCSIFADDR, &link_local) == 0 || errno == EEXIST);
	T_EQ(own_loopback_usable(&link_local.addr, link_local.ifindex), 0);
	close(fd);
	open_two(at, any, 0);
	T_EQ(local_of(a).scope_id, at.scope_id);
	at.port = local_of(b).port;
	ask_and_answer(at, &seen);
	T_EQ(seen.peer.scope_id, at.scope_id);
}

/* A connected endpoint needs no peer in its paths, and skips naming it to the kernel. */
static void a_connected_endpoint_sends_to_its_remote(void)
{
	struct qx_config cfg = {.local = loopback4(1, 0), .socket_fd = -1};
	struct qx_path unnamed = {0}, named, elsewhere;

	open_plain();
	cfg.remote = local_of(b);
	named = path_to(b);
	elsewhere = path_to(a);
	qx_close(a);
	a = NULL;
	a = open_config(&cfg);
	T_EQ(send_equal(a, &unnamed, 2, 100, 1), 2);
	T_EQ(send_equal(a, &named, 2, 100, 3), 2);
	expect_equal(b, 4, 100, 1);
	/* To others it may send, as any connected socket on Linux may. */
	elsewhere.peer = local_of(b);
	elsewhere.peer.ip[3] = 1;
	T_EQ(send_equal(a, &elsewhere, 1, 100, 5), 1);
	expect_equal(b, 1, 100, 5);
}

/* What came for somebody else before the connect must not be taken for the peer's. */
static struct qx_datapath *stranger;

static void send_as_stranger(int fd)
{
	struct sockaddr_in name = {0};
	struct qx_path there = {0};
	socklen_t len = sizeof(name);

	T_EQ(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	there.peer = loopback4(1, ntohs(name.sin_port));
	T_EQ(send_equal(stranger, &there, 2, 50, 1), 2);
}

static void strangers_from_before_the_connect_are_dropped(void)
{
	struct qx_config cfg = {.local = loopback4(1, 0), .socket_fd = -1};
	struct qx_path back;

	open_plain();
	cfg.remote = local_of(b);
	stranger = a;
	seam.connecting = send_as_stranger;
	a = NULL;
	a = open_config(&cfg);
	seam.connecting = NULL;
	back = path_to(a);
	T_EQ(send_equal(b, &back, 1, 60, 9), 1);
	expect_equal(a, 1, 60, 9);
	T_EQ(stats_of(a).drop[QX_DROP_WRONG_PEER], 2);
	qx_close(stranger);
}

static const struct t_case cases[] = {
	{"impossible paths are refused", impossible_paths_are_refused},
	{"a dual-stack socket speaks IPv4 as IPv4", a_dual_stack_socket_speaks_ipv4_as_ipv4},
	{"a dual-stack socket can be connected to IPv4",
	 a_dual_stack_socket_can_be_connected_to_ipv4},
	{"link-local addresses carry their scope", link_local_addresses_carry_their_scope},
	{"a connected endpoint sends to its remote",
	 a_connected_endpoint_sends_to_its_remote},
	{"strangers from before the connect are dropped",
	 strangers_from_before_the_connect_are_dropped},
};

int main(int argc, char **argv)
{
	enter_loopback();
	t_after_each = after_each;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
