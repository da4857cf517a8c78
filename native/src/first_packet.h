/* first_packet.h: what can be read of a datagram that belongs to nobody we know.
 *
 * The fields that RFC 8999 section 5 promises for every version; of an Initial of the
 * versions 1 and 2 also the token, which stands in the clear. */
#ifndef QX_FIRST_PACKET_H
#define QX_FIRST_PACKET_H

#include <stdbool.h>
#include <stdint.h>

enum {
	LONG_HEADER_BIT = 0x80,
	FIXED_BIT = 0x40,
	VERSION_1 = 0x00000001,
	VERSION_2 = 0x6b3343cf, /* RFC 9369 section 3.1 */
	/* RFC 9000 section 14.1: a client's first datagrams are at least so long. */
	FIRST_DATAGRAM_MIN_BYTES = 1200,
	/* RFC 9000 section 7.2: what a client chooses for its first packets. */
	FIRST_DCID_MIN_BYTES = 8
};

struct first_packet {
	uint32_t version;
	uint8_t first; /* the first byte */
	uint8_t dcid_len_bytes, scid_len_bytes;
	const uint8_t *dcid, *scid;
	const uint8_t *token;
	uint32_t token_len_bytes;
};

/* first_packet_invariants reads a long header up to the source connection ID.  False if it
 * is none, or an ID is longer than 20 bytes (RFC 9000 section 17.2). */
bool first_packet_invariants(struct first_packet *p, const uint8_t *data, uint32_t len_bytes);

/* first_packet_is_initial, of a version that we know. */
bool first_packet_is_initial(const struct first_packet *p);

/* first_packet_token reads on up to the packet's end.  False if the lengths of token and
 * packet contradict the datagram, or the packet has no room for number and tag. */
bool first_packet_token(struct first_packet *p, const uint8_t *data, uint32_t len_bytes);

#endif
