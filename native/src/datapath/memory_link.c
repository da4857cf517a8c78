/* memory_link.c: the simulated wire between two NICs.
 *
 * Deterministic: time comes from qx_link_advance, chance from one generator, of which every
 * frame draws the same number of values whatever the configuration, so changing one chance
 * does not shift the others.  Bounded: so many frames may be under way; a sender that comes
 * up against that has its frames wait in its TX ring, as behind a slow NIC. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "memory_internal.h"
#include "os.h"
#include "wire.h"

enum {
	FLIGHT_CNT = 8192,
	PPM = 1000000
};

/* ---- Chance ---- */

/* splitmix64: any seed is a good seed, 0 included. */
static uint64_t draw(struct qx_link *link)
{
	uint64_t z = link->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static bool chance(struct qx_link *link, uint32_t ppm)
{
	return ((draw(link) >> 32) * PPM) >> 32 < ppm;
}

/* ---- Frames under way: a binary heap ---- */

static bool earlier(const struct flight *a, const struct flight *b)
{
	return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->seq < b->seq);
}

static void heap_push(struct qx_link *link, const struct flight *f)
{
	uint32_t i = link->heap_cnt++;

	for (; i > 0 && earlier(f, &link->heap[(i - 1) / 2]); i = (i - 1) / 2)
		link->heap[i] = link->heap[(i - 1) / 2];
	link->heap[i] = *f;
}

static struct flight heap_pop(struct qx_link *link)
{
	struct flight top = link->heap[0], last = link->heap[--link->heap_cnt];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < link->heap_cnt) {
		if (child + 1 < link->heap_cnt &&
		    earlier(&link->heap[child + 1], &link->heap[child]))
			child++;
		if (!earlier(&link->heap[child], &last))
			break;
		link->heap[i] = link->heap[child];
		i = child;
	}
	link->heap[i] = last;
	return top;
}

/* ---- Sending ---- */

/* A congested router marks instead of dropping (RFC 3168 section 5). */
static void mark_ce(uint8_t *frame, uint32_t len_bytes)
{
	uint8_t *ip = frame + WIRE_ETH_BYTES;

	if (len_bytes < WIRE_ETH_BYTES + WIRE_IPV4_BYTES)
		return;
	if (ip[0] == 0x45 && (ip[1] & 3) != QX_ECN_NOT_ECT) {
		uint16_t sum;

		ip[1] |= QX_ECN_CE;
		memset(ip + 10, 0, sizeof(sum));
		sum = (uint16_t)~checksum_fold(checksum_add(ip, WIRE_IPV4_BYTES, 0));
		memcpy(ip + 10, &sum, sizeof(sum));
	} else if (ip[0] >> 4 == 6 && ((ip[1] >> 4) & 3) != QX_ECN_NOT_ECT) {
		ip[1] |= QX_ECN_CE << 4;
	}
}

bool link_has_room(const struct qx_link *link)
{
	return link->free_cnt >= 2;
}

static void launch(struct qx_link *link, uint32_t to_end, const uint8_t *frame,
		   uint32_t len_bytes, uint64_t due_ns, bool ce)
{
	struct flight f = {.due_ns = due_ns,
			   .seq = link->seq++,
			   .slot = link->free_slots[--link->free_cnt],
			   .len_bytes = len_bytes,
			   .to_end = to_end};
	uint8_t *copy = link->slots + (size_t)f.slot * link->slot_bytes;

	memcpy(copy, frame, len_bytes);
	if (ce)
		mark_ce(copy, len_bytes);
	heap_push(link, &f);
}

uint64_t link_send(struct qx_link *link, uint32_t from_end, const uint8_t *frame,
		   uint32_t len_bytes)
{
	const struct qx_link_config *cfg = &link->cfg;
	uint64_t *busy = &link->busy_until_ns[from_end];
	bool lost = chance(link, cfg->loss_ppm);
	bool twice = chance(link, cfg->duplicate_ppm);
	bool reordered = chance(link, cfg->reorder_ppm);
	bool ce = chance(link, cfg->ce_ppm);
	uint64_t left_ns, due_ns;

	if (*busy < link->now_ns)
		*busy = link->now_ns;
	if (cfg->rate_bytes_per_s)
		*busy += len_bytes * 1000000000ull / cfg->rate_bytes_per_s;
	left_ns = *busy;
	due_ns = left_ns + cfg->delay_ns + (reordered ? cfg->reorder_delay_ns : 0);
	if (lost || len_bytes > cfg->mtu_bytes + WIRE_ETH_BYTES ||
	    len_bytes > link->slot_bytes)
		return left_ns;
	launch(link, 1 - from_end, frame, len_bytes, due_ns, ce);
	if (twice)
		launch(link, 1 - from_end, frame, len_bytes, due_ns, ce);
	return left_ns;
}

/* ---- The public half ---- */

static int check_config(struct qx_link_config *cfg, uint32_t slot_bytes)
{
	if (cfg->mtu_bytes == 0)
		cfg->mtu_bytes = LINK_MTU_DEFAULT_BYTES;
	if (cfg->loss_ppm > PPM || cfg->duplicate_ppm > PPM || cfg->reorder_ppm > PPM ||
	    cfg->ce_ppm > PPM || cfg->mtu_bytes < LINK_MTU_MIN_BYTES ||
	    cfg->mtu_bytes > LINK_MTU_MAX_BYTES)
		return -EINVAL;
	return slot_bytes && cfg->mtu_bytes + WIRE_ETH_BYTES > slot_bytes ? -EINVAL : 0;
}

int qx_link_open(struct qx_link **out, const struct qx_link_config *cfg)
{
	struct qx_link_config own = *cfg;
	struct qx_link *link;
	int err = check_config(&own, 0);

	if (err < 0)
		return err;
	link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	link->cfg = own;
	link->random = own.seed;
	link->slot_bytes = memory_frame_bytes(own.mtu_bytes);
	link->heap = calloc(FLIGHT_CNT, sizeof(*link->heap));
	if (!link->heap)
		goto free_link;
	link->free_slots = calloc(FLIGHT_CNT, sizeof(*link->free_slots));
	if (!link->free_slots)
		goto free_heap;
	/* Pages come with their first use: most links never fill. */
	link->slots = os_map((size_t)FLIGHT_CNT * link->slot_bytes);
	if (!link->slots)
		goto free_free_slots;
	for (uint32_t i = 0; i < FLIGHT_CNT; i++)
		link->free_slots[i] = FLIGHT_CNT - 1 - i;
	link->free_cnt = FLIGHT_CNT;
	*out = link;
	return 0;

free_free_slots:
	free(link->free_slots);
free_heap:
	free(link->heap);
free_link:
	free(link);
	return -ENOMEM;
}

void qx_link_close(struct qx_link *link)
{
	if (!link)
		return;
	for (uint32_t end = 0; end < LINK_END_CNT; end++)
		if (link->ends[end])
			memory_unplug(link->ends[end]);
	os_unmap(link->slots, (size_t)FLIGHT_CNT * link->slot_bytes);
	free(link->free_slots);
	free(link->heap);
	free(link);
}

int qx_link_configure(struct qx_link *link, const struct qx_link_config *cfg)
{
	struct qx_link_config own = *cfg;
	int err = check_config(&own, link->slot_bytes);

	if (err < 0)
		return err;
	if (own.seed != link->cfg.seed)
		link->random = own.seed;
	link->cfg = own;
	return 0;
}

uint64_t qx_link_advance(struct qx_link *link, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	if (now_ns > link->now_ns)
		link->now_ns = now_ns;
	while (link->heap_cnt > 0 && link->heap[0].due_ns <= link->now_ns) {
		struct flight f = heap_pop(link);

		/* Dropped at the far end is dropped: it counted why. */
		if (link->ends[f.to_end])
			memory_deliver(link->ends[f.to_end],
				       link->slots + (size_t)f.slot * link->slot_bytes,
				       f.len_bytes);
		link->free_slots[link->free_cnt++] = f.slot;
	}
	if (link->heap_cnt > 0)
		next_ns = link->heap[0].due_ns;
	for (uint32_t end = 0; end < LINK_END_CNT; end++) {
		uint64_t left_ns = UINT64_MAX;

		if (link->ends[end])
			left_ns = memory_complete(link->ends[end], link->now_ns);
		if (left_ns < next_ns)
			next_ns = left_ns;
	}
	return next_ns;
}

int qx_link_inject(struct qx_link *link, uint32_t end, const uint8_t *frame,
		   uint32_t len_bytes)
{
	if (end >= LINK_END_CNT)
		return -EINVAL;
	if (!link->ends[end])
		return -ENODEV;
	return memory_deliver(link->ends[end], frame, len_bytes);
}
