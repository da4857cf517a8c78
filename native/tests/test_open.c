/* test_open.c: opening the socket lane: sentences for people, adopted sockets, and nothing
 * left behind whichever system call fails. */
#define _GNU_SOURCE
#include "faults.h"
#include "own_loopback.h"
#include "quicxdp.h"
#include "t.h"

#include <fcntl.h>
#include <netinet/in.h>

/* More places to fail; syscall is where faults.h counts. */
int connect(int fd, const struct sockaddr *name, socklen_t len)
{
	return (int)syscall(SYS_connect, fd, name, len);
}

int getpeername(int fd, struct sockaddr *name, socklen_t *len)
{
	return (int)syscall(SYS_getpeername, fd, name, len);
}

static char why[QX_WHY_BYTES];

static struct qx_config at_loopback(uint8_t last, uint16_t port)
{
	return (struct qx_config){
		.local = {.ip = {127, 0, 0, last}, .port = port, .family = QX_IPV4},
		.socket_fd = -1,
	};
}

static struct qx_datapath *open_ok(const struct qx_config *cfg)
{
	struct qx_datapath *dp = NULL;
	int err = qx_open(&dp, cfg, why);

	if (err < 0)
		T_FAIL("qx_open: %s (%s)", why, strerror(-err));
	return dp;
}

/* The error, a sentence that has all of these words, and no descriptor left. */
static void refused(const struct qx_config *cfg, int code, const char *word,
		    const char *word2)
{
	struct qx_datapath *dp = NULL;
	int fds = faults_open_fds(), rc;

	memset(why, 'x', sizeof(why));
	rc = qx_open(&dp, cfg, why);
	if (rc == 0)
		qx_close(dp);
	T_EQ(rc, code);
	T_CHECK(memchr(why, 0, sizeof(why)) != NULL);
	if (!strstr(why, word) || !strstr(why, word2))
		T_FAIL("\"%s\" lacks \"%s\" or \"%s\"", why, word, word2);
	T_EQ(faults_open_fds(), fds);
}

/* A person must be able to act on it: who has the port, what to type, what to change. */
static void failures_say_what_happened_and_what_to_do(void)
{
	struct qx_config cfg = at_loopback(1, 0), bad;
	struct qx_datapath *dp = open_ok(&cfg);
	char port[16];

	qx_local(dp, &cfg.local);
	snprintf(port, sizeof(port), ":%u", cfg.local.port);
	refused(&cfg, -EADDRINUSE, port, "ss -ulpn");
	qx_close(dp);

	bad = at_loopback(1, 4433);
	bad.local.ip[0] = 9;
	refused(&bad, -EADDRNOTAVAIL, "9.0.0.1:4433", "ip address");

	bad = at_loopback(1, 0);
	bad.remote = (struct qx_addr){.ip = {192, 0, 2, 1}, .port = 1, .family = QX_IPV4};
	bad.local.ip[0] = 0;
	bad.local.ip[3] = 0;
	refused(&bad, -ENETUNREACH, "192.0.2.1:1", "ip route");
	bad.remote =
		(struct qx_addr){.ip = {127, 255, 255, 255}, .port = 1, .family = QX_IPV4};
	refused(&bad, -EACCES, "127.255.255.255:1", "BROADCAST");
	bad.flags = QX_CFG_BROADCAST;
	qx_close(open_ok(&bad));

	bad = at_loopback(1, 0);
	bad.local = (struct qx_addr){.ip = {0xfe, 0x80}, .port = 1, .family = QX_IPV6};
	refused(&bad, -EINVAL, "fe80::", "scope");
}

/* Each contradiction is named before anything is opened. */
static void contradictions_are_refused(void)
{
	struct qx_config bad = at_loopback(1, 0);

	bad.local.family = QX_UNSPEC;
	refused(&bad, -EINVAL, "local address", "remote");
	bad.local.family = 5;
	refused(&bad, -EINVAL, "local", "family 5");
	bad = at_loopback(1, 0);
	bad.remote.family = 5;
	refused(&bad, -EINVAL, "remote", "family 5");
	bad.remote = bad.local;
	refused(&bad, -EINVAL, "remote", "port");
	bad.remote.family = QX_IPV6;
	bad.remote.port = 1;
	refused(&bad, -EINVAL, "IPv4", "IPv6");
	bad = at_loopback(1, 0);
	bad.local =
		(struct qx_addr){.ip = {[10] = 0xff, 0xff, 127, 0, 0, 1}, .family = QX_IPV6};
	refused(&bad, -EINVAL, "::ffff", "QX_IPV4");
	bad = at_loopback(1, 0);
	memset(bad.interface, 'x', sizeof(bad.interface));
	refused(&bad, -EINVAL, "interface", "15");
	bad = at_loopback(1, 0);
	bad.interface[0] = 'x';
	memset(bad.more_interfaces[QX_MORE_INTERFACES_MAX - 1], 'x', QX_IFNAME_BYTES);
	refused(&bad, -EINVAL, "interface", "15");
	bad = at_loopback(1, 0);
	bad.more_interfaces[0][0] = 'x';
	refused(&bad, -EINVAL, "more_interfaces", "first");
}

/* Only a remote address: the usual client. */
static void a_client_needs_no_local_address(void)
{
	struct qx_config server = at_loopback(1, 0), client = {.socket_fd = -1};
	struct qx_datapath *hub = open_ok(&server), *dp;
	struct qx_addr local;

	qx_local(hub, &client.remote);
	dp = open_ok(&client);
	qx_local(dp, &local);
	T_EQ(memcmp(local.ip, client.remote.ip, sizeof(local.ip)), 0);
	T_CHECK(local.port != 0);
	qx_close(dp);
	qx_close(hub);
}

static void two_endpoints_share_a_port_only_if_both_say_so(void)
{
	struct qx_config cfg = at_loopback(1, 0);
	struct qx_datapath *first, *second;

	cfg.flags = QX_CFG_REUSE_PORT;
	first = open_ok(&cfg);
	qx_local(first, &cfg.local);
	second = open_ok(&cfg);
	qx_close(second);
	cfg.flags = 0;
	refused(&cfg, -EADDRINUSE, "taken", "stop");
	qx_close(first);
}

/* ---- Adopted sockets ---- */

static int udp_socket(int domain, int bound)
{
	struct sockaddr_in6 name = {.sin6_family = (sa_family_t)domain};
	int fd = socket(domain, SOCK_DGRAM, 0);

	T_CHECK(fd >= 0);
	if (bound)
		T_EQ(bind(fd, (struct sockaddr *)&name,
			  domain == AF_INET ? sizeof(struct sockaddr_in) : sizeof(name)),
		     0);
	return fd;
}

/* asyncio's sock= and systemd's socket activation hand over what they bound. */
static void a_bound_socket_is_adopted(void)
{
	int fd = udp_socket(AF_INET6, 1);
	struct qx_config cfg = {.socket_fd = fd};
	struct qx_datapath *dp = open_ok(&cfg);
	struct qx_addr local;

	qx_local(dp, &local);
	T_EQ(local.family, QX_IPV6);
	T_CHECK(local.port != 0);
	T_CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	T_CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	qx_close(dp);
	T_EQ(fcntl(fd, F_GETFD), -1);
}

/* What the socket was connected to before, it stays connected to. */
static void an_adopted_socket_brings_its_connection(void)
{
	struct qx_config server = at_loopback(1, 0), cfg = {.socket_fd = -1};
	struct sockaddr_in name = {.sin_family = AF_INET};
	struct qx_datapath *hub = open_ok(&server), *dp;
	struct qx_send_item item = {.len_bytes = 4};
	static struct qx_batch batch;
	struct qx_path anywhere = {0};
	struct qx_addr at;

	qx_local(hub, &at);
	name.sin_port = htons(at.port);
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cfg.socket_fd = udp_socket(AF_INET, 1);
	T_EQ(connect(cfg.socket_fd, (struct sockaddr *)&name, sizeof(name)), 0);
	dp = open_ok(&cfg);
	T_EQ(qx_send(dp, (const uint8_t *)"ping", &item, 1, &anywhere, 1), 1);
	T_EQ(qx_recv(hub, &batch, 1), 1);
	qx_recv_done(hub, &batch);
	qx_close(dp);
	qx_close(hub);
}

static void adopting_refused(int fd, int code, const char *word)
{
	struct qx_config cfg = {.socket_fd = fd};

	refused(&cfg, code, word, "");
	/* It stays the caller's. */
	T_CHECK(fcntl(fd, F_GETFD) >= 0);
	close(fd);
}

/* The wrong kind of descriptor is a mistake that must not end in closing it. */
static void what_is_no_bound_udp_socket_is_refused_and_left_open(void)
{
	struct qx_config closed = {.socket_fd = 1000};

	refused(&closed, -EBADF, "descriptor 1000", "");
	adopting_refused(open("/dev/null", O_RDONLY | O_CLOEXEC), -ENOTSOCK, "not a socket");
	adopting_refused(socket(AF_INET, SOCK_STREAM, 0), -EINVAL, "UDP");
	adopting_refused(socket(AF_UNIX, SOCK_DGRAM, 0), -EINVAL, "UDP");
	adopting_refused(udp_socket(AF_INET, 0), -EINVAL, "bind");
}

/* A later step that fails must not close what it was given either. */
static void an_adopted_socket_survives_a_failing_open(void)
{
	struct qx_config cfg = {.socket_fd = udp_socket(AF_INET, 1), .interface = "qx-none"};

	refused(&cfg, -ENODEV, "qx-none", "");
	T_CHECK(fcntl(cfg.socket_fd, F_GETFD) >= 0);
	close(cfg.socket_fd);
}

/* ---- Faults ---- */

/* Fails the Nth call for N = 1, 2, ... until an open makes fewer.  Some failures are none:
 * what is only wanted (large buffers, GRO) may be missing. */
static void every_call_fails_once(const struct qx_config *cfg, uint32_t calls_at_least)
{
	int fds = faults_open_fds(), err, failed = 0;
	struct qx_datapath *dp;
	uint32_t n = 0;

	faults_errno = ENOMEM;
	do {
		faults_calls = 0;
		faults_at = ++n;
		dp = NULL;
		memset(why, 0, sizeof(why));
		err = qx_open(&dp, cfg, why);
		faults_at = 0;
		if (err < 0) {
			failed++;
			T_EQ(err, -ENOMEM);
			T_CHECK(dp == NULL);
			T_CHECK(strlen(why) > 10);
		} else {
			qx_close(dp);
		}
		T_EQ(faults_open_fds(), fds);
	} while (faults_calls >= n);
	T_CHECK(n > calls_at_least);
	T_CHECK(failed >= (int)calls_at_least - 6);
}

static void whatever_call_fails_nothing_is_left_open(void)
{
	struct qx_config v4 = at_loopback(1, 0), v6 = {.socket_fd = -1};
	struct qx_datapath *hub = open_ok(&v4);

	v6.local.family = QX_IPV6;
	v6.flags = QX_CFG_REUSE_PORT | QX_CFG_BROADCAST;
	qx_local(hub, &v6.remote);
	v4.remote = v6.remote;
	every_call_fails_once(&v4, 16);
	every_call_fails_once(&v6, 20);
	qx_close(hub);
}

/* Callers may not want the sentence. */
static void the_sentence_is_optional(void)
{
	struct qx_config bad = at_loopback(1, 0);
	struct qx_datapath *dp;

	bad.local.ip[0] = 9;
	T_EQ(qx_open(&dp, &bad, NULL), -EADDRNOTAVAIL);
}

/* Steady state allocates nothing, maps nothing, opens nothing. */
static void sending_and_receiving_allocate_nothing(void)
{
	struct qx_config cfg = at_loopback(1, 0);
	struct qx_datapath *a = open_ok(&cfg), *b = open_ok(&cfg);
	static uint8_t payload[100 * 1500];
	struct qx_send_item items[100];
	static struct qx_batch batch;
	struct qx_path there = {0};
	struct qx_stats stats;
	struct qx_error error;
	uint32_t got = 0;

	qx_local(b, &there.peer);
	for (int i = 0; i < 100; i++)
		items[i] = (struct qx_send_item){.len_bytes = i % 10 ? 1200 : 1500};
	faults_calls = 0;
	for (int round = 0; round < 50; round++) {
		T_EQ(qx_send(a, payload, items, 100, &there, 1), 100);
		T_EQ(qx_arm(a, (uint64_t)round + 1), 0);
		while (qx_recv(b, &batch, 1) > 0) {
			got += batch.datagram_cnt;
			qx_recv_done(b, &batch);
		}
		T_EQ(qx_get_stats(a, &stats), 0);
		while (qx_next_error(a, &error))
			;
	}
	T_EQ(got, 50 * 90);
	/* The statistics ask the socket what it has dropped, and nothing else is called. */
	T_EQ(faults_calls, 50);
	qx_close(a);
	qx_close(b);
}

static const struct t_case cases[] = {
	{"failures say what happened and what to do",
	 failures_say_what_happened_and_what_to_do},
	{"contradictions are refused", contradictions_are_refused},
	{"a client needs no local address", a_client_needs_no_local_address},
	{"two endpoints share a port only if both say so",
	 two_endpoints_share_a_port_only_if_both_say_so},
	{"a bound socket is adopted", a_bound_socket_is_adopted},
	{"an adopted socket brings its connection", an_adopted_socket_brings_its_connection},
	{"what is no bound UDP socket is refused and left open",
	 what_is_no_bound_udp_socket_is_refused_and_left_open},
	{"an adopted socket survives a failing open",
	 an_adopted_socket_survives_a_failing_open},
	{"whatever call fails, nothing is left open",
	 whatever_call_fails_nothing_is_left_open},
	{"the sentence is optional", the_sentence_is_optional},
	{"sending and receiving allocate nothing", sending_and_receiving_allocate_nothing},
};

int main(int argc, char **argv)
{
	int err = own_loopback_enter(1500);

	if (err < 0)
		T_SKIP_PROGRAM("no network namespace of our own: %s; run as root or allow "
			       "user namespaces",
			       strerror(-err));
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
