/* wire.c: the parser and the writer of the headers around a UDP payload.
 *
 * Some facts:
 *  - A virtual link's kernel leaves CHECKSUM_PARTIAL packets as they are: the field holds
 *    the folded pseudo-header sum, not inverted (include/linux/skbuff.h; measured on veth,
 *    plain sends and GSO segments alike), and nothing in the frame says so.  Accepting that
 *    value lets a forger skip the checksum, which never was a defence: QUIC authenticates.
 *  - Ethernet pads short packets to 60 bytes, so a frame may be longer than its packet.
 *  - The kernel drops the same impossible sources: ip_route_input_slow (martian_source) and
 *    ip6_rcv_core in net/ipv6/ip6_input.c. */
#include "wire.h"

#include <string.h>

#include "checksum.h"

enum {
	ETH_TYPE = 12,
	IP = WIRE_ETH_BYTES,

	IPV4_VERSION_IHL = IP,
	IPV4_TOS = IP + 1,
	IPV4_TOTAL_LEN = IP + 2,
	IPV4_ID = IP + 4,
	IPV4_FRAGMENT = IP + 6,
	IPV4_TTL = IP + 8,
	IPV4_PROTOCOL = IP + 9,
	IPV4_CHECKSUM = IP + 10,
	IPV4_SOURCE = IP + 12,
	IPV4_DEST = IP + 16,
	IPV4_UDP = IP + WIRE_IPV4_BYTES,

	IPV6_VERSION_CLASS = IP,
	IPV6_PAYLOAD_LEN = IP + 4,
	IPV6_NEXT_HEADER = IP + 6,
	IPV6_HOP_LIMIT = IP + 7,
	IPV6_SOURCE = IP + 8,
	IPV6_DEST = IP + 24,
	IPV6_UDP = IP + WIRE_IPV6_BYTES,

	UDP_SOURCE_PORT = 0,
	UDP_DEST_PORT = 2,
	UDP_LEN = 4,
	UDP_CHECKSUM = 6,

	ETH_TYPE_IPV4 = 0x0800,
	ETH_TYPE_IPV6 = 0x86dd,
	PROTOCOL_UDP = 17,
	PROTOCOL_FRAGMENT = 44, /* IPv6 fragment header, RFC 8200 section 4.5 */
	IPV4_VERSION_5_WORDS = 0x45,
	IPV4_DONT_FRAGMENT = 0x4000,
	IPV4_MORE_OR_OFFSET = 0x3fff,
	HOP_LIMIT = 64
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

/* The checksum field as checksum_fold gives it: memory order. */
static uint16_t get_sum(const uint8_t *p)
{
	uint16_t sum;

	memcpy(&sum, p, sizeof(sum));
	return sum;
}

static void put_sum(uint8_t *p, uint16_t sum)
{
	memcpy(p, &sum, sizeof(sum));
}

/* pseudo_sum is the pseudo header of RFC 768 and RFC 8200 section 8.1: the two addresses
 * as they lie next to each other in the IP header, protocol and UDP length. */
static uint64_t pseudo_sum(const uint8_t *addresses, uint32_t addresses_bytes,
			   uint32_t udp_len_bytes)
{
	uint8_t rest[4] = {0, PROTOCOL_UDP, 0, 0};

	put16(rest + 2, udp_len_bytes);
	return checksum_add(addresses, addresses_bytes, checksum_add(rest, sizeof(rest), 0));
}

static bool udp_checksum_ok(const uint8_t *udp, uint32_t udp_len_bytes, uint64_t pseudo)
{
	if (get_sum(udp + UDP_CHECKSUM) == checksum_fold(pseudo))
		return true; /* partial: see above */
	return checksum_fold(checksum_add(udp, udp_len_bytes, pseudo)) == 0xffff;
}

static bool ipv4_source_impossible(const uint8_t *ip)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	/* 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 */
	return ip[0] == 0 || ip[0] == 127 || (ip[0] & 0xf0) == 0xe0 ||
	       memcmp(ip, broadcast, sizeof(broadcast)) == 0;
}

static bool ipv6_source_impossible(const uint8_t *ip)
{
	static const uint8_t zero_10[10];

	if (ip[0] == 0xff)
		return true;
	if (memcmp(ip, zero_10, sizeof(zero_10)) != 0)
		return false;
	/* ::ffff:0:0/96 never stands on a wire (RFC 4291 section 2.5.5.2); :: and ::1. */
	if (ip[10] == 0xff && ip[11] == 0xff)
		return true;
	return memcmp(ip + 10, zero_10, 5) == 0 && ip[15] <= 1;
}

bool wire_address_possible(const struct qx_addr *addr)
{
	if (addr->family == QX_IPV4)
		return !ipv4_source_impossible(addr->ip);
	return addr->family == QX_IPV6 && !ipv6_source_impossible(addr->ip);
}

static void fill_addr(struct qx_addr *addr, uint8_t family, const uint8_t *ip,
		      uint32_t ip_bytes, uint16_t port)
{
	memset(addr, 0, sizeof(*addr));
	memcpy(addr->ip, ip, ip_bytes);
	addr->port = port;
	addr->family = family;
}

static enum qx_drop parse_ipv4(const uint8_t *frame, uint32_t len_bytes,
			       struct wire_datagram *out)
{
	const uint8_t *udp = frame + IPV4_UDP;
	uint32_t total_bytes, udp_bytes;

	if (len_bytes < IPV4_UDP + WIRE_UDP_BYTES)
		return QX_DROP_TRUNCATED;
	if (frame[IPV4_VERSION_IHL] != IPV4_VERSION_5_WORDS)
		return QX_DROP_IP_HEADER;
	total_bytes = get16(frame + IPV4_TOTAL_LEN);
	if (total_bytes < WIRE_IPV4_BYTES || total_bytes > len_bytes - WIRE_ETH_BYTES)
		return QX_DROP_IP_LENGTH;
	if (checksum_fold(checksum_add(frame + IP, WIRE_IPV4_BYTES, 0)) != 0xffff)
		return QX_DROP_IP_CHECKSUM;
	if (get16(frame + IPV4_FRAGMENT) & IPV4_MORE_OR_OFFSET)
		return QX_DROP_FRAGMENT;
	if (frame[IPV4_PROTOCOL] != PROTOCOL_UDP)
		return QX_DROP_NOT_UDP;
	udp_bytes = get16(udp + UDP_LEN);
	if (udp_bytes < WIRE_UDP_BYTES || udp_bytes != total_bytes - WIRE_IPV4_BYTES)
		return QX_DROP_UDP_LENGTH;
	if (get_sum(udp + UDP_CHECKSUM) != 0 &&
	    !udp_checksum_ok(udp, udp_bytes, pseudo_sum(frame + IPV4_SOURCE, 8, udp_bytes)))
		return QX_DROP_UDP_CHECKSUM;
	if (ipv4_source_impossible(frame + IPV4_SOURCE) ||
	    memcmp(frame + IPV4_SOURCE, frame + IPV4_DEST, 4) == 0)
		return QX_DROP_SOURCE_ADDRESS;
	if (get16(udp + UDP_SOURCE_PORT) == 0)
		return QX_DROP_SOURCE_PORT;

	fill_addr(&out->path.peer, QX_IPV4, frame + IPV4_SOURCE, 4,
		  get16(udp + UDP_SOURCE_PORT));
	fill_addr(&out->path.local, QX_IPV4, frame + IPV4_DEST, 4,
		  get16(udp + UDP_DEST_PORT));
	out->ecn = frame[IPV4_TOS] & 3;
	out->payload_off_bytes = IPV4_UDP + WIRE_UDP_BYTES;
	out->payload_len_bytes = udp_bytes - WIRE_UDP_BYTES;
	return QX_DROP_NONE;
}

static enum qx_drop parse_ipv6(const uint8_t *frame, uint32_t len_bytes,
			       struct wire_datagram *out)
{
	const uint8_t *udp = frame + IPV6_UDP;
	uint32_t payload_bytes, udp_bytes;

	if (len_bytes < IPV6_UDP + WIRE_UDP_BYTES)
		return QX_DROP_TRUNCATED;
	if (frame[IPV6_VERSION_CLASS] >> 4 != 6)
		return QX_DROP_IP_HEADER;
	payload_bytes = get16(frame + IPV6_PAYLOAD_LEN);
	if (payload_bytes > len_bytes - IPV6_UDP)
		return QX_DROP_IP_LENGTH;
	if (frame[IPV6_NEXT_HEADER] == PROTOCOL_FRAGMENT)
		return QX_DROP_FRAGMENT;
	if (frame[IPV6_NEXT_HEADER] != PROTOCOL_UDP)
		return QX_DROP_NOT_UDP;
	udp_bytes = get16(udp + UDP_LEN);
	if (udp_bytes < WIRE_UDP_BYTES || udp_bytes != payload_bytes)
		return QX_DROP_UDP_LENGTH;
	/* RFC 8200 section 8.1: over IPv6 the checksum is not optional. */
	if (get_sum(udp + UDP_CHECKSUM) == 0 ||
	    !udp_checksum_ok(udp, udp_bytes, pseudo_sum(frame + IPV6_SOURCE, 32, udp_bytes)))
		return QX_DROP_UDP_CHECKSUM;
	if (ipv6_source_impossible(frame + IPV6_SOURCE) ||
	    memcmp(frame + IPV6_SOURCE, frame + IPV6_DEST, 16) == 0)
		return QX_DROP_SOURCE_ADDRESS;
	if (get16(udp + UDP_SOURCE_PORT) == 0)
		return QX_DROP_SOURCE_PORT;

	fill_addr(&out->path.peer, QX_IPV6, frame + IPV6_SOURCE, 16,
		  get16(udp + UDP_SOURCE_PORT));
	fill_addr(&out->path.local, QX_IPV6, frame + IPV6_DEST, 16,
		  get16(udp + UDP_DEST_PORT));
	/* The traffic class straddles the first two bytes; ECN is its last two bits. */
	out->ecn = (frame[IPV6_VERSION_CLASS + 1] >> 4) & 3;
	out->payload_off_bytes = IPV6_UDP + WIRE_UDP_BYTES;
	out->payload_len_bytes = udp_bytes - WIRE_UDP_BYTES;
	return QX_DROP_NONE;
}

enum qx_drop wire_parse(const uint8_t *frame, uint32_t len_bytes, const uint8_t mac[6],
			struct wire_datagram *out)
{
	enum qx_drop verdict;

	if (len_bytes < WIRE_ETH_BYTES)
		return QX_DROP_TRUNCATED;
	if (memcmp(frame, mac, 6) != 0)
		return QX_DROP_DEST_MAC;
	switch (get16(frame + ETH_TYPE)) {
	case ETH_TYPE_IPV4:
		verdict = parse_ipv4(frame, len_bytes, out);
		break;
	case ETH_TYPE_IPV6:
		verdict = parse_ipv6(frame, len_bytes, out);
		break;
	default:
		return QX_DROP_ETHERTYPE;
	}
	if (verdict == QX_DROP_NONE)
		memcpy(out->peer_mac, frame + 6, 6);
	return verdict;
}

void wire_build_headers(uint8_t *frame, const uint8_t dest_mac[6], const uint8_t src_mac[6],
			const struct qx_path *path)
{
	bool ipv4 = path->peer.family == QX_IPV4;
	uint8_t *udp = frame + (ipv4 ? IPV4_UDP : IPV6_UDP);

	memset(frame, 0, wire_header_bytes(path->peer.family));
	memcpy(frame, dest_mac, 6);
	memcpy(frame + 6, src_mac, 6);
	if (ipv4) {
		put16(frame + ETH_TYPE, ETH_TYPE_IPV4);
		frame[IPV4_VERSION_IHL] = IPV4_VERSION_5_WORDS;
		put16(frame + IPV4_FRAGMENT, IPV4_DONT_FRAGMENT);
		frame[IPV4_TTL] = HOP_LIMIT;
		frame[IPV4_PROTOCOL] = PROTOCOL_UDP;
		memcpy(frame + IPV4_SOURCE, path->local.ip, 4);
		memcpy(frame + IPV4_DEST, path->peer.ip, 4);
	} else {
		put16(frame + ETH_TYPE, ETH_TYPE_IPV6);
		frame[IPV6_VERSION_CLASS] = 6 << 4;
		frame[IPV6_NEXT_HEADER] = PROTOCOL_UDP;
		frame[IPV6_HOP_LIMIT] = HOP_LIMIT;
		memcpy(frame + IPV6_SOURCE, path->local.ip, 16);
		memcpy(frame + IPV6_DEST, path->peer.ip, 16);
	}
	put16(udp + UDP_SOURCE_PORT, path->local.port);
	put16(udp + UDP_DEST_PORT, path->peer.port);
}

/* finish_headers is everything but the UDP checksum, whose pseudo-header sum it returns. */
static uint8_t *finish_headers(uint8_t *frame, uint8_t family, uint32_t udp_bytes,
			       uint8_t ecn, uint64_t *pseudo)
{
	uint16_t sum;
	uint8_t *udp;

	/* Lengths, ECN and checksums are written, not adjusted: finishing twice is finishing
	 * once. */
	if (family == QX_IPV4) {
		udp = frame + IPV4_UDP;
		frame[IPV4_TOS] = ecn & 3;
		put16(frame + IPV4_TOTAL_LEN, WIRE_IPV4_BYTES + udp_bytes);
		put_sum(frame + IPV4_CHECKSUM, 0);
		sum = checksum_fold(checksum_add(frame + IP, WIRE_IPV4_BYTES, 0));
		put_sum(frame + IPV4_CHECKSUM, (uint16_t)~sum);
		*pseudo = pseudo_sum(frame + IPV4_SOURCE, 8, udp_bytes);
	} else {
		udp = frame + IPV6_UDP;
		frame[IPV6_VERSION_CLASS + 1] = (uint8_t)((ecn & 3) << 4);
		put16(frame + IPV6_PAYLOAD_LEN, udp_bytes);
		*pseudo = pseudo_sum(frame + IPV6_SOURCE, 32, udp_bytes);
	}
	put16(udp + UDP_LEN, udp_bytes);
	return udp;
}

uint32_t wire_finish(uint8_t *frame, uint8_t family, uint32_t payload_len_bytes, uint8_t ecn)
{
	uint32_t udp_bytes = WIRE_UDP_BYTES + payload_len_bytes;
	uint64_t pseudo;
	uint8_t *udp = finish_headers(frame, family, udp_bytes, ecn, &pseudo);
	uint16_t sum;

	put_sum(udp + UDP_CHECKSUM, 0);
	sum = (uint16_t)~checksum_fold(checksum_add(udp, udp_bytes, pseudo));
	/* RFC 768: zero means "no checksum", so a computed zero goes out as its equal. */
	put_sum(udp + UDP_CHECKSUM, sum ? sum : 0xffff);
	return (uint32_t)(udp - frame) + udp_bytes;
}

uint32_t wire_finish_partial(uint8_t *frame, uint8_t family, uint32_t payload_len_bytes,
			     uint8_t ecn)
{
	uint32_t udp_bytes = WIRE_UDP_BYTES + payload_len_bytes;
	uint64_t pseudo;
	uint8_t *udp = finish_headers(frame, family, udp_bytes, ecn, &pseudo);

	put_sum(udp + UDP_CHECKSUM, checksum_fold(pseudo));
	return (uint32_t)(udp - frame) + udp_bytes;
}
