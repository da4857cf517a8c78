/* sim.h: two endpoints on a simulated link, for tests of the link and over it. */
#ifndef QX_SIM_H
#define QX_SIM_H

#include <errno.h>

#include "quicxdp.h"
#include "t.h"

#define MS_NS 1000000ull

static struct qx_link *link_;
static struct qx_datapath *ends[2];
static struct qx_addr addrs[2];
static struct qx_batch batch;
static char sim_why[QX_WHY_BYTES];

static inline struct qx_addr sim_addr(uint32_t end, uint8_t family, uint16_t port)
{
	struct qx_addr a = {.family = family, .port = port};

	if (family == QX_IPV4)
		memcpy(a.ip, (uint8_t[]){192, 0, 2, (uint8_t)(end + 1)}, 4);
	else
		memcpy(a.ip, (uint8_t[]){0x20, 1, 0xd, 0xb8, [15] = (uint8_t)(end + 1)}, 16);
	return a;
}

static inline void sim_close(void)
{
	for (int end = 0; end < 2; end++) {
		qx_close(ends[end]);
		ends[end] = NULL;
	}
	qx_link_close(link_);
	link_ = NULL;
}

static inline void sim_open_end(uint32_t end, uint8_t family, uint32_t rx, uint32_t tx)
{
	struct qx_config cfg = {.socket_fd = -1, .rx_frame_cnt = rx, .tx_frame_cnt = tx};

	cfg.local = addrs[end] = sim_addr(end, family, (uint16_t)(443 + end));
	if (qx_open_memory(&ends[end], link_, end, &cfg, sim_why) < 0)
		T_FAIL("qx_open_memory: %s", sim_why);
}

static inline void sim_open(struct qx_link_config cfg, uint8_t family)
{
	sim_close(); /* of a test that failed */
	T_EQ(qx_link_open(&link_, &cfg), 0);
	sim_open_end(0, family, 0, 0);
	sim_open_end(1, family, 0, 0);
}

/* sim_send sends one datagram of 4 bytes or more that carries a number. */
static inline int sim_send(uint32_t from, uint32_t number, uint32_t len_bytes, uint8_t ecn)
{
	struct qx_send_item item = {.len_bytes = len_bytes, .ecn = ecn};
	struct qx_path path = {.peer = addrs[1 - from]};
	static uint8_t payload[16384];

	memcpy(payload, &number, sizeof(number));
	return qx_send(ends[from], payload, &item, 1, &path, 1);
}

/* sim_recv takes one batch and gives it back; the numbers go to out. */
static inline uint32_t sim_recv(uint32_t end, uint64_t now_ns, uint32_t *out)
{
	int n = qx_recv(ends[end], &batch, now_ns);

	T_CHECK(n >= 0);
	for (int i = 0; i < n; i++)
		memcpy(&out[i], batch.datagrams[i].data, sizeof(*out));
	qx_recv_done(ends[end], &batch);
	return (uint32_t)n;
}

static inline struct qx_stats sim_stats(uint32_t end)
{
	struct qx_stats s;

	T_EQ(qx_get_stats(ends[end], &s), 0);
	return s;
}

#endif
