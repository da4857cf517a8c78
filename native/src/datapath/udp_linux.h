/* udp_linux.h: what the files of the Linux socket lane share.
 *
 *      udp_linux.c         opens, adopts, sets options, closes
 *      udp_linux_why.c     sentences for what can go wrong there
 *      udp_linux_icmp.c    the error queue
 *      udp_linux_rx.c      recvmmsg + UDP_GRO: messages in, datagrams out
 *      udp_linux_tx.c      datagrams in, messages collected
 *      udp_linux_flush.c   sendmmsg + UDP_SEGMENT: messages out
 *
 * One mapping holds both arenas and is all that payloads ever lie in.  It is
 * MADV_DONTFORK: a forked child neither copies it nor can write into it. */
#ifndef QX_UDP_LINUX_H
#define QX_UDP_LINUX_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "icmp.h"
#include "quicxdp.h"
#include "udp_own.h"

enum {
	UDP_RX_CONTROL_BYTES = 512,

	UDP_TX_MESSAGES = 256,
	UDP_TX_IOVS = 512,
	UDP_TX_CONTROL_BYTES = 96,

	UDP_EINTR_TRIES = 16, /* in a row; then the caller is asked to come back */
	UDP_ERROR_TRIES = 8   /* likewise, where errors about others stand before a message */
};

struct udp_rx_control {
	_Alignas(8) uint8_t bytes[UDP_RX_CONTROL_BYTES];
};

struct udp_tx_control {
	_Alignas(8) uint8_t bytes[UDP_TX_CONTROL_BYTES];
};

/* What is known of the message that is being handed out. */
struct udp_rx_message {
	struct qx_path path;
	uint32_t len_bytes;
	uint32_t segment_bytes; /* of each datagram in it; the last may be shorter */
	uint32_t done_bytes;    /* handed out */
	uint8_t ecn;
	bool some_left; /* the batch was full: goes on in the next call */
};

struct udp_rx {
	uint8_t *base; /* UDP_RX_MESSAGES buffers */
	uint32_t next; /* messages [next, end) wait to be handed out */
	uint32_t end;
	uint32_t segments_x8;           /* running mean of datagrams per message, times 8 */
	struct udp_rx_message now;      /* message next, once looked at */
	uint16_t lent[UDP_RX_MESSAGES]; /* datagrams of each that the caller has */
	struct mmsghdr headers[UDP_RX_MESSAGES];
	struct iovec iovs[UDP_RX_MESSAGES];
	struct sockaddr_in6 names[UDP_RX_MESSAGES];
	struct udp_rx_control controls[UDP_RX_MESSAGES];
};

/* A message being collected or waiting to be sent. */
struct udp_tx_message {
	uint32_t len_bytes;
	uint32_t segment_bytes; /* of its first datagram */
	uint16_t segment_cnt;
	uint16_t sent_cnt;            /* segments dealt with one by one */
	uint16_t plain_control_bytes; /* control without, and */
	uint16_t gso_control_bytes;   /* with UDP_SEGMENT */
	uint8_t ecn;
};

struct udp_tx {
	uint8_t *base;
	uint32_t used_bytes;
	uint32_t iov_cnt;
	uint32_t first; /* messages [first, end) wait to be sent */
	uint32_t end;
	bool open; /* message end - 1 may grow */
	/* The longest segments that UDP_SEGMENT is used for, 0: never.  Lowered when the
	 * kernel refuses: without DF it may only have been about the path's MTU. */
	uint32_t gso_segment_max_bytes;
	struct qx_path open_path; /* of message end - 1 */

	struct qx_path reserved_path; /* from udp_reserve to udp_commit */
	uint32_t reserved_cnt;
	uint32_t reserved_bytes; /* room of each */

	struct mmsghdr headers[UDP_TX_MESSAGES];
	struct udp_tx_message messages[UDP_TX_MESSAGES];
	struct sockaddr_in6 names[UDP_TX_MESSAGES];
	struct udp_tx_control controls[UDP_TX_MESSAGES];
	struct iovec iovs[UDP_TX_IOVS];
};

struct qx_udp {
	struct udp_own own;
	int fd;
	bool forked; /* the arenas are not ours any more */
	uint8_t *arena;
	struct qx_icmp *icmp; /* the endpoint's */
	bool errors_left;     /* the error queue holds, or may hold, something */
	struct udp_rx rx;
	struct udp_tx tx;
};

_Static_assert(offsetof(struct qx_udp, own) == 0, "udp_own.c finds it there");

/* udp_rx_init and udp_tx_init tie headers, names and controls together once. */
void udp_rx_init(struct udp_rx *rx, uint8_t *base);
void udp_tx_init(struct udp_tx *tx, uint8_t *base, bool gso);

/* udp_read_errors takes what the error queue holds, at most READS_MAX.  Returns how many ICMP
 * messages there were; what the kernel says about a datagram that it does not even send is
 * that datagram's own affair. */
uint32_t udp_read_errors(struct qx_udp *u);

/* These fill in why for a system call's -errno.  Returns what udp_open returns. */
int udp_why_socket(char *why, int err, int domain);
int udp_why_bind(char *why, int err, const struct qx_addr *local);
int udp_why_connect(char *why, int err, const struct qx_addr *remote);

#endif
