/* fuzz_netlink.c: any bytes as rtnetlink messages.
 *
 * Invariant.  For every input:
 *   1. mirror_feed reads only it (the address sanitizer watches) and ends.
 *   2. The same input in two pieces, cut at a message's end as the kernel cuts, teaches the
 *      same: routes, hops and answers agree.
 *   3. Whatever was taught, an answer of MIRROR_YES has a MAC address of one machine that a
 *      neighbour message gave, an MTU of at most the link's, and comes only while the mirror
 *      is in step, its link is up and no rule is in the way.
 *   4. After mirror_restart it knows nothing and is as small as at first.
 *
 * The first byte chooses: bit 0 whether messages count as a dump's or as events, bit 1 whether
 * the input goes into an empty mirror or into that of a plain host. */
#include <stdlib.h>

#include "messages.h"
#include "mirror.h"

enum {
	AS_DUMP = 1,
	PLAIN_HOST = 2,
	INPUT_MAX_BYTES = 8192
};

#define NOW_NS 1000000000ull

static struct qx_mirror whole, pieces;

/* A broken invariant must stop the fuzzer whatever NDEBUG says. */
static void require(int holds)
{
	if (!holds)
		abort();
}

static void teach(struct qx_mirror *m)
{
	static const struct qx_addr zero = {.family = QX_IPV4},
				    gateway = {.family = QX_IPV4, .ip = {10, 1, 0, 1}},
				    own = {.family = QX_IPV4, .ip = {10, 1, 0, 2}};
	struct messages msgs = {.len_bytes = 0};
	struct mirror_news news = {0};

	msg_link(&msgs, MSG_DUMP, IFF_UP | IFF_RUNNING, 1500);
	msg_address(&msgs, RTM_NEWADDR, MSG_DUMP, &own, 0);
	msg_neigh(&msgs, RTM_NEWNEIGH, MSG_DUMP, &gateway, NUD_STALE);
	msg_route(&msgs, RTM_NEWROUTE, MSG_DUMP, &zero, 0, &gateway);
	mirror_feed(m, msgs.bytes, msgs.len_bytes, MSG_DUMP, &news);
	require(m->bad_messages == 0);
}

static void fresh(struct qx_mirror *m, uint8_t how)
{
	if (!m->routes)
		require(mirror_init(m, MSG_IFINDEX, msg_own_mac) == 0);
	mirror_restart(m);
	require(routes_cnt(m->routes) == 0 && routes_bytes(m->routes) < 4096);
	m->link_up = m->link_gone = m->mac_moved = false;
	m->mtu_bytes = 0;
	m->bad_messages = m->link_changes = 0;
	m->solicit_window_ns = m->solicit_cnt = 0;
	if (how & PLAIN_HOST)
		teach(m);
	m->synced = true;
}

/* The last message's end before half of the bytes. */
static uint32_t cut_of(const uint8_t *bytes, uint32_t len_bytes)
{
	uint32_t at = 0;

	while (len_bytes - at >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr h;
		uint32_t step;

		memcpy(&h, bytes + at, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len_bytes - at)
			break;
		step = (h.nlmsg_len + 3) & ~3u;
		if (step > len_bytes - at || at + step > len_bytes / 2)
			break;
		at += step;
	}
	return at;
}

static void check_answer(struct qx_mirror *m, const struct qx_path *path, struct qx_way *way,
			 enum mirror_verdict verdict)
{
	if (verdict != MIRROR_YES)
		return;
	require(m->synced && !m->wants_dump && m->link_up && !m->link_gone);
	require(m->foreign_rules[path->peer.family == QX_IPV6] == 0);
	require((way->mac[0] & 1) == 0);
	require(way->mtu_bytes <= m->mtu_bytes);
}

/* Asks both for an address made of the input's bytes. */
static void ask_both(const uint8_t *bytes, uint32_t len_bytes, uint8_t family)
{
	struct qx_path path = {.peer = {.family = family, .port = 443}};
	struct qx_way a = {0}, b = {0};
	struct qx_addr solicit;
	enum mirror_verdict va, vb;

	memcpy(path.peer.ip, bytes, len_bytes < 16 ? len_bytes : 16);
	if (family == QX_IPV4)
		memset(path.peer.ip + 4, 0, 12);
	va = mirror_ask(&whole, &path, NOW_NS, &a, &solicit);
	vb = mirror_ask(&pieces, &path, NOW_NS, &b, &solicit);
	require(va < MIRROR_VERDICT_CNT && va == vb);
	require(va != MIRROR_YES || memcmp(&a, &b, sizeof(a)) == 0);
	check_answer(&whole, &path, &a, va);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mirror_news news = {0};
	uint32_t sequence, len_bytes = (uint32_t)size - 1, cut;
	uint8_t *bytes;

	if (size == 0 || size > INPUT_MAX_BYTES)
		return 0;
	/* Exactly as long as the input, so that one byte too many is seen. */
	bytes = malloc(len_bytes ? len_bytes : 1);
	require(bytes != NULL);
	memcpy(bytes, data + 1, len_bytes);
	sequence = data[0] & AS_DUMP ? MSG_DUMP : 0;
	fresh(&whole, data[0]);
	fresh(&pieces, data[0]);
	mirror_feed(&whole, bytes, len_bytes, sequence, &news);
	cut = cut_of(bytes, len_bytes);
	mirror_feed(&pieces, bytes, cut, sequence, &news);
	/* What is malformed ends the reading of its piece only. */
	if (pieces.bad_messages == 0)
		mirror_feed(&pieces, bytes + cut, len_bytes - cut, sequence, &news);
	require(whole.hop_cnt == pieces.hop_cnt);
	require(routes_cnt(whole.routes) == routes_cnt(pieces.routes));
	require(whole.bad_messages == pieces.bad_messages);
	for (uint32_t at = 0; at < len_bytes; at += 4)
		ask_both(bytes + at, len_bytes - at, at % 8 ? QX_IPV4 : QX_IPV6);
	free(bytes);
	return 0;
}
