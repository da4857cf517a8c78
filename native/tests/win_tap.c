/* win_tap.c: the tap's file on Windows: written at its places, read back as it was meant. */
#include <fcntl.h>
#include <io.h>
#include <sys/stat.h>

#include "pcap_read.h"
#include "t.h"
#include "tap.h"

enum {
	SECRETS_BYTES = 256,
	FILE_MAX_BYTES = 4096,
	FRAME_BYTES = 60
};

#define YEAR_2020_NS 1577836800000000000ull
#define FILE_NAME "tap.pcapng"

static const char secret[] = "CLIENT_RANDOM 0 1\n";

/* Packets go to the end, from another thread than secrets, which go to the front. */
static void packets_and_secrets_keep_their_places(void)
{
	struct qx_tap_config cfg = {.secrets_bytes = SECRETS_BYTES};
	static uint8_t frame[FRAME_BYTES] = {1, 2, 3}, file[FILE_MAX_BYTES];
	uint32_t packets = 0, types = 0;
	struct pcap_block b;
	struct pcap_record r;
	struct qx_tap *tap;
	uint64_t off = 0;
	int file_bytes;

	cfg.fd = _open(FILE_NAME, _O_CREAT | _O_TRUNC | _O_RDWR | _O_BINARY,
		       _S_IREAD | _S_IWRITE);
	T_CHECK(cfg.fd >= 0);
	T_EQ(qx_tap_open(&tap, &cfg), 0);
	T_EQ(tap_interface(tap, TAP_ETHERNET, "xdp a"), 0);
	tap_frame(tap, 0, false, frame, FRAME_BYTES, QX_DROP_FRAGMENT);
	T_CHECK(qx_tap_write(tap) > 0);
	T_EQ(qx_tap_secrets(tap, secret, sizeof(secret) - 1), 0);
	tap_frame(tap, 0, true, frame, FRAME_BYTES, QX_DROP_NONE);
	qx_tap_close(tap);

	T_EQ(_lseek(cfg.fd, 0, SEEK_SET), 0);
	file_bytes = _read(cfg.fd, file, sizeof(file));
	_close(cfg.fd);
	_unlink(FILE_NAME);
	T_CHECK(file_bytes > 0 && file_bytes < FILE_MAX_BYTES);
	while (pcap_next(file, (uint64_t)file_bytes, &off, &b)) {
		types |= b.type < 32 ? 1u << b.type : 1u;
		if (b.type == READ_SECRETS)
			T_CHECK(memcmp(b.body + 8, secret, sizeof(secret) - 1) == 0);
		if (!pcap_packet(&b, &r))
			continue;
		T_EQ(r.len_bytes, FRAME_BYTES);
		T_CHECK(memcmp(r.data, frame, FRAME_BYTES) == 0);
		T_CHECK(r.time_ns > YEAR_2020_NS);
		packets++;
	}
	T_EQ(off, file_bytes);
	T_EQ(packets, 2);
	T_EQ(types, 1u | 1u << READ_INTERFACE | 1u << READ_PACKET | 1u << READ_SECRETS |
			    1u << READ_COUNTERS);
}

static void a_descriptor_that_is_none_is_told(void)
{
	struct qx_tap_config cfg = {.fd = -1};
	struct qx_tap *tap;

	T_CHECK(qx_tap_open(&tap, &cfg) < 0);
}

static const struct t_case cases[] = {
	{"packets and secrets keep their places", packets_and_secrets_keep_their_places},
	{"a descriptor that is none is told", a_descriptor_that_is_none_is_told},
};

T_MAIN(cases)
