/* neigh.c: the neighbour table, buckets of eight, the longest unheard of replaced. */
#include "neigh.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

enum {
	BUCKET_WAYS = 8
};

/* One cache line. */
struct entry {
	struct qx_addr peer; /* port 0; family QX_UNSPEC: unused */
	struct qx_neigh seen;
};

struct qx_neigh_table {
	uint64_t salt;
	uint32_t bucket_mask;
	struct entry entries[]; /* bucket after bucket */
};

static struct qx_addr key_of(const struct qx_addr *peer)
{
	struct qx_addr key = *peer;

	key.port = 0;
	return key;
}

static struct entry *bucket_of(struct qx_neigh_table *t, const struct qx_addr *key)
{
	uint64_t high, low;

	memcpy(&high, key->ip, sizeof(high));
	memcpy(&low, key->ip + 8, sizeof(low));
	/* Multiply-fold with a secret, so that whoever can forge sources cannot aim at the
	 * bucket of one victim, only flood the whole table. */
	high = (high ^ t->salt) * 0x9e3779b97f4a7c15u;
	low = (low ^ key->scope_id ^ (high >> 29) ^ t->salt) * 0xbf58476d1ce4e5b9u;
	return &t->entries[((low >> 32) & t->bucket_mask) * BUCKET_WAYS];
}

static struct entry *lookup(struct entry *bucket, const struct qx_addr *key)
{
	for (uint32_t i = 0; i < BUCKET_WAYS; i++)
		if (memcmp(&bucket[i].peer, key, sizeof(*key)) == 0)
			return &bucket[i];
	return NULL;
}

int neigh_open(struct qx_neigh_table **out, uint32_t entry_cnt)
{
	struct qx_neigh_table *t;
	uint32_t buckets = 1;

	while (buckets * BUCKET_WAYS < entry_cnt && buckets < 1u << 20)
		buckets *= 2;
	t = calloc(1, sizeof(*t) + sizeof(t->entries[0]) * buckets * BUCKET_WAYS);
	if (!t)
		return -ENOMEM;
	t->bucket_mask = buckets - 1;
	/* Too early after boot for random numbers: the address of the table will do. */
	if (!os_random(&t->salt, sizeof(t->salt)))
		t->salt = (uintptr_t)t;
	*out = t;
	return 0;
}

void neigh_close(struct qx_neigh_table *t)
{
	free(t);
}

void neigh_learn(struct qx_neigh_table *t, const struct qx_addr *peer,
		 const struct qx_neigh *seen)
{
	const struct qx_addr key = key_of(peer);
	struct entry *bucket = bucket_of(t, &key);
	struct entry *e = lookup(bucket, &key);

	if (!e) {
		/* An unused one if there is one, else the one unheard of for longest. */
		e = bucket;
		for (uint32_t i = 1; i < BUCKET_WAYS; i++)
			if (e->peer.family != QX_UNSPEC &&
			    (bucket[i].peer.family == QX_UNSPEC ||
			     bucket[i].seen.heard_ns < e->seen.heard_ns))
				e = &bucket[i];
		e->peer = key;
	}
	e->seen = *seen;
	e->seen.local.port = 0;
}

const struct qx_neigh *neigh_find(struct qx_neigh_table *t, const struct qx_addr *peer,
				  uint64_t now_ns, uint64_t max_age_ns)
{
	const struct qx_addr key = key_of(peer);
	const struct entry *e = lookup(bucket_of(t, &key), &key);

	if (!e || e->peer.family == QX_UNSPEC)
		return NULL;
	/* now_ns may be older than the entry: one endpoint's clock reading, another's. */
	if (now_ns > e->seen.heard_ns && now_ns - e->seen.heard_ns > max_age_ns)
		return NULL;
	return &e->seen;
}
