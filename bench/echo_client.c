/* echo_client.c: keeps an echo server busy and counts what comes back.
 *
 *      echo_client run  local= peer= [window=] [mode=gso|mmsg] [ms=] [warmup_ms=]
 *
 * At most window packets are under way.  The client never sleeps, so that the server is not
 * charged for waking it, and sends BURST packets at once as soon as so many have come back.
 *
 * mode=mmsg  single packets out (sendmmsg), single packets in (recvmmsg).
 * mode=gso   one UDP_SEGMENT send a burst: several times cheaper, so this client is never
 *            slower than the server; received is as with mmsg, so a server that sends with
 *            UDP_SEGMENT pays for its segmentation.
 *
 * After LOST_NS without an answer the window is taken for lost and filled again. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "load.h"

enum {
	BURST = 32,
	BATCH = 64,
	LOST_NS = 100000000,
	SOCKET_BUFFER_BYTES = 8 << 20
};

static uint8_t out[BURST * PAYLOAD_BYTES], in[BATCH * 2048];
static struct iovec out_parts[BURST], in_parts[BATCH];
static struct mmsghdr out_messages[BURST], in_messages[BATCH];
static uint64_t syscalls, windows_lost;
static int sock;

static uint64_t extra(int which)
{
	return which == METER_SYSCALLS     ? syscalls
	       : which == METER_OTHER_LANE ? windows_lost
					   : 0;
}

static void open_socket(const struct args *a, bool gso)
{
	int bytes = SOCKET_BUFFER_BYTES, segment = PAYLOAD_BYTES;

	sock = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
	must(setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes),
	     "SO_RCVBUFFORCE");
	must(setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes),
	     "SO_SNDBUFFORCE");
	if (gso)
		must(setsockopt(sock, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment),
		     "UDP_SEGMENT");
	must(bind(sock, (const struct sockaddr *)&a->local, sizeof a->local), "bind");
	must(connect(sock, (const struct sockaddr *)&a->peer, sizeof a->peer), "connect");
	for (int i = 0; i < BURST; i++) {
		out_parts[i] = (struct iovec){out + i * PAYLOAD_BYTES, PAYLOAD_BYTES};
		out_messages[i].msg_hdr =
			(struct msghdr){.msg_iov = &out_parts[i], .msg_iovlen = 1};
	}
	for (int i = 0; i < BATCH; i++) {
		in_parts[i] = (struct iovec){in + i * 2048, 2048};
		in_messages[i].msg_hdr =
			(struct msghdr){.msg_iov = &in_parts[i], .msg_iovlen = 1};
	}
}

static void send_burst(uint64_t *sequence, bool gso)
{
	ssize_t rc;

	for (int i = 0; i < BURST; i++, ++*sequence)
		memcpy(out + i * PAYLOAD_BYTES, sequence, sizeof *sequence);
	rc = gso ? send(sock, out, sizeof out, 0) : sendmmsg(sock, out_messages, BURST, 0);
	syscalls++;
	if (rc < 0 && errno != ENOBUFS && errno != EAGAIN)
		die("send to the echo server", errno);
}

int main(int argc, char **argv)
{
	struct args a;
	struct meter m = {.args = &a, .extra = extra};
	uint64_t sequence = 0, answered = 0, heard_ns, now, started;
	bool gso;

	parse_args(&a, argc, argv);
	gso = !strcmp(a.mode, "gso");
	open_socket(&a, gso);
	say_ready();
	heard_ns = now = started = now_ns();
	do {
		int n;

		while (sequence - answered + BURST <= a.window)
			send_burst(&sequence, gso);
		n = recvmmsg(sock, in_messages, BATCH, MSG_DONTWAIT, NULL);
		syscalls++;
		now = now_ns();
		for (int i = 0; i < n; i++)
			meter_packet(&m, in_parts[i].iov_base, in_messages[i].msg_len);
		if (n > 0) {
			/* Answers of a window given up may still come. */
			answered += (uint64_t)n < sequence - answered ? (uint64_t)n
								      : sequence - answered;
			heard_ns = now;
		} else if (errno != EAGAIN) {
			die("receive from the echo server", errno);
		} else if (now - heard_ns > LOST_NS) {
			answered = sequence;
			heard_ns = now;
			windows_lost++;
		}
		if (!m.packets && now - started > 50ull * LOST_NS)
			die("the echo server does not answer", ETIMEDOUT);
	} while (meter_tick(&m, now, false));
	meter_print(&m);
	return 0;
}
