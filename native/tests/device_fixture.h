/* device_fixture.h: a device on the hand-moved NIC, its ports, and datagrams for them. */
#ifndef QX_DEVICE_FIXTURE_H
#define QX_DEVICE_FIXTURE_H

#include "device.h"
#include "hand_nic.h"
#include "wire.h"

#define SECOND_NS 1000000000ull

static struct qx_batch batch;
static struct qx_device *dev;
static uint32_t wakes;

static inline void count_wake(void *arg)
{
	(void)arg;
	wakes++;
}

static inline struct qx_addr v4(uint8_t host, uint16_t port)
{
	return (struct qx_addr){.family = QX_IPV4, .ip = {10, 0, 0, host}, .port = port};
}

static inline struct qx_addr v6(uint8_t host, uint16_t port)
{
	return (struct qx_addr){
		.family = QX_IPV6, .ip = {0x20, 1, 0xd, 0xb8, [15] = host}, .port = port};
}

static const struct qx_addr nobody = {.family = QX_UNSPEC};

static inline void fresh(void)
{
	dev = hand_open(HAND_RX, HAND_TX);
	hand.addrs[0] = v4(1, 0);
	hand.addrs[1] = v6(1, 0);
	hand.addrs[2] = v4(2, 0);
	hand.addr_cnt = 3;
	wakes = 0;
}

static inline struct qx_port *open_port(const struct qx_addr *local,
					const struct qx_addr *remote)
{
	struct qx_port *port;

	if (port_open(&port, dev, local, remote, count_wake, NULL, hand_why) < 0)
		T_FAIL("port_open: %s", hand_why);
	return port;
}

/* A device with one port at 10.0.0.1:443. */
static inline struct qx_port *fresh_port(void)
{
	struct qx_addr local;

	fresh();
	local = v4(1, 443);
	return open_port(&local, &nobody);
}

static inline void finish(struct qx_port *a, struct qx_port *b)
{
	hand_check_census();
	if (a)
		port_close(a);
	if (b)
		port_close(b);
	device_put(dev);
	T_EQ(hand.closes, 1);
}

static inline struct frame datagram(struct qx_addr from, struct qx_addr to,
				    uint32_t payload_bytes)
{
	struct frame f;

	frame_udp(&f, hand_mac, &from, &to, payload_bytes);
	return f;
}

static inline int recv_at(struct qx_port *port, uint64_t now_ns)
{
	int n;

	batch.datagram_cnt = batch.path_cnt = 0;
	n = port_recv(port, &batch, now_ns);
	hand_check_census();
	return n;
}

static inline int receive(struct qx_port *port)
{
	return recv_at(port, SECOND_NS);
}

static inline void done(struct qx_port *port)
{
	for (uint32_t i = 0; i < batch.datagram_cnt; i++)
		port_recv_done(port, batch.datagrams[i].frame);
	port_recv_publish(port);
	hand_check_census();
}

static inline uint64_t drops(struct qx_port *port, enum qx_drop reason)
{
	struct qx_stats s = {0};

	T_EQ(port_stats(port, &s), 0);
	return s.drop[reason];
}

static inline uint32_t fill_level(uint32_t queue)
{
	return hand.memory[queue][0].producer - hand.memory[queue][0].consumer;
}

/* All RX frames are back with the kernel. */
static inline void check_all_filled(void)
{
	for (uint32_t q = 0; q < HAND_QUEUES; q++)
		T_EQ(fill_level(q), HAND_RX);
	T_EQ(hand.nic.umem.census[QX_FRAME_FILL], HAND_QUEUES * HAND_RX);
}

/* The peer 10.0.0.9:1000 is heard by port on a queue, so that it can be answered. */
static inline void hear(struct qx_port *port, uint32_t queue, uint64_t now_ns)
{
	struct frame f = datagram(v4(9, 1000), v4(1, 443), 10);

	T_CHECK(hand_arrive(queue, &f));
	T_EQ(recv_at(port, now_ns), 1);
	done(port);
}

static inline struct qx_path to_peer(void)
{
	return (struct qx_path){.peer = v4(9, 1000)};
}

#endif
