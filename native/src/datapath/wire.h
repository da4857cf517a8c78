/* wire.h: Ethernet, IPv4, IPv6 and UDP headers, read and written.
 *
 * The parser takes exactly what the XDP filter redirects (xdp_filter.bpf.c): IPv4 without
 * options or IPv6 without extension headers, unfragmented, UDP.  Everything it reads lies
 * at a fixed offset.  test_filter checks "filter accepts => wire_parse accepts".
 *
 * Checksums, received: valid, or equal to the pseudo-header sum (a virtual link's kernel
 * leaves the rest to hardware that is not there; see wire.c), or zero over
 * IPv4.  Sent: always computed; zero goes out as 0xffff (RFC 768). */
#ifndef QX_WIRE_H
#define QX_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp.h"

enum {
	WIRE_ETH_BYTES = 14,
	WIRE_IPV4_BYTES = 20,
	WIRE_IPV6_BYTES = 40,
	WIRE_UDP_BYTES = 8,
	WIRE_HEADERS_MAX_BYTES = WIRE_ETH_BYTES + WIRE_IPV6_BYTES + WIRE_UDP_BYTES
};

struct wire_datagram {
	struct qx_path path; /* scope_id left 0: the device fills it in */
	uint8_t peer_mac[6];
	uint8_t ecn;
	uint32_t payload_off_bytes; /* into the frame */
	uint32_t payload_len_bytes;
};

/* wire_parse reads one frame that came to the device with this MAC.  Reads only
 * frame[0..len_bytes), writes *out only on QX_DROP_NONE.  Any bytes are legal input. */
enum qx_drop wire_parse(const uint8_t *frame, uint32_t len_bytes, const uint8_t mac[6],
			struct wire_datagram *out);

/* wire_address_possible: may this address stand as a source on a wire?  Not loopback,
 * multicast, broadcast, unspecified, IPv4-mapped, nor an unknown family. */
bool wire_address_possible(const struct qx_addr *addr);

/* wire_header_bytes is what stands before a payload to this family. */
static inline uint32_t wire_header_bytes(uint8_t family)
{
	return WIRE_ETH_BYTES + WIRE_UDP_BYTES +
	       (family == QX_IPV4 ? (uint32_t)WIRE_IPV4_BYTES : (uint32_t)WIRE_IPV6_BYTES);
}

/* wire_build_headers writes everything before the payload, with lengths and checksums
 * still zero: DF set, IPv4 id 0 (RFC 6864 section 4.1: atomic datagram), hop limit 64.
 * path->local and path->peer must be of one family. */
void wire_build_headers(uint8_t *frame, const uint8_t dest_mac[6], const uint8_t src_mac[6],
			const struct qx_path *path);

/* wire_finish sets lengths, ECN and checksums of a frame built by wire_build_headers once
 * its payload is written.  Returns the frame's length. */
uint32_t wire_finish(uint8_t *frame, uint8_t family, uint32_t payload_len_bytes, uint8_t ecn);

/* wire_finish_partial leaves the UDP checksum to the NIC: the field then holds the folded sum
 * of the pseudo-header, which is where offload engines go on. */
uint32_t wire_finish_partial(uint8_t *frame, uint8_t family, uint32_t payload_len_bytes,
			     uint8_t ecn);

#endif
