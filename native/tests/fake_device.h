/* fake_device.h: a device that does what the test says.
 *
 * It takes the place of device*.c at link time, so that what datapath.c does with a lane
 * of rings is tested apart from rings: with exact turns, full pools and dead interfaces. */
#ifndef QX_FAKE_DEVICE_H
#define QX_FAKE_DEVICE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "device.h"
#include "why.h"

enum {
	FAKE_QUEUES = 2,
	FAKE_MEMORY_BYTES = 1 << 16,
	FAKE_SLOT_BYTES = 2048
};

static struct {
	bool busy_polls;
	uint32_t busy_poll_cnt, arrives_at; /* with which poll something does */
	int fail_get;                       /* what device_get and port_open answer */
	int fail_open;
	bool reachable;
	uint32_t waiting; /* datagrams in the rings */
	int recv_error;   /* answered once by port_recv */
	uint32_t free_slots;
	int reserve_error;
	bool blocked;

	int refs; /* device_get minus device_put */
	int ports;
	uint32_t recv_calls, done_cnt, publish_cnt, commit_cnt, committed_bytes, flush_cnt;
	int forked;
	struct qx_addr local, remote; /* as port_open was told */
	void (*wake)(void *);
	void *wake_arg;
	int fds[FAKE_QUEUES + 1]; /* queues, then events */
	int tx_fds[FAKE_QUEUES];
	uint8_t memory[FAKE_MEMORY_BYTES];
} fake;

static bool fake_copies; /* kept by fake_reset */

static inline void fake_reset(void)
{
	for (int i = 0; i <= FAKE_QUEUES; i++)
		if (fake.fds[i] > 0)
			close(fake.fds[i]);
	for (int i = 0; i < FAKE_QUEUES; i++)
		if (fake.tx_fds[i] > 0)
			close(fake.tx_fds[i]);
	memset(&fake, 0, sizeof(fake));
	fake.free_slots = 64;
	for (int i = 0; i <= FAKE_QUEUES; i++)
		fake.fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (int i = 0; i < FAKE_QUEUES; i++) /* always writable */
		fake.tx_fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/* The kernel's side: something is in the rings of queue 0. */
static inline void fake_raise(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

int device_get(struct qx_device **out, const struct qx_nic_config *cfg, char *why)
{
	if (fake.fail_get) {
		why_set(why, "%s: fake_device says no", cfg->interface);
		return fake.fail_get;
	}
	fake.refs++;
	*out = (struct qx_device *)&fake;
	return 0;
}

int device_wrap(struct qx_device **out, struct qx_nic *nic, char *why)
{
	(void)out;
	nic->ops->close(nic);
	why_set(why, "fake_device wraps nothing");
	return -EOPNOTSUPP;
}

void device_put(struct qx_device *dev)
{
	(void)dev;
	fake.refs--;
}

void device_forked(void)
{
	fake.forked++;
}

uint32_t device_queue_cnt(const struct qx_device *dev)
{
	(void)dev;
	return FAKE_QUEUES;
}

int device_queue_fd(const struct qx_device *dev, uint32_t queue)
{
	(void)dev;
	return fake.fds[queue];
}

int device_queue_tx_fd(const struct qx_device *dev, uint32_t queue)
{
	(void)dev;
	return fake.tx_fds[queue];
}

int device_event_fd(const struct qx_device *dev)
{
	(void)dev;
	return fake.fds[FAKE_QUEUES];
}

bool device_copies(const struct qx_device *dev)
{
	(void)dev;
	return fake_copies;
}

bool port_busy_polls(const struct qx_port *port)
{
	(void)port;
	return fake.busy_polls;
}

void port_busy_poll(struct qx_port *port)
{
	(void)port;
	fake.busy_poll_cnt++;
	if (fake.busy_poll_cnt == fake.arrives_at)
		fake_raise(fake.fds[0]);
}

void device_info(const struct qx_device *dev, struct qx_interface_info *out)
{
	(void)dev;
	*out = (struct qx_interface_info){.name = "fake", .queue_cnt = FAKE_QUEUES};
}

size_t device_memory(const struct qx_device *dev, uint8_t **base)
{
	(void)dev;
	*base = fake.memory;
	return sizeof(fake.memory);
}

int device_set_tap(struct qx_device *dev, struct qx_tap *tap)
{
	(void)dev;
	(void)tap;
	return 0;
}

void device_drop_tap(struct qx_device *dev)
{
	(void)dev;
}

int port_open(struct qx_port **out, struct qx_device *dev, const struct qx_addr *local,
	      const struct qx_addr *remote, void (*wake)(void *), void *arg, char *why)
{
	(void)dev;
	if (fake.fail_open) {
		why_set(why, "fake_device opens no port");
		return fake.fail_open;
	}
	fake.local = *local;
	fake.remote = *remote;
	fake.wake = wake;
	fake.wake_arg = arg;
	fake.ports++;
	*out = (struct qx_port *)&fake;
	return 0;
}

void port_set_acl(struct qx_port *port, const struct qx_acl *acl)
{
	(void)port;
	(void)acl;
}

void port_close(struct qx_port *port)
{
	(void)port;
	fake.ports--;
}

int port_recv(struct qx_port *port, struct qx_batch *batch, uint64_t now_ns)
{
	int cnt = 0, err = fake.recv_error;

	(void)port;
	(void)now_ns;
	fake.recv_calls++;
	fake.recv_error = 0;
	if (err < 0)
		return err;
	if (fake.waiting && batch->datagram_cnt < QX_BATCH_MAX)
		batch->paths[batch->path_cnt++] = (struct qx_path){
			.peer = {.ip = {10, 0, 0, 9}, .port = 9, .family = QX_IPV4}};
	for (; fake.waiting && batch->datagram_cnt < QX_BATCH_MAX; fake.waiting--, cnt++)
		batch->datagrams[batch->datagram_cnt++] = (struct qx_datagram){
			.data = fake.memory,
			.len_bytes = 100,
			.path = (uint16_t)(batch->path_cnt - 1),
			.lane = QX_LANE_XDP,
		};
	return cnt;
}

void port_recv_done(struct qx_port *port, uint32_t frame)
{
	(void)port;
	(void)frame;
	fake.done_cnt++;
}

void port_recv_publish(struct qx_port *port)
{
	(void)port;
	fake.publish_cnt++;
}

void port_expect(struct qx_port *port, bool room)
{
	(void)port;
	(void)room;
}

bool port_can_reach(struct qx_port *port, const struct qx_path *path)
{
	(void)port;
	(void)path;
	return fake.reachable;
}

int port_reserve(struct qx_port *port, const struct qx_path *path, uint32_t len_bytes,
		 struct qx_slot *slots, uint32_t n)
{
	(void)port;
	(void)path;
	if (fake.reserve_error)
		return fake.reserve_error;
	if (n > fake.free_slots)
		n = fake.free_slots;
	if (n > FAKE_MEMORY_BYTES / FAKE_SLOT_BYTES)
		n = FAKE_MEMORY_BYTES / FAKE_SLOT_BYTES;
	for (uint32_t i = 0; i < n; i++)
		slots[i] = (struct qx_slot){
			.data = fake.memory + i * FAKE_SLOT_BYTES,
			.len_bytes = len_bytes,
			.lane = QX_LANE_XDP,
		};
	return (int)n;
}

int port_commit(struct qx_port *port, const struct qx_slot *slots, uint32_t n)
{
	(void)port;
	for (uint32_t i = 0; i < n; i++)
		fake.committed_bytes += slots[i].len_bytes;
	fake.commit_cnt += n;
	fake.free_slots -= n;
	return 0;
}

int port_flush(struct qx_port *port)
{
	(void)port;
	fake.flush_cnt++;
	return fake.blocked;
}

int port_stats(struct qx_port *port, struct qx_stats *out)
{
	(void)port;
	out->drop[QX_DROP_NOT_OURS] += 3;
	out->frame_cnt = 10;
	return 0;
}

#endif
