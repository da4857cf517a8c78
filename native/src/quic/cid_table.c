/* cid_table.c: open addressing; removal moves back what had been displaced, so that there
 * are no tombstones and a lookup ends at the first free slot. */
#include "cid_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SLOTS_MIN = 64
};

int cid_table_init(struct cid_table *t, uint32_t len_bytes)
{
	*t = (struct cid_table){
		.mask = SLOTS_MIN - 1,
		.len_bytes = len_bytes,
		/* An address: no entropy is to be had here, and a peer does not know it. */
		.odd = ((uintptr_t)t >> 4) * 0x9e3779b97f4a7c15u | 1,
	};
	t->slots = calloc(SLOTS_MIN, sizeof(*t->slots));
	return t->slots ? 0 : -ENOMEM;
}

void cid_table_free(struct cid_table *t)
{
	free(t->slots);
	*t = (struct cid_table){0};
}

static uint32_t hash_of(const struct cid_table *t, const uint8_t *cid)
{
	uint64_t word = 0;

	memcpy(&word, cid, t->len_bytes < sizeof(word) ? t->len_bytes : sizeof(word));
	return (uint32_t)((word ^ word >> 32) * t->odd >> 32);
}

/* The slot that holds cid, or the free one where it would go. */
static struct cid_slot *slot_of(const struct cid_table *t, const uint8_t *cid, uint32_t hash)
{
	uint32_t i = hash & t->mask;

	while (t->slots[i].conn &&
	       (t->slots[i].hash != hash || memcmp(t->slots[i].cid, cid, t->len_bytes) != 0))
		i = (i + 1) & t->mask;
	return &t->slots[i];
}

static int grow(struct cid_table *t)
{
	struct cid_table larger = *t;

	larger.mask = t->mask * 2 + 1;
	larger.slots = calloc((size_t)larger.mask + 1, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i <= t->mask; i++)
		if (t->slots[i].conn)
			*slot_of(&larger, t->slots[i].cid, t->slots[i].hash) = t->slots[i];
	free(t->slots);
	*t = larger;
	return 0;
}

int cid_table_add(struct cid_table *t, const uint8_t *cid, struct qx_conn *conn)
{
	const uint32_t hash = hash_of(t, cid);
	struct cid_slot *s = slot_of(t, cid, hash);
	int err;

	if (s->conn)
		return s->conn == conn ? 0 : -EEXIST;
	if (t->cnt * 2 >= t->mask) {
		err = grow(t);
		if (err < 0)
			return err;
		s = slot_of(t, cid, hash);
	}
	s->conn = conn;
	s->hash = hash;
	memcpy(s->cid, cid, t->len_bytes);
	t->cnt++;
	return 0;
}

static void remove_slot(struct cid_table *t, uint32_t hole)
{
	for (uint32_t i = (hole + 1) & t->mask; t->slots[i].conn; i = (i + 1) & t->mask) {
		const uint32_t home = t->slots[i].hash & t->mask;

		/* Found from home on, so it may not lie before it. */
		if (((i - home) & t->mask) < ((i - hole) & t->mask))
			continue;
		t->slots[hole] = t->slots[i];
		hole = i;
	}
	t->slots[hole].conn = NULL;
	t->cnt--;
}

void cid_table_remove(struct cid_table *t, const uint8_t *cid, const struct qx_conn *conn)
{
	struct cid_slot *s = slot_of(t, cid, hash_of(t, cid));

	if (s->conn && s->conn == conn)
		remove_slot(t, (uint32_t)(s - t->slots));
}

void cid_table_remove_all(struct cid_table *t, const struct qx_conn *conn)
{
	for (uint32_t i = 0; i <= t->mask;) {
		if (t->slots[i].conn == conn)
			remove_slot(t, i); /* another one may lie there now */
		else
			i++;
	}
}

struct qx_conn *cid_table_find(const struct cid_table *t, const uint8_t *cid)
{
	return slot_of(t, cid, hash_of(t, cid))->conn;
}
