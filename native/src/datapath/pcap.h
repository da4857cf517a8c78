/* pcap.h: pcapng blocks, written into memory (draft-ietf-opsawg-pcapng).
 *
 * Each function writes one whole block at out and returns its length, a multiple of four;
 * out must have the room that the matching pcap_*_bytes tells.  Numbers are in the byte
 * order of the machine, as the format allows, timestamps are nanoseconds since 1970. */
#ifndef QX_PCAP_H
#define QX_PCAP_H

#include <stdbool.h>
#include <stdint.h>

enum {
	PCAP_LINK_ETHERNET = 1,
	PCAP_LINK_RAW_IP = 101, /* an IPv4 or IPv6 header comes first */

	PCAP_PACKET_HEAD_BYTES = 28, /* of an enhanced packet block, before its data */
	PCAP_COMMENT_MAX_BYTES = 64, /* longer ones are cut */
	PCAP_NAME_MAX_BYTES = 64,    /* likewise */
	PCAP_SECTION_BYTES = 44,     /* exactly */
	PCAP_INTERFACE_MAX_BYTES = 120,
	PCAP_COUNTERS_BYTES = 52,    /* exactly */
	PCAP_SECRETS_FIRST_OFF = 16, /* where in their block secrets begin */
	PCAP_SECRETS_OVERHEAD_BYTES = 20
};

struct pcap_packet {
	uint64_t time_ns;
	uint32_t interface;
	uint32_t len_bytes;      /* of the data that stands in the block */
	uint32_t original_bytes; /* of the packet */
	bool outgoing;
	const char *comment; /* NULL: none */
};

/* The section that everything else belongs to; the first block of a file. */
uint32_t pcap_section(uint8_t *out);

/* An interface; they are numbered from 0 in the order of their blocks. */
uint32_t pcap_interface(uint8_t *out, uint16_t link_type, const char *name);

/* pcap_packet_bytes is the room for a packet's block.  pcap_packet_end completes a block
 * whose data the caller has written at out + PCAP_PACKET_HEAD_BYTES. */
uint32_t pcap_packet_bytes(uint32_t len_bytes, const char *comment);
uint32_t pcap_packet_end(uint8_t *out, const struct pcap_packet *p);

/* What an interface saw in all, and how much of that is not in the file. */
uint32_t pcap_counters(uint8_t *out, uint32_t interface, uint64_t time_ns, uint64_t received,
		       uint64_t dropped);

/* pcap_secrets writes a block of TLS secrets without any so far: room_bytes (a multiple of
 * four, at least four) of a comment in the form of NSS's key log, which lines with secrets
 * replace one by one from PCAP_SECRETS_FIRST_OFF on. */
uint32_t pcap_secrets(uint8_t *out, uint32_t room_bytes);

#endif
