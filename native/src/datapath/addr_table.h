/* addr_table.h: something known about each of many addresses, in bounded memory.
 *
 * Buckets of eight; where one is full, the entry with the oldest stamp makes room.  The hash
 * is keyed by a secret: whoever can forge addresses cannot aim at the bucket of one victim,
 * only flood the whole table, and what that costs its users is for them to bound (an address
 * that is not found means: leave it to the kernel).
 *
 * The whole address is the key, its port too; those who do not mean the port set it to 0. */
#ifndef QX_ADDR_TABLE_H
#define QX_ADDR_TABLE_H

#include <stdint.h>

#include "quicxdp.h"

struct qx_addr_table;

/* addr_table_open makes an empty table of about entry_cnt values of value_bytes each.
 * -ENOMEM. */
int addr_table_open(struct qx_addr_table **out, uint32_t entry_cnt, uint32_t value_bytes);
void addr_table_close(struct qx_addr_table *t);
void addr_table_clear(struct qx_addr_table *t);

/* addr_table_put returns the value of an address, zeroed if it is new, and stamps it.
 * Owner: the table, until the next put, remove or clear. */
void *addr_table_put(struct qx_addr_table *t, const struct qx_addr *key, uint64_t stamp);

/* addr_table_find returns the value, or NULL.  Owner: as above. */
void *addr_table_find(struct qx_addr_table *t, const struct qx_addr *key);

/* addr_table_keys writes the addresses that it holds, at most max.  Returns how many. */
uint32_t addr_table_keys(struct qx_addr_table *t, struct qx_addr *out, uint32_t max);

/* addr_table_remove: nothing happens if it is not there. */
void addr_table_remove(struct qx_addr_table *t, const struct qx_addr *key);

#endif
