/* bare_gso.c: the least that moves UDP payloads through the kernel's socket in batches; the
 * yardstick for quicxdp's socket lane.
 *
 *      bare_gso tx  local= peer= [mode=gso|mmsg] [ms=] [rate= packets=]
 *      bare_gso rx  local= [mode=gso|mmsg] [ms=] [spin=1]
 *
 * gso   one sendmsg of SEGMENTS datagrams (UDP_SEGMENT), one recvmsg of what the kernel
 *       left together (UDP_GRO); payloads lie in one buffer, used again and again.
 * mmsg  sendmmsg and recvmmsg of BATCH single datagrams, the state of the art without
 *       segmentation; also the paced sender of block_loop.py.
 *
 * Blocking calls with a time-out, no addresses, no ECN, no accounting. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum {
	SEGMENTS = 65507 / PAYLOAD_BYTES,
	BATCH = 64,
	BUFFER_BYTES = 1 << 16,
	SOCKET_BUFFER_BYTES = 8 << 20
};

static uint8_t buffer[BATCH * 2048 > BUFFER_BYTES ? BATCH * 2048 : BUFFER_BYTES];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static uint64_t syscalls;
static int sock;

static uint64_t extra(int which)
{
	return which == METER_SYSCALLS ? syscalls : 0;
}

static void open_socket(const struct args *a)
{
	struct timeval wait = {.tv_usec = 100000};
	int bytes = SOCKET_BUFFER_BYTES;

	sock = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
	must(setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes),
	     "SO_RCVBUFFORCE");
	must(setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes),
	     "SO_SNDBUFFORCE");
	must(setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), "SO_RCVTIMEO");
	must(bind(sock, (const struct sockaddr *)&a->local, sizeof a->local), "bind");
	if (a->peer.sin_family)
		must(connect(sock, (const struct sockaddr *)&a->peer, sizeof a->peer),
		     "connect");
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){buffer + i * 2048, PAYLOAD_BYTES};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
}

/* A refused send is lost like any other datagram: the sequence numbers show it. */
static void sent(ssize_t rc)
{
	syscalls++;
	if (rc < 0 && errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED)
		die("send", errno);
}

static void send_gso(struct meter *m, uint64_t n)
{
	struct iovec all = {buffer, n * PAYLOAD_BYTES};
	struct msghdr message = {.msg_iov = &all, .msg_iovlen = 1};

	for (uint64_t i = 0; i < n; i++, m->packets++)
		memcpy(buffer + i * PAYLOAD_BYTES, &m->packets, sizeof m->packets);
	sent(sendmsg(sock, &message, 0));
}

static void send_mmsg(struct meter *m, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++, m->packets++)
		memcpy(parts[i].iov_base, &m->packets, sizeof m->packets);
	for (uint64_t done = 0; done < n;) {
		int rc = sendmmsg(sock, messages + done, (unsigned int)(n - done), 0);

		sent(rc);
		done += rc > 0 ? (uint64_t)rc : 1;
	}
}

static void run_tx(struct meter *m, bool gso)
{
	int segment = PAYLOAD_BYTES;
	uint64_t most = gso ? SEGMENTS : BATCH, n;

	if (gso)
		must(setsockopt(sock, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment),
		     "UDP_SEGMENT");
	m->start_ns = now_ns();
	do {
		n = pace(m, now_ns(), most);
		if (m->args->packets && n > m->args->packets - m->packets)
			n = m->args->packets - m->packets;
		if (n && gso)
			send_gso(m, n);
		else if (n)
			send_mmsg(m, n);
		m->bytes += n * PAYLOAD_BYTES;
	} while (meter_tick(m, now_ns(), false));
	meter_print(m);
}

static ssize_t receive_gro(struct meter *m)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec all = {buffer, BUFFER_BYTES};
	struct msghdr message = {.msg_iov = &all,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof control};
	ssize_t len = recvmsg(sock, &message, m->args->spin ? MSG_DONTWAIT : 0);
	struct cmsghdr *c = len > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	int segment = (int)len;

	if (c && c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
		memcpy(&segment, CMSG_DATA(c), sizeof segment);
	for (ssize_t at = 0; at < len; at += segment)
		meter_packet(m, buffer + at,
			     (uint32_t)(len - at < segment ? len - at : segment));
	return len;
}

static ssize_t receive_mmsg(struct meter *m)
{
	int cnt = recvmmsg(sock, messages, BATCH,
			   m->args->spin ? MSG_DONTWAIT : MSG_WAITFORONE, NULL);

	for (int i = 0; i < cnt; i++)
		meter_packet(m, parts[i].iov_base, messages[i].msg_len);
	return cnt;
}

static void run_rx(struct meter *m, bool gso)
{
	int on = 1, silent = 0;

	if (gso)
		must(setsockopt(sock, SOL_UDP, UDP_GRO, &on, sizeof on), "UDP_GRO");
	do {
		ssize_t rc = gso ? receive_gro(m) : receive_mmsg(m);

		syscalls++;
		if (rc > 0)
			silent = 0;
		else if (rc < 0 && errno != EAGAIN)
			die("receive", errno);
		else if (!m->args->spin && ++silent == 50)
			die("nothing arrived for 5 s", ETIMEDOUT);
	} while (meter_tick(m, now_ns(), true));
	meter_print(m);
}

int main(int argc, char **argv)
{
	struct args a;
	struct meter m = {.args = &a, .extra = extra};
	bool gso;

	parse_args(&a, argc, argv);
	gso = !strcmp(a.mode, "gso");
	open_socket(&a);
	say_ready();
	if (!strcmp(a.role, "tx"))
		run_tx(&m, gso);
	else if (!strcmp(a.role, "rx"))
		run_rx(&m, gso);
	else
		die(a.role, EINVAL);
	return 0;
}
