/* xdp_filter.bpf.c: which frames leave the kernel's stack for our AF_XDP sockets.
 *
 * Redirected is only what wire.c fully understands and somebody here asked for: UDP to the
 * device's MAC address and a registered address and port, in IPv4 without options or IPv6
 * without extension headers, unfragmented, with lengths that agree.  Everything else is
 * XDP_PASS, so that the kernel's stack and the live UDP socket on the same port deal with
 * it.  Nothing is ever dropped or changed here.
 *
 * Some facts
 *  - Without CAP_PERFMON the verifier refuses packet pointers with a variable part
 *    ("pointer arithmetic with it prohibited for !root") and data_end - data.  So every
 *    offset is a constant, and the frame's length comes from bpf_xdp_get_buff_len (5.18).
 *  - A frame longer than the device's packets is a superframe of GSO or GRO: several
 *    datagrams under one header.  The kernel's socket can split it, we cannot.
 *  - bpf_redirect_map returns its flags argument, XDP_PASS, for a queue without a socket.
 *  - Multicast and broadcast are out because the destination MAC must be the device's.
 *  - A VLAN tag in the frame makes it pass.  Where the NIC strips tags (rxvlan on, igb), the
 *    filter cannot see that there was one: ethtool -K DEVICE rxvlan off.
 *
 * `make -C native filter` compiles this into xdp_filter_insns.h, which is committed, so that
 * nobody but its author needs clang.  Written without kernel headers: the few constants of
 * the stable ABI below are all that it needs. */
#include "xdp_filter.h"

struct xdp_md {
	uint32_t data;
	uint32_t data_end;
	uint32_t data_meta;
	uint32_t ingress_ifindex;
	uint32_t rx_queue_index;
	uint32_t egress_ifindex;
};

enum {
	XDP_PASS = 2
};

/* Addresses that the loader replaces by map descriptors; one symbol per map. */
extern char map_config[], map_ports[], map_xsks[];

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_redirect_map)(void *map, uint64_t key, uint64_t flags) = (void *)51;
static uint64_t (*const bpf_xdp_get_buff_len)(struct xdp_md *ctx) = (void *)188;

enum {
	ETH_BYTES = 14,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	UDP_BYTES = 8,
	PROTOCOL_UDP = 17,
	FAMILY_IPV4 = 4,
	FAMILY_IPV6 = 6
};

/* Keeps clang from merging the two families' loads into one at a variable offset. */
#define SEPARATE() __asm__ volatile("" ::: "memory")

#define BE16(x) ((uint16_t)__builtin_bswap16(x)) /* bpfel: the host is little-endian */
#define U8(off) (*(const uint8_t *)(frame + (off)))
#define U16(off) (*(const uint16_t *)(frame + (off)))
#define U32(off) (*(const uint32_t *)(frame + (off)))

__attribute__((section("xdp"), used)) int quicxdp_filter(struct xdp_md *ctx)
{
	const uint8_t *frame = (const uint8_t *)(unsigned long)ctx->data;
	const uint8_t *end = (const uint8_t *)(unsigned long)ctx->data_end;
	struct xdp_filter_port port = {0};
	const struct xdp_filter_config *cfg;
	uint32_t zero = 0, ip_end_bytes, udp_bytes;
	uint64_t frame_bytes;

	if (frame + ETH_BYTES + IPV4_BYTES + UDP_BYTES > end)
		return XDP_PASS;
	if (U16(12) == BE16(0x0800)) {
		/* Version 4, header of five words; of flags and offset only DF may be set. */
		if (U8(14) != 0x45 || U8(23) != PROTOCOL_UDP || (U16(20) & BE16(0xbfff)))
			return XDP_PASS;
		udp_bytes = BE16(U16(38));
		if (udp_bytes + IPV4_BYTES != BE16(U16(16)))
			return XDP_PASS;
		ip_end_bytes = ETH_BYTES + IPV4_BYTES + udp_bytes;
		port.family = FAMILY_IPV4;
		port.ip_be[0] = U32(30);
		port.port_be = U16(36);
		SEPARATE();
	} else if (U16(12) == BE16(0x86dd)) {
		if (frame + ETH_BYTES + IPV6_BYTES + UDP_BYTES > end)
			return XDP_PASS;
		if ((U8(14) & 0xf0) != 0x60 || U8(20) != PROTOCOL_UDP)
			return XDP_PASS;
		udp_bytes = BE16(U16(58));
		if (udp_bytes != BE16(U16(18)))
			return XDP_PASS;
		ip_end_bytes = ETH_BYTES + IPV6_BYTES + udp_bytes;
		port.family = FAMILY_IPV6;
		port.ip_be[0] = U32(38);
		port.ip_be[1] = U32(42);
		port.ip_be[2] = U32(46);
		port.ip_be[3] = U32(50);
		port.port_be = U16(56);
		SEPARATE();
	} else {
		return XDP_PASS;
	}
	if (udp_bytes < UDP_BYTES)
		return XDP_PASS;

	cfg = bpf_map_lookup_elem(map_config, &zero);
	if (!cfg || U32(0) != cfg->mac_first4 || U16(4) != cfg->mac_last2)
		return XDP_PASS;
	/* Longer than its IP packet is legal (Ethernet pads to 60 bytes), shorter is not. */
	frame_bytes = bpf_xdp_get_buff_len(ctx);
	if (frame_bytes < ip_end_bytes || frame_bytes > cfg->frame_max_bytes)
		return XDP_PASS;

	if (!bpf_map_lookup_elem(map_ports, &port))
		return XDP_PASS;
	return (int)bpf_redirect_map(map_xsks, ctx->rx_queue_index, XDP_PASS);
}
