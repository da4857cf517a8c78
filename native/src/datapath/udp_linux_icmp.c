/* udp_linux_icmp.c: what the socket's error queue holds (man 7 ip, IP_RECVERR).
 *
 * Some facts (net/ipv4/udp.c, __udp4_lib_err; net/ipv4/ip_sockglue.c; net/core/sock.c)
 *  - ICMP messages about any datagram from our port come here, also about those that left
 *    through the rings: the kernel finds the socket by the quoted addresses and ports.
 *  - Each also becomes the socket's pending error, which the next send or receive returns
 *    instead of doing its work.  It is set after the message was queued, so whoever meets an
 *    error finds its message; only what did not fit the receive buffer is missing.
 *  - A datagram that is too long for the interface is queued too (SO_EE_ORIGIN_LOCAL), and
 *    its sender was told.
 *  - While anything is queued, poll says POLLERR: the queue must be read to its end. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Apart, because it needs struct timespec and does not say so. */
#include <linux/errqueue.h>

#include "addr.h"
#include "udp_linux.h"

enum {
	READS_MAX = 64, /* of one call: a flood of ICMP must not hold up everything else */
	CONTROL_BYTES = 512
};

/* find_error copies the extended error out of the control data.  False if there is none, or
 * it is no ICMP message. */
static bool find_error(struct msghdr *h, struct sock_extended_err *out)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		bool ipv4 = c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR;
		bool ipv6 = c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR;

		if ((ipv4 || ipv6) && c->cmsg_len >= CMSG_LEN(sizeof(*out))) {
			memcpy(out, CMSG_DATA(c), sizeof(*out));
			return out->ee_origin == SO_EE_ORIGIN_ICMP ||
			       out->ee_origin == SO_EE_ORIGIN_ICMP6;
		}
	}
	return false;
}

/* False if it is no ICMP message. */
static bool judge(struct qx_udp *u, struct msghdr *h, const uint8_t *quote,
		  uint32_t quote_bytes)
{
	struct icmp_claim claim = {.quote_bytes = quote_bytes};
	struct sock_extended_err e;

	if (!find_error(h, &e) ||
	    !addr_from_sockaddr(&claim.peer, h->msg_name, h->msg_namelen))
		return false;
	claim.code = (int)e.ee_errno;
	claim.mtu_bytes = e.ee_info;
	memcpy(claim.quote, quote, quote_bytes);
	if (!icmp_believe(u->icmp, &claim))
		return true;
	/* As with any socket, only one with a single peer hears of it: somebody that a server
	 * has answered is gone, and it could not act on that. */
	if (u->own.connected)
		errors_push_icmp(&u->own.errors, claim.code, &claim.peer,
				 claim.code == EMSGSIZE ? claim.mtu_bytes : 0);
	return true;
}

uint32_t udp_read_errors(struct qx_udp *u)
{
	_Alignas(8) uint8_t control[CONTROL_BYTES];
	uint8_t quote[ICMP_QUOTE_MAX_BYTES];
	struct sockaddr_in6 name;
	uint32_t cnt = 0, messages = 0;

	while (cnt < READS_MAX) {
		struct iovec iov = {quote, sizeof(quote)};
		struct msghdr h = {.msg_name = &name,
				   .msg_namelen = sizeof(name),
				   .msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};
		ssize_t len;

		u->own.stats.rx_syscalls++;
		len = recvmsg(u->fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT);
		if (len < 0)
			break;
		cnt++;
		messages += judge(u, &h, quote, (uint32_t)len);
	}
	u->errors_left = cnt == READS_MAX;
	return messages;
}
