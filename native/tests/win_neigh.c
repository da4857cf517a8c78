/* win_neigh.c: the way to a peer, asked of a Windows that the test plays. */
#include "neigh_win.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <winsock2.h>

/* Each needs the types of those above. */
#include <ws2tcpip.h>

#include <iphlpapi.h>

#include "t.h"

enum {
	OURS = 7,
	OTHER = 8,
	PATIENCE_MS = 5000
};

#define SECOND_NS 1000000000ull

/* ---- The Windows of this test: its functions take the place of iphlpapi.dll's ---- */

static struct {
	_Atomic uint32_t routes_asked, cached, resolved;
	_Atomic uint32_t ifindex; /* where all routes lead; 0: nowhere */
	_Atomic bool gateway, in_cache, resolves;
	HANDLE gate; /* resolving waits for it */
	DWORD notify_code;
	uint32_t notices; /* registered minus cancelled */
	PIPFORWARD_CHANGE_CALLBACK route_changed;
	PUNICAST_IPADDRESS_CHANGE_CALLBACK address_changed;
	void *arg;
	uint8_t last_host; /* of the neighbour that was asked for */
} windows;

NETIO_STATUS WINAPI GetBestRoute2(NET_LUID *luid, NET_IFINDEX ifindex,
				  const SOCKADDR_INET *from, const SOCKADDR_INET *to,
				  ULONG options, PMIB_IPFORWARD_ROW2 route,
				  SOCKADDR_INET *source)
{
	(void)luid;
	(void)ifindex;
	(void)from;
	(void)options;
	windows.routes_asked++;
	if (windows.ifindex == 0)
		return ERROR_NETWORK_UNREACHABLE;
	memset(route, 0, sizeof(*route));
	memset(source, 0, sizeof(*source));
	route->InterfaceIndex = windows.ifindex;
	route->NextHop.si_family = to->si_family;
	source->si_family = to->si_family;
	if (to->si_family == AF_INET) {
		if (windows.gateway)
			route->NextHop.Ipv4.sin_addr.s_addr = htonl(0x0a0000fe);
		source->Ipv4.sin_addr.s_addr = htonl(0x0a000001);
	} else {
		source->Ipv6.sin6_addr.s6_addr[0] = 0xfd;
		source->Ipv6.sin6_addr.s6_addr[15] = 1;
	}
	return NO_ERROR;
}

static void give_mac(PMIB_IPNET_ROW2 row)
{
	const uint8_t *ip = row->Address.si_family == AF_INET
				    ? (const uint8_t *)&row->Address.Ipv4.sin_addr + 3
				    : &row->Address.Ipv6.sin6_addr.s6_addr[15];

	windows.last_host = *ip;
	row->State = NlnsReachable;
	row->PhysicalAddressLength = 6;
	memset(row->PhysicalAddress, *ip, 6);
}

NETIO_STATUS WINAPI GetIpNetEntry2(PMIB_IPNET_ROW2 row)
{
	windows.cached++;
	if (!windows.in_cache)
		return ERROR_NOT_FOUND;
	give_mac(row);
	return NO_ERROR;
}

NETIO_STATUS WINAPI ResolveIpNetEntry2(PMIB_IPNET_ROW2 row, const SOCKADDR_INET *source)
{
	(void)source;
	windows.resolved++;
	WaitForSingleObject(windows.gate, INFINITE);
	if (!windows.resolves)
		return ERROR_BAD_NET_NAME;
	give_mac(row);
	return NO_ERROR;
}

NETIO_STATUS WINAPI NotifyRouteChange2(ADDRESS_FAMILY family, PIPFORWARD_CHANGE_CALLBACK call,
				       void *arg, BOOLEAN initial, HANDLE *out)
{
	(void)family;
	(void)initial;
	windows.route_changed = call;
	windows.arg = arg;
	if (windows.notify_code != NO_ERROR)
		return windows.notify_code;
	windows.notices++;
	*out = windows.gate;
	return NO_ERROR;
}

NETIO_STATUS WINAPI NotifyUnicastIpAddressChange(ADDRESS_FAMILY family,
						 PUNICAST_IPADDRESS_CHANGE_CALLBACK call,
						 void *arg, BOOLEAN initial, HANDLE *out)
{
	(void)family;
	(void)arg;
	(void)initial;
	windows.address_changed = call;
	windows.notices++;
	*out = windows.gate;
	return NO_ERROR;
}

NETIO_STATUS WINAPI CancelMibChangeNotify2(HANDLE notice)
{
	(void)notice;
	windows.notices--;
	return NO_ERROR;
}

/* ---- The tests ---- */

static struct neigh_win *n;
static struct qx_neigh found;

static void fresh(void)
{
	windows.ifindex = OURS;
	windows.gateway = false;
	windows.in_cache = windows.resolves = true;
	windows.routes_asked = windows.cached = windows.resolved = 0;
	windows.notify_code = NO_ERROR;
	SetEvent(windows.gate);
	T_EQ(neigh_win_open(&n, OURS), 0);
}

static void finish(void)
{
	SetEvent(windows.gate);
	neigh_win_close(n);
	n = NULL;
	T_EQ(windows.notices, 0);
}

static struct qx_addr v4(uint8_t host)
{
	return (struct qx_addr){.family = QX_IPV4, .ip = {10, 0, 0, host}, .port = 443};
}

static int find(const struct qx_addr *peer, uint64_t now_ns)
{
	return neigh_win_find(n, peer, now_ns, &found);
}

/* Waits, in real time, for the thread's answer. */
static int find_soon(const struct qx_addr *peer, uint64_t now_ns)
{
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		if (find(peer, now_ns))
			return 1;
		Sleep(1);
	}
	return 0;
}

static void until(const _Atomic uint32_t *counter, uint32_t value)
{
	for (int ms = 0; ms < PATIENCE_MS && *counter < value; ms++)
		Sleep(1);
	T_CHECK(*counter >= value);
}

/* The packet path never waits: the first packet goes by the socket, the next ones know. */
static void a_neighbour_is_found_off_the_packet_path(void)
{
	struct qx_addr peer = v4(9);

	fresh();
	T_EQ(find(&peer, SECOND_NS), 0);
	T_EQ(find_soon(&peer, SECOND_NS), 1);
	T_EQ(found.mac[0], 9);
	T_EQ(found.mac[5], 9);
	T_EQ(found.local.family, QX_IPV4);
	T_EQ(found.local.ip[3], 1);
	T_EQ(found.local.port, 0);
	T_EQ(found.heard_ns, SECOND_NS);
	for (int i = 0; i < 1000; i++)
		T_EQ(find(&peer, SECOND_NS + (uint64_t)i), 1);
	peer.port = 80; /* the same host */
	T_EQ(find(&peer, SECOND_NS), 1);
	T_EQ(windows.routes_asked, 1);
	T_EQ(windows.resolved, 0);
	finish();
}

/* IPv6 is not an afterthought. */
static void a_neighbour_is_found_over_ipv6(void)
{
	struct qx_addr peer = {.family = QX_IPV6, .ip = {0xfd, [15] = 5}, .port = 443};

	fresh();
	T_EQ(find(&peer, SECOND_NS), 0);
	T_EQ(find_soon(&peer, SECOND_NS), 1);
	T_EQ(found.mac[3], 5);
	T_EQ(found.local.family, QX_IPV6);
	T_EQ(found.local.ip[0], 0xfd);
	finish();
}

/* Behind a router it is the router's MAC address that counts. */
static void a_distant_peer_is_reached_through_its_gateway(void)
{
	struct qx_addr peer = {.family = QX_IPV4, .ip = {192, 0, 2, 1}, .port = 443};

	fresh();
	windows.gateway = true;
	T_EQ(find(&peer, SECOND_NS), 0);
	T_EQ(find_soon(&peer, SECOND_NS), 1);
	T_EQ(found.mac[0], 0xfe);
	finish();
}

/* Resolving takes seconds when nobody answers; meanwhile others are not held up here. */
static void resolving_blocks_nobody(void)
{
	struct qx_addr slow = v4(20), other = v4(21);

	fresh();
	windows.in_cache = false;
	ResetEvent(windows.gate);
	T_EQ(find(&slow, SECOND_NS), 0);
	until(&windows.resolved, 1);
	for (int i = 0; i < 1000; i++) {
		T_EQ(find(&slow, SECOND_NS), 0);
		T_EQ(find(&other, SECOND_NS), 0);
	}
	T_EQ(windows.resolved, 1);
	SetEvent(windows.gate);
	T_EQ(find_soon(&slow, SECOND_NS), 1);
	T_EQ(find_soon(&other, SECOND_NS), 1);
	T_EQ(windows.resolved, 2);
	finish();
}

/* Another interface, no route, nobody there: the socket's, and not asked for every packet. */
static void what_does_not_lead_over_the_interface_is_left_to_the_socket(void)
{
	struct qx_addr peers[] = {v4(30), v4(31), v4(32)};

	fresh();
	windows.ifindex = OTHER;
	T_EQ(find(&peers[0], SECOND_NS), 0);
	until(&windows.routes_asked, 1);
	windows.ifindex = 0;
	T_EQ(find(&peers[1], SECOND_NS), 0);
	until(&windows.routes_asked, 2);
	windows.ifindex = OURS;
	windows.in_cache = windows.resolves = false;
	T_EQ(find(&peers[2], SECOND_NS), 0);
	until(&windows.resolved, 1);
	/* Until the thread has noted the last answer. */
	for (int i = 0; i < 200; i++) {
		for (int k = 0; k < 3; k++)
			T_EQ(find(&peers[k], SECOND_NS), 0);
		Sleep(i % 20 == 0);
	}
	T_EQ(windows.routes_asked, 3);
	/* After a while it may have changed. */
	windows.in_cache = true;
	T_EQ(find(&peers[0], 7 * SECOND_NS), 0);
	T_EQ(find_soon(&peers[0], 7 * SECOND_NS), 1);
	finish();
}

/* A route that moved must not keep sending packets into the void. */
static void a_change_of_routes_or_addresses_is_heard(void)
{
	struct qx_addr peer = v4(40);

	fresh();
	T_EQ(find(&peer, SECOND_NS), 0);
	T_EQ(find_soon(&peer, SECOND_NS), 1);
	windows.route_changed(windows.arg, NULL, MibParameterNotification);
	T_EQ(find(&peer, SECOND_NS), 0);
	T_EQ(find_soon(&peer, SECOND_NS), 1);
	windows.ifindex = OTHER;
	windows.address_changed(windows.arg, NULL, MibAddInstance);
	T_EQ(find(&peer, SECOND_NS), 0);
	until(&windows.routes_asked, 3);
	T_EQ(find(&peer, SECOND_NS), 0);
	finish();
}

/* An answer that was on its way when routes changed is an answer of yesterday. */
static void an_answer_from_before_a_change_is_not_believed(void)
{
	struct qx_addr peer = v4(41);

	fresh();
	windows.in_cache = false;
	ResetEvent(windows.gate);
	T_EQ(find(&peer, SECOND_NS), 0);
	until(&windows.resolved, 1);
	windows.route_changed(windows.arg, NULL, MibParameterNotification);
	SetEvent(windows.gate);
	T_EQ(find_soon(&peer, SECOND_NS), 1);
	T_EQ(windows.resolved, 2);
	finish();
}

/* What is used is renewed before it runs out, without a gap; what is not is forgotten. */
static void a_way_in_use_is_renewed_in_time(void)
{
	struct qx_addr peer = v4(50);

	fresh();
	T_EQ(find(&peer, SECOND_NS), 0);
	T_EQ(find_soon(&peer, SECOND_NS), 1);
	T_EQ(find(&peer, 16 * SECOND_NS), 1);
	T_EQ(windows.routes_asked, 1);
	T_EQ(find(&peer, 17 * SECOND_NS), 1);
	until(&windows.routes_asked, 2);
	T_EQ(find_soon(&peer, 31 * SECOND_NS), 1);
	T_EQ(find(&peer, 100 * SECOND_NS), 0);
	T_EQ(find_soon(&peer, 100 * SECOND_NS), 1);
	finish();
}

/* A server answers whoever writes: a flood of peers costs what it costs and no more. */
static void a_flood_of_peers_is_bounded(void)
{
	struct qx_addr peer = v4(60);

	fresh();
	windows.in_cache = false;
	ResetEvent(windows.gate);
	for (uint32_t i = 0; i < 100000; i++) {
		struct qx_addr other = {.family = QX_IPV4, .port = 1};

		memcpy(other.ip, &i, sizeof(i));
		T_EQ(find(&other, SECOND_NS), 0);
	}
	windows.in_cache = true;
	SetEvent(windows.gate);
	find(&peer, SECOND_NS);
	T_EQ(find_soon(&peer, SECOND_NS), 1);
	T_CHECK(windows.routes_asked < 1000);
	finish();
}

/* A Windows that gives no notices cannot be followed, so the NIC does without. */
static void opening_that_fails_leaves_nothing(void)
{
	fresh();
	finish();
	windows.notify_code = ERROR_NOT_SUPPORTED;
	T_EQ(neigh_win_open(&n, OURS), -EOPNOTSUPP);
	T_EQ(windows.notices, 0);
	neigh_win_close(NULL);
}

/* Every cell was decided; no event leads out of the table. */
static void every_state_knows_what_every_event_means(void)
{
	for (int state = 0; state < WAY_STATE_CNT; state++) {
		for (int event = 0; event < WAY_EVENT_CNT; event++)
			T_CHECK(way_next[state][event] < WAY_STATE_CNT);
		/* Nothing that is known survives a change. */
		T_CHECK(way_next[state][WAY_CHANGED] != WAY_KNOWN);
		T_CHECK(way_next[state][WAY_CHANGED] != WAY_RENEWED);
		/* Time makes nothing known. */
		T_CHECK(way_next[state][WAY_EXPIRED] == WAY_NONE ||
			way_next[state][WAY_EXPIRED] == WAY_ASKED);
		/* Wanting something forgets nothing. */
		T_CHECK(way_next[state][WAY_WANTED] == state || state == WAY_NONE);
	}
}

static const struct t_case cases[] = {
	{"a neighbour is found off the packet path",
	 a_neighbour_is_found_off_the_packet_path},
	{"a neighbour is found over IPv6", a_neighbour_is_found_over_ipv6},
	{"a distant peer is reached through its gateway",
	 a_distant_peer_is_reached_through_its_gateway},
	{"resolving blocks nobody", resolving_blocks_nobody},
	{"what does not lead over the interface is left to the socket",
	 what_does_not_lead_over_the_interface_is_left_to_the_socket},
	{"a change of routes or addresses is heard",
	 a_change_of_routes_or_addresses_is_heard},
	{"an answer from before a change is not believed",
	 an_answer_from_before_a_change_is_not_believed},
	{"a way in use is renewed in time", a_way_in_use_is_renewed_in_time},
	{"a flood of peers is bounded", a_flood_of_peers_is_bounded},
	{"opening that fails leaves nothing", opening_that_fails_leaves_nothing},
	{"every state knows what every event means",
	 every_state_knows_what_every_event_means},
};

int main(int argc, char **argv)
{
	windows.gate = CreateEventW(NULL, TRUE, TRUE, NULL);
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
