/* addr.h: struct qx_addr and the kernel's socket addresses, one into the other. */
#ifndef QX_ADDR_H
#define QX_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "quicxdp.h"

/* Room for "[ffff:...:ffff%4294967295]:65535". */
enum {
	ADDR_TEXT_BYTES = 72
};

/* addr_is_wildcard: 0.0.0.0, :: or no address at all. */
bool addr_is_wildcard(const struct qx_addr *a);

/* addr_is_mapped: an IPv4 address in IPv6 clothes, which struct qx_addr forbids. */
bool addr_is_mapped(const struct qx_addr *a);

/* addr_from_ipv4 and addr_from_ipv6 make the one valid form of an address; IPv4-mapped
 * becomes QX_IPV4, and a scope is kept only where it belongs to the address (link-local). */
void addr_from_ipv4(struct qx_addr *out, const void *ip, uint16_t port);
void addr_from_ipv6(struct qx_addr *out, const void *ip, uint16_t port, uint32_t scope_id);

/* addr_from_sockaddr reads sockaddr_in and sockaddr_in6.  False, with *out zeroed, for any
 * other family or length. */
bool addr_from_sockaddr(struct qx_addr *out, const void *sockaddr, size_t len_bytes);

/* addr_to_sockaddr writes what a socket of this domain (AF_INET, AF_INET6) calls a.
 * Returns its length, 0 if that domain has no name for it. */
socklen_t addr_to_sockaddr(struct sockaddr_in6 *out, const struct qx_addr *a, int domain);

/* addr_text writes "192.0.2.1:443" or "[fe80::1%2]:443". */
void addr_text(char out[ADDR_TEXT_BYTES], const struct qx_addr *a);

#endif
