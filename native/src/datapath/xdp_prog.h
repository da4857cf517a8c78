/* xdp_prog.h: the XDP filter in the kernel: its maps, its program, its link.
 *
 * Raw bpf(2): no libbpf, no ELF, no BTF, no bpffs at run time.  All descriptors are
 * close-on-exec.  The link goes away with its last descriptor, so a killed process leaves
 * nothing attached; detaching is explicit all the same, since a forked child has a copy.
 *
 * Owner    whoever opened it; zero-initialise and call xdp_prog_open once.
 * Errors   -EPERM capability missing; -EACCES, -EINVAL the verifier refused the filter (a
 *          kernel older than 5.18 lacks a helper); others as bpf(2). */
#ifndef QX_XDP_PROG_H
#define QX_XDP_PROG_H

#include <stdbool.h>
#include <stdint.h>

#include "ifinfo.h"
#include "quicxdp.h"
#include "xdp_filter.h"

enum {
	XDP_PROG_PORT_MAX = 1024
}; /* registered addresses and ports of one device */

struct xdp_prog {
	int map_fds[XDP_FILTER_MAP_CNT];
	int prog_fd;
	int link_fd; /* -1: not attached */
};

/* xdp_prog_open makes the maps, fills the config and loads the filter; nothing is attached.
 * name is the interface, for why. */
int xdp_prog_open(struct xdp_prog *p, const char *name, const uint8_t mac[6],
		  uint32_t frame_max_bytes, uint32_t queue_cnt, char *why);

/* xdp_prog_close closes all descriptors.  Whoever still holds copies keeps the filter: call
 * xdp_prog_detach first. */
void xdp_prog_close(struct xdp_prog *p);

/* xdp_prog_admit and xdp_prog_dismiss change which destinations are redirected.
 * Errors   -EEXIST, -ENOSPC, -EINVAL no address and port of a family that the filter knows. */
int xdp_prog_admit(struct xdp_prog *p, const struct qx_addr *local);
void xdp_prog_dismiss(struct xdp_prog *p, const struct qx_addr *local);

/* xdp_prog_set_queue names the AF_XDP socket that takes a queue's frames. */
int xdp_prog_set_queue(struct xdp_prog *p, uint32_t queue, int xsk_fd);

/* xdp_prog_attach puts the filter on the interface, in native or in generic mode; it never
 * replaces or detaches another program.
 * Errors   -EBUSY another program is there; -EOPNOTSUPP no native XDP; -ENODEV. */
int xdp_prog_attach(struct xdp_prog *p, const char *name, const struct ifinfo *info,
		    bool generic, char *why);
void xdp_prog_detach(struct xdp_prog *p);

/* xdp_prog_why_busy fills why with whose program is on the interface. */
void xdp_prog_why_busy(char *why, const char *name, uint32_t ifindex);

#endif
