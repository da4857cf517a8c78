/* test_afxdp.c: the AF_XDP back end as a NIC, below device.c: rings, kicks, a link that goes
 * down or away, forked and killed processes.
 *
 * Needs root for network namespaces of its own; traffic stays inside them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>

#include "frames.h"
#include "nic_rig.h"

enum {
	PORT = 4433,
	ARRIVE_MS = 2000
};

/* ---- Traffic, frame by frame ---- */

static void fill(struct qx_nic *nic)
{
	for (uint32_t q = 0; q < nic->queue_cnt; q++) {
		struct qx_ring *r = &nic->queues[q].fill;

		for (uint32_t i = 0; i < nic->rx_frame_cnt; i++) {
			uint32_t frame = umem_take(&nic->umem, QX_FRAME_FILL);

			T_CHECK(frame != UINT32_MAX && ring_free(r, 1));
			*(uint64_t *)ring_produce(r) = (uint64_t)frame
						       << nic->umem.frame_shift;
		}
		ring_publish(r);
	}
}

/* put_tx queues one frame on a queue's TX ring. */
static void put_tx(struct qx_nic *nic, uint32_t queue, const struct frame *f)
{
	uint32_t frame = umem_take(&nic->umem, QX_FRAME_BUILT);
	struct qx_ring *r = &nic->queues[queue].tx;

	T_CHECK(frame != UINT32_MAX && ring_free(r, 1));
	memcpy(umem_frame(&nic->umem, frame), f->bytes,
	       f->len_bytes < 2048 ? f->len_bytes : 2048);
	*(struct qx_desc *)ring_produce(r) =
		(struct qx_desc){(uint64_t)frame << nic->umem.frame_shift, f->len_bytes, 0};
	ring_publish(r);
	T_CHECK(umem_move(&nic->umem, frame, QX_FRAME_BUILT, QX_FRAME_TX));
}

/* reap takes completions of one queue and returns how many. */
static uint32_t reap(struct qx_nic *nic, uint32_t queue)
{
	struct qx_ring *r = &nic->queues[queue].completion;
	uint32_t n = ring_available(r);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t off = *(const uint64_t *)ring_consume(r);

		T_CHECK(umem_move(&nic->umem, (uint32_t)umem_frame_of(&nic->umem, off),
				  QX_FRAME_TX, QX_FRAME_FREE));
	}
	ring_release(r);
	return n;
}

/* A UDP socket of host 2 in the other namespace. */
static int peer_socket(uint8_t family)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	struct qx_addr a = netns_addr(family, 2, PORT);
	int buffer_bytes = 8 << 20, fd;

	memcpy(&in.sin_addr, a.ip, 4);
	memcpy(&in6.sin6_addr, a.ip, 16);
	T_EQ(netns_enter(NETNS_B), 0);
	fd = socket(family == QX_IPV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	T_EQ(netns_enter(NETNS_A), 0);
	T_CHECK(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes));
	T_EQ(family == QX_IPV4 ? bind(fd, (struct sockaddr *)&in, sizeof(in))
			       : bind(fd, (struct sockaddr *)&in6, sizeof(in6)),
	     0);
	return fd;
}

static void peer_send(int fd, const struct qx_addr *to, const void *bytes, size_t len)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(to->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};

	memcpy(&in.sin_addr, to->ip, 4);
	memcpy(&in6.sin6_addr, to->ip, 16);
	if (to->family == QX_IPV4)
		T_EQ(sendto(fd, bytes, len, 0, (struct sockaddr *)&in, sizeof(in)), len);
	else
		T_EQ(sendto(fd, bytes, len, 0, (struct sockaddr *)&in6, sizeof(in6)), len);
}

/* A frame of ours to the peer's socket; the peer's MAC address comes from its namespace. */
static void frame_to_peer(struct frame *f, uint8_t family, uint32_t payload_bytes)
{
	struct qx_addr from = netns_addr(family, 1, PORT), to = netns_addr(family, 2, PORT);
	struct ifinfo info;

	T_EQ(netns_enter(NETNS_B), 0);
	T_EQ(ifinfo_get(&info, "qxb"), 0);
	T_EQ(netns_enter(NETNS_A), 0);
	frame_udp(f, info.mac, &from, &to, payload_bytes);
}

static uint32_t peer_count(int fd, uint32_t want)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char bytes[2048];
	uint32_t n = 0;

	while (n < want && poll(&p, 1, ARRIVE_MS) == 1)
		while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
			n++;
	return n;
}

/* receive waits for one frame on any queue.  Returns its length and copies it. */
static uint32_t receive(struct qx_nic *nic, uint8_t *bytes)
{
	struct pollfd fds[QX_QUEUE_MAX];

	for (uint32_t q = 0; q < nic->queue_cnt; q++)
		fds[q] = (struct pollfd){.fd = nic->queues[q].fd, .events = POLLIN};
	if (poll(fds, nic->queue_cnt, ARRIVE_MS) <= 0)
		return 0;
	for (uint32_t q = 0; q < nic->queue_cnt; q++) {
		struct qx_ring *r = &nic->queues[q].rx;
		struct qx_desc d;

		if (!ring_available(r))
			continue;
		d = *(const struct qx_desc *)ring_consume(r);
		ring_release(r);
		memcpy(bytes, nic->umem.base + d.off_bytes, d.len_bytes);
		return d.len_bytes;
	}
	return 0;
}

static void frames_come_in_over_the_rings(void)
{
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		struct qx_nic *nic = open_small();
		struct qx_addr ours = netns_addr(family, 1, PORT);
		uint32_t header = family == QX_IPV4 ? 42 : 62, len;
		int fd = peer_socket(family);
		uint8_t bytes[2048];

		T_EQ(nic->ops->admit(nic, &ours), 0);
		T_EQ(nic->ops->admit(nic, &ours), -EEXIST);
		fill(nic);
		attach_nic(nic);
		peer_send(fd, &ours, "hello, ring", 11);
		len = receive(nic, bytes);
		nic->ops->dismiss(nic, &ours);
		nic->ops->close(nic);
		close(fd);
		T_EQ(len, header + 11);
		T_EQ(memcmp(bytes + header, "hello, ring", 11), 0);
	}
}

static void frames_go_out_over_the_rings(void)
{
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		struct qx_nic *nic = open_small();
		int fd = peer_socket(family), rc[2];
		struct frame f;
		uint32_t n, done = 0;

		frame_to_peer(&f, family, 1200);
		for (uint32_t q = 0; q < 2; q++) {
			put_tx(nic, q, &f);
			T_CHECK(ring_needs_wakeup(&nic->queues[q].tx));
			rc[q] = nic->ops->kick(nic, q);
		}
		n = peer_count(fd, 2);
		done = reap(nic, 0) + reap(nic, 1);
		nic->ops->close(nic);
		close(fd);
		T_EQ(rc[0], 0);
		T_EQ(rc[1], 0);
		T_EQ(n, 2);
		T_EQ(done, 2);
	}
}

/* A full ring leaves in one call of kick, in few system calls where the kernel lets us. */
static void one_kick_sends_a_full_ring(void)
{
	struct qx_nic *nic = open_small();
	int fd = peer_socket(QX_IPV4), rc;
	uint32_t n, done;
	struct frame f;

	frame_to_peer(&f, QX_IPV4, 100);
	for (int i = 0; i < 512; i++)
		put_tx(nic, 0, &f);
	rc = nic->ops->kick(nic, 0);
	n = peer_count(fd, 512);
	done = reap(nic, 0);
	printf("  %llu system calls for 512 frames\n", (unsigned long long)nic->tx_syscalls);
	T_CHECK(nic->tx_syscalls <= 1 + 512 / 32 + 1);
	nic->ops->close(nic);
	close(fd);
	T_EQ(rc, 0);
	T_EQ(n, 512);
	T_EQ(done, 512);
}

/* The kernel stops at a frame that the device refuses; the rest must not wait for it. */
static void a_frame_too_long_costs_only_itself(void)
{
	struct qx_nic *nic = open_small();
	int fd = peer_socket(QX_IPV4), rc;
	struct frame f, overlong;
	uint32_t n, done;

	frame_to_peer(&f, QX_IPV4, 100);
	overlong = f;
	overlong.len_bytes = 1600; /* an MTU, Ethernet and a VLAN tag are let through */
	for (int i = 0; i < 8; i++) {
		put_tx(nic, 0, &f);
		put_tx(nic, 0, &overlong);
	}
	rc = nic->ops->kick(nic, 0);
	n = peer_count(fd, 8);
	done = reap(nic, 0);
	nic->ops->close(nic);
	close(fd);
	T_EQ(rc, 0);
	T_EQ(n, 8);
	T_EQ(done, 16);
}

static void a_link_that_is_down_keeps_the_frames(void)
{
	struct qx_nic *nic = open_small();
	int fd = peer_socket(QX_IPV4), down, up, event;
	uint32_t kept, n, done;
	struct frame f;

	frame_to_peer(&f, QX_IPV4, 100);
	T_EQ(netns_ip(NETNS_A, "link set qxa down\n"), 0);
	put_tx(nic, 0, &f);
	down = nic->ops->kick(nic, 0);
	kept = ring_pending(&nic->queues[0].tx);
	event = nic->ops->events(nic, 0);
	T_EQ(netns_ip(NETNS_A, "link set qxa up\naddr add fd77::1/64 dev qxa nodad\n"), 0);
	up = nic->ops->kick(nic, 0);
	n = peer_count(fd, 1);
	done = reap(nic, 0);
	nic->ops->close(nic);
	close(fd);
	T_EQ(down, -ENETDOWN);
	T_EQ(kept, 1);
	T_EQ(event, 0);
	T_EQ(up, 0);
	T_EQ(n, 1);
	T_EQ(done, 1);
}

/* poll shows nothing on a deleted interface's sockets: event_fd is how one learns. */
static void a_deleted_interface_is_noticed_without_sending(void)
{
	struct qx_nic *nic = open_small();
	struct pollfd p = {.fd = nic->event_fd, .events = POLLIN};
	struct qx_stats stats = {0};
	int quiet, other, deleted, again, kicked, readable;
	struct frame f;

	attach_nic(nic);
	nic->ops->events(nic, 0);
	quiet = poll(&p, 1, 0);
	T_EQ(netns_ip(NETNS_A, "link add qxi type ifb\nlink del qxi\n"), 0);
	other = poll(&p, 1, ARRIVE_MS) == 1 ? nic->ops->events(nic, 0) : 1;
	frame_to_peer(&f, QX_IPV4, 100);
	T_EQ(netns_ip(NETNS_A, "link del qxa\n"), 0);
	readable = poll(&p, 1, ARRIVE_MS);
	deleted = nic->ops->events(nic, 0);
	again = nic->ops->events(nic, 0);
	put_tx(nic, 0, &f);
	kicked = nic->ops->kick(nic, 0);
	nic->ops->stats(nic, &stats);
	nic->ops->detach(nic);
	nic->ops->close(nic);
	T_EQ(netns_cable(), 0);
	T_EQ(quiet, 0);
	T_EQ(other, 0);
	T_EQ(readable, 1);
	T_EQ(deleted, -ENXIO);
	T_EQ(again, -ENXIO);
	T_EQ(kicked, -ENXIO);
}

/* ---- Processes ---- */

static void close_in_child(struct child_answer *answer, void *arg)
{
	struct qx_nic *nic = arg;

	nic->ops->close(nic);
	answer->rc = 0;
}

static void a_forked_child_takes_nothing_from_its_parent(void)
{
	struct qx_nic *nic = open_small();
	struct qx_addr ours = netns_addr(QX_IPV4, 1, PORT);
	int fd = peer_socket(QX_IPV4);
	struct child_answer answer;
	uint8_t bytes[2048], mode;
	uint32_t len;

	T_EQ(nic->ops->admit(nic, &ours), 0);
	fill(nic);
	attach_nic(nic);
	answer = child_run(close_in_child, nic);
	mode = attached_mode(71);
	peer_send(fd, &ours, "still here", 10);
	len = receive(nic, bytes);
	nic->ops->close(nic);
	close(fd);
	T_EQ(answer.rc, 0);
	T_EQ(mode, XDP_ATTACHED_DRV);
	T_EQ(len, 42 + 10);
}

static int forever(void *arg)
{
	(void)arg;
	return 0;
}

/* A child that lives on has copies of all descriptors, the link's too. */
static void closing_detaches_although_a_child_lives_on(void)
{
	struct qx_nic *nic = open_small();
	uint8_t mode;
	pid_t pid;

	attach_nic(nic);
	pid = child_start(forever, NULL);
	nic->ops->close(nic);
	mode = attached_mode(71);
	T_CHECK(pid > 0);
	child_kill(pid);
	T_EQ(mode, XDP_ATTACHED_NONE);
}

static int serve_forever(void *arg)
{
	char why[QX_WHY_BYTES];
	struct qx_nic_config cfg = config("qxa");
	struct qx_addr ours = netns_addr(QX_IPV4, 1, PORT);
	struct qx_nic *nic;

	(void)arg;
	if (afxdp_open(&nic, &cfg, why) || nic->ops->admit(nic, &ours))
		return -1;
	fill(nic);
	return nic->ops->attach(nic, why);
}

static void a_killed_process_leaves_nothing_and_the_next_one_takes_over(void)
{
	struct qx_addr ours = netns_addr(QX_IPV4, 1, PORT);
	int fd = peer_socket(QX_IPV4);
	uint8_t bytes[2048];

	for (int i = 0; i < 3; i++) {
		pid_t pid = child_start(serve_forever, NULL);
		uint8_t alive, dead;
		struct qx_nic *nic;
		uint32_t len;

		T_CHECK(pid > 0);
		alive = attached_mode(71);
		child_kill(pid);
		dead = attached_mode(71);
		nic = open_small();
		T_EQ(nic->ops->admit(nic, &ours), 0);
		fill(nic);
		attach_nic(nic);
		peer_send(fd, &ours, "next", 4);
		len = receive(nic, bytes);
		nic->ops->close(nic);
		T_EQ(alive, XDP_ATTACHED_DRV);
		T_EQ(dead, XDP_ATTACHED_NONE);
		T_EQ(len, 42 + 4);
	}
	close(fd);
}

static const struct t_case cases[] = {
	{"frames come in over the rings", frames_come_in_over_the_rings},
	{"frames go out over the rings", frames_go_out_over_the_rings},
	{"one kick sends a full ring", one_kick_sends_a_full_ring},
	{"a frame too long costs only itself", a_frame_too_long_costs_only_itself},
	{"a link that is down keeps the frames", a_link_that_is_down_keeps_the_frames},
	{"a deleted interface is noticed without sending",
	 a_deleted_interface_is_noticed_without_sending},
	{"a forked child takes nothing from its parent",
	 a_forked_child_takes_nothing_from_its_parent},
	{"closing detaches although a child lives on",
	 closing_detaches_although_a_child_lives_on},
	{"a killed process leaves nothing and the next one takes over",
	 a_killed_process_leaves_nothing_and_the_next_one_takes_over},
};

int main(int argc, char **argv)
{
	return nic_rig_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
