/* contract_win_udp.c: the contract suite over WinSock, on loopback.
 *
 * What the Windows (or Wine) at hand can do is asked of WinSock itself, without our lane, and
 * printed: where it sends ECN, cuts messages and takes source addresses, the suite demands all
 * three. */
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

/* One byte with control data, by WinSock's own calls. */
struct probe_message {
	struct udp_control control;
	char byte;
	WSABUF buffer;
	WSAMSG msg;
};

static void probe_write(struct probe_message *m, struct probe *p)
{
	memset(m, 0, sizeof(*m));
	m->buffer = (WSABUF){.len = 1, .buf = &m->byte};
	m->msg = (WSAMSG){.name = (struct sockaddr *)&p->name,
			  .namelen = p->name_bytes,
			  .lpBuffers = &m->buffer,
			  .dwBufferCount = 1,
			  .Control = {.len = sizeof(m->control.bytes),
				      .buf = (char *)m->control.bytes}};
}

static bool probe_send(struct probe *p, int type, const void *value, size_t value_bytes)
{
	GUID id = WSAID_WSASENDMSG;
	WSACMSGHDR head = {.cmsg_len = WSA_CMSG_LEN(value_bytes),
			   .cmsg_level = IPPROTO_IP,
			   .cmsg_type = type};
	struct probe_message m;
	LPFN_WSASENDMSG send_msg;
	DWORD bytes;

	probe_write(&m, p);
	memcpy(m.control.bytes, &head, sizeof(head));
	memcpy(m.control.bytes + WSA_CMSG_LEN(0), value, value_bytes);
	m.msg.Control.len = (ULONG)udp_control_space(value_bytes);
	return WSAIoctl(p->from, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id),
			&send_msg, sizeof(send_msg), &bytes, NULL, NULL) == 0 &&
	       send_msg(p->from, &m.msg, 0, &bytes, NULL, NULL) == 0;
}

/* Does a datagram sent as ECT(0) come as ECT(0)? */
static bool sends_ecn(void)
{
	GUID id = WSAID_WSARECVMSG;
	const INT ecn = QX_ECN_ECT0;
	struct probe_message m;
	LPFN_WSARECVMSG recv_msg;
	DWORD bytes;
	struct probe p;
	bool ok = probe_open(&p, AF_INET) && set_on(p.to, IPPROTO_IP, IP_ECN, 1) &&
		  probe_send(&p, IP_ECN, &ecn, sizeof(ecn)) &&
		  WSAIoctl(p.to, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id),
			   &recv_msg, sizeof(recv_msg), &bytes, NULL, NULL) == 0;

	probe_write(&m, &p);
	ok = ok && recv_msg(p.to, &m.msg, &bytes, NULL, NULL) == 0 &&
	     m.msg.Control.len >= WSA_CMSG_LEN(1) &&
	     m.control.bytes[WSA_CMSG_LEN(0)] == QX_ECN_ECT0;
	probe_close(&p);
	return ok;
}

/* Does a datagram sent from 127.0.0.2 come from there? */
static bool sends_source(void)
{
	const struct in_pktinfo info = {.ipi_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
	struct sockaddr_in from = {0};
	int from_bytes = sizeof(from);
	char byte;
	struct probe p;
	bool ok = probe_open(&p, AF_INET) &&
		  probe_send(&p, IP_PKTINFO, &info, sizeof(info)) &&
		  recvfrom(p.to, &byte, 1, 0, (struct sockaddr *)&from, &from_bytes) == 1 &&
		  from.sin_addr.s_addr == info.ipi_addr.s_addr;

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
	.hub_address_cnt_v4 = 1, /* unless WinSock takes source addresses */
	.hub_address_cnt_v6 = 1, /* of loopback Windows has ::1 alone */
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
	udp_backend.hub_address_cnt_v4 = sends_source() ? 2 : 1;
	udp_backend.payload_max_v6 = longest_v6();
	printf("WinSock here %s ECN, %s messages (USO), %s source addresses, takes %u bytes "
	       "over ::1\n",
	       udp_backend.no_ecn ? "does not send" : "sends",
	       udp_backend.no_batching ? "does not cut" : "cuts",
	       udp_backend.hub_address_cnt_v4 < 2 ? "does not take" : "takes",
	       udp_backend.payload_max_v6);
	return contract_main(&udp_backend, argc, argv);
}
