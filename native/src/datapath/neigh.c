/* neigh.c: see neigh.h. */
#include "neigh.h"

#include <errno.h>
#include <stdlib.h>

#include "addr_table.h"

struct qx_neigh_table {
	struct qx_addr_table *peers; /* struct qx_neigh */
};

static struct qx_addr key_of(const struct qx_addr *peer)
{
	struct qx_addr key = *peer;

	key.port = 0;
	return key;
}

int neigh_open(struct qx_neigh_table **out, uint32_t entry_cnt)
{
	struct qx_neigh_table *t = malloc(sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (addr_table_open(&t->peers, entry_cnt, sizeof(struct qx_neigh)) < 0) {
		free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

void neigh_close(struct qx_neigh_table *t)
{
	if (t)
		addr_table_close(t->peers);
	free(t);
}

void neigh_learn(struct qx_neigh_table *t, const struct qx_addr *peer,
		 const struct qx_neigh *seen)
{
	const struct qx_addr key = key_of(peer);
	struct qx_neigh *n = addr_table_put(t->peers, &key, seen->heard_ns);

	*n = *seen;
	n->local.port = 0;
}

const struct qx_neigh *neigh_find(struct qx_neigh_table *t, const struct qx_addr *peer,
				  uint64_t now_ns, uint64_t max_age_ns)
{
	const struct qx_addr key = key_of(peer);
	const struct qx_neigh *n = addr_table_find(t->peers, &key);

	if (!n)
		return NULL;
	/* now_ns may be older than the entry: one endpoint's clock reading, another's. */
	if (now_ns > n->heard_ns && now_ns - n->heard_ns > max_age_ns)
		return NULL;
	return n;
}
