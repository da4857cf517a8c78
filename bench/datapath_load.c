/* datapath_load.c: the roles of bare_ring.c and bare_gso.c, over quicxdp.h.
 *
 *      datapath_load tx    local= peer= [interface=] [ms=] [rate= packets=]
 *      datapath_load rx    local= [interface=] [ms=] [spin=1]
 *      datapath_load echo  local= [interface=]
 *      datapath_load ping  local= peer= [interface=] [packets=]
 *
 * With interface= the XDP lane is under test, without it the socket lane.  The XDP lane
 * sends once the kernel knows the peer's neighbour, so tx and ping first exchange one-byte
 * greetings until an answer came over XDP, and tx repeats one every GREET_NS; receivers
 * answer them and do not count them.
 *
 * The library's calls of malloc and mmap come here (the linker's --wrap): the meter's
 * "allocations" are those inside its window. */
#include <poll.h>
#include <unistd.h>

#include "allocations.h"
#include "load.h"
#include "quicxdp.h"

enum {
	GREET_NS = 100000000,
	XDP_BATCH = 64,
	SOCKET_BATCH = 65507 / PAYLOAD_BYTES * 4 /* four full UDP_SEGMENT sends */
};

static struct qx_datapath *dp;
static struct qx_batch batch;
static struct qx_slot slots[SOCKET_BATCH];
static uint64_t waits;
static bool xdp;

/* ---- the datapath ---- */

static struct qx_addr address(const struct sockaddr_in *from)
{
	struct qx_addr a = {.port = ntohs(from->sin_port), .family = QX_IPV4};

	memcpy(a.ip, &from->sin_addr, 4);
	return a;
}

static void open_datapath(const struct args *a)
{
	struct qx_config cfg = {.local = address(&a->local), .socket_fd = -1};
	char why[QX_WHY_BYTES] = "";
	int err;

	strncpy(cfg.interface, a->interface, QX_IFNAME_BYTES - 1);
	/* Who spins never waits for the rings; QX_CFG_SPIN without an interface is moot. */
	if (a->spin)
		cfg.flags |= QX_CFG_SPIN;
	xdp = *a->interface;
	err = qx_open(&dp, &cfg, why);
	if (err)
		die(*why ? why : "qx_open", -err);
}

static uint64_t extra(int which)
{
	struct qx_stats s;
	int err;

	if (which == METER_WAITS)
		return waits;
	if (which == METER_ALLOCATIONS)
		return allocation_cnt;
	err = qx_get_stats(dp, &s);
	if (err)
		die("qx_get_stats", -err);
	if (which == METER_OTHER_LANE)
		return s.lane[!xdp].rx_packets + s.lane[!xdp].tx_packets;
	return s.lane[0].rx_syscalls + s.lane[0].tx_syscalls + s.lane[1].rx_syscalls +
	       s.lane[1].tx_syscalls;
}

static int wait_ms(int ms)
{
	struct pollfd readable = {.fd = qx_fd(dp), .events = POLLIN};

	waits++;
	return poll(&readable, 1, ms);
}

static uint32_t receive(uint64_t now)
{
	int n = qx_recv(dp, &batch, now);

	if (n < 0)
		die("qx_recv", -n);
	return (uint32_t)n;
}

static void send_one(const struct qx_path *path, const uint8_t *payload, uint32_t len_bytes)
{
	int n = qx_reserve(dp, path, len_bytes, slots, 1);

	if (n < 0)
		die("qx_reserve", -n);
	if (n) {
		memcpy(slots[0].data, payload, len_bytes);
		slots[0].len_bytes = len_bytes;
		qx_commit(dp, slots, 1);
	}
	qx_flush(dp);
}

/* greet makes the XDP lanes of both ends know each other. */
static void greet(const struct qx_path *path)
{
	bool known = !xdp;

	for (int tries = 0; !known; tries++) {
		if (tries == 100)
			die("no answer to a greeting over XDP", ETIMEDOUT);
		send_one(path, (const uint8_t *)"", 1);
		wait_ms(20);
		for (uint32_t n = receive(now_ns()); n--;)
			known |= batch.datagrams[n].lane == QX_LANE_XDP;
		qx_recv_done(dp, &batch);
	}
}

/* ---- roles ---- */

static void send_batch(struct meter *m, const struct qx_path *path, uint64_t want)
{
	int n = qx_reserve(dp, path, PAYLOAD_BYTES, slots, (uint32_t)want);

	if (n < 0)
		die("qx_reserve", -n);
	for (int i = 0; i < n; i++, m->packets++) {
		memcpy(slots[i].data, &m->packets, sizeof m->packets);
		slots[i].len_bytes = PAYLOAD_BYTES;
	}
	m->bytes += (uint64_t)n * PAYLOAD_BYTES;
	if (n)
		qx_commit(dp, slots, (uint32_t)n);
	if (qx_flush(dp) == 1)
		wait_ms(1);
}

static void run_tx(struct meter *m)
{
	struct qx_path path = {.peer = address(&m->args->peer)};
	uint64_t greeted = now_ns(), now = greeted, most = xdp ? XDP_BATCH : SOCKET_BATCH, n;

	greet(&path);
	do {
		n = pace(m, now, most);
		if (n)
			send_batch(m, &path, n);
		now = now_ns();
		if (xdp && now - greeted >= GREET_NS) {
			greeted = now;
			send_one(&path, (const uint8_t *)"", 1);
			receive(now);
			qx_recv_done(dp, &batch);
		}
	} while (meter_tick(m, now, false));
	meter_print(m);
}

static void run_rx(struct meter *m)
{
	uint64_t now = now_ns();
	int silent = 0;

	do {
		uint32_t n = receive(now);

		for (uint32_t i = 0; i < n; i++) {
			const struct qx_datagram *d = &batch.datagrams[i];

			if (d->len_bytes == 1)
				send_one(&batch.paths[d->path], d->data, 1);
			else
				meter_packet(m, d->data, d->len_bytes);
		}
		qx_recv_done(dp, &batch);
		if (n)
			silent = 0;
		else if (!m->args->spin && wait_ms(100) == 0 && ++silent == 50)
			die("nothing arrived for 5 s", ETIMEDOUT);
		now = now_ns();
	} while (meter_tick(m, now, true));
	meter_print(m);
}

static void run_echo(void)
{
	for (;;) {
		for (uint32_t i = 0, n = receive(now_ns()); i < n; i++) {
			const struct qx_datagram *d = &batch.datagrams[i];

			send_one(&batch.paths[d->path], d->data, d->len_bytes);
		}
		qx_recv_done(dp, &batch);
	}
}

static void run_ping(const struct args *a)
{
	static uint32_t rtt_ns[PINGS_MAX];
	struct qx_path path = {.peer = address(&a->peer)};
	uint64_t cnt = a->packets < PINGS_MAX ? a->packets : PINGS_MAX, at, now, sequence;
	uint64_t syscalls, allocated;
	uint8_t payload[PAYLOAD_BYTES] = {0};
	size_t done = 0;

	greet(&path);
	syscalls = extra(METER_SYSCALLS);
	allocated = allocation_cnt;
	for (uint64_t i = 0; i < cnt; i++) {
		bool back = false;

		at = now = now_ns();
		memcpy(payload, &i, sizeof i);
		send_one(&path, payload, PAYLOAD_BYTES);
		while (!back && now - at < 200000000u) {
			for (uint32_t n = receive(now); n--;) {
				memcpy(&sequence, batch.datagrams[n].data, sizeof sequence);
				back |= batch.datagrams[n].len_bytes == PAYLOAD_BYTES &&
					sequence == i;
			}
			qx_recv_done(dp, &batch);
			now = now_ns();
		}
		if (back)
			rtt_ns[done++] = (uint32_t)(now - at);
	}
	round_trips_print(rtt_ns, done, extra(METER_SYSCALLS) - syscalls,
			  allocation_cnt - allocated);
}

int main(int argc, char **argv)
{
	struct args a;
	struct meter m = {.args = &a, .extra = extra};

	parse_args(&a, argc, argv);
	open_datapath(&a);
	say_ready();
	if (!strcmp(a.role, "tx"))
		run_tx(&m);
	else if (!strcmp(a.role, "rx"))
		run_rx(&m);
	else if (!strcmp(a.role, "echo"))
		run_echo();
	else if (!strcmp(a.role, "ping"))
		run_ping(&a);
	else
		die(a.role, EINVAL);
	qx_close(dp);
	return 0;
}
