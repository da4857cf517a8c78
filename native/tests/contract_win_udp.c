/* contract_win_udp.c: the contract suite over WinSock, on loopback.
 *
 * What the Windows (or Wine) at hand can do is asked of WinSock itself, without our lane, and
 * printed: where it sends ECN and cuts messages, the suite demands both. */
#include <stdio.h>
#include <winsock2.h>

/* Need the types of the one above. */
#include <mswsock.h>
#include <ws2tcpip.h>

#include "contract_loopback.h"
#include "udp_win.h"

enum {
	PROBE_MS = 1000
};

/* A sender and a receiver on ::1 or 127.0.0.1. */
struct probe {
	SOCKET from;
	SOCKET to;
	struct sockaddr_in6 name;
	int name_bytes;
};

static bool set_on(SOCKET s, int level, int option, DWORD value)
{
	return setsockopt(s, level, option, (const char *)&value, sizeof(value)) == 0;
}

static bool probe_open(struct probe *p, int family)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr.s6_addr[15] = 1};

	*p = (struct probe){.from = socket(family, SOCK_DGRAM, IPPROTO_UDP),
			    .to = socket(family, SOCK_DGRAM, IPPROTO_UDP),
			    .name = in6,
			    .name_bytes = sizeof(in6)};
	if (family == AF_INET) {
		memcpy(&p->name, &in4, sizeof(in4));
		p->name_bytes = sizeof(in4);
	}
	set_on(p->to, SOL_SOCKET, SO_RCVTIMEO, PROBE_MS);
	return bind(p->to, (struct sockaddr *)&p->name, p->name_bytes) == 0 &&
	       getsockname(p->to, (struct sockaddr *)&p->name, &p->name_bytes) == 0;
}

static void probe_close(struct probe *p)
{
	closesocket(p->from);
	closesocket(p->to);
}

/* Does a datagram sent as ECT(0) come as ECT(0)? */
static bool sends_ecn(void)
{
	GUID send_id = WSAID_WSASENDMSG, recv_id = WSAID_WSARECVMSG;
	LPFN_WSASENDMSG send_msg = NULL;
	LPFN_WSARECVMSG recv_msg = NULL;
	struct udp_control control = {0};
	WSACMSGHDR head = {.cmsg_len = WSA_CMSG_LEN(sizeof(INT)),
			   .cmsg_level = IPPROTO_IP,
			   .cmsg_type = IP_ECN};
	char byte = 0;
	WSABUF buffer = {.len = 1, .buf = &byte};
	WSAMSG msg = {.lpBuffers = &buffer,
		      .dwBufferCount = 1,
		      .Control = {.len = (ULONG)udp_control_space(sizeof(INT)),
				  .buf = (char *)control.bytes}};
	DWORD bytes = 0;
	struct probe p;
	bool ok = probe_open(&p, AF_INET) && set_on(p.to, IPPROTO_IP, IP_ECN, 1);

	memcpy(control.bytes, &head, sizeof(head));
	control.bytes[WSA_CMSG_LEN(0)] = QX_ECN_ECT0;
	msg.name = (struct sockaddr *)&p.name;
	msg.namelen = p.name_bytes;
	ok = ok &&
	     WSAIoctl(p.to, SIO_GET_EXTENSION_FUNCTION_POINTER, &send_id, sizeof(send_id),
		      &send_msg, sizeof(send_msg), &bytes, NULL, NULL) == 0 &&
	     WSAIoctl(p.to, SIO_GET_EXTENSION_FUNCTION_POINTER, &recv_id, sizeof(recv_id),
		      &recv_msg, sizeof(recv_msg), &bytes, NULL, NULL) == 0 &&
	     send_msg(p.from, &msg, 0, &bytes, NULL, NULL) == 0;
	memset(control.bytes, 0, sizeof(control.bytes));
	ok = ok && recv_msg(p.to, &msg, &bytes, NULL, NULL) == 0 &&
	     msg.Control.len >= WSA_CMSG_LEN(1) &&
	     control.bytes[WSA_CMSG_LEN(0)] == QX_ECN_ECT0;
	probe_close(&p);
	return ok;
}

static bool cuts_messages(void)
{
	struct probe p;
	int bytes = sizeof(DWORD);
	DWORD size;
	bool ok = probe_open(&p, AF_INET) &&
		  getsockopt(p.from, IPPROTO_UDP, UDP_SEND_MSG_SIZE, (char *)&size, &bytes) ==
			  0;

	probe_close(&p);
	return ok;
}

/* The longest payload that goes over ::1 unfragmented: the MTU there differs. */
static uint32_t longest_v6(void)
{
	static const char payload[QX_UDP_PAYLOAD_MAX];
	int len = QX_UDP_PAYLOAD_MAX;
	struct probe p;

	if (probe_open(&p, AF_INET6) && set_on(p.from, IPPROTO_IPV6, IPV6_DONTFRAG, 1))
		while (len > 1200 && sendto(p.from, payload, len, 0,
					    (struct sockaddr *)&p.name, p.name_bytes) != len)
			len--;
	probe_close(&p);
	return (uint32_t)len;
}

static struct contract_backend udp_backend = {
	.name = "udp_win",
	.lane = QX_LANE_SOCKET,
	.hub_address_cnt = 1, /* Windows has ::1 alone */
	.payload_max_v4 = QX_UDP_PAYLOAD_MAX,
	.open = loopback_open,
	.close = contract_close,
	.open_config = loopback_open_config,
	.pump = contract_poll,
	.now = contract_monotonic,
};

int main(int argc, char **argv)
{
	WSADATA data;

	/* Once for all, so that what WinSock opens for itself is no test's leak. */
	if (WSAStartup(MAKEWORD(2, 2), &data) != 0)
		return 1;
	udp_backend.no_ecn = !sends_ecn();
	udp_backend.no_batching = !cuts_messages();
	udp_backend.payload_max_v6 = longest_v6();
	printf("WinSock here %s ECN, %s messages (USO), takes %u bytes over ::1\n",
	       udp_backend.no_ecn ? "does not send" : "sends",
	       udp_backend.no_batching ? "does not cut" : "cuts", udp_backend.payload_max_v6);
	return contract_main(&udp_backend, argc, argv);
}
