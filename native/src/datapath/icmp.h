/* icmp.h: what was sent to whom lately, so that an ICMP message can be believed or not.
 *
 * Anybody can send an ICMP message, and it need not even come from the peer.  The kernel has
 * checked that the packet it quotes left from our port.  Beyond that (RFC 9000 section 14.2.1,
 * RFC 8085 section 5.2), one is believed only if
 *
 *      - something was sent to the address and port that it is about, within ICMP_AGE_NS;
 *      - what it quotes begins as that did.  What is compared are bytes 1 to 8 of the payload,
 *        which QUIC's short header fills with the connection ID: where they stay the same
 *        from datagram to datagram, others cannot know them, and a quote that is too short to
 *        show them is not believed.  Where they change all the time this is no test;
 *      - a packet that is too big was one that we have sent, and the path takes at least what
 *        QUIC must be able to send.
 *
 * A believed "too big" limits what goes to that peer for ICMP_MTU_NS; it never raises a limit. */
#ifndef QX_ICMP_H
#define QX_ICMP_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp.h"

enum {
	ICMP_PEERS = 4096,        /* remembered by an endpoint that has no remote address */
	ICMP_PAYLOAD_MIN = 1200,  /* RFC 9000 section 14 */
	ICMP_QUOTE_MAX_BYTES = 32 /* of the payload, as much as is of use */
};

#define ICMP_AGE_NS (60 * 1000000000ull)
#define ICMP_MTU_NS (600 * 1000000000ull) /* RFC 8201 section 4: ten minutes */

struct icmp_claim {
	struct qx_addr peer; /* whom the quoted packet was for */
	int code;            /* positive errno; EMSGSIZE: too big */
	uint32_t mtu_bytes;  /* then, the largest IP packet */
	uint32_t quote_bytes;
	uint8_t quote[ICMP_QUOTE_MAX_BYTES]; /* of its payload */
};

struct qx_icmp;

/* icmp_open.  connected: one peer is all there will be.  -ENOMEM. */
int icmp_open(struct qx_icmp **out, bool connected);
void icmp_close(struct qx_icmp *t);

/* icmp_limit is the longest payload for a peer, UINT32_MAX if nothing is known, and remembers
 * that sending to it has begun: icmp_sent is about the peer of the last icmp_limit.
 * Cost     one look into a table, none if it is the same peer as before. */
uint32_t icmp_limit(struct qx_icmp *t, const struct qx_addr *peer, uint64_t now_ns);

/* icmp_sent notes a datagram's payload. */
void icmp_sent(struct qx_icmp *t, const uint8_t *payload, uint32_t len_bytes);

/* icmp_believe judges a claim, counts it, and acts on "too big". */
bool icmp_believe(struct qx_icmp *t, const struct icmp_claim *claim);

void icmp_stats(const struct qx_icmp *t, struct qx_stats *out);

#endif
