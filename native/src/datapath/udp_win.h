/* udp_win.h: what the files of the Windows socket lane share.
 *
 *      udp_win.c         opens, adopts, finds out what this Windows can do, closes
 *      udp_win_why.c     sentences for what can go wrong there
 *      udp_win_rx.c      WSARecvMsg + URO: messages in, datagrams out
 *      udp_win_tx.c      datagrams in and collected, WSASendMsg + USO: messages out
 *
 * Some facts (Microsoft, "IPPROTO_UDP socket options", "Winsock ECN"):
 *  - UDP_SEND_MSG_SIZE as control data makes WSASendMsg cut one buffer into datagrams (USO,
 *    Windows 10 2004); UDP_RECV_MAX_COALESCED_SIZE lets WSARecvMsg give several at once, whose
 *    size the control data UDP_COALESCED_INFO tells (URO).
 *  - IP_ECN carries the ECN bits both ways as control data (Windows 10 build 20348);
 *    IP_RECVTOS gives the whole byte on newer ones.
 *  - There is no call for several messages, so without USO a datagram is a system call.
 *  - A socket's event (WSAEventSelect) is set once per arrival and again by each receive that
 *    leaves something behind, so resetting it before receiving loses nothing. */
#ifndef QX_UDP_WIN_H
#define QX_UDP_WIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <winsock2.h>

/* Need the types of the one above. */
#include <mswsock.h>
#include <ws2tcpip.h>

#include "quicxdp.h"
#include "udp_own.h"

/* Newer than the headers of mingw-w64 12. */
#ifndef UDP_SEND_MSG_SIZE
#define UDP_SEND_MSG_SIZE 2
#endif
#ifndef UDP_RECV_MAX_COALESCED_SIZE
#define UDP_RECV_MAX_COALESCED_SIZE 3
#endif
#ifndef UDP_COALESCED_INFO
#define UDP_COALESCED_INFO 3
#endif
#ifndef IP_ECN
#define IP_ECN 50
#endif
#ifndef IPV6_ECN
#define IPV6_ECN 50
#endif
#ifndef IP_RECVTOS
#define IP_RECVTOS 40
#endif
#ifndef IPV6_RECVTCLASS
#define IPV6_RECVTCLASS 40
#endif
#ifndef IPV6_TCLASS
#define IPV6_TCLASS 39
#endif

enum {
	UDP_RX_TURN = 64, /* messages, or datagrams, after which a turn asks no further */
	UDP_RX_COALESCED_BYTES = 65527,

	UDP_TX_DATAGRAMS = 1024,
	UDP_TX_PATHS = 256,

	UDP_CONTROL_BYTES = 256
};

/* What one control message with a value of this size takes: WSA_CMSG_SPACE, whose own
 * arithmetic mixes signs. */
static inline size_t udp_control_space(size_t value_bytes)
{
	return (WSA_CMSG_LEN(0) + value_bytes + sizeof(size_t) - 1) / sizeof(size_t) *
	       sizeof(size_t);
}

struct udp_control {
	_Alignas(8) uint8_t bytes[UDP_CONTROL_BYTES];
};

/* A received message of which not all datagrams were handed out. */
struct udp_rx_message {
	struct qx_path path;
	uint32_t len_bytes;
	uint32_t segment_bytes; /* of each datagram in it; the last may be shorter */
	uint32_t done_bytes;    /* handed out */
	uint32_t frame;         /* its buffer */
	uint8_t ecn;
};

struct udp_rx {
	uint8_t *base;
	bool some_left; /* the batch was full: message goes on in the next call */
	struct udp_rx_message message;
	uint16_t lent[UDP_RX_MESSAGES]; /* datagrams of each buffer that the caller has */
};

struct udp_tx_datagram {
	uint8_t *data;
	uint32_t len_bytes;
	uint16_t path; /* index into paths */
	uint8_t ecn;
	bool retried; /* after an error about an earlier datagram */
};

struct udp_tx {
	uint8_t *base;
	uint32_t used_bytes;
	uint32_t first; /* datagrams [first, end) wait to be sent */
	uint32_t end;
	uint32_t path_cnt;
	/* Up to this one they go alone: the message they would form was refused. */
	uint32_t alone_until;
	/* The longest segments that USO is used for, 0: never. */
	uint32_t uso_segment_max_bytes;
	bool ecn; /* IP_ECN is taken */

	uint32_t reserved_cnt;
	uint32_t reserved_bytes; /* room of each */

	struct udp_tx_datagram datagrams[UDP_TX_DATAGRAMS];
	struct qx_path paths[UDP_TX_PATHS];
};

struct qx_udp {
	struct udp_own own;
	SOCKET socket;
	HANDLE event;
	bool started; /* WSAStartup */
	LPFN_WSARECVMSG recv_msg;
	LPFN_WSASENDMSG send_msg;
	uint8_t *arena;
	struct udp_rx rx;
	struct udp_tx tx;
};

_Static_assert(offsetof(struct qx_udp, own) == 0, "udp_own.c finds it there");

/* udp_last_error is the calling thread's last WinSock error as a positive number of ours. */
int udp_last_error(void);

/* These fill in why for a -errno.  Returns what udp_open returns. */
int udp_why_socket(char *why, int err, int family);
int udp_why_bind(char *why, int err, const struct qx_addr *local);
int udp_why_connect(char *why, int err, const struct qx_addr *remote);

#endif
