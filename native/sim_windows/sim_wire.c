/* sim_wire.c: packets: from TX rings over the cable into RX rings (src/xdp/xsk.c). */
#include <string.h>

#include "checksum.h"
#include "sim_internal.h"

void (*sim_tap)(uint32_t from_end, const uint8_t *frame, uint32_t len_bytes);

static uint64_t steps;

/* ---- What the adapters are ---- */

struct qx_addr sim_addr(uint32_t end, uint8_t family, uint8_t n)
{
	struct qx_addr a = {.family = family};
	uint8_t host = (uint8_t)(1 + end * 16 + n);

	if (family == QX_IPV4)
		memcpy(a.ip, (uint8_t[]){198, 51, 100, host}, 4);
	else
		memcpy(a.ip, (uint8_t[]){0x20, 1, 0xd, 0xb8, [4] = 8, [15] = host}, 16);
	return a;
}

static int local_addrs(uint32_t ifindex, struct qx_addr *out, uint32_t max)
{
	uint32_t cnt = 0;

	for (uint8_t n = 0; n < 2; n++)
		for (uint8_t family = QX_IPV4; family <= QX_IPV6 && cnt < max; family += 2)
			out[cnt++] = sim_addr(ifindex - SIM_IFINDEX, family, n);
	return (int)cnt;
}

struct winxdp_adapter sim_adapter(uint32_t end)
{
	return (struct winxdp_adapter){
		.ifindex = SIM_IFINDEX + end,
		.mac = {0x02, 'w', 'x', 0, 0, (uint8_t)end},
		.mtu_bytes = SIM_MTU_BYTES,
		.local_addrs = local_addrs,
	};
}

/* find_socket: the n-th active socket of a queue that has this ring. */
static struct sim_xsk *find_socket(uint32_t end, uint32_t queue, uint32_t direction)
{
	for (uint32_t i = 0; i < HANDLE_CNT; i++) {
		const struct sim_object *o = sim_objects[i];

		if (o && o->type == XDP_XSK && o->xsk->state >= STATE_ACTIVE &&
		    o->xsk->end == end && o->xsk->queue == queue &&
		    o->xsk->directions & direction)
			return o->xsk;
	}
	return NULL;
}

/* ---- Receiving ---- */

/* Both directions of a flow come to the same queue, as with a symmetric RSS key. */
static uint32_t choose_queue(const uint8_t *frame, uint32_t len_bytes)
{
	uint32_t ports = frame[14] >> 4 == 6 ? 54 : 34;
	uint32_t mix;

	if (len_bytes < ports + 4)
		return 0;
	mix = (uint32_t)(frame[ports] ^ frame[ports + 1] ^ frame[ports + 2] ^
			 frame[ports + 3]);
	mix ^= mix >> 4;
	mix ^= mix >> 2;
	return (mix ^ mix >> 1) % sim_config.queue_cnt;
}

static void put_rx(struct sim_xsk *s, uint64_t address, uint32_t len_bytes)
{
	struct qx_ring *rx = &s->rings[RING_RX].r;
	struct xsk_descriptor *d = ring_produce(rx);

	/* What lies behind the descriptor is no business of a caller that asked for nothing. */
	memset(d, 0xee, rx->stride_bytes);
	*d = (struct xsk_descriptor){
		.address = address | (uint64_t)s->umem.headroom_bytes << 48,
		.len_bytes = len_bytes,
	};
	ring_publish(rx);
}

static void receive(struct sim_xsk *s, const uint8_t *frame, uint32_t len_bytes)
{
	struct qx_ring *fill = &s->rings[RING_FILL].r, *rx = &s->rings[RING_RX].r;
	uint32_t room_bytes = s->umem.chunk_bytes - s->umem.headroom_bytes;
	uint64_t address;

	if (s->state != STATE_ACTIVE || ring_free(rx, 1) == 0 || ring_available(fill) == 0) {
		s->statistics.rx_dropped++;
		return;
	}
	address = *(const uint64_t *)ring_consume(fill);
	ring_release(fill);
	if (address > s->umem.len_bytes - s->umem.chunk_bytes) {
		s->statistics.rx_invalid_descriptors++;
		s->statistics.rx_dropped++;
		return;
	}
	if (len_bytes > room_bytes) {
		s->statistics.rx_truncated++;
		len_bytes = room_bytes;
	}
	memcpy((uint8_t *)s->umem.address + address + s->umem.headroom_bytes, frame,
	       len_bytes);
	put_rx(s, address, len_bytes);
	sim_counts.redirected++;
	sim_xsk_end_wait(s, XSK_WAIT_RX, NT_OK);
}

void sim_inject(uint32_t end, const uint8_t *frame, uint32_t len_bytes)
{
	uint32_t queue = choose_queue(frame, len_bytes);
	struct sim_xsk *s = sim_program_match(end, queue, frame, len_bytes);

	if (sim_removed[end])
		return;
	if (s)
		receive(s, frame, len_bytes);
	else
		sim_counts.passed++;
}

/* ---- Sending ---- */

/* finish_checksum does what the adapter was told to by a descriptor's extensions. */
static void finish_checksum(const struct sim_xsk *s, const uint8_t *extended, uint8_t *frame,
			    uint32_t len_bytes)
{
	uint64_t layout = 0;
	uint32_t ip_bytes, udp;
	uint16_t sum;
	bool ipv4;

	if (!s->checksum || extended[s->checksum_off] == XDP_CHECKSUM_PASSTHROUGH)
		return;
	memcpy(&layout, extended + s->layout_off, XDP_LAYOUT_BYTES);
	ipv4 = frame[14] >> 4 == 4;
	ip_bytes = (uint32_t)(layout >> 7) & 0x1ff;
	udp = 14 + ip_bytes;
	if (extended[s->checksum_off] != XDP_CHECKSUM_LAYER4_REQUIRED ||
	    (layout & 0x7f) != 14 || ip_bytes != (ipv4 ? 20u : 40u) ||
	    (layout >> 16 & 0xff) != 8 || (layout >> 24 & 0xf) != XDP_LAYER2_ETHERNET ||
	    (layout >> 28 & 0xf) != (ipv4 ? (uint64_t)XDP_LAYER3_IPV4_NO_OPTIONS
					  : (uint64_t)XDP_LAYER3_IPV6_NO_EXTENSIONS) ||
	    layout >> 32 != XDP_LAYER4_UDP) {
		sim_violation("a layout extension that does not describe its packet");
		return;
	}
	if (!sim_offload_on[s->end]) {
		sim_violation("a checksum left to an adapter that does not finish any");
		return;
	}
	/* The field holds the pseudo-header's sum, so the whole adds up to it. */
	sum = (uint16_t)~checksum_fold(checksum_add(frame + udp, len_bytes - udp, 0));
	if (sum == 0)
		sum = 0xffff;
	memcpy(frame + udp + 6, &sum, sizeof(sum));
	sim_counts.finished_checksums++;
}

/* The adapter reads the packet after the driver copied it, so the caller's stays as it is. */
static void send_one(struct sim_xsk *s, const struct xsk_descriptor *d, const void *extended)
{
	static uint8_t copy[1 << 16];
	uint64_t base = d->address & 0xffffffffffffu, offset = d->address >> 48;

	if (d->len_bytes == 0 || base + offset + d->len_bytes > s->umem.len_bytes ||
	    d->len_bytes > SIM_MTU_BYTES + 14) {
		/* Consumed, counted, never completed. */
		s->statistics.tx_invalid_descriptors++;
		return;
	}
	memcpy(copy, (uint8_t *)s->umem.address + base + offset, d->len_bytes);
	finish_checksum(s, extended, copy, d->len_bytes);
	s->under_way[s->outstanding++] = base;
	sim_counts.packets++;
	if (sim_tap)
		sim_tap(s->end, copy, d->len_bytes);
	sim_inject(1 - s->end, copy, d->len_bytes);
}

/* completion_room: how many more may be under way; false if the ring cannot be right. */
static bool completion_room(struct sim_xsk *s, uint32_t *room)
{
	struct qx_ring *c = &s->rings[RING_COMPLETION].r;
	uint32_t unread = ring_pending(c), cap = c->size;

	if (unread > c->size - s->outstanding) {
		sim_xsk_set_error(s, RING_COMPLETION, XSK_ERROR_INVALID_RING);
		return false;
	}
	if (sim_config.completion_cap && sim_config.completion_cap < cap)
		cap = sim_config.completion_cap;
	*room = unread + s->outstanding < cap ? cap - unread - s->outstanding : 0;
	return true;
}

static void complete(struct sim_xsk *s)
{
	struct qx_ring *c = &s->rings[RING_COMPLETION].r;

	if (s->outstanding == 0)
		return;
	for (uint32_t i = 0; i < s->outstanding; i++) {
		uint64_t *element = ring_produce(c);

		memset(element, 0xee, c->stride_bytes);
		*element = s->under_way[i];
	}
	ring_publish(c);
	s->outstanding = 0;
	sim_xsk_end_wait(s, XSK_WAIT_TX, NT_OK);
}

/* One run of the driver's sending half for a socket that was poked. */
static void transmit(struct sim_xsk *s)
{
	struct qx_ring *tx = &s->rings[RING_TX].r;
	uint32_t room, budget = sim_config.tx_budget;

	complete(s);
	if (!completion_room(s, &room))
		return;
	while (budget-- > 0 && room-- > 0 && ring_available(tx) > 0) {
		const struct xsk_descriptor *at = ring_consume(tx);
		struct xsk_descriptor d = *at;

		send_one(s, &d, at);
	}
	ring_release(tx);
	if (!completion_room(s, &room))
		return;
	/* While something is under way, its completion is the next occasion. */
	if (s->outstanding > 0 || (ring_available(tx) > 0 && room > 0))
		return;
	atomic_fetch_or(tx->flags, XSK_RING_NEED_POKE);
	s->scheduled = false;
}

void sim_step(void)
{
	steps++;
	for (uint32_t i = 0; i < HANDLE_CNT; i++) {
		struct sim_object *o = sim_objects[i];
		struct sim_xsk *s = o && o->type == XDP_XSK ? o->xsk : NULL;

		if (!s || s->state != STATE_ACTIVE)
			continue;
		if (s->scheduled)
			transmit(s);
		if (sim_config.spurious_every && steps % sim_config.spurious_every == 0 &&
		    s->wait.pending) {
			sim_counts.waits_spurious++;
			sim_xsk_end_wait(s, s->wait.flags, NT_OK);
		}
	}
}

/* ---- Trouble ---- */

void sim_remove(uint32_t end)
{
	sim_removed[end] = true;
	for (uint32_t i = 0; i < HANDLE_CNT; i++) {
		struct sim_object *o = sim_objects[i];

		if (!o || o->type != XDP_XSK || o->xsk->end != end ||
		    o->xsk->state != STATE_ACTIVE)
			continue;
		o->xsk->state = STATE_DETACHED;
		for (uint32_t r = 0; r < RING_NAME_CNT; r++)
			sim_xsk_set_error(o->xsk, (enum sim_ring_name)r,
					  XSK_ERROR_INTERFACE_DETACH);
	}
}

void sim_flag_rings(uint32_t end, uint32_t flags)
{
	for (uint32_t i = 0; i < HANDLE_CNT; i++) {
		struct sim_object *o = sim_objects[i];

		for (uint32_t r = 0;
		     o && o->type == XDP_XSK && o->xsk->end == end && r < RING_NAME_CNT; r++)
			if (o->xsk->rings[r].memory)
				atomic_fetch_or(o->xsk->rings[r].r.flags, flags);
	}
}

void sim_offload_changed(uint32_t end, bool on)
{
	sim_offload_on[end] = on;
	for (uint32_t q = 0; q < sim_config.queue_cnt; q++) {
		struct sim_xsk *s = find_socket(end, q, XSK_BIND_TX);

		if (s && s->checksum)
			atomic_fetch_or(s->rings[RING_TX].r.flags, XSK_RING_OFFLOAD_CHANGED);
	}
}

void sim_scribble(uint32_t end, uint32_t queue, uint64_t random)
{
	bool sending = random & 1;
	struct sim_xsk *s = find_socket(end, queue, sending ? XSK_BIND_TX : XSK_BIND_RX);
	struct qx_ring *r;
	_Atomic uint32_t *index;

	if (!s)
		return;
	r = &s->rings[sending ? (random & 2 ? RING_TX : RING_COMPLETION)
			      : (random & 2 ? RING_RX : RING_FILL)]
		     .r;
	index = random & 4 ? r->producer : r->consumer;
	*index =
		random & 8 ? (uint32_t)(random >> 32) : *index + (uint32_t)(random >> 60) - 8;
}

void sim_skew_producer(uint32_t end, uint32_t queue, bool completion, uint32_t by)
{
	struct sim_xsk *s = find_socket(end, queue, completion ? XSK_BIND_TX : XSK_BIND_RX);

	atomic_fetch_add(s->rings[completion ? RING_COMPLETION : RING_RX].r.producer, by);
}

void sim_put_raw(uint32_t end, uint32_t queue, bool completion, uint64_t address,
		 uint32_t len_bytes)
{
	struct sim_xsk *s = find_socket(end, queue, completion ? XSK_BIND_TX : XSK_BIND_RX);
	struct qx_ring *r = &s->rings[completion ? RING_COMPLETION : RING_RX].r;

	if (completion) {
		*(uint64_t *)ring_produce(r) = address;
	} else {
		struct xsk_descriptor *d = ring_produce(r);

		*d = (struct xsk_descriptor){.address = address, .len_bytes = len_bytes};
	}
	ring_publish(r);
	sim_xsk_end_wait(s, XSK_WAIT_RX | XSK_WAIT_TX, NT_OK);
}
