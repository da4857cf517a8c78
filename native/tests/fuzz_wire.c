/* fuzz_wire.c: any bytes as an Ethernet frame.
 *
 * Invariant.  For every frame f:
 *   1. wire_parse reads only f (the address sanitizer watches) and gives a verdict below
 *      QX_DROP_CNT; what it accepts lies inside f, has one family, a source that can be
 *      answered, and a port to answer to.
 *   2. What it accepts, written again by wire_build_headers and wire_finish from the parsed
 *      path and payload, parses to the same datagram.
 *   3. Arriving at a datapath, f is delivered, with the same bytes and path, exactly if it
 *      is accepted and addressed to an endpoint; else one drop counter grows by one.  The
 *      census adds up, and every frame is back with the kernel afterwards.
 *
 * The first input byte asks for repairs (bit 0: IPv4 header checksum, bit 1: UDP checksum),
 * because no mutation finds a right checksum; the frame is the rest. */
#include <stdlib.h>

#include "checksum.h"
#include "quicxdp.h"
#include "wire.h"

enum {
	FRAME_MAX_BYTES = 1792,
	REPAIR_IP = 1,
	REPAIR_UDP = 2,
	ENDPOINTS = 2
};

static const uint8_t mac[6] = {0x02, 'q', 'x', 0, 0, 1}; /* end 1 of a link */
static const uint8_t other_mac[6] = {0x02, 'q', 'x', 0, 0, 0};

static struct qx_link *link_;
static struct qx_datapath *endpoints[ENDPOINTS];
static const struct qx_addr locals[ENDPOINTS] = {
	{.family = QX_IPV4, .ip = {192, 0, 2, 2}, .port = 443},
	{.family = QX_IPV6, .ip = {0x20, 1, 0xd, 0xb8, [15] = 2}, .port = 443}};
static struct qx_batch batch;

/* A broken invariant must stop the fuzzer whatever NDEBUG says. */
static void require(int holds)
{
	if (!holds)
		abort();
}

static void open_once(void)
{
	const struct qx_link_config wire = {0};
	char why[QX_WHY_BYTES];

	if (link_)
		return;
	require(qx_link_open(&link_, &wire) == 0);
	for (int i = 0; i < ENDPOINTS; i++) {
		struct qx_config cfg = {.local = locals[i],
					.socket_fd = -1,
					.rx_frame_cnt = 16,
					.tx_frame_cnt = 16};

		require(qx_open_memory(&endpoints[i], link_, 1, &cfg, why) == 0);
	}
}

static void repair(uint8_t *f, size_t len_bytes, uint8_t what)
{
	size_t ip_bytes = len_bytes > 14 && f[14] >> 4 == 6 ? 40 : 20;
	size_t addresses = ip_bytes == 40 ? 14 + 8 : 14 + 12, udp = 14 + ip_bytes, udp_bytes;
	uint16_t sum;

	if (len_bytes < udp + 8)
		return;
	if ((what & REPAIR_IP) && ip_bytes == 20) {
		memset(f + 24, 0, 2);
		sum = (uint16_t)~checksum_fold(checksum_add(f + 14, 20, 0));
		memcpy(f + 24, &sum, 2);
	}
	udp_bytes = (size_t)(f[udp + 4] << 8 | f[udp + 5]);
	if ((what & REPAIR_UDP) && udp_bytes >= 8 && udp_bytes <= len_bytes - udp) {
		uint8_t pseudo[4] = {0, 17, f[udp + 4], f[udp + 5]};
		uint64_t total = checksum_add(pseudo, 4, 0);

		memset(f + udp + 6, 0, 2);
		total = checksum_add(f + addresses, ip_bytes == 40 ? 32 : 8, total);
		sum = (uint16_t)~checksum_fold(checksum_add(f + udp, udp_bytes, total));
		sum = sum ? sum : 0xffff;
		memcpy(f + udp + 6, &sum, 2);
	}
}

static void check_accepted(const uint8_t *f, uint32_t len_bytes,
			   const struct wire_datagram *w)
{
	uint8_t again[FRAME_MAX_BYTES];
	struct qx_path swapped = {.peer = w->path.local, .local = w->path.peer};
	struct wire_datagram w2;
	uint32_t headers = wire_header_bytes(w->path.peer.family), again_bytes;

	require(w->payload_off_bytes == headers);
	require(w->payload_off_bytes + w->payload_len_bytes <= len_bytes);
	require(w->path.peer.family == w->path.local.family);
	require(wire_address_possible(&w->path.peer));
	require(w->path.peer.port != 0);
	require(w->ecn < 4);

	wire_build_headers(again, mac, w->peer_mac, &swapped);
	memcpy(again + headers, f + headers, w->payload_len_bytes);
	again_bytes = wire_finish(again, w->path.peer.family, w->payload_len_bytes, w->ecn);
	require(again_bytes == headers + w->payload_len_bytes);
	require(wire_parse(again, again_bytes, mac, &w2) == QX_DROP_NONE);
	require(memcmp(&w2.path, &w->path, sizeof(w2.path)) == 0);
	require(memcmp(w2.peer_mac, w->peer_mac, 6) == 0);
	require(w2.ecn == w->ecn && w2.payload_len_bytes == w->payload_len_bytes);
	/* And not by somebody else's interface. */
	require(wire_parse(again, again_bytes, other_mac, &w2) == QX_DROP_DEST_MAC);
}

static uint64_t all_drops(const struct qx_stats *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < QX_DROP_CNT; i++)
		sum += s->drop[i];
	return sum;
}

/* Whose datagram is this?  ENDPOINTS: nobody's. */
static int owner(const struct wire_datagram *w)
{
	int i = 0;

	while (i < ENDPOINTS && memcmp(&w->path.local, &locals[i], sizeof(locals[i])) != 0)
		i++;
	return i;
}

static void check_arrival(const uint8_t *f, uint32_t len_bytes, enum qx_drop verdict,
			  const struct wire_datagram *w)
{
	int to = verdict == QX_DROP_NONE ? owner(w) : ENDPOINTS;
	struct qx_stats before, after;

	require(qx_get_stats(endpoints[0], &before) == 0);
	require(qx_link_inject(link_, 1, f, len_bytes) == 0);
	for (int i = 0; i < ENDPOINTS; i++) {
		int n = qx_recv(endpoints[i], &batch, 0);

		require(n == (i == to));
		if (n == 1) {
			const struct qx_datagram *d = &batch.datagrams[0];
			const struct qx_path *path = &batch.paths[d->path];

			require(d->len_bytes == w->payload_len_bytes && d->ecn == w->ecn);
			require(memcmp(d->data, f + w->payload_off_bytes, d->len_bytes) == 0);
			require(memcmp(path->peer.ip, w->path.peer.ip, 16) == 0);
			require(path->peer.port == w->path.peer.port);
		}
		qx_recv_done(endpoints[i], &batch);
	}
	require(qx_get_stats(endpoints[0], &after) == 0);
	require(all_drops(&after) - all_drops(&before) == (to == ENDPOINTS));
	if (to == ENDPOINTS) {
		enum qx_drop reason = verdict ? verdict : QX_DROP_NOT_OURS;

		require(after.drop[reason] == before.drop[reason] + 1);
	}
	require(after.frames[QX_FRAME_FILL] == 32);
	require(after.frames[QX_FRAME_FREE] == 16);
	require(after.frame_cnt == 48);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_datagram w;
	enum qx_drop verdict;
	uint8_t *f;

	if (size == 0 || size - 1 > FRAME_MAX_BYTES)
		return 0;
	open_once();
	/* Exactly as long as the frame, so that one byte too many is seen. */
	f = malloc(size);
	require(f != NULL);
	memcpy(f, data + 1, size - 1);
	f = realloc(f, size > 1 ? size - 1 : 1);
	require(f != NULL);
	repair(f, size - 1, data[0]);
	verdict = wire_parse(f, (uint32_t)(size - 1), mac, &w);
	require(verdict < QX_DROP_CNT);
	if (verdict == QX_DROP_NONE)
		check_accepted(f, (uint32_t)(size - 1), &w);
	check_arrival(f, (uint32_t)(size - 1), verdict, &w);
	free(f);
	return 0;
}
