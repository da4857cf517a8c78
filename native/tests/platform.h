/* platform.h: what the contract suite asks of the system it runs on; platform_linux.c and
 * platform_win.c answer. */
#ifndef QX_PLATFORM_H
#define QX_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp.h"

/* platform_open_handles counts descriptors, on Windows handles, of this process. */
int platform_open_handles(void);

/* platform_readable: does qx_fd (where there is none, qx_wait) say so within timeout_ms? */
bool platform_readable(struct qx_datapath *dp, int timeout_ms);

/* platform_pump sleeps until one of cnt endpoints is readable, at most timeout_ms. */
void platform_pump(struct qx_datapath *const *dps, uint32_t cnt, int timeout_ms);

/* platform_now_ns is the clock of qx_recv. */
uint64_t platform_now_ns(void);

/* platform_timer_calls is how often a timer was set in this process so far. */
uint32_t platform_timer_calls(void);

#endif
