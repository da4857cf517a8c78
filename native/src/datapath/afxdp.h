/* afxdp.h: what the parts of the AF_XDP back end share; nobody else includes it.
 *
 *      afxdp_open.c     making and unmaking a NIC
 *      afxdp_sizes.c    how many frames it gets
 *      afxdp_queues.c   its memory, sockets and rings
 *      afxdp.c          its calls while it runs */
#ifndef QX_AFXDP_H
#define QX_AFXDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "channels_netlink.h"
#include "ifinfo.h"
#include "mirror_netlink.h"
#include "nic.h"
#include "xdp_prog.h"

enum {
	AFXDP_RING_CNT = 4
}; /* fill, completion, rx, tx */

struct afxdp_map {
	void *addr;
	size_t len_bytes;
};

struct afxdp {
	struct qx_nic nic; /* first: ops are called with a pointer to it */
	struct xdp_prog prog;
	struct ifinfo info;
	struct qx_mirror_netlink *mirror;
	struct qx_channels *channels; /* NULL: the kernel does not tell of them */
	uint64_t channels_ns;         /* when they were asked last */
	pid_t pid;                    /* who opened it: a forked child must not detach */
	uint8_t mode;                 /* enum qx_xdp_mode: what is tried, then what was had */
	uint8_t attached;
	uint8_t gone;     /* the interface was deleted */
	uint8_t at_once;  /* opening waits for nothing */
	int zerocopy_err; /* with which binding in zero-copy mode was refused; 0: it was not */
	struct afxdp_map maps[QX_QUEUE_MAX][AFXDP_RING_CNT];
};

extern const struct qx_nic_ops afxdp_ops;

/* afxdp_close is ops->close. */
void afxdp_close(struct qx_nic *nic);

/* How many frames, how long, for how many queues. */
struct afxdp_sizes {
	uint32_t queue_cnt;
	uint32_t rx_frame_cnt; /* per queue */
	uint32_t tx_frame_cnt; /* per device */
	uint32_t frame_bytes;
	bool rx_fixed; /* asked for by the caller: never reduced */
	bool tx_fixed;
};

/* afxdp_sizes_init sets what is wanted for this interface and configuration, reduced to
 * what may be locked (memlock_bytes, UINT64_MAX: no limit).
 * Returns  0, -EINVAL a ring size that is no power of two or out of range, -ENOBUFS. */
int afxdp_sizes_init(struct afxdp_sizes *s, const struct qx_nic_config *cfg,
		     uint32_t queue_cnt, uint32_t mtu_bytes, uint64_t memlock_bytes);

/* afxdp_sizes_zerocopy lengthens frames that this driver, without copying, would not fill to
 * the end.  Before afxdp_sizes_fit. */
void afxdp_sizes_zerocopy(struct afxdp_sizes *s, const char *driver);

/* afxdp_sizes_fit reduces to at most budget_bytes: RX and TX frames first, down to their
 * floors, queues last.  False if not even one queue fits. */
bool afxdp_sizes_fit(struct afxdp_sizes *s, uint64_t budget_bytes);

uint64_t afxdp_sizes_bytes(const struct afxdp_sizes *s);

/* afxdp_open_queues registers the memory, opens and binds the sockets, maps the rings and
 * fills the filter's map, in x->mode.  *s is reduced to what the kernel allowed.  On failure
 * the caller calls afxdp_close_queues, which undoes whatever there is; x->zerocopy_err is
 * set if another mode may do. */
int afxdp_open_queues(struct afxdp *x, const struct qx_nic_config *cfg, struct afxdp_sizes *s,
		      char *why);
void afxdp_close_queues(struct afxdp *x);

/* afxdp_busy_poll lets receiving work the driver's queues off.  0, or -errno and off. */
int afxdp_busy_poll(struct afxdp *x, uint32_t poll_us, uint32_t budget);

/* afxdp_why_no_memory fills why for -ENOBUFS with the sizes that were tried last. */
void afxdp_why_no_memory(char *why, const char *name, const struct afxdp_sizes *s);

/* How long opening waits for what the kernel releases asynchronously. */
enum {
	AFXDP_RETRY_NS = 1000000000
};

/* afxdp_retry pauses for 1 to 10 ms and returns true, or false once limit_ns are used up, or at
 * once if there is no time to wait. */
bool afxdp_retry(const struct afxdp *x, uint64_t *waited_ns, uint64_t limit_ns);

#endif
