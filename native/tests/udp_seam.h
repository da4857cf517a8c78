/* udp_seam.h: stands between the socket lane and the kernel, and helps to drive it.
 *
 * Defined here, these functions replace libc's in the whole test program: they count
 * messages and, where a test asks for it, answer as a kernel would that lacks something
 * or is short of something.  With all hooks NULL everything goes straight through. */
#ifndef QX_UDP_SEAM_H
#define QX_UDP_SEAM_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "own_loopback.h"
#include "quicxdp.h"
#include "t.h"

enum {
	MTU_BYTES = 1500,
	ROUNDS_MAX = 64
};

static struct {
	/* Asked before each message; a positive errno refuses it. */
	int (*send)(const struct msghdr *h);
	/* Asked before each call; a positive errno refuses it. */
	int (*recv)(void);
	/* Told of each message that came; may alter it. */
	void (*received)(struct msghdr *h);
	/* Asked before each option; a positive errno refuses it. */
	int (*option)(int level, int option);
	/* Told before a socket is connected. */
	void (*connecting)(int fd);
	uint32_t messages;  /* that the kernel took */
	uint32_t segmented; /* of those, with UDP_SEGMENT */
} seam;

static inline bool seam_is_segmented(const struct msghdr *h)
{
	/* CMSG_NXTHDR wants to write; nothing here does. */
	struct msghdr copy = *h;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c; c = CMSG_NXTHDR(&copy, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT)
			return true;
	return false;
}

static inline int seam_check(const struct msghdr *h)
{
	int code = seam.send ? seam.send(h) : 0;

	if (code == 0)
		return 0;
	errno = code;
	return -1;
}

static inline void seam_count(const struct msghdr *h)
{
	seam.messages++;
	seam.segmented += seam_is_segmented(h);
}

ssize_t sendmsg(int fd, const struct msghdr *h, int flags)
{
	ssize_t rc = seam_check(h);

	if (rc == 0)
		rc = syscall(SYS_sendmsg, fd, h, flags);
	if (rc >= 0)
		seam_count(h);
	return rc;
}

int sendmmsg(int fd, struct mmsghdr *h, unsigned int cnt, int flags)
{
	unsigned int allowed = 0;
	int rc;

	while (allowed < cnt && seam_check(&h[allowed].msg_hdr) == 0)
		allowed++;
	if (allowed == 0)
		return -1;
	rc = (int)syscall(SYS_sendmmsg, fd, h, allowed, flags);
	for (int i = 0; i < rc; i++)
		seam_count(&h[i].msg_hdr);
	return rc;
}

static inline int seam_check_recv(void)
{
	int code = seam.recv ? seam.recv() : 0;

	if (code == 0)
		return 0;
	errno = code;
	return -1;
}

ssize_t recvmsg(int fd, struct msghdr *h, int flags)
{
	ssize_t rc = seam_check_recv();

	if (rc == 0)
		rc = syscall(SYS_recvmsg, fd, h, flags);
	if (rc >= 0 && seam.received)
		seam.received(h);
	return rc;
}

int recvmmsg(int fd, struct mmsghdr *h, unsigned int cnt, int flags, struct timespec *timeout)
{
	int rc = seam_check_recv();

	if (rc == 0)
		rc = (int)syscall(SYS_recvmmsg, fd, h, cnt, flags, timeout);
	for (int i = 0; i < rc && seam.received; i++)
		seam.received(&h[i].msg_hdr);
	return rc;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	int code = seam.option ? seam.option(level, option) : 0;

	if (code) {
		errno = code;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, option, value, len);
}

int connect(int fd, const struct sockaddr *name, socklen_t len)
{
	if (seam.connecting)
		seam.connecting(fd);
	return (int)syscall(SYS_connect, fd, name, len);
}

/* ---- Every test ends with a leak check ---- */

static inline int count_descriptors(void)
{
	int cnt = 0;

	for (int fd = 0; fd < 256; fd++)
		cnt += fcntl(fd, F_GETFD) >= 0;
	return cnt;
}

/* For t_after_each, once everything is closed; the first count is taken before. */
static int descriptors_at_start;

static inline void check_descriptors(void)
{
	int now = count_descriptors();

	if (now == descriptors_at_start)
		return;
	printf("FAIL descriptors: %d before, %d after\n", descriptors_at_start, now);
	exit(1);
}

/* ---- Two endpoints and what passes between them ---- */

static struct qx_batch batch;
static uint8_t payload[1 << 20];

static inline struct qx_addr loopback4(uint8_t last, uint16_t port)
{
	return (struct qx_addr){.ip = {127, 0, 0, last}, .family = QX_IPV4, .port = port};
}

static inline struct qx_addr loopback6(uint8_t last, uint16_t port)
{
	return (struct qx_addr){.ip = {[15] = last}, .family = QX_IPV6, .port = port};
}

static inline struct qx_datapath *open_config(const struct qx_config *cfg)
{
	char why[QX_WHY_BYTES];
	struct qx_datapath *dp;
	int err = qx_open(&dp, cfg, why);

	if (err < 0)
		T_FAIL("qx_open: %s (%s)", why, strerror(-err));
	return dp;
}

static inline struct qx_datapath *open_at(struct qx_addr local, uint32_t flags)
{
	struct qx_config cfg = {.local = local, .socket_fd = -1, .flags = flags};

	return open_config(&cfg);
}

static inline struct qx_addr local_of(struct qx_datapath *dp)
{
	struct qx_addr local;

	qx_local(dp, &local);
	return local;
}

static inline struct qx_path path_to(struct qx_datapath *dp)
{
	return (struct qx_path){.peer = local_of(dp)};
}

static inline struct qx_stats stats_of(struct qx_datapath *dp)
{
	struct qx_stats stats;

	T_EQ(qx_get_stats(dp, &stats), 0);
	return stats;
}

static inline struct qx_lane_stats lane_of(struct qx_datapath *dp)
{
	return stats_of(dp).lane[QX_LANE_SOCKET];
}

static inline bool readable(struct qx_datapath *dp)
{
	struct pollfd p = {.fd = qx_fd(dp), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* Sends n datagrams of one length; the first byte of each counts from first_byte on. */
static inline int send_equal(struct qx_datapath *dp, const struct qx_path *path, uint32_t n,
			     uint32_t len_bytes, uint8_t first_byte)
{
	struct qx_send_item items[1024];

	T_CHECK(n <= 1024 && n * len_bytes <= sizeof(payload));
	for (uint32_t i = 0; i < n; i++) {
		items[i] = (struct qx_send_item){.len_bytes = len_bytes};
		memset(payload + i * len_bytes, (uint8_t)(first_byte + i), len_bytes);
	}
	return qx_send(dp, payload, items, n, path, 1);
}

/* Receives until n datagrams came, in the order and form that send_equal gave them. */
static inline void expect_equal(struct qx_datapath *dp, uint32_t n, uint32_t len_bytes,
				uint8_t first_byte)
{
	uint32_t got = 0;

	for (int round = 0; got < n; round++) {
		if (round == ROUNDS_MAX)
			T_FAIL("only %u of %u datagrams came", got, n);
		T_CHECK(qx_recv(dp, &batch, 1) >= 0);
		for (uint32_t i = 0; i < batch.datagram_cnt; i++, got++) {
			T_EQ(batch.datagrams[i].len_bytes, len_bytes);
			if (len_bytes > 0)
				T_EQ(batch.datagrams[i].data[len_bytes - 1],
				     (uint8_t)(first_byte + got));
		}
		qx_recv_done(dp, &batch);
	}
	T_EQ(got, n);
	T_EQ(qx_recv(dp, &batch, 1), 0);
}

/* Takes what is there and nothing else. */
static inline uint32_t recv_once(struct qx_datapath *dp)
{
	int n = qx_recv(dp, &batch, 1);

	T_CHECK(n >= 0);
	return (uint32_t)n;
}

static inline void enter_loopback(void)
{
	int err = own_loopback_enter(MTU_BYTES);

	if (err < 0)
		T_SKIP_PROGRAM("no network namespace of our own: %s; run as root or allow "
			       "user namespaces",
			       strerror(-err));
	descriptors_at_start = count_descriptors();
}

#endif
