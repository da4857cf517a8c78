/* frames.h: Ethernet frames for tests, built byte by byte from the RFCs' figures, on purpose
 * without wire.c: a second opinion. */
#ifndef QX_FRAMES_H
#define QX_FRAMES_H

#include <stdint.h>
#include <string.h>

#include "quicxdp.h"

enum {
	FRAME_CAPACITY = 4096
};

struct frame {
	uint32_t len_bytes;
	uint8_t bytes[FRAME_CAPACITY];
};

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/* sum16 adds 16-bit words as RFC 1071 does, without the final complement. */
static inline uint32_t sum16(const uint8_t *p, uint32_t len_bytes, uint32_t sum)
{
	for (uint32_t i = 0; i + 1 < len_bytes; i += 2)
		sum += get16(p + i);
	if (len_bytes & 1)
		sum += (uint32_t)p[len_bytes - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* frame_fix_ip_sum makes the IPv4 header checksum right again after a change. */
static inline void frame_fix_ip_sum(struct frame *f)
{
	put16(f->bytes + 24, 0);
	put16(f->bytes + 24, 0xffff & ~sum16(f->bytes + 14, 20, 0));
}

/* frame_fix_udp_sum likewise for the UDP checksum of an untouched header layout. */
static inline void frame_fix_udp_sum(struct frame *f)
{
	int v4 = f->bytes[12] == 0x08;
	uint32_t addr_bytes = v4 ? 4 : 16;
	uint8_t *udp = f->bytes + 14 + (v4 ? 20 : 40);
	uint32_t udp_bytes = get16(udp + 4), sum;

	put16(udp + 6, 0);
	sum = sum16(udp - 2 * addr_bytes, 2 * addr_bytes, 17 + udp_bytes);
	sum = 0xffff & ~sum16(udp, udp_bytes, sum);
	put16(udp + 6, sum ? sum : 0xffff);
}

/* frame_udp builds a whole correct UDP datagram in a frame. */
static inline void frame_udp(struct frame *f, const uint8_t dest_mac[6],
			     const struct qx_addr *from, const struct qx_addr *to,
			     uint32_t payload_bytes)
{
	int v4 = to->family == QX_IPV4;
	uint32_t ip_bytes = v4 ? 20 : 40, udp_bytes = 8 + payload_bytes;
	uint8_t *ip = f->bytes + 14, *udp = ip + ip_bytes;

	memset(f, 0, sizeof(*f));
	f->len_bytes = 14 + ip_bytes + udp_bytes;
	memcpy(f->bytes, dest_mac, 6);
	memcpy(f->bytes + 6, "\x02\x00\x00\x00\x00\xfe", 6);
	put16(f->bytes + 12, v4 ? 0x0800 : 0x86dd);
	if (v4) {
		ip[0] = 0x45;
		put16(ip + 2, ip_bytes + udp_bytes);
		put16(ip + 6, 0x4000);
		ip[8] = 64;
		ip[9] = 17;
		memcpy(ip + 12, from->ip, 4);
		memcpy(ip + 16, to->ip, 4);
		frame_fix_ip_sum(f);
	} else {
		ip[0] = 0x60;
		put16(ip + 4, udp_bytes);
		ip[6] = 17;
		ip[7] = 64;
		memcpy(ip + 8, from->ip, 16);
		memcpy(ip + 24, to->ip, 16);
	}
	put16(udp, from->port);
	put16(udp + 2, to->port);
	put16(udp + 4, udp_bytes);
	for (uint32_t i = 0; i < payload_bytes; i++)
		udp[8 + i] = (uint8_t)(i * 7);
	frame_fix_udp_sum(f);
}

/* frame_insert opens a gap of n bytes at off and fills it. */
static inline void frame_insert(struct frame *f, uint32_t off, const void *bytes, uint32_t n)
{
	memmove(f->bytes + off + n, f->bytes + off, f->len_bytes - off);
	memcpy(f->bytes + off, bytes, n);
	f->len_bytes += n;
}

#endif
