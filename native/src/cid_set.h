/* cid_set.h: connection IDs of any length and origin.
 *
 * Clients choose the first ones, so unlike cid_table's the hash is keyed by a secret: whoever
 * picks IDs that collide would otherwise make every look-up walk them all.  Linear probing,
 * at most half full; grows with the connections, which are limited. */
#ifndef QX_CID_SET_H
#define QX_CID_SET_H

#include <stdbool.h>
#include <stdint.h>

/* An ID, its length in the byte before; zeroed behind it. */
struct cid_key {
	uint64_t words[3]; /* all zero: none */
};

struct cid_set {
	struct cid_key *slots;
	uint64_t salt;
	uint32_t mask;
	uint32_t cnt;
};

/* cid_set_init: -ENOMEM. */
int cid_set_init(struct cid_set *s);
void cid_set_free(struct cid_set *s);
/* cid_set_add: -ENOMEM; -EINVAL it is longer than 20 bytes.  Twice is once. */
int cid_set_add(struct cid_set *s, const uint8_t *cid, uint32_t len_bytes);
void cid_set_remove(struct cid_set *s, const uint8_t *cid, uint32_t len_bytes);
bool cid_set_has(const struct cid_set *s, const uint8_t *cid, uint32_t len_bytes);

#endif
