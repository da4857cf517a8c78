/* tap.c: see tap.h and quicxdp.h.
 *
 * head and tail count bytes and only grow; where they are in the ring is their remainder.
 * Between them lies at most one end of a lap, because they are never further apart than one
 * lap: so one lap_end_off is enough to tell where its records stop.  It is written before
 * the head that makes it matter is published, and not again until the tail has passed. */
#include "tap.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcap.h"
#include "wire.h"

enum {
	RING_DEFAULT_BYTES = 8 << 20,
	RING_MIN_BYTES = 256 << 10, /* a record of the longest datagram, and more */
	INTERFACE_CNT_MAX = 16,
	INTERFACE_BYTES = PCAP_INTERFACE_MAX_BYTES + PCAP_COUNTERS_BYTES,
	SECRETS_MAX_BYTES = 8 << 20 /* readers have a limit for a block, 16 MiB */
};

struct interface {
	char name[PCAP_NAME_MAX_BYTES];
	uint64_t received;
	uint64_t dropped;
};

struct qx_tap {
	uint32_t ref_cnt;
	bool closed;
	bool virtual_time;
	uint64_t virtual_now_ns;
	int fd;

	uint8_t *ring;
	uint64_t cap_bytes;
	_Atomic uint64_t head;
	_Atomic uint64_t tail;
	uint64_t lap_end_off;
	uint64_t file_off; /* the consumer's: where the ring's bytes go */
	_Atomic int file_error;

	uint64_t file_left_bytes; /* for packets; all other blocks are set aside */
	uint64_t secrets_off;     /* where the next line goes */
	uint64_t secrets_end_off;
	uint32_t interface_cnt;
	struct interface interfaces[INTERFACE_CNT_MAX];
	struct qx_tap_stats stats;
};

/* ---- Opening ---- */

/* The section, then room for secrets, before any packet. */
static int write_head(struct qx_tap *tap, const struct qx_tap_config *cfg)
{
	uint32_t room = cfg->secrets_bytes, len_bytes;
	size_t max_bytes = PCAP_SECTION_BYTES + PCAP_SECRETS_OVERHEAD_BYTES + (size_t)room;
	uint8_t *head = malloc(max_bytes);
	int err;

	if (!head)
		return -ENOMEM;
	len_bytes = pcap_section(head);
	if (room > 0) {
		tap->secrets_off = len_bytes + PCAP_SECRETS_FIRST_OFF;
		/* Its last byte is the newline that ends the comment. */
		tap->secrets_end_off = tap->secrets_off + room - 1;
		len_bytes += pcap_secrets(head + len_bytes, room);
	}
	err = tap_file_write(tap->fd, head, len_bytes, 0);
	free(head);
	tap->file_off = tap->stats.file_bytes = len_bytes;
	return err;
}

static int check_config(const struct qx_tap_config *cfg)
{
	uint64_t least_bytes = PCAP_SECTION_BYTES + PCAP_SECRETS_OVERHEAD_BYTES +
			       (uint64_t)cfg->secrets_bytes +
			       INTERFACE_CNT_MAX * INTERFACE_BYTES;

	if (cfg->ring_bytes != 0 &&
	    (cfg->ring_bytes < RING_MIN_BYTES || cfg->ring_bytes & (cfg->ring_bytes - 1)))
		return -EINVAL;
	if (cfg->secrets_bytes % 4 || cfg->secrets_bytes > SECRETS_MAX_BYTES)
		return -EINVAL;
	return cfg->file_max_bytes && cfg->file_max_bytes < least_bytes ? -EINVAL : 0;
}

int qx_tap_open(struct qx_tap **out, const struct qx_tap_config *cfg)
{
	int err = check_config(cfg);
	struct qx_tap *tap;

	if (err < 0)
		return err;
	tap = calloc(1, sizeof(*tap));
	if (!tap)
		return -ENOMEM;
	tap->ref_cnt = 1;
	tap->fd = cfg->fd;
	tap->cap_bytes = cfg->ring_bytes ? cfg->ring_bytes : RING_DEFAULT_BYTES;
	tap->ring = malloc(tap->cap_bytes);
	if (!tap->ring) {
		err = -ENOMEM;
		goto free_tap;
	}
	if ((err = write_head(tap, cfg)) < 0)
		goto free_ring;
	tap->file_left_bytes = UINT64_MAX;
	if (cfg->file_max_bytes)
		tap->file_left_bytes = cfg->file_max_bytes - tap->stats.file_bytes -
				       INTERFACE_CNT_MAX * INTERFACE_BYTES;
	*out = tap;
	return 0;

free_ring:
	free(tap->ring);
free_tap:
	free(tap);
	return err;
}

void tap_get(struct qx_tap *tap)
{
	tap->ref_cnt++;
}

void tap_put(struct qx_tap *tap)
{
	if (--tap->ref_cnt > 0)
		return;
	free(tap->ring);
	free(tap);
}

static uint64_t now(const struct qx_tap *tap)
{
	return tap->virtual_time ? tap->virtual_now_ns : tap_clock_ns();
}

void qx_tap_close(struct qx_tap *tap)
{
	uint8_t block[PCAP_COUNTERS_BYTES];

	tap->closed = true;
	qx_tap_write(tap);
	for (uint32_t i = 0; i < tap->interface_cnt; i++) {
		uint32_t len_bytes =
			pcap_counters(block, i, now(tap), tap->interfaces[i].received,
				      tap->interfaces[i].dropped);

		if (atomic_load_explicit(&tap->file_error, memory_order_relaxed) == 0)
			tap_file_write(tap->fd, block, len_bytes, tap->file_off);
		tap->file_off += len_bytes;
	}
	tap->fd = -1;
	tap_put(tap);
}

void tap_set_virtual_now(struct qx_tap *tap, uint64_t now_ns)
{
	tap->virtual_time = true;
	tap->virtual_now_ns = now_ns;
}

/* ---- Producing ---- */

/* reserve finds room for a block; it is the consumer's after publish. */
static uint8_t *reserve(struct qx_tap *tap, uint32_t len_bytes, uint64_t *head)
{
	uint64_t tail = atomic_load_explicit(&tap->tail, memory_order_acquire);
	uint64_t off, skip = 0;

	*head = atomic_load_explicit(&tap->head, memory_order_relaxed);
	off = *head & (tap->cap_bytes - 1);
	if (len_bytes > tap->cap_bytes - off)
		skip = tap->cap_bytes - off;
	if (*head - tail + skip + len_bytes > tap->cap_bytes)
		return NULL;
	if (skip || off + len_bytes == tap->cap_bytes)
		tap->lap_end_off = skip ? off : tap->cap_bytes;
	if (skip) {
		*head += skip;
		off = 0;
	}
	return tap->ring + off;
}

static void publish(struct qx_tap *tap, uint64_t head, uint32_t len_bytes)
{
	/* Pairs with the consumer's acquire: the record, and the end of the lap before
	 * it, are there when the head says so. */
	atomic_store_explicit(&tap->head, head + len_bytes, memory_order_release);
	tap->stats.file_bytes += len_bytes;
}

/* begin finds room for a packet's block, or counts it as lost. */
static uint8_t *begin(struct qx_tap *tap, uint32_t interface, uint32_t len_bytes,
		      uint64_t *head)
{
	struct interface *in = &tap->interfaces[interface];
	uint8_t *block;

	if (tap->closed)
		return NULL;
	in->received++;
	if (len_bytes > tap->file_left_bytes) {
		/* Shorter ones that would still fit would be a misleading sample. */
		tap->file_left_bytes = 0;
		tap->stats.dropped_file_full++;
		in->dropped++;
		return NULL;
	}
	block = reserve(tap, len_bytes, head);
	if (!block) {
		tap->stats.dropped_ring_full++;
		in->dropped++;
		return NULL;
	}
	tap->file_left_bytes -= len_bytes;
	tap->stats.packets++;
	return block;
}

int tap_interface(struct qx_tap *tap, enum tap_link link, const char *name)
{
	static const uint16_t link_types[] = {[TAP_ETHERNET] = PCAP_LINK_ETHERNET,
					      [TAP_RAW_IP] = PCAP_LINK_RAW_IP};
	struct interface *in = tap->interfaces;
	uint8_t *block;
	uint64_t head;
	uint32_t i = 0;

	while (i < tap->interface_cnt && strncmp(in[i].name, name, sizeof(in->name) - 1) != 0)
		i++;
	if (i < tap->interface_cnt)
		return (int)i;
	if (i == INTERFACE_CNT_MAX)
		return -ENOSPC;
	block = reserve(tap, PCAP_INTERFACE_MAX_BYTES, &head);
	if (!block)
		return -ENOSPC;
	snprintf(in[i].name, sizeof(in->name), "%s", name);
	publish(tap, head, pcap_interface(block, link_types[link], in[i].name));
	return (int)tap->interface_cnt++;
}

/* The names of qx_drop_name, behind a word that a display filter can look for. */
static const char *comment_of(enum qx_drop reason, char text[PCAP_COMMENT_MAX_BYTES])
{
	if (reason == QX_DROP_NONE)
		return NULL;
	snprintf(text, PCAP_COMMENT_MAX_BYTES, "dropped: %s", qx_drop_name(reason));
	return text;
}

void tap_frame(struct qx_tap *tap, uint32_t interface, bool outgoing, const uint8_t *frame,
	       uint32_t len_bytes, enum qx_drop reason)
{
	char text[PCAP_COMMENT_MAX_BYTES];
	struct pcap_packet p = {.interface = interface,
				.len_bytes = len_bytes,
				.original_bytes = len_bytes,
				.outgoing = outgoing,
				.comment = comment_of(reason, text)};
	uint64_t head;
	uint8_t *block =
		begin(tap, interface, pcap_packet_bytes(len_bytes, p.comment), &head);

	if (!block)
		return;
	p.time_ns = now(tap);
	memcpy(block + PCAP_PACKET_HEAD_BYTES, frame, len_bytes);
	publish(tap, head, pcap_packet_end(block, &p));
}

void tap_datagram(struct qx_tap *tap, uint32_t interface, bool outgoing,
		  const struct qx_path *path, const uint8_t *payload, uint32_t len_bytes,
		  uint8_t ecn)
{
	static const uint8_t no_mac[6];
	/* wire builds what goes out from local to peer. */
	struct qx_path way =
		outgoing ? *path : (struct qx_path){.peer = path->local, .local = path->peer};
	uint8_t family = way.peer.family;
	uint32_t headers_bytes = wire_header_bytes(family) - WIRE_ETH_BYTES;
	struct pcap_packet p = {.interface = interface,
				.len_bytes = headers_bytes + len_bytes,
				.original_bytes = headers_bytes + len_bytes,
				.outgoing = outgoing};
	uint8_t *block, *frame;
	uint64_t head;

	block = begin(tap, interface, pcap_packet_bytes(p.len_bytes, NULL), &head);
	if (!block)
		return;
	p.time_ns = now(tap);
	/* The Ethernet header that wire puts in front, and that no socket has, lies where
	 * the head of the block is written afterwards. */
	frame = block + PCAP_PACKET_HEAD_BYTES - WIRE_ETH_BYTES;
	way.local.family = family;
	wire_build_headers(frame, no_mac, no_mac, &way);
	memcpy(frame + WIRE_ETH_BYTES + headers_bytes, payload, len_bytes);
	wire_finish(frame, family, len_bytes, ecn);
	publish(tap, head, pcap_packet_end(block, &p));
}

/* ---- Secrets ---- */

int qx_tap_secrets(struct qx_tap *tap, const char *lines, uint32_t len_bytes)
{
	char stack[512];
	char *text = len_bytes < sizeof(stack) ? stack : malloc((size_t)len_bytes + 1);
	int err = -ENOSPC;

	if (!text)
		err = -ENOMEM;
	else if (!tap->closed && tap->secrets_off + len_bytes < tap->secrets_end_off) {
		memcpy(text, lines, len_bytes);
		/* What is left of the room begins with this and stays a comment. */
		text[len_bytes] = '#';
		err = tap_file_write(tap->fd, text, len_bytes + 1, tap->secrets_off);
	}
	if (text != stack)
		free(text);
	if (err < 0)
		tap->stats.secrets_lost++;
	else
		tap->secrets_off += len_bytes;
	return err;
}

/* ---- Consuming ---- */

static int take(struct qx_tap *tap, uint64_t *tail, uint64_t end, uint64_t skip_to)
{
	uint64_t off = *tail & (tap->cap_bytes - 1);
	int err = tap_file_write(tap->fd, tap->ring + off, end - *tail, tap->file_off);

	if (err < 0)
		return err;
	tap->file_off += end - *tail;
	*tail = skip_to;
	atomic_store_explicit(&tap->tail, *tail, memory_order_release);
	return 0;
}

int64_t qx_tap_write(struct qx_tap *tap)
{
	uint64_t head = atomic_load_explicit(&tap->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&tap->tail, memory_order_relaxed);
	uint64_t lap = tail & ~(tap->cap_bytes - 1), before = tail;
	int err = -atomic_load_explicit(&tap->file_error, memory_order_relaxed);

	if (err == 0 && head - lap > tap->cap_bytes)
		err = take(tap, &tail, lap + tap->lap_end_off, lap + tap->cap_bytes);
	if (err == 0 && head > tail)
		err = take(tap, &tail, head, head);
	if (err < 0) {
		atomic_store_explicit(&tap->file_error, -err, memory_order_relaxed);
		return err;
	}
	return (int64_t)(tail - before);
}

void qx_tap_get_stats(const struct qx_tap *tap, struct qx_tap_stats *out)
{
	*out = tap->stats;
	out->file_error = atomic_load_explicit(&tap->file_error, memory_order_relaxed);
}
