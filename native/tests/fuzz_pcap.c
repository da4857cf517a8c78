/* fuzz_pcap.c: any bytes as a pcapng file, and any packets as records of one.
 *
 * Invariant.
 *   1. The reader of the tests takes any bytes, reads only them (the address sanitizer
 *      watches), and goes forward until it ends.
 *   2. Whatever frames, datagrams, interfaces, secrets and full rings come in whatever
 *      order, the tap's file is read to its last byte, its packets are those that the tap
 *      says it took, byte for byte and in order, and it is not longer than allowed.
 *
 * The input is read twice: as a file, and as a list of actions, each an action byte, a
 * length byte and that many bytes. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pcap_read.h"
#include "tap.h"

enum {
	RING_BYTES = 256 << 10,
	FILE_MAX_BYTES = 512 << 10,
	SECRETS_BYTES = 256,
	ACTION_CNT_MAX = 4096,
	LENGTH_UNIT = 97 /* so that 255 of them are more than a frame, and rings fill up */
};

/* What the tap took, to compare with. */
struct taken {
	const uint8_t *bytes;
	uint32_t len_bytes;  /* of the payload, at the end of the record */
	uint32_t copied_cnt; /* of it, from the input; zeros follow */
};

static struct taken taken[ACTION_CNT_MAX];
static uint8_t payload[255 * LENGTH_UNIT];
static uint8_t file[FILE_MAX_BYTES];

static void require(int holds)
{
	if (!holds)
		abort();
}

static void read_any(const uint8_t *data, uint64_t size)
{
	struct pcap_block b;
	struct pcap_record r;
	uint64_t off = 0, before = 0;

	while (pcap_next(data, size, &off, &b)) {
		require(off > before && off <= size);
		before = off;
		if (pcap_packet(&b, &r)) {
			require(r.len_bytes <= b.body_bytes);
			require(r.comment_bytes <= b.body_bytes);
		}
	}
}

/* Carries out one action; true if the tap took a packet. */
static bool act(struct qx_tap *tap, uint8_t action, uint32_t len_bytes)
{
	static const char *const names[] = {"xdp a", "socket", ""};
	struct qx_path path = {.peer = {.family = action & 64 ? QX_IPV6 : QX_IPV4},
			       .local = {.family = action & 64 ? QX_IPV6 : QX_IPV4}};
	struct qx_tap_stats before, after;

	qx_tap_get_stats(tap, &before);
	switch (action % 8) {
	case 0:
		require(qx_tap_write(tap) >= 0);
		break;
	case 1:
		tap_interface(tap, TAP_ETHERNET, names[action / 8 % 3]);
		break;
	case 2:
		qx_tap_secrets(tap, (const char *)payload, len_bytes / LENGTH_UNIT);
		break;
	case 3:
	case 4:
		tap_datagram(tap, 0, action & 128, &path, payload, len_bytes, action & 3);
		break;
	default:
		tap_frame(tap, 0, action & 128, payload, len_bytes, action / 8 % QX_DROP_CNT);
	}
	qx_tap_get_stats(tap, &after);
	require(after.packets - before.packets <= 1);
	return after.packets > before.packets;
}

static void compare(const struct pcap_record *r, const struct taken *t)
{
	const uint8_t *at;

	require(r->len_bytes >= t->len_bytes && r->original_bytes == r->len_bytes);
	require(r->flags == 1 || r->flags == 2);
	at = r->data + r->len_bytes - t->len_bytes;
	require(memcmp(at, t->bytes, t->copied_cnt) == 0);
	for (uint32_t i = t->copied_cnt; i < t->len_bytes; i++)
		require(at[i] == 0);
}

static void write_any(const uint8_t *data, size_t size)
{
	struct qx_tap_config cfg = {.ring_bytes = RING_BYTES,
				    .file_max_bytes = FILE_MAX_BYTES,
				    .secrets_bytes = SECRETS_BYTES};
	uint32_t taken_cnt = 0, read_cnt = 0;
	struct pcap_block b;
	struct pcap_record r;
	struct qx_tap *tap;
	uint64_t off = 0;
	ssize_t file_bytes;

	cfg.fd = memfd_create("fuzz", MFD_CLOEXEC);
	require(cfg.fd >= 0 && qx_tap_open(&tap, &cfg) == 0);
	require(tap_interface(tap, TAP_ETHERNET, "first") == 0);
	for (uint32_t i = 0; size >= 2 && i < ACTION_CNT_MAX; i++) {
		uint32_t cnt = data[1] < size - 2 ? data[1] : (uint32_t)(size - 2);
		struct taken *t = &taken[taken_cnt];

		*t = (struct taken){data + 2, data[1] * (uint32_t)LENGTH_UNIT, cnt};
		memset(payload, 0, t->len_bytes);
		memcpy(payload, t->bytes, cnt);
		taken_cnt += act(tap, data[0], t->len_bytes);
		data += 2 + cnt;
		size -= 2 + cnt;
	}
	qx_tap_close(tap);
	file_bytes = pread(cfg.fd, file, sizeof(file), 0);
	require(file_bytes > 0 && pread(cfg.fd, payload, 1, FILE_MAX_BYTES) == 0);
	close(cfg.fd);
	while (pcap_next(file, (uint64_t)file_bytes, &off, &b)) {
		if (b.type != READ_PACKET)
			continue;
		require(read_cnt < taken_cnt && pcap_packet(&b, &r));
		compare(&r, &taken[read_cnt++]);
	}
	require(off == (uint64_t)file_bytes && read_cnt == taken_cnt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_any(data, size);
	write_any(data, size);
	return 0;
}
