/* os.h: what the portable part of the datapath asks of the operating system besides sockets
 * and waiting; os_linux.c and os_win.c answer. */
#ifndef QX_OS_H
#define QX_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quicxdp.h"

/* os_map gives zeroed pages, which take memory from their first use on; NULL if there are
 * none.  os_unmap takes them back. */
void *os_map(size_t len_bytes);
void os_unmap(void *base, size_t len_bytes);

/* os_map_huge gives zeroed huge pages, or pages that it has advised the system to make huge
 * ones of, and says which; NULL if there are neither.  *len_bytes grows to what os_unmap
 * has to be told. */
void *os_map_huge(size_t *len_bytes, enum qx_pages *got);

/* os_keep_to_parent takes pages out of what a forked child inherits.  0 or -errno. */
int os_keep_to_parent(void *base, size_t len_bytes);

/* os_random fills out without ever blocking; false if there is no randomness yet. */
bool os_random(void *out, size_t len_bytes);

/* An event is what a wait set (wait.h) finds readable while it is set, and always writable
 * for wait_watch_write.  os_event_open returns it, or -errno; the others cannot fail for
 * one that is open. */
int os_event_open(bool set);
bool os_event_set(int fd);
bool os_event_clear(int fd);
void os_event_close(int fd);

/* os_event_wait blocks until it is set, at most so long; false if it is not set by then. */
bool os_event_wait(int fd, uint32_t timeout_ms);

#endif
