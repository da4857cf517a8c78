/* xdp_filter.h: what the XDP filter and user space agree on: map keys and values.
 *
 * Included by xdp_filter.bpf.c (compiled for the BPF machine, without libc) and by
 * xdp_prog.c, so it holds plain structs only. */
#ifndef QX_XDP_FILTER_H
#define QX_XDP_FILTER_H

#include <stdint.h>

/* The maps, in the order in which xdp_filter_insns.h numbers them. */
enum xdp_filter_map {
	XDP_FILTER_CONFIG = 0, /* array of one struct xdp_filter_config */
	XDP_FILTER_PORTS = 1,  /* hash: struct xdp_filter_port -> uint8_t (unused) */
	XDP_FILTER_XSKS = 2,   /* XSKMAP by RX queue */
	XDP_FILTER_MAP_CNT = 3
};

/* One registered destination.  Every byte is part of the key: unused ones are zero. */
struct xdp_filter_port {
	uint32_t ip_be[4]; /* IPv4 in the first */
	uint16_t port_be;
	uint16_t family; /* enum qx_family */
};

/* The MAC address in the two pieces in which the filter compares it, bytes in order. */
struct xdp_filter_config {
	uint32_t mac_first4;
	uint16_t mac_last2;
	uint16_t zero;
	uint32_t frame_max_bytes;
};

#endif
