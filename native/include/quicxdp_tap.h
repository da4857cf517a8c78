/* quicxdp_tap.h: what travels over the lanes, into a pcapng file; as cffi sees it (after
 * quicxdp.h).
 *
 * tcpdump does not see what AF_XDP takes from the interface, so the packets are written
 * down where they pass us: whole frames on the XDP lane, refused ones with the reason, and
 * on the socket lane datagrams behind headers that we make up.  Outgoing ones are written
 * when they are handed over, which is no proof that they were sent.
 *
 * A record goes into a ring in memory; another thread takes it from there to the file, so
 * that a slow disk stops nobody.  What does not fit the ring or the file is counted.  A
 * datapath without a tap pays one test of a pointer per frame.
 *
 * Conventions as in quicxdp.h. */
#ifndef QUICXDP_TAP_H
#define QUICXDP_TAP_H

#include "quicxdp.h"

struct qx_tap;

struct qx_tap_config {
	int32_t fd;              /* an empty file, open for writing; stays the caller's */
	uint32_t ring_bytes;     /* 0: 8 MiB; else a power of two of at least 256 KiB */
	uint64_t file_max_bytes; /* 0: no limit */
	/* Room at the start of the file for TLS secrets, which readers must have seen
	 * before the packets; 0: none.  A multiple of 4. */
	uint32_t secrets_bytes;
	uint32_t zero;
};

struct qx_tap_stats {
	uint64_t packets;           /* written to the ring, hence to the file */
	uint64_t dropped_ring_full; /* packets: the file's thread is too slow */
	uint64_t dropped_file_full; /* packets: file_max_bytes is reached */
	uint64_t secrets_lost;      /* lines: no room, or the file could not be written */
	uint64_t file_bytes;        /* of the file, with what is still in the ring */
	int32_t file_error;         /* positive errno of a failed write; nothing follows it */
	uint32_t zero;
};

/* qx_tap_open writes the file's head.
 *
 * Owner    the caller, until qx_tap_close; datapaths that use it keep it alive.
 * Errors   -EINVAL the configuration; -ENOMEM; what writing the file says. */
int qx_tap_open(struct qx_tap **out, const struct qx_tap_config *cfg);

/* qx_tap_close takes no more records, writes what the ring holds and the final counters.
 * Nobody may be in qx_tap_write then.  Datapaths may stay open. */
void qx_tap_close(struct qx_tap *tap);

/* qx_set_tap lets dp's packets go to tap, or with NULL nowhere.  On the XDP lane the tap
 * sees all packets of the device, also those of its other endpoints.  After an error dp has
 * no tap.
 * Thread   that of dp; all datapaths of one tap belong to one thread.
 * Errors   -EBUSY the device has another tap; -ENOSPC no more lanes fit a file (16); -ENOMEM. */
int qx_set_tap(struct qx_datapath *dp, struct qx_tap *tap);

/* qx_tap_write moves what the ring holds to the file.  Returns how many bytes, or -errno
 * once writing has failed.  Thread: any one, beside that of the datapaths. */
int64_t qx_tap_write(struct qx_tap *tap);

/* qx_tap_secrets writes lines of an NSS key log, each with its newline, to their place at
 * the start of the file.  Thread: that of the datapaths.
 * Errors   -ENOSPC no room; what writing the file says. */
int qx_tap_secrets(struct qx_tap *tap, const char *lines, uint32_t len_bytes);

void qx_tap_get_stats(const struct qx_tap *tap, struct qx_tap_stats *out);

#endif
