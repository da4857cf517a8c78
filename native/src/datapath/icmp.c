/* icmp.c: see icmp.h. */
#include "icmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "addr_table.h"

enum {
	TAG_OFF = 1,
	TAG_BYTES = 8,
	HEADERS_IPV4_BYTES = 28,
	HEADERS_IPV6_BYTES = 48
};

/* What is remembered of a peer. */
struct sent {
	uint64_t last_ns;
	uint64_t limit_until_ns;
	uint32_t limit_bytes;
	uint32_t longest_bytes; /* sent since the limit was set, or at all */
	uint8_t tags[2][TAG_BYTES];
	uint8_t tag_cnt;
	bool steady; /* the newest tag was seen twice in a row */
};

struct qx_icmp {
	struct qx_addr_table *peers; /* struct sent */
	struct qx_addr last_peer;
	struct sent *last; /* its entry; good until the next put */
	uint64_t now_ns;
	uint64_t believed, ignored;
};

int icmp_open(struct qx_icmp **out, bool connected)
{
	struct qx_icmp *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (addr_table_open(&t->peers, connected ? 1 : ICMP_PEERS, sizeof(struct sent)) < 0) {
		free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

void icmp_close(struct qx_icmp *t)
{
	if (!t)
		return;
	addr_table_close(t->peers);
	free(t);
}

uint32_t icmp_limit(struct qx_icmp *t, const struct qx_addr *peer, uint64_t now_ns)
{
	t->now_ns = now_ns;
	if (!t->last || memcmp(peer, &t->last_peer, sizeof(*peer)) != 0) {
		t->last_peer = *peer;
		t->last = addr_table_put(t->peers, peer, now_ns);
	}
	return t->last->limit_until_ns > now_ns ? t->last->limit_bytes : UINT32_MAX;
}

void icmp_sent(struct qx_icmp *t, const uint8_t *payload, uint32_t len_bytes)
{
	struct sent *s = t->last;
	const uint8_t *tag = payload + TAG_OFF;

	if (!s)
		return;
	s->last_ns = t->now_ns;
	if (len_bytes > s->longest_bytes)
		s->longest_bytes = len_bytes;
	if (len_bytes < TAG_OFF + TAG_BYTES)
		return;
	if (s->tag_cnt > 0 && memcmp(tag, s->tags[0], TAG_BYTES) == 0) {
		s->steady = true;
		return;
	}
	/* The one before stays valid for what is on its way: connection IDs change. */
	memcpy(s->tags[1], s->tags[0], TAG_BYTES);
	memcpy(s->tags[0], tag, TAG_BYTES);
	s->steady = false;
	if (s->tag_cnt < 2)
		s->tag_cnt++;
}

static bool quote_fits(const struct sent *s, const struct icmp_claim *c)
{
	if (!s->steady)
		return true;
	if (c->quote_bytes < TAG_OFF + TAG_BYTES)
		return false;
	for (uint8_t i = 0; i < s->tag_cnt; i++)
		if (memcmp(c->quote + TAG_OFF, s->tags[i], TAG_BYTES) == 0)
			return true;
	return false;
}

/* apply_too_big: false if it cannot be about anything that we have sent. */
static bool apply_too_big(struct sent *s, const struct icmp_claim *c, uint64_t now_ns)
{
	uint32_t headers =
		c->peer.family == QX_IPV4 ? HEADERS_IPV4_BYTES : HEADERS_IPV6_BYTES;
	uint32_t limit = c->mtu_bytes > headers ? c->mtu_bytes - headers : 0;

	if (limit < ICMP_PAYLOAD_MIN || limit >= s->longest_bytes)
		return false;
	s->limit_bytes = limit;
	s->limit_until_ns = now_ns + ICMP_MTU_NS;
	/* Longer ones are not sent any more, and only they could prove it to be less. */
	s->longest_bytes = limit;
	return true;
}

bool icmp_believe(struct qx_icmp *t, const struct icmp_claim *claim)
{
	struct sent *s = addr_table_find(t->peers, &claim->peer);

	if (!s || (s->last_ns == 0 && s->longest_bytes == 0) ||
	    (t->now_ns > s->last_ns && t->now_ns - s->last_ns > ICMP_AGE_NS) ||
	    !quote_fits(s, claim) ||
	    (claim->code == EMSGSIZE && !apply_too_big(s, claim, t->now_ns))) {
		t->ignored++;
		return false;
	}
	t->believed++;
	return true;
}

void icmp_stats(const struct qx_icmp *t, struct qx_stats *out)
{
	out->icmp_believed = t->believed;
	out->icmp_ignored = t->ignored;
}
