/* addr_table.c: see addr_table.h. */
#include "addr_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

enum {
	BUCKET_WAYS = 8,
	BUCKETS_MAX = 1 << 20
};

struct entry {
	struct qx_addr key; /* family QX_UNSPEC: unused */
	uint64_t stamp;
	_Alignas(8) uint8_t value[];
};

struct qx_addr_table {
	uint64_t salt;
	uint32_t bucket_mask;
	uint32_t value_bytes;
	uint32_t stride_bytes;
	_Alignas(64) uint8_t entries[]; /* bucket after bucket */
};

static struct entry *way_of(struct qx_addr_table *t, uint32_t bucket, uint32_t way)
{
	size_t number = (size_t)bucket * BUCKET_WAYS + way;

	return (struct entry *)(void *)(t->entries + number * t->stride_bytes);
}

static uint32_t bucket_of(const struct qx_addr_table *t, const struct qx_addr *key)
{
	uint64_t word[3];

	memcpy(word, key, sizeof(word));
	word[0] = (word[0] ^ t->salt) * 0x9e3779b97f4a7c15u;
	word[1] = (word[1] ^ (word[0] >> 29) ^ t->salt) * 0xbf58476d1ce4e5b9u;
	word[2] = (word[2] ^ (word[1] >> 31) ^ word[0]) * 0x94d049bb133111ebu;
	return (uint32_t)(word[2] >> 32) & t->bucket_mask;
}

static struct entry *lookup(struct qx_addr_table *t, uint32_t bucket,
			    const struct qx_addr *key)
{
	for (uint32_t i = 0; i < BUCKET_WAYS; i++) {
		struct entry *e = way_of(t, bucket, i);

		if (memcmp(&e->key, key, sizeof(*key)) == 0)
			return e;
	}
	return NULL;
}

int addr_table_open(struct qx_addr_table **out, uint32_t entry_cnt, uint32_t value_bytes)
{
	uint32_t stride_bytes = ((uint32_t)sizeof(struct entry) + value_bytes + 7) & ~7u;
	uint32_t buckets = 1;
	struct qx_addr_table *t;

	while (buckets * BUCKET_WAYS < entry_cnt && buckets < BUCKETS_MAX)
		buckets *= 2;
	t = calloc(1, sizeof(*t) + (size_t)stride_bytes * buckets * BUCKET_WAYS);
	if (!t)
		return -ENOMEM;
	t->bucket_mask = buckets - 1;
	t->value_bytes = value_bytes;
	t->stride_bytes = stride_bytes;
	/* Too early after boot for random numbers: the address of the table will do. */
	if (!os_random(&t->salt, sizeof(t->salt)))
		t->salt = (uintptr_t)t;
	*out = t;
	return 0;
}

void addr_table_close(struct qx_addr_table *t)
{
	free(t);
}

void addr_table_clear(struct qx_addr_table *t)
{
	memset(t->entries, 0, ((size_t)t->bucket_mask + 1) * BUCKET_WAYS * t->stride_bytes);
}

void *addr_table_put(struct qx_addr_table *t, const struct qx_addr *key, uint64_t stamp)
{
	uint32_t bucket = bucket_of(t, key);
	struct entry *e = lookup(t, bucket, key);

	if (!e) {
		/* An unused one if there is one, else the one with the oldest stamp. */
		e = way_of(t, bucket, 0);
		for (uint32_t i = 1; i < BUCKET_WAYS; i++) {
			struct entry *other = way_of(t, bucket, i);

			if (e->key.family != QX_UNSPEC &&
			    (other->key.family == QX_UNSPEC || other->stamp < e->stamp))
				e = other;
		}
		memset(e->value, 0, t->value_bytes);
		e->key = *key;
	}
	e->stamp = stamp;
	return e->value;
}

void *addr_table_find(struct qx_addr_table *t, const struct qx_addr *key)
{
	struct entry *e = key->family == QX_UNSPEC ? NULL : lookup(t, bucket_of(t, key), key);

	return e ? e->value : NULL;
}

uint32_t addr_table_keys(struct qx_addr_table *t, struct qx_addr *out, uint32_t max)
{
	uint32_t cnt = 0;

	for (uint32_t bucket = 0; bucket <= t->bucket_mask; bucket++)
		for (uint32_t i = 0; i < BUCKET_WAYS && cnt < max; i++) {
			const struct entry *e = way_of(t, bucket, i);

			if (e->key.family != QX_UNSPEC)
				out[cnt++] = e->key;
		}
	return cnt;
}

void addr_table_remove(struct qx_addr_table *t, const struct qx_addr *key)
{
	struct entry *e = lookup(t, bucket_of(t, key), key);

	if (e)
		memset(e, 0, t->stride_bytes);
}
