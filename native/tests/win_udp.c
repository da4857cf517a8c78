/* win_udp.c: the Windows socket lane over a WinSock that the test plays where Wine's lacks
 * something: URO, USO, outgoing ECN and source addresses, refusals; and opening with each of
 * its calls failing in turn.  contract_win_udp.c is the same lane over what there is. */
#include <errno.h>
#include <stdbool.h>

#include "platform.h"
#include "t.h"
#include "udp_win.h"
#include "win_import.h"

enum {
	SENT_MAX = 64,
	CONTROL_MAX = 8
};

/* ---- What WSASendMsg was given ---- */

struct control {
	int level, type;
	DWORD value; /* its first four bytes */
};

struct sent {
	uint32_t datagrams, len_bytes, control_cnt;
	struct control controls[CONTROL_MAX];
	uint8_t ipv6_source[16];
	bool named;
};

static struct {
	bool has_uso;
	struct sent sent[SENT_MAX];
	uint32_t sent_cnt;
	int (*refuse)(const struct sent *s); /* a WinSock error, or 0 */

	/* What WSARecvMsg gives, once. */
	uint32_t recv_len_bytes;
	DWORD recv_flags;
	int recv_error;
	struct udp_control recv_control;
	ULONG recv_control_bytes;
	uint16_t recv_port;
} winsock;

static const struct control *control_of(const struct sent *s, int level, int type)
{
	for (uint32_t i = 0; i < s->control_cnt; i++)
		if (s->controls[i].level == level && s->controls[i].type == type)
			return &s->controls[i];
	return NULL;
}

static void read_controls(struct sent *s, const WSAMSG *msg)
{
	const uint8_t *at = (const uint8_t *)msg->Control.buf;
	const uint8_t *end = at + msg->Control.len;
	WSACMSGHDR head;

	while (end - at >= (ptrdiff_t)sizeof(head) && s->control_cnt < CONTROL_MAX) {
		struct control *c = &s->controls[s->control_cnt++];

		memcpy(&head, at, sizeof(head));
		*c = (struct control){.level = head.cmsg_level, .type = head.cmsg_type};
		memcpy(&c->value, at + WSA_CMSG_LEN(0), sizeof(c->value));
		if (head.cmsg_level == IPPROTO_IPV6 && head.cmsg_type == IPV6_PKTINFO)
			memcpy(s->ipv6_source, at + WSA_CMSG_LEN(0), 16);
		at += udp_control_space(head.cmsg_len - WSA_CMSG_LEN(0));
	}
}

static int WSAAPI send_msg(SOCKET socket, LPWSAMSG msg, DWORD flags, LPDWORD len_bytes,
			   LPWSAOVERLAPPED overlapped,
			   LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	struct sent *s = &winsock.sent[winsock.sent_cnt % SENT_MAX];
	int code;

	(void)socket;
	(void)flags;
	(void)overlapped;
	(void)routine;
	*s = (struct sent){.datagrams = msg->dwBufferCount, .named = msg->name != NULL};
	for (DWORD i = 0; i < msg->dwBufferCount; i++)
		s->len_bytes += msg->lpBuffers[i].len;
	read_controls(s, msg);
	code = winsock.refuse ? winsock.refuse(s) : 0;
	if (code != 0) {
		WSASetLastError(code);
		return SOCKET_ERROR;
	}
	winsock.sent_cnt++;
	*len_bytes = s->len_bytes;
	return 0;
}

static int WSAAPI recv_msg(SOCKET socket, LPWSAMSG msg, LPDWORD len_bytes,
			   LPWSAOVERLAPPED overlapped,
			   LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_port = htons(winsock.recv_port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	(void)socket;
	(void)overlapped;
	(void)routine;
	if (winsock.recv_error != 0 || winsock.recv_len_bytes == UINT32_MAX) {
		WSASetLastError(winsock.recv_error ? winsock.recv_error : WSAEWOULDBLOCK);
		winsock.recv_error = 0;
		return SOCKET_ERROR;
	}
	for (uint32_t i = 0; i < winsock.recv_len_bytes; i++)
		msg->lpBuffers->buf[i] = (char)(i % 251);
	memcpy(msg->name, &from, sizeof(from));
	msg->namelen = sizeof(from);
	memcpy(msg->Control.buf, winsock.recv_control.bytes, winsock.recv_control_bytes);
	msg->Control.len = winsock.recv_control_bytes;
	msg->dwFlags = winsock.recv_flags;
	*len_bytes = winsock.recv_len_bytes;
	winsock.recv_len_bytes = UINT32_MAX;
	return 0;
}

/* ---- Calls that can be made to fail ---- */

static uint32_t calls, fail_at;
static bool play; /* the two calls above take the place of WinSock's */

static bool fails(void)
{
	return ++calls == fail_at;
}

static void *real(const wchar_t *dll, const char *name)
{
	return (void *)GetProcAddress(GetModuleHandleW(dll), name);
}

static int WSAAPI io_control(SOCKET s, DWORD code, LPVOID in, DWORD in_bytes, LPVOID out,
			     DWORD out_bytes, LPDWORD len_bytes, LPWSAOVERLAPPED overlapped,
			     LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	static const GUID send_id = WSAID_WSASENDMSG, recv_id = WSAID_WSARECVMSG;
	static __typeof__(io_control) *call;
	LPFN_WSASENDMSG send = send_msg;
	LPFN_WSARECVMSG recv = recv_msg;

	/* What quiet_icmp asks may fail; nobody minds. */
	if (code == SIO_GET_EXTENSION_FUNCTION_POINTER && fails()) {
		WSASetLastError(WSAEOPNOTSUPP);
		return SOCKET_ERROR;
	}
	if (play && code == SIO_GET_EXTENSION_FUNCTION_POINTER &&
	    memcmp(in, &send_id, sizeof(send_id)) == 0) {
		memcpy(out, &send, sizeof(send));
		return 0;
	}
	if (play && code == SIO_GET_EXTENSION_FUNCTION_POINTER &&
	    memcmp(in, &recv_id, sizeof(recv_id)) == 0) {
		memcpy(out, &recv, sizeof(recv));
		return 0;
	}
	if (!call)
		call = (__typeof__(call))real(L"ws2_32.dll", "WSAIoctl");
	return call(s, code, in, in_bytes, out, out_bytes, len_bytes, overlapped, routine);
}

static int WSAAPI get_option(SOCKET s, int level, int option, char *value, int *len_bytes)
{
	static __typeof__(get_option) *call;

	if (play && level == IPPROTO_UDP && option == UDP_SEND_MSG_SIZE) {
		memset(value, 0, (size_t)*len_bytes);
		WSASetLastError(WSAENOPROTOOPT);
		return winsock.has_uso ? 0 : SOCKET_ERROR;
	}
	if (!call)
		call = (__typeof__(call))real(L"ws2_32.dll", "getsockopt");
	return call(s, level, option, value, len_bytes);
}

static SOCKET WSAAPI make_socket(int family, int type, int protocol, LPWSAPROTOCOL_INFOW info,
				 GROUP group, DWORD flags)
{
	static __typeof__(make_socket) *call;

	if (fails()) {
		WSASetLastError(WSAEMFILE);
		return INVALID_SOCKET;
	}
	if (!call)
		call = (__typeof__(call))real(L"ws2_32.dll", "WSASocketW");
	return call(family, type, protocol, info, group, flags);
}

static int WSAAPI bind_name(SOCKET s, const struct sockaddr *name, int len_bytes)
{
	static __typeof__(bind_name) *call;

	if (fails()) {
		WSASetLastError(WSAEACCES);
		return SOCKET_ERROR;
	}
	if (!call)
		call = (__typeof__(call))real(L"ws2_32.dll", "bind");
	return call(s, name, len_bytes);
}

static int WSAAPI select_event(SOCKET s, WSAEVENT event, long events)
{
	static __typeof__(select_event) *call;

	if (event && fails()) {
		WSASetLastError(WSAENOBUFS);
		return SOCKET_ERROR;
	}
	if (!call)
		call = (__typeof__(call))real(L"ws2_32.dll", "WSAEventSelect");
	return call(s, event, events);
}

static HANDLE WINAPI create_event(LPSECURITY_ATTRIBUTES security, BOOL manual, BOOL set,
				  LPCWSTR name)
{
	static __typeof__(create_event) *call;

	if (fails()) {
		SetLastError(ERROR_NO_SYSTEM_RESOURCES);
		return NULL;
	}
	if (!call)
		call = (__typeof__(call))real(L"kernel32.dll", "CreateEventW");
	return call(security, manual, set, name);
}

static LPVOID WINAPI allocate(LPVOID at, SIZE_T bytes, DWORD type, DWORD protect)
{
	static __typeof__(allocate) *call;

	if (fails())
		return NULL;
	if (!call)
		call = (__typeof__(call))real(L"kernel32.dll", "VirtualAlloc");
	return call(at, bytes, type, protect);
}

WIN_IMPORT(WSAIoctl, io_control);
WIN_IMPORT(getsockopt, get_option);
WIN_IMPORT(WSASocketW, make_socket);
WIN_IMPORT(bind, bind_name);
WIN_IMPORT(WSAEventSelect, select_event);
WIN_IMPORT(CreateEventW, create_event);
WIN_IMPORT(VirtualAlloc, allocate);

/* ---- Fixture ---- */

static struct qx_datapath *dp;
static struct qx_batch batch;
static uint8_t payload[1 << 20];

static struct qx_addr v4(uint8_t last, uint16_t port)
{
	return (struct qx_addr){.family = QX_IPV4, .ip = {127, 0, 0, last}, .port = port};
}

static void fresh(const struct qx_config *cfg)
{
	char why[QX_WHY_BYTES];

	memset(&winsock, 0, sizeof(winsock));
	winsock.has_uso = true;
	winsock.recv_len_bytes = UINT32_MAX;
	winsock.recv_port = 1000;
	play = true;
	calls = fail_at = 0;
	if (qx_open(&dp, cfg, why) < 0)
		T_FAIL("%s", why);
}

static void fresh_v4(void)
{
	fresh(&(struct qx_config){.local = v4(1, 0), .socket_fd = -1});
}

static void finish(void)
{
	qx_close(dp);
	dp = NULL;
	play = false;
}

static void send_equal(uint32_t n, uint32_t len_bytes, uint8_t ecn,
		       const struct qx_path *path)
{
	struct qx_send_item items[QX_BATCH_MAX];

	for (uint32_t i = 0; i < n; i++)
		items[i] = (struct qx_send_item){.len_bytes = len_bytes, .ecn = ecn};
	T_EQ(qx_send(dp, payload, items, n, path, 1), n);
}

static void put_control(int level, int type, const void *value, size_t value_bytes)
{
	WSACMSGHDR head = {.cmsg_len = WSA_CMSG_LEN(value_bytes),
			   .cmsg_level = level,
			   .cmsg_type = type};
	uint8_t *at = winsock.recv_control.bytes + winsock.recv_control_bytes;

	memcpy(at, &head, sizeof(head));
	memcpy(at + WSA_CMSG_LEN(0), value, value_bytes);
	winsock.recv_control_bytes += (ULONG)udp_control_space(value_bytes);
}

static uint32_t receive(void)
{
	int n = qx_recv(dp, &batch, platform_now_ns());

	T_CHECK(n >= 0);
	return (uint32_t)n;
}

static struct qx_stats stats_of(void)
{
	struct qx_stats stats;

	T_EQ(qx_get_stats(dp, &stats), 0);
	return stats;
}

/* ---- Sending ---- */

/* USO is what makes sending cheap: one call for many datagrams. */
static void equal_datagrams_leave_as_one_message(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	const struct control *c;

	fresh_v4();
	send_equal(40, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 1);
	T_EQ(winsock.sent[0].datagrams, 40);
	T_EQ(winsock.sent[0].len_bytes, 48000);
	c = control_of(&winsock.sent[0], IPPROTO_UDP, UDP_SEND_MSG_SIZE);
	T_CHECK(c != NULL);
	T_EQ(c->value, 1200);
	T_EQ(winsock.sent[0].control_cnt, 1);
	/* As many as fit one message, and 64 at the most. */
	send_equal(128, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 4);
	T_EQ(winsock.sent[1].datagrams, 54);
	T_EQ(winsock.sent[2].datagrams, 54);
	T_EQ(winsock.sent[3].datagrams, 20);
	send_equal(100, 10, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 6);
	T_EQ(winsock.sent[4].datagrams, 64);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].tx_syscalls, 6);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].tx_packets, 268);
	finish();
}

/* WinSock cuts at multiples of the size: only the last may be shorter, none may be empty. */
static void what_differs_goes_apart(void)
{
	const struct qx_path paths[] = {{.peer = v4(1, 9)}, {.peer = v4(1, 10)}};
	const struct qx_send_item items[] = {
		{.len_bytes = 100},
		{.len_bytes = 100},
		{.len_bytes = 60},
		{.len_bytes = 100},
		{.len_bytes = 101},
		{.len_bytes = 0},
		{.len_bytes = 0},
		{.len_bytes = 100, .ecn = QX_ECN_ECT0},
		{.len_bytes = 100, .ecn = QX_ECN_CE},
		{.len_bytes = 100, .ecn = QX_ECN_CE, .path = 1},
	};
	static const uint32_t datagrams[] = {3, 1, 1, 1, 1, 1, 1, 1};
	static const uint32_t lengths[] = {260, 100, 101, 0, 0, 100, 100, 100};

	fresh_v4();
	T_EQ(qx_send(dp, payload, items, 10, paths, 2), 10);
	T_EQ(winsock.sent_cnt, 8);
	for (uint32_t i = 0; i < 8; i++) {
		T_EQ(winsock.sent[i].datagrams, datagrams[i]);
		T_EQ(winsock.sent[i].len_bytes, lengths[i]);
		T_CHECK(winsock.sent[i].named);
	}
	finish();
}

/* Congestion control by marks (RFC 3168) needs the bits on the wire, in either family. */
static void ecn_goes_along(void)
{
	struct qx_path path = {.peer = v4(1, 9)};
	struct qx_addr any6 = {.family = QX_IPV6};
	const struct control *c;

	fresh_v4();
	send_equal(2, 100, QX_ECN_ECT0, &path);
	c = control_of(&winsock.sent[0], IPPROTO_IP, IP_ECN);
	T_CHECK(c && c->value == QX_ECN_ECT0);
	T_CHECK(control_of(&winsock.sent[0], IPPROTO_UDP, UDP_SEND_MSG_SIZE) != NULL);
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent[1].control_cnt, 0);
	finish();

	fresh(&(struct qx_config){.local = any6, .socket_fd = -1});
	path.peer = (struct qx_addr){.family = QX_IPV6, .ip = {[15] = 1}, .port = 9};
	send_equal(1, 100, QX_ECN_CE, &path);
	c = control_of(&winsock.sent[0], IPPROTO_IPV6, IPV6_ECN);
	T_CHECK(c && c->value == QX_ECN_CE);
	/* IPv4 over a socket of both families: IPv4's control data. */
	path.peer = v4(1, 9);
	send_equal(1, 100, QX_ECN_CE, &path);
	c = control_of(&winsock.sent[1], IPPROTO_IP, IP_ECN);
	T_CHECK(c && c->value == QX_ECN_CE);
	finish();
}

/* A server on all addresses answers from the one that was asked (RFC 9000 section 9). */
static void the_source_address_goes_along(void)
{
	struct qx_path path = {.peer = v4(1, 9), .local = v4(2, 0)};
	const struct control *c;

	fresh(&(struct qx_config){.local = {.family = QX_IPV4}, .socket_fd = -1});
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	c = control_of(&winsock.sent[0], IPPROTO_IP, IP_PKTINFO);
	T_CHECK(c && c->value == htonl(0x7f000002));
	path.local = (struct qx_addr){.family = QX_IPV4};
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent[1].control_cnt, 0);
	finish();

	fresh(&(struct qx_config){.local = {.family = QX_IPV6}, .socket_fd = -1});
	path.peer = (struct qx_addr){.family = QX_IPV6, .ip = {[15] = 1}, .port = 9};
	path.local = (struct qx_addr){.family = QX_IPV6, .ip = {0xfd, [15] = 7}};
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	T_CHECK(control_of(&winsock.sent[0], IPPROTO_IPV6, IPV6_PKTINFO) != NULL);
	T_EQ(memcmp(winsock.sent[0].ipv6_source, path.local.ip, 16), 0);
	finish();
}

static int refuse_uso(const struct sent *s)
{
	return s->datagrams > 1 ? WSAEOPNOTSUPP : 0;
}

static int refuse_large_uso(const struct sent *s)
{
	return s->datagrams > 1 && s->len_bytes / s->datagrams > 1000 ? WSAEINVAL : 0;
}

/* An older Windows, or a filter in between, takes no USO: everything leaves all the same. */
static void a_refused_message_goes_datagram_by_datagram(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	uint64_t before;

	fresh_v4();
	winsock.refuse = refuse_uso;
	send_equal(20, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 20);
	before = stats_of().lane[QX_LANE_SOCKET].tx_syscalls;
	T_EQ(before, 21);
	/* Learned: nothing is refused a second time. */
	send_equal(20, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].tx_syscalls, before + 20);
	finish();

	fresh_v4();
	winsock.refuse = refuse_large_uso;
	send_equal(4, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 4);
	send_equal(4, 900, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 5);
	T_EQ(winsock.sent[4].datagrams, 4);
	finish();
}

static int refuse_ecn(const struct sent *s)
{
	return control_of(s, IPPROTO_IP, IP_ECN) ? WSAEINVAL : 0;
}

/* No marks are better than no packets. */
static void refused_ecn_is_left_out(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	struct qx_error error;

	fresh_v4();
	winsock.refuse = refuse_ecn;
	send_equal(3, 100, QX_ECN_ECT0, &path);
	T_EQ(winsock.sent_cnt, 3);
	send_equal(3, 100, QX_ECN_ECT0, &path);
	for (uint32_t i = 0; i < winsock.sent_cnt; i++)
		T_CHECK(!control_of(&winsock.sent[i], IPPROTO_IP, IP_ECN));
	T_EQ(qx_next_error(dp, &error), 0);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].tx_packets, 6);
	finish();
}

static uint32_t block_after;

static int block(const struct sent *s)
{
	(void)s;
	return winsock.sent_cnt >= block_after ? WSAEWOULDBLOCK : 0;
}

/* A full send buffer keeps everything, in order. */
static void what_finds_no_room_stays(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	struct qx_send_item items[3] = {
		{.len_bytes = 10}, {.len_bytes = 20}, {.len_bytes = 30}};

	fresh_v4();
	winsock.refuse = block;
	block_after = 1;
	T_EQ(qx_send(dp, payload, items, 3, &path, 1), 3);
	T_EQ(winsock.sent_cnt, 1);
	T_EQ(qx_flush(dp), 1);
	block_after = 100;
	T_EQ(qx_flush(dp), 0);
	T_EQ(winsock.sent_cnt, 3);
	T_EQ(winsock.sent[1].len_bytes, 20);
	T_EQ(winsock.sent[2].len_bytes, 30);
	finish();
}

static int refusals;

static int refuse_once(const struct sent *s)
{
	(void)s;
	return refusals-- > 0 ? WSAECONNRESET : 0;
}

static int unreachable(const struct sent *s)
{
	return s->len_bytes == 20 ? WSAEHOSTUNREACH : 0;
}

/* An ICMP message about an earlier datagram costs the next one nothing; one that cannot be
 * sent is reported and takes none along. */
static void errors_are_reported_for_the_datagram_they_are_about(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	const struct qx_send_item items[] = {
		{.len_bytes = 10}, {.len_bytes = 20}, {.len_bytes = 30}};
	struct qx_error error;

	fresh_v4();
	winsock.refuse = refuse_once;
	refusals = 1;
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 1);
	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, ECONNREFUSED);
	T_EQ(error.peer.port, 9);

	winsock.refuse = unreachable;
	T_EQ(qx_send(dp, payload, items, 3, &path, 1), 3);
	T_EQ(winsock.sent_cnt, 3);
	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, EHOSTUNREACH);
	T_EQ(stats_of().drop[QX_DROP_SEND_ERROR], 1);
	finish();
}

/* ---- Receiving ---- */

/* URO gives many datagrams at once; every boundary, mark and address must survive. */
static void a_merged_message_is_taken_apart(void)
{
	const DWORD segment_bytes = 1200;
	const INT ecn = QX_ECN_CE;
	const struct in_pktinfo info = {.ipi_addr.s_addr = htonl(0x7f000005)};

	fresh(&(struct qx_config){.local = {.family = QX_IPV4}, .socket_fd = -1});
	put_control(IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	put_control(IPPROTO_UDP, UDP_COALESCED_INFO, &segment_bytes, sizeof(segment_bytes));
	put_control(IPPROTO_IP, IP_ECN, &ecn, sizeof(ecn));
	winsock.recv_len_bytes = 3000;
	T_EQ(receive(), 3);
	T_EQ(batch.datagrams[0].len_bytes, 1200);
	T_EQ(batch.datagrams[2].len_bytes, 600);
	T_EQ(batch.datagrams[2].data[0], 2400 % 251);
	T_EQ(batch.datagrams[1].ecn, QX_ECN_CE);
	T_EQ(batch.path_cnt, 1);
	T_EQ(batch.paths[0].local.ip[3], 5);
	T_EQ(batch.paths[0].peer.port, 1000);
	qx_recv_done(dp, &batch);
	finish();
}

/* More than a batch holds: the rest comes with the next call, and qx_wait says so. */
static void a_message_larger_than_a_batch_comes_in_parts(void)
{
	const DWORD segment_bytes = 100;

	fresh_v4();
	put_control(IPPROTO_UDP, UDP_COALESCED_INFO, &segment_bytes, sizeof(segment_bytes));
	winsock.recv_len_bytes = 30050;
	T_EQ(receive(), QX_BATCH_MAX);
	T_EQ(batch.datagrams[QX_BATCH_MAX - 1].off_bytes, 255 * 100);
	T_EQ(qx_wait(dp, 0, 0), 1);
	qx_recv_done(dp, &batch);
	T_EQ(receive(), 301 - QX_BATCH_MAX);
	T_EQ(batch.datagrams[batch.datagram_cnt - 1].len_bytes, 50);
	qx_recv_done(dp, &batch);
	T_EQ(receive(), 0);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].rx_bytes, 30050);
	finish();
}

/* Without its control data a merged message cannot be told from one datagram. */
static void cut_messages_are_counted_and_dropped(void)
{
	fresh_v4();
	winsock.recv_len_bytes = 100;
	winsock.recv_flags = MSG_CTRUNC;
	T_EQ(receive(), 0);
	T_EQ(stats_of().drop[QX_DROP_TRUNCATED], 1);
	winsock.recv_len_bytes = 100;
	winsock.recv_flags = MSG_TRUNC;
	T_EQ(receive(), 0);
	T_EQ(stats_of().drop[QX_DROP_OVERLONG], 1);
	winsock.recv_error = WSAEMSGSIZE;
	T_EQ(receive(), 0);
	T_EQ(stats_of().drop[QX_DROP_OVERLONG], 2);
	winsock.recv_len_bytes = 100;
	winsock.recv_flags = 0;
	winsock.recv_port = 0;
	T_EQ(receive(), 0);
	T_EQ(stats_of().drop[QX_DROP_SOURCE_PORT], 1);
	finish();
}

/* WinSock reports ICMP messages as errors of receiving. */
static void an_error_of_receiving_is_reported_and_nothing_stops(void)
{
	struct qx_error error;

	fresh_v4();
	winsock.recv_error = WSAECONNRESET;
	T_EQ(receive(), 0);
	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, ECONNREFUSED);
	winsock.recv_len_bytes = 100;
	T_EQ(receive(), 1);
	qx_recv_done(dp, &batch);
	finish();
}

/* Whatever stands in the control buffer, nothing beyond it is read. */
static void control_data_of_any_bytes_is_harmless(void)
{
	uint64_t seed = 20261124;

	fresh_v4();
	printf("  seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 20000; round++) {
		for (uint32_t i = 0; i < UDP_CONTROL_BYTES; i++)
			winsock.recv_control.bytes[i] =
				(uint8_t)(t_random(&seed) % (i % 8 ? 4 : 64));
		winsock.recv_control_bytes = (ULONG)(t_random(&seed) % UDP_CONTROL_BYTES);
		winsock.recv_len_bytes = (uint32_t)(t_random(&seed) % 3000);
		receive();
		qx_recv_done(dp, &batch);
	}
	while (receive() > 0)
		qx_recv_done(dp, &batch);
	finish();
}

/* ---- Opening ---- */

/* Each call that can fail leaves nothing behind and says why. */
static void whatever_call_fails_nothing_is_left_open(void)
{
	const struct qx_config cfg = {.local = v4(1, 0), .socket_fd = -1};
	char why[QX_WHY_BYTES];
	int handles, err = -1;

	/* Once, for what WinSock opens for itself. */
	fresh_v4();
	finish();
	handles = platform_open_handles();
	for (uint32_t n = 1; err < 0 && n < 50; n++) {
		calls = 0;
		fail_at = n;
		why[0] = 0;
		err = qx_open(&dp, &cfg, why);
		fail_at = 0;
		if (err < 0) {
			T_CHECK(strlen(why) > 10);
			T_EQ(platform_open_handles(), handles);
		} else {
			T_CHECK(n >= 8);
		}
	}
	T_EQ(err, 0);
	finish();
	T_EQ(platform_open_handles(), handles);
}

static void refused(const struct qx_config *cfg, int code, const char *word)
{
	char why[QX_WHY_BYTES] = "";

	T_EQ(qx_open(&dp, cfg, why), code);
	if (!strstr(why, word))
		T_FAIL("\"%s\" does not speak of %s", why, word);
}

/* asyncio's sock=: a socket of another kind is refused and stays its owner's. */
static void only_bound_udp_sockets_are_adopted(void)
{
	SOCKET tcp = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
	SOCKET udp = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct qx_addr local;
	char why[QX_WHY_BYTES];

	refused(&(struct qx_config){.socket_fd = (int)tcp}, -EINVAL, "UDP socket");
	refused(&(struct qx_config){.socket_fd = (int)udp}, -EINVAL, "bind");
	refused(&(struct qx_config){.socket_fd = 0x7ffffff0}, -ENOTSOCK, "not a socket");
	T_EQ(closesocket(tcp), 0);
	T_EQ(bind(udp, (struct sockaddr *)&name, sizeof(name)), 0);
	T_EQ(qx_open(&dp, &(struct qx_config){.socket_fd = (int)udp}, why), 0);
	qx_local(dp, &local);
	T_EQ(local.ip[0], 127);
	T_CHECK(local.port != 0);
	finish();
	/* It was ours. */
	T_EQ(closesocket(udp), SOCKET_ERROR);
}

/* Windows gives a shared port's datagrams to anybody: refused rather than surprising. */
static void sharing_a_port_is_refused(void)
{
	refused(&(struct qx_config){.local = v4(1, 0),
				    .socket_fd = -1,
				    .flags = QX_CFG_REUSE_PORT},
		-EOPNOTSUPP, "reuse_port");
}

static const struct t_case cases[] = {
	{"equal datagrams leave as one message", equal_datagrams_leave_as_one_message},
	{"what differs goes apart", what_differs_goes_apart},
	{"ECN goes along", ecn_goes_along},
	{"the source address goes along", the_source_address_goes_along},
	{"a refused message goes datagram by datagram",
	 a_refused_message_goes_datagram_by_datagram},
	{"refused ECN is left out", refused_ecn_is_left_out},
	{"what finds no room stays", what_finds_no_room_stays},
	{"errors are reported for the datagram they are about",
	 errors_are_reported_for_the_datagram_they_are_about},
	{"a merged message is taken apart", a_merged_message_is_taken_apart},
	{"a message larger than a batch comes in parts",
	 a_message_larger_than_a_batch_comes_in_parts},
	{"cut messages are counted and dropped", cut_messages_are_counted_and_dropped},
	{"an error of receiving is reported and nothing stops",
	 an_error_of_receiving_is_reported_and_nothing_stops},
	{"control data of any bytes is harmless", control_data_of_any_bytes_is_harmless},
	{"whatever call fails, nothing is left open",
	 whatever_call_fails_nothing_is_left_open},
	{"only bound UDP sockets are adopted", only_bound_udp_sockets_are_adopted},
	{"sharing a port is refused", sharing_a_port_is_refused},
};

int main(int argc, char **argv)
{
	WSADATA data;

	if (WSAStartup(MAKEWORD(2, 2), &data) != 0)
		return 1;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
