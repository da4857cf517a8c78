/* cid_table.h: connections by connection ID, all of one length.
 *
 * Only IDs that this side chose are ever inserted, and those are random, so their first
 * bytes are the hash.  Linear probing, at most half full. */
#ifndef QX_CID_TABLE_H
#define QX_CID_TABLE_H

#include <stdint.h>

#include "quicxdp_engine.h"

struct cid_slot {
	struct qx_conn *conn; /* NULL: free */
	uint8_t cid[QX_CID_MAX_BYTES];
	uint32_t hash;
};

struct cid_table {
	struct cid_slot *slots;
	uint32_t mask;
	uint32_t cnt;
	uint32_t len_bytes;
	uint64_t odd; /* of the hash */
};

int cid_table_init(struct cid_table *t, uint32_t len_bytes);
void cid_table_free(struct cid_table *t);
/* cid_table_add: -EEXIST if it leads to another connection already, -ENOMEM. */
int cid_table_add(struct cid_table *t, const uint8_t *cid, struct qx_conn *conn);
/* cid_table_remove: nothing happens if it leads elsewhere. */
void cid_table_remove(struct cid_table *t, const uint8_t *cid, const struct qx_conn *conn);
/* cid_table_remove_all forgets every ID of a connection.  Cost: the whole table. */
void cid_table_remove_all(struct cid_table *t, const struct qx_conn *conn);
struct qx_conn *cid_table_find(const struct cid_table *t, const uint8_t *cid);

#endif
