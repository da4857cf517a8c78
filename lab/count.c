/* count.c: instructions per packet of one way to send or receive, inside a guest in which an
 * instruction is a nanosecond (lab/machine.py, counting).
 *
 *      count check                            is it such a guest?
 *      count tx MODE NETNS NIC PEER           MODE: sendto, sendmmsg, gso, xdp_copy,
 *                                             xdp_zerocopy
 *      count rx MODE NETNS NIC PEER NETNS NIC HERE
 *                                             MODE: recvmmsg, gro, xdp_copy, xdp_zerocopy;
 *                                             the sender's place, then the receiver's
 *
 * PEER, the peer of sends, is an address that the neighbour table leads to a MAC address of
 * nobody's, so that only sending is counted.
 *
 * How it is counted
 *  - The time stamp counter is the guest's instruction counter; there is one CPU.
 *  - A burst's calls are followed by a loop of a known number of instructions, in which
 *    interrupts and softirqs do what the calls have left to them (completions, NAPI).  What
 *    burst and loop take beyond the loop alone is the burst's.
 *  - System calls are wrapped (the linker's --wrap): what they take is the kernel's, so is
 *    what interrupts took out of the loop; the rest of the calls is the user part.
 *  - Receiving is what a burst to the receiver takes beyond one to nobody. */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "quicxdp.h"

enum {
	PACKETS = 48,
	PAYLOAD_BYTES = 1200,
	BURSTS = 31,
	WARM_UP = 6,
	LOOP_INSNS = 4000000,
	PORT = 7000,
	LINK_LOOKS = 80,
	LINK_LOOK_NS = 100000000, /* of the guest's idle time, which passes at once */
	READS_MAX = 64
};

static int64_t kernel_insns; /* inside system calls, since it was last set to 0 */

#define WRAP(type, name, params, args)                                                       \
	type __real_##name params;                                                           \
	type __wrap_##name params;                                                           \
	type __wrap_##name params                                                            \
	{                                                                                    \
		uint64_t start = __rdtsc();                                                  \
		type rc = __real_##name args;                                                \
                                                                                             \
		kernel_insns += (int64_t)(__rdtsc() - start);                                \
		return rc;                                                                   \
	}
WRAP(ssize_t, sendto,
     (int fd, const void *b, size_t n, int f, const struct sockaddr *a, socklen_t l),
     (fd, b, n, f, a, l))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
WRAP(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned int n, int f), (fd, m, n, f))
WRAP(ssize_t, recv, (int fd, void *b, size_t n, int f), (fd, b, n, f))
WRAP(ssize_t, recvfrom, (int fd, void *b, size_t n, int f, struct sockaddr *a, socklen_t *l),
     (fd, b, n, f, a, l))
WRAP(int, recvmmsg, (int fd, struct mmsghdr *m, unsigned int n, int f, struct timespec *t),
     (fd, m, n, f, t))
WRAP(int, poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms))

static void die(const char *what)
{
	fprintf(stderr, "count: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void loop_insns(uint64_t insns)
{
	uint64_t rounds = insns / 2;

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(rounds) : : "cc");
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int64_t median(int64_t *values, size_t cnt)
{
	qsort(values, cnt, sizeof(*values), compare);
	return values[cnt / 2];
}

/* ---- Places ---- */

static void enter(const char *netns)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(path);
	close(fd);
}

static struct qx_addr address(const char *text, uint16_t port)
{
	struct qx_addr a = {.family = QX_IPV4, .port = port};

	if (inet_pton(AF_INET, text, a.ip) != 1)
		die(text);
	return a;
}

static struct qx_datapath *open_xdp(const char *nic, struct qx_addr local, const char *mode)
{
	struct qx_config cfg = {.local = local, .socket_fd = -1, .xdp_mode = QX_XDP_ZEROCOPY};
	char why[QX_WHY_BYTES] = "";
	struct qx_datapath *dp;
	int err;

	if (!strcmp(mode, "xdp_copy"))
		cfg.xdp_mode = QX_XDP_COPY;
	snprintf(cfg.interface, sizeof(cfg.interface), "%s", nic);
	err = qx_open(&dp, &cfg, why);
	if (err) {
		errno = -err;
		die(why);
	}
	return dp;
}

static int open_socket(struct sockaddr_in *at, bool bound)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	if ((bound ? bind : connect)(fd, (struct sockaddr *)at, sizeof(*at)) < 0)
		die("bind or connect");
	return fd;
}

static struct sockaddr_in sockaddr(const char *text)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};

	if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
		die(text);
	return a;
}

/* ---- Sending ---- */

static uint8_t payload[PACKETS * PAYLOAD_BYTES];
static struct mmsghdr messages[PACKETS];
static struct iovec pieces[PACKETS];
static int tx_fd = -1;
static struct qx_datapath *tx_dp;
static struct qx_path tx_path;

static void prepare_messages(size_t stride_bytes, size_t len_bytes)
{
	for (int i = 0; i < PACKETS; i++) {
		pieces[i] = (struct iovec){payload + (size_t)i * stride_bytes, len_bytes};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
	}
}

static void send_sendto(void)
{
	for (int i = 0; i < PACKETS; i++)
		if (sendto(tx_fd, payload, PAYLOAD_BYTES, 0, NULL, 0) != PAYLOAD_BYTES)
			die("sendto");
}

static void send_sendmmsg(void)
{
	if (sendmmsg(tx_fd, messages, PACKETS, 0) != PACKETS)
		die("sendmmsg");
}

static void send_gso(void)
{
	if (sendto(tx_fd, payload, sizeof(payload), 0, NULL, 0) != sizeof(payload))
		die("UDP_SEGMENT");
}

/* Payloads are written where they leave from; as they stand there, here: no copy. */
static void send_xdp(void)
{
	static struct qx_slot slots[PACKETS];
	int n = qx_reserve(tx_dp, &tx_path, PAYLOAD_BYTES, slots, PACKETS);

	errno = ENOBUFS;
	if (n != PACKETS || slots[0].lane != QX_LANE_XDP)
		die("qx_reserve gave other than 48 slots of the XDP lane");
	for (int i = 0; i < PACKETS; i++)
		slots[i].len_bytes = PAYLOAD_BYTES;
	if (qx_commit(tx_dp, slots, PACKETS) < 0 || qx_flush(tx_dp) < 0)
		die("qx_commit, qx_flush");
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Opening may have reset the link.  A sender that never looks does not hear that it is back. */
static void settle(void)
{
	const struct timespec pause = {.tv_nsec = LINK_LOOK_NS};
	static struct qx_batch nothing;

	for (int i = 0; i < LINK_LOOKS; i++) {
		nanosleep(&pause, NULL);
		if (tx_dp && qx_recv(tx_dp, &nothing, now_ns()) >= 0)
			qx_recv_done(tx_dp, &nothing);
	}
}

/* The caller's namespace and NIC, to peer. */
static void (*open_sender(const char *mode, const char *nic, const char *peer))(void)
{
	int segment_bytes = PAYLOAD_BYTES;
	struct sockaddr_in at = sockaddr(peer);

	if (!strncmp(mode, "xdp", 3)) {
		tx_path = (struct qx_path){.peer = address(peer, PORT)};
		tx_dp = open_xdp(nic, address("10.77.0.1", 0), mode);
		return send_xdp;
	}
	tx_fd = open_socket(&at, false);
	prepare_messages(PAYLOAD_BYTES, PAYLOAD_BYTES);
	if (!strcmp(mode, "sendto"))
		return send_sendto;
	if (!strcmp(mode, "sendmmsg"))
		return send_sendmmsg;
	if (setsockopt(tx_fd, SOL_UDP, UDP_SEGMENT, &segment_bytes, sizeof(segment_bytes)) <
	    0)
		die("UDP_SEGMENT");
	return send_gso;
}

/* ---- Receiving ---- */

static uint8_t room[PACKETS][65536];
static int rx_fd = -1;
static struct qx_datapath *rx_dp;
static struct qx_batch batch;

static int read_messages(void)
{
	int bytes = 0, n = recvmmsg(rx_fd, messages, PACKETS, MSG_DONTWAIT, NULL);

	for (int i = 0; i < n; i++)
		bytes += (int)messages[i].msg_len;
	return bytes;
}

static int read_xdp(void)
{
	int bytes = 0;

	if (qx_recv(rx_dp, &batch, now_ns()) < 0)
		die("qx_recv");
	for (uint32_t i = 0; i < batch.datagram_cnt; i++)
		bytes += batch.datagrams[i].lane == QX_LANE_XDP
				 ? (int)batch.datagrams[i].len_bytes
				 : 0;
	qx_recv_done(rx_dp, &batch);
	return bytes;
}

static int (*open_receiver(const char *mode, const char *nic, const char *here))(void)
{
	struct sockaddr_in at = sockaddr(here);
	int on = 1;

	if (!strncmp(mode, "xdp", 3)) {
		rx_dp = open_xdp(nic, address(here, PORT), mode);
		return read_xdp;
	}
	rx_fd = open_socket(&at, true);
	for (int i = 0; i < PACKETS; i++) {
		pieces[i] = (struct iovec){room[i], sizeof(room[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
	}
	if (!strcmp(mode, "gro") && setsockopt(rx_fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) < 0)
		die("UDP_GRO");
	return read_messages;
}

/* ---- Counting ---- */

struct counted {
	int64_t user;
	int64_t total; /* beyond the loop */
};

static int64_t loop_alone;

/* After-effects of a burst run in the loop. */
static int64_t loop(void)
{
	uint64_t start = __rdtsc();

	loop_insns(LOOP_INSNS);
	return (int64_t)(__rdtsc() - start) - loop_alone;
}

static void count_loop(void)
{
	int64_t taken[BURSTS];

	for (int i = 0; i < BURSTS; i++)
		taken[i] = loop();
	loop_alone = median(taken, BURSTS);
}

static void timed(struct counted *c, void (*burst)(void))
{
	uint64_t start = __rdtsc();
	int64_t taken;

	kernel_insns = 0;
	burst();
	taken = (int64_t)(__rdtsc() - start);
	c->user = taken - kernel_insns;
	c->total = taken + loop();
}

static struct counted median_of(const struct counted *all)
{
	int64_t user[BURSTS], total[BURSTS];

	for (int i = 0; i < BURSTS; i++) {
		user[i] = all[WARM_UP + i].user;
		total[i] = all[WARM_UP + i].total;
	}
	return (struct counted){median(user, BURSTS), median(total, BURSTS)};
}

static struct counted count_sending(void (*send)(void))
{
	static struct counted all[WARM_UP + BURSTS];

	for (int i = 0; i < WARM_UP + BURSTS; i++)
		timed(&all[i], send);
	return median_of(all);
}

static int (*reader)(void);
static int left_bytes;

static void read_all(void)
{
	for (int i = 0; i < READS_MAX && left_bytes > 0; i++)
		left_bytes -= reader();
}

static struct counted count_both(void (*send)(void), int (*read)(void))
{
	static struct counted all[WARM_UP + BURSTS];

	reader = read;
	for (int i = 0; i < WARM_UP + BURSTS; i++) {
		struct counted sent, got;

		timed(&sent, send);
		left_bytes = (int)sizeof(payload);
		timed(&got, read_all);
		if (left_bytes) {
			fprintf(stderr, "count: %d of %zu bytes did not arrive\n", left_bytes,
				sizeof(payload));
			exit(1);
		}
		all[i] = (struct counted){got.user, sent.total + got.total};
	}
	return median_of(all);
}

static void print(int64_t user, int64_t total)
{
	printf("{\"user\": %.0f, \"kernel\": %.0f}\n", (double)user / PACKETS,
	       (double)(total - user) / PACKETS);
}

/* A loop of two million instructions must take as many: nothing else is believed then. */
static int check(void)
{
	int64_t taken[BURSTS], off;

	for (int i = 0; i < BURSTS; i++) {
		uint64_t start = __rdtsc();

		loop_insns(2000000);
		taken[i] = (int64_t)(__rdtsc() - start);
	}
	off = median(taken, BURSTS) - 2000000;
	printf("{\"insns\": 2000000, \"counted\": %lld}\n", (long long)off + 2000000);
	return off < 0 || off > 20000; /* a tick of the clock now and then */
}

int main(int argc, char **argv)
{
	void (*send)(void);
	int (*read)(void);
	struct counted alone, both;

	if (argc == 2 && !strcmp(argv[1], "check"))
		return check();
	if (argc != 6 && argc != 9) {
		fprintf(stderr, "count: see the head of count.c\n");
		return 2;
	}
	if (argc == 6) {
		enter(argv[3]);
		send = open_sender(argv[2], argv[4], argv[5]);
		settle();
		count_loop();
		alone = count_sending(send);
		print(alone.user, alone.total);
		return 0;
	}
	enter(argv[6]);
	read = open_receiver(argv[2], argv[7], argv[8]);
	enter(argv[3]);
	send = open_sender("xdp_zerocopy", argv[4], argv[5]);
	if (rx_fd >= 0)
		for (int i = 0; i < PACKETS; i++)
			pieces[i] = (struct iovec){room[i], sizeof(room[i])};
	settle();
	count_loop();
	alone = count_sending(send);
	tx_path.peer = address(argv[8], PORT);
	both = count_both(send, read);
	print(both.user, both.total - alone.total);
	return 0;
}
