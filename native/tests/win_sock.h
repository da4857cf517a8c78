/* win_sock.h: a WinSock that the test plays where Wine's lacks something (URO, USO, outgoing
 * ECN and source addresses, refusals), with an endpoint on it; and calls of opening that can
 * be made to fail.  For win_udp_*.c, one program each; contract_win_udp.c is the same lane over
 * what there is. */
#ifndef QX_WIN_SOCK_H
#define QX_WIN_SOCK_H

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

	/* What WSARecvMsg gives, once or again and again. */
	bool recv_for_ever;
	uint32_t recv_len_bytes;
	DWORD recv_flags;
	int recv_error;
	struct udp_control recv_control;
	ULONG recv_control_bytes;
	uint16_t recv_port;
} winsock;

static inline void read_controls(struct sent *s, const WSAMSG *msg)
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

static inline int WSAAPI send_msg(SOCKET socket, LPWSAMSG msg, DWORD flags, LPDWORD len_bytes,
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

static inline int WSAAPI recv_msg(SOCKET socket, LPWSAMSG msg, LPDWORD len_bytes,
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
	if (!winsock.recv_for_ever)
		winsock.recv_len_bytes = UINT32_MAX;
	return 0;
}

/* ---- Calls that can be made to fail ---- */

static uint32_t calls, fail_at;
static bool play; /* the two calls above take the place of WinSock's */

static inline bool fails(void)
{
	return ++calls == fail_at;
}

static inline void *real(const wchar_t *dll, const char *name)
{
	return (void *)GetProcAddress(GetModuleHandleW(dll), name);
}

static inline int WSAAPI io_control(SOCKET s, DWORD code, LPVOID in, DWORD in_bytes,
				    LPVOID out, DWORD out_bytes, LPDWORD len_bytes,
				    LPWSAOVERLAPPED overlapped,
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

static inline int WSAAPI get_option(SOCKET s, int level, int option, char *value,
				    int *len_bytes)
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

static inline SOCKET WSAAPI make_socket(int family, int type, int protocol,
					LPWSAPROTOCOL_INFOW info, GROUP group, DWORD flags)
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

static inline int WSAAPI bind_name(SOCKET s, const struct sockaddr *name, int len_bytes)
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

static inline int WSAAPI select_event(SOCKET s, WSAEVENT event, long events)
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

static inline HANDLE WINAPI create_event(LPSECURITY_ATTRIBUTES security, BOOL manual,
					 BOOL set, LPCWSTR name)
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

static inline LPVOID WINAPI allocate(LPVOID at, SIZE_T bytes, DWORD type, DWORD protect)
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

static inline struct qx_addr v4(uint8_t last, uint16_t port)
{
	return (struct qx_addr){.family = QX_IPV4, .ip = {127, 0, 0, last}, .port = port};
}

static inline void fresh(const struct qx_config *cfg)
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

static inline void fresh_v4(void)
{
	fresh(&(struct qx_config){.local = v4(1, 0), .socket_fd = -1});
}

static inline void finish(void)
{
	qx_close(dp);
	dp = NULL;
	play = false;
}

static inline struct qx_stats stats_of(void)
{
	struct qx_stats stats;

	T_EQ(qx_get_stats(dp, &stats), 0);
	return stats;
}

static inline int win_sock_main(const struct t_case *cases, size_t case_cnt, int argc,
				char **argv)
{
	WSADATA data;

	if (WSAStartup(MAKEWORD(2, 2), &data) != 0)
		return 1;
	return t_main(cases, case_cnt, argc, argv);
}

#define WIN_SOCK_MAIN(cases)                                                                 \
	int main(int argc, char **argv)                                                      \
	{                                                                                    \
		return win_sock_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);   \
	}

#endif
