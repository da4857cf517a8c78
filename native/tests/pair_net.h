/* pair_net.h: the network between two connections: it loses, duplicates and reorders by a
 * generator with a fixed seed, on virtual time.
 *
 * Everything that is sent passes a tap that holds the sender's keys: each packet must open,
 * and its number must be above all before it, so that no (key, number) pair is ever sealed
 * twice. */
#ifndef QX_PAIR_NET_H
#define QX_PAIR_NET_H

#include "pair_sides.h"

static inline void pair_tap(uint32_t from, const uint8_t *data, uint32_t len_bytes)
{
	struct side *s = &sides[from];
	const bool is_long = data[0] & 0x80;
	const uint32_t off =
		is_long ? 1 + 4 + 1 + CID_BYTES + 1 + CID_BYTES + 2 : 1 + CID_BYTES;
	struct protect_opened o;
	uint8_t copy[MTU_MAX];

	memcpy(copy, data, len_bytes);
	T_CHECK(s->tap[!is_long]);
	T_EQ(protect_open_packet(s->tap[!is_long], copy, len_bytes, off, s->tap_next_pn, &o),
	     0);
	T_CHECK(o.pn >= s->tap_next_pn);
	T_CHECK(!o.old_phase);
	s->tap_next_pn = o.pn + 1;
	s->packets++;
	s->packet_bytes += len_bytes;
}

static inline bool net_chance(uint32_t ppm)
{
	return ppm && t_random(&net.seed) % 1000000 < ppm;
}

static inline void net_put(uint32_t to, const uint8_t *data, uint32_t len_bytes, uint8_t ecn)
{
	struct wire_datagram *d = net.wire[net.cnt];

	T_CHECK(net.cnt < NET_MAX);
	d->at_ns = now_ns + net.delay_ns;
	d->order = net.order++;
	d->to = to;
	d->ecn = ecn;
	d->len_bytes = len_bytes;
	memcpy(d->bytes, data, len_bytes);
	if (net_chance(net.reorder_ppm))
		d->at_ns += net.delay_ns / 2;
	net.cnt++;
}

static inline void net_send(uint32_t from, const uint8_t *data, uint32_t len_bytes)
{
	pair_tap(from, data, len_bytes);
	if (net.cut[from] || len_bytes > net.mtu_bytes || net_chance(net.loss_ppm))
		return;
	net_put(1 - from, data, len_bytes, 0);
	if (net_chance(net.dup_ppm))
		net_put(1 - from, data, len_bytes, 0);
}

/* The next datagram to arrive, or NET_MAX. */
static inline uint32_t net_next(void)
{
	uint32_t best = NET_MAX;

	for (uint32_t i = 0; i < net.cnt; i++)
		if (best == NET_MAX || net.wire[i]->at_ns < net.wire[best]->at_ns ||
		    (net.wire[i]->at_ns == net.wire[best]->at_ns &&
		     net.wire[i]->order < net.wire[best]->order))
			best = i;
	return best;
}

static inline void pair_flush(uint32_t side)
{
	static uint8_t buf[64 * MTU_MAX];
	uint32_t lens[64], n;

	do {
		uint8_t *p = buf;

		n = (uint32_t)qx_conn_send(sides[side].c, now_ns, buf, sizeof(buf), lens, 64);
		for (uint32_t i = 0; i < n; i++, p += lens[i - 1])
			net_send(side, p, lens[i]);
	} while (n == 64);
	pair_events(side);
}

/* pair_deliver gives a datagram to a side's connection, as FastConnection would. */
static inline int pair_deliver(uint32_t side, uint8_t *data, uint32_t len_bytes)
{
	const bool is_long = data[0] & 0x80;
	const uint32_t off =
		is_long ? 1 + 4 + 1 + CID_BYTES + 1 + CID_BYTES + 2 : 1 + CID_BYTES;
	int err =
		qx_conn_receive(sides[side].c, is_long ? QX_EPOCH_ZERO_RTT : QX_EPOCH_ONE_RTT,
				data, len_bytes, off, 0, now_ns);

	pair_events(side);
	return err;
}

static inline uint64_t pair_next_ns(void)
{
	const uint32_t i = net_next();
	uint64_t next = i == NET_MAX ? QX_NEVER_NS : net.wire[i]->at_ns;

	for (uint32_t s = 0; s < 2; s++)
		if (qx_conn_deadline(sides[s].c) < next)
			next = qx_conn_deadline(sides[s].c);
	return next;
}

/* pair_step moves to the next moment at which anything happens; false: nothing will. */
static inline bool pair_step(uint64_t until_ns)
{
	uint64_t next;
	uint32_t i;

	for (uint32_t s = 0; s < 2; s++)
		pair_flush(s);
	next = pair_next_ns();
	if (next == QX_NEVER_NS || next > until_ns)
		return false;
	if (next > now_ns)
		now_ns = next;
	while ((i = net_next()) != NET_MAX && net.wire[i]->at_ns <= now_ns) {
		struct wire_datagram *d = net.wire[i];

		net.wire[i] = net.wire[--net.cnt];
		net.wire[net.cnt] = d;
		pair_deliver(d->to, d->bytes, d->len_bytes);
	}
	for (uint32_t s = 0; s < 2; s++)
		if (qx_conn_deadline(sides[s].c) <= now_ns) {
			qx_conn_handle_timer(sides[s].c, now_ns);
			pair_events(s);
		}
	return true;
}

/* pair_run lets time pass, at most so long; steps are bounded, so that a spin is found. */
static inline void pair_run(uint64_t for_ns)
{
	const uint64_t until_ns = now_ns + for_ns;
	uint32_t still = 0;

	while (true) {
		const uint64_t before_ns = now_ns;

		if (!pair_step(until_ns))
			break;
		still = now_ns == before_ns ? still + 1 : 0;
		if (still > 100)
			T_FAIL("time stands still at %llu ns", (unsigned long long)now_ns);
	}
	now_ns = until_ns;
}

#endif
