/* addr.c: see addr.h. */
#include "addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* RFC 4291 section 2.5.5.2. */
static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* fe80::/10, and multicast of interface-local and link-local scope (RFC 4007 section 4). */
static bool has_scope(const uint8_t *ip)
{
	return (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) ||
	       (ip[0] == 0xff && ((ip[1] & 0x0f) == 1 || (ip[1] & 0x0f) == 2));
}

bool addr_is_wildcard(const struct qx_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, sizeof(zero)) == 0;
}

bool addr_is_mapped(const struct qx_addr *a)
{
	return a->family == QX_IPV6 &&
	       memcmp(a->ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

void addr_from_ipv4(struct qx_addr *out, const void *ip, uint16_t port)
{
	*out = (struct qx_addr){.family = QX_IPV4, .port = port};
	memcpy(out->ip, ip, 4);
}

void addr_from_ipv6(struct qx_addr *out, const void *ip, uint16_t port, uint32_t scope_id)
{
	*out = (struct qx_addr){.family = QX_IPV6, .port = port};
	memcpy(out->ip, ip, 16);
	if (addr_is_mapped(out))
		addr_from_ipv4(out, (const uint8_t *)ip + 12, port);
	else if (has_scope(out->ip))
		out->scope_id = scope_id;
}

bool addr_from_sockaddr(struct qx_addr *out, const void *sockaddr, size_t len_bytes)
{
	struct sockaddr_in6 in6 = {0};
	struct sockaddr_in in4 = {0};
	sa_family_t family = AF_UNSPEC;

	if (len_bytes >= sizeof(family))
		memcpy(&family, sockaddr, sizeof(family));
	if (family == AF_INET && len_bytes >= sizeof(in4)) {
		memcpy(&in4, sockaddr, sizeof(in4));
		addr_from_ipv4(out, &in4.sin_addr, ntohs(in4.sin_port));
		return true;
	}
	if (family == AF_INET6 && len_bytes >= sizeof(in6)) {
		memcpy(&in6, sockaddr, sizeof(in6));
		addr_from_ipv6(out, &in6.sin6_addr, ntohs(in6.sin6_port), in6.sin6_scope_id);
		return true;
	}
	*out = (struct qx_addr){0};
	return false;
}

socklen_t addr_to_sockaddr(struct sockaddr_in6 *out, const struct qx_addr *a, int domain)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};

	*out = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
	if (domain == AF_INET && a->family == QX_IPV4) {
		memcpy(&in4.sin_addr, a->ip, 4);
		memcpy(out, &in4, sizeof(in4));
		return sizeof(in4);
	}
	if (domain == AF_INET6 && a->family == QX_IPV4) {
		memcpy(&out->sin6_addr, mapped_prefix, sizeof(mapped_prefix));
		memcpy(out->sin6_addr.s6_addr + 12, a->ip, 4);
		return sizeof(*out);
	}
	if (domain == AF_INET6 && a->family == QX_IPV6) {
		memcpy(&out->sin6_addr, a->ip, 16);
		out->sin6_scope_id = a->scope_id;
		return sizeof(*out);
	}
	return 0;
}

void addr_text(char out[ADDR_TEXT_BYTES], const struct qx_addr *a)
{
	char ip[INET6_ADDRSTRLEN];

	if (a->family == QX_IPV4 && inet_ntop(AF_INET, a->ip, ip, sizeof(ip)))
		snprintf(out, ADDR_TEXT_BYTES, "%s:%u", ip, a->port);
	else if (a->family != QX_IPV6 || !inet_ntop(AF_INET6, a->ip, ip, sizeof(ip)))
		snprintf(out, ADDR_TEXT_BYTES, "(no address)");
	else if (a->scope_id)
		snprintf(out, ADDR_TEXT_BYTES, "[%s%%%u]:%u", ip, a->scope_id, a->port);
	else
		snprintf(out, ADDR_TEXT_BYTES, "[%s]:%u", ip, a->port);
}
