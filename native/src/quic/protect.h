/* protect.h: 1-RTT and 0-RTT packet protection (RFC 9001 sections 5 and 6), on libcrypto.
 *
 * A struct protect_half is one direction of one epoch: current keys, in the 1-RTT epoch the
 * next generation ready ahead, and receiving the previous one for a while (section 6.5).
 * Cipher contexts are made when keys are, and reused for every packet: nothing is allocated
 * per packet.  Header protection keys never change with a key update (section 6.1).
 *
 * The phase of a received packet is believed only after its AEAD tag was verified
 * (section 6.3), and next keys are derived ahead, so a forged phase bit costs one failed
 * open and no key schedule. */
#ifndef QX_PROTECT_H
#define QX_PROTECT_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp_engine.h"

enum {
	PROTECT_TAG_BYTES = 16,
	PROTECT_SAMPLE_BYTES = 16,
	PROTECT_SECRET_MAX_BYTES = 48
};

struct protect_half; /* opaque: holds EVP contexts */

/* protect_open derives keys from a traffic secret.  -EINVAL unknown suite or version, or
 * wrong secret length, -ENOMEM, -EIO libcrypto failed. */
int protect_open(struct protect_half **out, uint32_t cipher_suite, uint32_t version,
		 bool one_rtt, bool sending, const uint8_t *secret, uint32_t len_bytes);
void protect_close(struct protect_half *h); /* clears the secrets; NULL is legal */

/* protect_seal encrypts payload in place (tag behind it), then protects the header.
 * header_len_bytes includes the pn_len_bytes of truncated packet number, which the caller
 * has written, as it has the key phase bit (protect_phase).
 * Room for PROTECT_TAG_BYTES behind the payload is the caller's; header and payload are
 * adjacent.  Returns the packet's length; -EKEYEXPIRED at the AEAD's limit (section 6.6);
 * -EINVAL a number not above the last one sealed, whatever the keys (nonces never repeat),
 * or too short to sample (pn_len_bytes + payload_len_bytes < 4); -EIO. */
int protect_seal(struct protect_half *h, uint8_t *packet, uint32_t header_len_bytes,
		 uint32_t pn_len_bytes, uint32_t payload_len_bytes, uint64_t pn);

struct protect_opened {
	uint64_t pn;
	uint32_t header_len_bytes; /* with the packet number */
	uint32_t payload_len_bytes;
	bool updated;   /* the peer's keys are newer with this packet */
	bool old_phase; /* opened with the previous keys */
};

/* protect_open_packet removes header protection and opens the payload in place.
 * pn_off_bytes is where the packet number begins; expected_pn the largest received + 1
 * (RFC 9000 appendix A.3).  Returns 0; -EBADMSG not authentic (the packet's bytes are then
 * undefined, but for the last PROTECT_TAG_BYTES), -EINVAL too short to sample; -EKEYEXPIRED
 * at the integrity limit; -EPROTO authentic, but with newer keys than a higher number had:
 * KEY_UPDATE_ERROR (section 6.4). */
int protect_open_packet(struct protect_half *h, uint8_t *packet, uint32_t len_bytes,
			uint32_t pn_off_bytes, uint64_t expected_pn,
			struct protect_opened *out);

/* protect_update moves to the next generation: sending, when an update begins here or
 * follows the peer's; receiving happens inside protect_open_packet (also when the peer
 * answers an update of ours), or here when we initiated.  Old receive keys stay until
 * protect_drop_old, whose time begins with the first packet of the new phase (6.5).
 * -EINVAL in the 0-RTT epoch, -ENOMEM, -EIO: nothing has changed. */
int protect_update(struct protect_half *h);
void protect_drop_old(struct protect_half *h);
/* protect_expect_skip: receiving, when an update begins here.  The peer moves on with it and
 * may begin another before it has sent anything, as aioquic does though section 6.1 forbids
 * it: then its phase bit is the old one again, and it will never open what we send until we
 * follow by two generations.  So until the peer's keys change, what the current keys do not
 * open is tried with those after the next too; whatever its phase bit, as the time that takes
 * must not tell it (section 9.5).  Without memory for the keys there is no such try. */
void protect_expect_skip(struct protect_half *h);
uint32_t protect_phase(const struct protect_half *h);      /* 0 or 1 */
uint64_t protect_sealed_cnt(const struct protect_half *h); /* with the current keys */
uint64_t protect_seal_limit(const struct protect_half *h); /* update well before it */

#endif
