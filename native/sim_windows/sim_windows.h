/* sim_windows.h: a simulator of XDP for Windows, behind the four calls of winxdp_nt.h.
 *
 * It sees the bytes that would cross into the driver, and answers as the driver does: object
 * states and error codes, which order of calls is allowed, one wait a socket, ring flags, what
 * is counted and what is silently not completed (microsoft/xdp-for-windows, src/xdp: xsk.c,
 * program.c, programinspect.c).  Two adapters are joined by a cable; time is a number of steps.
 *
 * What no simulator knows: whether xdp.sys of some version does all that, timing, memory
 * ordering, real adapters.  docs/windows.md says so.
 *
 *      sim_nt.c       handles and the four calls
 *      sim_xsk.c      sockets: states, options, rings, waits
 *      sim_program.c  programs: rules captured and matched
 *      sim_wire.c     packets: rings to cable to rings
 *
 * Portable, one thread, one simulated machine a process. */
#ifndef QX_SIM_WINDOWS_H
#define QX_SIM_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp.h"
#include "winxdp.h"

enum {
	SIM_ADAPTER_CNT = 2,
	SIM_QUEUE_CNT = 2,
	SIM_IFINDEX = 11, /* of the first adapter; the second has 12 */
	SIM_MTU_BYTES = 1500
};

/* How a ring is described wrongly, once. */
enum sim_lie {
	SIM_TRUTH,
	SIM_NO_RING,
	SIM_SHORT_STRIDE,
	SIM_ODD_STRIDE,
	SIM_HUGE_STRIDE,
	SIM_OTHER_SIZE,
	SIM_SIZE_ZERO,
	SIM_ODD_ELEMENTS,
	SIM_ODD_PRODUCER,
	SIM_ODD_CONSUMER,
	SIM_ODD_FLAGS,
	SIM_SAME_INDICES,
	SIM_FLAGS_ARE_INDEX,
	SIM_SHORT_ANSWER, /* of RING_INFO */
	SIM_LAYOUT_OUTSIDE,
	SIM_CHECKSUM_OUTSIDE,
	SIM_EXTENSIONS_OVERLAP,
	SIM_LIE_CNT
};

/* The simulated machine; changed at any time. */
struct sim_config {
	bool absent;    /* no driver */
	bool per_type;  /* devices per type, as from 1.4 on */
	bool common;    /* the common device */
	bool old;       /* older than 1.1: refuses API version 3 */
	bool no_native; /* adapters without native XDP */
	bool unbound;   /* XDP is not bound to the adapters */
	bool pends;     /* BIND and ACTIVATE are answered later */
	bool offload;   /* adapters finish checksums */
	uint32_t deny;  /* bit n: objects of enum xdp_object_type n are not for this user */
	uint32_t queue_cnt;          /* of each adapter */
	uint32_t extra_stride_bytes; /* beyond the smallest, per element */
	uint32_t tx_budget;          /* descriptors a queue and step */
	uint32_t completion_cap;     /* 0, or: completion rings count as full from there on */
	uint32_t spurious_every;     /* 0, or: every so many steps waits end for nothing */
	enum sim_lie lie;            /* about this ring: 0 fill 1 completion 2 rx 3 tx */
	uint32_t lie_ring;
	/* Refuse the n-th call from now (1: the next) with this status. */
	uint32_t fail_at;
	int32_t fail_status;
	/* Refuse programs for this queue; -1 none. */
	int32_t fail_program_queue;
};

/* What was seen.  violations are things that a correct caller never does. */
struct sim_counts {
	uint64_t calls;    /* all four kinds */
	uint64_t creates;  /* NtCreateFile */
	uint64_t controls; /* NtDeviceIoControlFile, of which: */
	uint64_t pokes_tx;
	uint64_t pokes_rx;
	uint64_t needless_pokes; /* nothing asked for it */
	uint64_t waits;
	uint64_t waits_refused; /* one was under way already */
	uint64_t waits_spurious;
	uint64_t programs_created;
	uint64_t packets; /* taken from TX rings */
	uint64_t passed;  /* matched no rule: for Windows' own stack */
	uint64_t redirected;
	uint64_t finished_checksums;
	uint64_t violations;
};

/* What is open or held; all zero after everything was closed. */
struct sim_held {
	uint32_t handles;
	uint32_t programs;
	uint32_t waits;
	uint64_t ring_bytes;
	uint64_t locked_bytes; /* UMEMs and port sets */
};

extern struct sim_config sim_config;
extern struct sim_counts sim_counts;
extern const struct winxdp_nt sim_nt;

/* sim_reset makes a machine with a driver of 1.4, two adapters with SIM_QUEUE_CNT queues,
 * larger strides than the smallest, waits that end for nothing now and then. */
void sim_reset(void);
struct sim_held sim_held(void);

/* sim_adapter describes adapter 0 or 1 for winxdp_open. */
struct winxdp_adapter sim_adapter(uint32_t end);

/* sim_addr is the n-th address of an adapter (n below 2), without a port. */
struct qx_addr sim_addr(uint32_t end, uint8_t family, uint8_t n);

/* sim_step lets the drivers run once: completions, sending, receiving, waits. */
void sim_step(void);

/* sim_inject delivers a frame to an adapter as if it had come over the cable. */
void sim_inject(uint32_t end, const uint8_t *frame, uint32_t len_bytes);

/* sim_tap sees every frame on the cable; NULL: nobody. */
extern void (*sim_tap)(uint32_t from_end, const uint8_t *frame, uint32_t len_bytes);

/* sim_remove takes an adapter away while its sockets run: their rings say so, and waits under
 * way go on, as with the real driver. */
void sim_remove(uint32_t end);

/* sim_offload_changed switches an adapter's checksum offload while it runs. */
void sim_offload_changed(uint32_t end, bool on);

/* sim_flag_rings sets flags on every ring of an adapter. */
void sim_flag_rings(uint32_t end, uint32_t flags);

/* sim_scribble sets one index of one ring of a queue, a random one, to a random number or to
 * one nearby.  The driver's side of it is as confused as ours then. */
void sim_scribble(uint32_t end, uint32_t queue, uint64_t random);

/* sim_skew_producer adds to the producer index of the rx ring (or completion ring). */
void sim_skew_producer(uint32_t end, uint32_t queue, bool completion, uint32_t by);

/* sim_put_raw writes one element with any address and length into an adapter's rx ring, or
 * with any address into its completion ring. */
void sim_put_raw(uint32_t end, uint32_t queue, bool completion, uint64_t address,
		 uint32_t len_bytes);

#endif
