/* tap.h: the tap as the lanes see it; see quicxdp.h for what it is.
 *
 * One ring of bytes with one producer (the thread of the datapaths) and one consumer (the
 * thread of the file).  A record lies in one piece: where it does not fit before the end of
 * the ring, the rest of that lap is skipped. */
#ifndef QX_TAP_H
#define QX_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp_tap.h"

enum tap_link {
	TAP_ETHERNET,
	TAP_RAW_IP
};

/* tap_get and tap_put count who uses a tap; the last one frees it. */
void tap_get(struct qx_tap *tap);
void tap_put(struct qx_tap *tap);

/* tap_interface returns the number of the interface of that name, which it adds if it is
 * new; -ENOSPC. */
int tap_interface(struct qx_tap *tap, enum tap_link link, const char *name);

/* tap_set_virtual_now makes records carry the time of a simulation from here on.  Without
 * it they carry the system's: the one clock that is read below the event loop, because a
 * record that is as old as the turn it was made in would be a false one. */
void tap_set_virtual_now(struct qx_tap *tap, uint64_t now_ns);

/* tap_frame records a frame, with the reason if it was refused. */
void tap_frame(struct qx_tap *tap, uint32_t interface, bool outgoing, const uint8_t *frame,
	       uint32_t len_bytes, enum qx_drop reason);

/* tap_datagram records a datagram of a socket, behind headers as path has them: from
 * path->peer to path->local if it came in, else the other way. */
void tap_datagram(struct qx_tap *tap, uint32_t interface, bool outgoing,
		  const struct qx_path *path, const uint8_t *payload, uint32_t len_bytes,
		  uint8_t ecn);

/* ---- The platform's part (tap_linux.c) ---- */

/* tap_file_write writes everything at that place of the file, or returns -errno.  Two
 * threads may, at different places: nothing depends on the file's position. */
int tap_file_write(int fd, const void *bytes, uint64_t len_bytes, uint64_t off_bytes);

/* Nanoseconds since 1970. */
uint64_t tap_clock_ns(void);

#endif
