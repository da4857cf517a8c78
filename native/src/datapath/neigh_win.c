/* neigh_win.c: see neigh_win.h.
 *
 * Some facts (Microsoft's documentation of netioapi.h):
 *  - GetBestRoute2 answers at once: interface, next hop (unspecified: the peer itself), and
 *    the source address that Windows would use.
 *  - GetIpNetEntry2 reads the neighbour cache; ResolveIpNetEntry2 fills it and blocks.
 *  - Callbacks of NotifyRouteChange2 and its like run in threads of the system;
 *    CancelMibChangeNotify2 returns after the last of them has. */
#include "neigh_win.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <winsock2.h>

/* Each needs the types of those above. */
#include <ws2tcpip.h>

#include <iphlpapi.h>

#include "addr.h"
#include "error_win.h"

enum {
	BUCKET_CNT = 128,
	BUCKET_WAYS = 8,
	QUESTIONS_MAX = 64, /* a power of two */
	MAC_BYTES = 6,
	NOTICE_CNT = 2
};

#define NS_PER_S 1000000000ull
/* As long as what was heard vouches for the way back (device_tx.c). */
#define KNOWN_NS (30 * NS_PER_S)
/* How long a peer that the interface does not reach is not asked about again, unless routes
 * change. */
#define ELSEWHERE_NS (5 * NS_PER_S)

const uint8_t way_next[WAY_STATE_CNT][WAY_EVENT_CNT] = {
	/* clang-format off */
	/*                 WANTED         LEADS      MISSES         AGED         EXPIRED    CHANGED */
	[WAY_NONE]      = {WAY_ASKED,     WAY_NONE,  WAY_NONE,      WAY_NONE,    WAY_NONE,  WAY_NONE},
	[WAY_ASKED]     = {WAY_ASKED,     WAY_KNOWN, WAY_ELSEWHERE, WAY_ASKED,   WAY_ASKED, WAY_ASKED},
	[WAY_KNOWN]     = {WAY_KNOWN,     WAY_KNOWN, WAY_ELSEWHERE, WAY_RENEWED, WAY_NONE,  WAY_NONE},
	[WAY_RENEWED]   = {WAY_RENEWED,   WAY_KNOWN, WAY_ELSEWHERE, WAY_RENEWED, WAY_ASKED, WAY_ASKED},
	[WAY_ELSEWHERE] = {WAY_ELSEWHERE, WAY_KNOWN, WAY_ELSEWHERE, WAY_NONE,    WAY_NONE,  WAY_NONE},
	/* clang-format on */
};

struct way {
	struct qx_addr peer; /* port 0; family QX_UNSPEC: unused */
	struct qx_neigh neigh;
	uint64_t since_ns; /* of the answer */
	uint32_t generation;
	uint8_t state;   /* enum way_state */
	bool questioned; /* the thread has it */
};

struct neigh_win {
	uint32_t ifindex;
	HANDLE thread;
	HANDLE notices[NOTICE_CNT];
	_Atomic uint32_t generation; /* grows with every change of routes or addresses */

	SRWLOCK lock; /* of all below */
	CONDITION_VARIABLE asked;
	bool ending;
	uint64_t now_ns; /* as the last question came */
	uint32_t question_first;
	uint32_t question_cnt;
	struct qx_addr questions[QUESTIONS_MAX];
	struct way ways[BUCKET_CNT][BUCKET_WAYS];
};

/* ---- The table; all of it under the lock ---- */

static struct way *bucket_of(struct neigh_win *n, const struct qx_addr *peer)
{
	uint64_t high, low;

	memcpy(&high, peer->ip, sizeof(high));
	memcpy(&low, peer->ip + 8, sizeof(low));
	low = (low ^ (high >> 29) ^ peer->scope_id) * 0x9e3779b97f4a7c15u + high;
	return n->ways[(low * 0xbf58476d1ce4e5b9u) >> 57];
}

static struct way *lookup(struct neigh_win *n, const struct qx_addr *peer)
{
	struct way *bucket = bucket_of(n, peer);

	for (uint32_t i = 0; i < BUCKET_WAYS; i++)
		if (memcmp(&bucket[i].peer, peer, sizeof(*peer)) == 0)
			return &bucket[i];
	return NULL;
}

/* The peer's entry; of a full bucket the oldest makes room. */
static struct way *enter(struct neigh_win *n, const struct qx_addr *peer)
{
	struct way *bucket = bucket_of(n, peer), *w = lookup(n, peer);

	if (w)
		return w;
	w = bucket;
	for (uint32_t i = 1; i < BUCKET_WAYS; i++)
		if (w->peer.family != QX_UNSPEC &&
		    (bucket[i].peer.family == QX_UNSPEC || bucket[i].since_ns < w->since_ns))
			w = &bucket[i];
	*w = (struct way){.peer = *peer, .since_ns = n->now_ns};
	return w;
}

static void happens(struct way *w, enum way_event event)
{
	w->state = way_next[w->state][event];
}

/* What time and changes have done to it since somebody looked. */
static void catch_up(const struct neigh_win *n, struct way *w)
{
	uint32_t generation = atomic_load_explicit(&n->generation, memory_order_relaxed);
	uint64_t age_ns = n->now_ns > w->since_ns ? n->now_ns - w->since_ns : 0;
	uint64_t life_ns = w->state == WAY_ELSEWHERE ? ELSEWHERE_NS : KNOWN_NS;

	if (w->generation != generation) {
		w->generation = generation;
		happens(w, WAY_CHANGED);
	}
	if (age_ns > life_ns)
		happens(w, WAY_EXPIRED);
	else if (w->state == WAY_KNOWN && age_ns > life_ns / 2)
		happens(w, WAY_AGED);
}

/* Hands a question to the thread; false if too many wait. */
static bool ask(struct neigh_win *n, const struct qx_addr *peer)
{
	if (n->question_cnt == QUESTIONS_MAX)
		return false;
	n->questions[(n->question_first + n->question_cnt++) % QUESTIONS_MAX] = *peer;
	WakeConditionVariable(&n->asked);
	return true;
}

int neigh_win_find(void *arg, const struct qx_addr *peer, uint64_t now_ns,
		   struct qx_neigh *out)
{
	struct neigh_win *n = arg;
	struct qx_addr key = *peer;
	struct way *w;
	int found;

	key.port = 0;
	AcquireSRWLockExclusive(&n->lock);
	if (now_ns > n->now_ns)
		n->now_ns = now_ns;
	w = enter(n, &key);
	catch_up(n, w);
	happens(w, WAY_WANTED);
	/* A question that finds no place is tried again with the next packet. */
	if ((w->state == WAY_ASKED || w->state == WAY_RENEWED) && !w->questioned)
		w->questioned = ask(n, &key);
	found = w->state == WAY_KNOWN || w->state == WAY_RENEWED;
	if (found) {
		*out = w->neigh;
		out->heard_ns = now_ns;
	}
	ReleaseSRWLockExclusive(&n->lock);
	return found;
}

/* ---- Asking Windows; without the lock ---- */

static void to_inet(SOCKADDR_INET *out, const struct qx_addr *a)
{
	memset(out, 0, sizeof(*out));
	if (a->family == QX_IPV4) {
		out->Ipv4.sin_family = AF_INET;
		memcpy(&out->Ipv4.sin_addr, a->ip, 4);
		return;
	}
	out->Ipv6.sin6_family = AF_INET6;
	memcpy(&out->Ipv6.sin6_addr, a->ip, 16);
	out->Ipv6.sin6_scope_id = a->scope_id;
}

static bool is_unspecified(const SOCKADDR_INET *a)
{
	struct qx_addr addr;

	return !addr_from_sockaddr(&addr, a, sizeof(*a)) || addr_is_wildcard(&addr);
}

static bool has_mac(const MIB_IPNET_ROW2 *row)
{
	return row->PhysicalAddressLength == MAC_BYTES &&
	       (row->State == NlnsReachable || row->State == NlnsStale ||
		row->State == NlnsDelay || row->State == NlnsProbe ||
		row->State == NlnsPermanent);
}

/* Fills in *out; false if the way does not lead over our interface. */
static bool find_out(const struct neigh_win *n, const struct qx_addr *peer,
		     struct qx_neigh *out)
{
	MIB_IPFORWARD_ROW2 route;
	MIB_IPNET_ROW2 row = {0};
	SOCKADDR_INET to, from;

	to_inet(&to, peer);
	if (GetBestRoute2(NULL, 0, NULL, &to, 0, &route, &from) != NO_ERROR ||
	    route.InterfaceIndex != n->ifindex)
		return false;
	row.InterfaceIndex = n->ifindex;
	row.Address = is_unspecified(&route.NextHop) ? to : route.NextHop;
	if (GetIpNetEntry2(&row) != NO_ERROR || !has_mac(&row)) {
		if (ResolveIpNetEntry2(&row, NULL) != NO_ERROR || !has_mac(&row))
			return false;
	}
	*out = (struct qx_neigh){0};
	memcpy(out->mac, row.PhysicalAddress, MAC_BYTES);
	if (!addr_from_sockaddr(&out->local, &from, sizeof(from)))
		return false;
	out->local.port = 0;
	return true;
}

static DWORD WINAPI answer(void *arg)
{
	struct neigh_win *n = arg;
	struct qx_neigh neigh;
	struct qx_addr peer;
	uint32_t generation;
	struct way *w;
	bool leads;

	AcquireSRWLockExclusive(&n->lock);
	while (!n->ending) {
		if (n->question_cnt == 0) {
			SleepConditionVariableSRW(&n->asked, &n->lock, INFINITE, 0);
			continue;
		}
		peer = n->questions[n->question_first];
		n->question_first = (n->question_first + 1) % QUESTIONS_MAX;
		n->question_cnt--;
		generation = atomic_load_explicit(&n->generation, memory_order_acquire);
		ReleaseSRWLockExclusive(&n->lock);
		leads = find_out(n, &peer, &neigh);
		AcquireSRWLockExclusive(&n->lock);
		w = lookup(n, &peer);
		if (!w || !w->questioned)
			continue;
		w->questioned = false;
		/* What was true before a change is asked again, when it is wanted. */
		if (generation != atomic_load_explicit(&n->generation, memory_order_acquire))
			continue;
		happens(w, leads ? WAY_LEADS : WAY_MISSES);
		w->generation = generation;
		w->since_ns = n->now_ns;
		if (leads)
			w->neigh = neigh;
	}
	ReleaseSRWLockExclusive(&n->lock);
	return 0;
}

/* ---- Changes ---- */

static void changed(struct neigh_win *n)
{
	atomic_fetch_add_explicit(&n->generation, 1, memory_order_release);
}

static void WINAPI route_changed(void *arg, MIB_IPFORWARD_ROW2 *row,
				 MIB_NOTIFICATION_TYPE type)
{
	(void)row;
	(void)type;
	changed(arg);
}

static void WINAPI address_changed(void *arg, MIB_UNICASTIPADDRESS_ROW *row,
				   MIB_NOTIFICATION_TYPE type)
{
	(void)row;
	(void)type;
	changed(arg);
}

/* ---- Opening and closing ---- */

int neigh_win_open(struct neigh_win **out, uint32_t ifindex)
{
	struct neigh_win *n = calloc(1, sizeof(*n));
	DWORD code;

	if (!n)
		return -ENOMEM;
	n->ifindex = ifindex;
	InitializeSRWLock(&n->lock);
	InitializeConditionVariable(&n->asked);
	code = NotifyRouteChange2(AF_UNSPEC, route_changed, n, FALSE, &n->notices[0]);
	if (code == NO_ERROR)
		code = NotifyUnicastIpAddressChange(AF_UNSPEC, address_changed, n, FALSE,
						    &n->notices[1]);
	if (code == NO_ERROR) {
		n->thread = CreateThread(NULL, 0, answer, n, 0, NULL);
		code = n->thread ? NO_ERROR : GetLastError();
	}
	if (code != NO_ERROR) {
		neigh_win_close(n);
		return -error_of(code);
	}
	*out = n;
	return 0;
}

void neigh_win_close(void *arg)
{
	struct neigh_win *n = arg;

	if (!n)
		return;
	for (uint32_t i = 0; i < NOTICE_CNT; i++)
		if (n->notices[i])
			CancelMibChangeNotify2(n->notices[i]);
	if (n->thread) {
		AcquireSRWLockExclusive(&n->lock);
		n->ending = true;
		ReleaseSRWLockExclusive(&n->lock);
		WakeConditionVariable(&n->asked);
		WaitForSingleObject(n->thread, INFINITE);
		CloseHandle(n->thread);
	}
	free(n);
}

int neigh_win_join(struct qx_nic *nic)
{
	struct neigh_win *n;
	int err = neigh_win_open(&n, nic->ifindex);

	if (err < 0)
		return err;
	nic->ways = n;
	nic->find_way = neigh_win_find;
	nic->close_ways = neigh_win_close;
	return 0;
}
