/* bare_ring.c: the least that moves UDP payloads through AF_XDP rings; the yardstick for
 * quicxdp's XDP lane.
 *
 *      bare_ring tx    interface= local= peer= mac= [ms=]          send as fast as it goes
 *      bare_ring rx    interface= local= [ms=] [spin=1]            count what arrives
 *      bare_ring echo  interface= local= peer= mac=                spin and send back
 *      bare_ring ping  interface= local= peer= mac= [packets=]     one round trip at a time
 *      bare_ring pass  interface=                                  attach, pass everything
 *
 * One queue, one flow, IPv4, no parser, no frame accounting, nothing that a library needs.
 * What it shares with quicxdp is what any sender and receiver must do: write headers and
 * a UDP checksum over the payload, read and write the sequence number, recycle frames.
 * The redirecting program of bare_xdp.h compares one port and knows one map entry per queue.
 *
 * "pass" makes a veth's peer segment UDP_SEGMENT sends in software, as a NIC without that
 * offload would (attaching natively turns it off on the other end), until it is killed. */
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bare_xdp.h"
#include "load.h"

static uint8_t template[PACKET];
static uint64_t syscalls, waits;

static uint64_t extra(int which)
{
	return which == METER_SYSCALLS ? syscalls : which == METER_WAITS ? waits : 0;
}

/* ---- frames ---- */

static uint16_t checksum(const uint8_t *at, size_t len_bytes, uint64_t sum)
{
	uint64_t lane[4] = {0};
	uint32_t word[4];

	/* 32-bit words into 64-bit sums never carry out; four sums do not wait for each other. */
	for (; len_bytes >= sizeof word; len_bytes -= sizeof word, at += sizeof word) {
		memcpy(word, at, sizeof word);
		for (int i = 0; i < 4; i++)
			lane[i] += word[i];
	}
	memset(word, 0, sizeof word);
	memcpy(word, at, len_bytes);
	for (int i = 0; i < 4; i++)
		sum += lane[i] + word[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void make_template(const struct args *a)
{
	static const uint8_t ip[] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, IPPROTO_UDP};
	struct ifreq name = {0};
	uint16_t sum;

	strncpy(name.ifr_name, a->interface, IFNAMSIZ - 1);
	must(ioctl(must(socket(AF_INET, SOCK_DGRAM, 0), "socket"), SIOCGIFHWADDR, &name),
	     "MAC");
	memcpy(template, a->peer_mac, 6);
	memcpy(template + 6, name.ifr_hwaddr.sa_data, 6);
	put16(template + 12, ETH_P_IP);
	memcpy(template + 14, ip, sizeof ip);
	put16(template + 16, PACKET - 14);
	memcpy(template + 26, &a->local.sin_addr, 4);
	memcpy(template + 30, &a->peer.sin_addr, 4);
	sum = checksum(template + 14, 20, 0);
	memcpy(template + 24, &sum, 2);
	memcpy(template + 34, &a->local.sin_port, 2);
	memcpy(template + 36, &a->peer.sin_port, 2);
	put16(template + 38, 8 + PAYLOAD_BYTES);
}

static void build(uint64_t off, const uint8_t *payload, uint64_t sequence)
{
	uint8_t *frame = umem + off;
	uint16_t sum;

	memcpy(frame, template, HEADERS);
	if (payload)
		memcpy(frame + HEADERS, payload, PAYLOAD_BYTES);
	else
		memcpy(frame + HEADERS, &sequence, sizeof sequence);
	/* The pseudo header: addresses, protocol and length, then the datagram itself. */
	sum = checksum(frame + 26, PACKET - 26,
		       htons(IPPROTO_UDP) + htons(8 + PAYLOAD_BYTES));
	if (!sum)
		sum = 0xffff;
	memcpy(frame + 40, &sum, 2);
	((struct xdp_desc *)tx.elements)[tx.mine++ % RING] =
		(struct xdp_desc){.addr = off, .len = PACKET};
}

static void reap(void)
{
	uint32_t n = ring_ready(&completion, completion.producer);

	while (n--)
		free_tx[free_tx_cnt++] =
			((uint64_t *)completion.elements)[completion.mine++ % RING];
	ring_publish(&completion, completion.consumer);
}

static void kick(void)
{
	ring_publish(&tx, tx.producer);
	/* Copy mode takes 32 descriptors a call and then says EAGAIN; EBUSY: one was
	 * dropped, go on. */
	while (__atomic_load_n(tx.consumer, __ATOMIC_ACQUIRE) != tx.mine) {
		syscalls++;
		if (sendto(xsk, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
		    errno != EBUSY && errno != ENOBUFS)
			die("kick", errno);
	}
}

/* receive hands each waiting packet to the meter, or the last one to *copy, and refills. */
static uint32_t receive(struct meter *m, uint8_t *copy)
{
	uint32_t n = ring_ready(&rx, rx.producer);

	n = n > BATCH ? BATCH : n;
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = (struct xdp_desc *)rx.elements + rx.mine++ % RING;

		if (copy)
			memcpy(copy, umem + d->addr + HEADERS, PAYLOAD_BYTES);
		else
			meter_packet(m, umem + d->addr + HEADERS, d->len - HEADERS);
		((uint64_t *)fill.elements)[fill.mine++ % RING] =
			d->addr & ~(FRAME_BYTES - 1ull);
	}
	if (n) {
		ring_publish(&rx, rx.consumer);
		ring_publish(&fill, fill.producer);
	}
	return n;
}

/* ---- roles ---- */

static void run_tx(struct meter *m)
{
	do {
		uint64_t n;

		reap();
		n = pace(m, now_ns(), free_tx_cnt < BATCH ? free_tx_cnt : BATCH);
		for (uint64_t i = 0; i < n; i++)
			build(free_tx[--free_tx_cnt], NULL, m->packets++);
		m->bytes += n * PAYLOAD_BYTES;
		kick();
	} while (meter_tick(m, now_ns(), false));
	meter_print(m);
}

static void run_rx(struct meter *m)
{
	struct pollfd readable = {.fd = xsk, .events = POLLIN};
	int silent = 0;

	do {
		if (receive(m, NULL)) {
			silent = 0;
		} else if (!m->args->spin) {
			waits++;
			if (poll(&readable, 1, 100) == 0 && ++silent == 50)
				die("nothing arrived for 5 s", ETIMEDOUT);
		}
	} while (meter_tick(m, now_ns(), true));
	meter_print(m);
}

static void run_echo(void)
{
	uint8_t payload[PAYLOAD_BYTES];

	for (;;) {
		if (!receive(NULL, payload))
			continue;
		reap();
		build(free_tx[--free_tx_cnt], payload, 0);
		kick();
	}
}

static void run_ping(const struct args *a)
{
	static uint32_t rtt_ns[PINGS_MAX];
	uint64_t cnt = a->packets < PINGS_MAX ? a->packets : PINGS_MAX, at;
	uint8_t payload[PAYLOAD_BYTES];
	size_t done = 0;

	for (uint64_t i = 0; i < cnt; i++) {
		at = now_ns();
		reap();
		build(free_tx[--free_tx_cnt], NULL, i);
		kick();
		while (!receive(NULL, payload))
			if (now_ns() - at > 200000000u)
				break;
		if (!memcmp(payload, &i, sizeof i))
			rtt_ns[done++] = (uint32_t)(now_ns() - at);
	}
	round_trips_print(rtt_ns, done, syscalls, 0);
}

int main(int argc, char **argv)
{
	struct args a;
	struct meter m = {.args = &a, .extra = extra};

	parse_args(&a, argc, argv);
	if (!strcmp(a.role, "pass")) {
		attach(a.interface, 0);
		say_ready();
		return pause();
	}
	open_rings(a.interface);
	make_template(&a);
	if (strcmp(a.role, "tx"))
		attach(a.interface, a.local.sin_port);
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
	return 0;
}
