/* tap_file.h: a tap whose file is memory, and reading it back. */
#ifndef QX_TAP_FILE_H
#define QX_TAP_FILE_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcap.h"
#include "pcap_read.h"
#include "t.h"
#include "tap.h"

enum {
	RING_BYTES = 256 << 10,
	FILE_BYTES = 16 << 20,
	FRAME_MAX = 4096
};

static int file_fd = -1;
static struct qx_tap *tap;
static uint8_t file[FILE_BYTES];
static uint64_t file_bytes;

static inline void open_file_tap(struct qx_tap_config cfg)
{
	file_fd = memfd_create("tap", MFD_CLOEXEC);
	T_CHECK(file_fd >= 0);
	cfg.fd = file_fd;
	if (cfg.ring_bytes == 0)
		cfg.ring_bytes = RING_BYTES;
	T_EQ(qx_tap_open(&tap, &cfg), 0);
}

static inline void read_file(void)
{
	struct stat st;

	T_EQ(fstat(file_fd, &st), 0);
	T_CHECK(st.st_size <= FILE_BYTES);
	file_bytes = (uint64_t)st.st_size;
	T_EQ(pread(file_fd, file, file_bytes, 0), file_bytes);
}

static inline void close_file(void)
{
	close(file_fd);
	file_fd = -1;
}

static inline struct qx_tap_stats tap_stats(void)
{
	struct qx_tap_stats s;

	qx_tap_get_stats(tap, &s);
	return s;
}

/* Goes to the next packet; blocks of other kinds are counted by type. */
static uint32_t others[16];

static inline bool next_packet(uint64_t *off, struct pcap_record *r)
{
	struct pcap_block b;

	while (pcap_next(file, file_bytes, off, &b)) {
		if (pcap_packet(&b, r))
			return true;
		others[b.type == READ_SECTION ? 0 : b.type]++;
	}
	T_EQ(*off, file_bytes); /* else something is broken there */
	return false;
}

static inline void begin_reading(uint64_t *off)
{
	memset(others, 0, sizeof(others));
	*off = 0;
	read_file();
}

#endif
