/* udp_linux_why.c: what a person reads when a UDP socket could not be opened. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "addr.h"
#include "udp_linux.h"
#include "why.h"

/* Room for both families' addresses in one sentence. */
struct addr_name {
	char text[ADDR_TEXT_BYTES];
};

static struct addr_name name_of(const struct qx_addr *a)
{
	struct addr_name name;

	addr_text(name.text, a);
	return name;
}

int udp_why_socket(char *why, int err, int domain)
{
	if (err == -EAFNOSUPPORT)
		why_set(why,
			"socket: this kernel has %s switched off; use an address of the "
			"other family",
			domain == AF_INET6 ? "IPv6" : "IPv4");
	else if (err == -EMFILE || err == -ENFILE)
		why_set(why,
			"socket: too many open files; raise the limit (ulimit -n) or close "
			"some endpoints");
	else
		why_set(why, "socket: %s", strerror(-err));
	return err;
}

int udp_why_bind(char *why, int err, const struct qx_addr *local)
{
	struct addr_name name = name_of(local);

	switch (err) {
	case -EADDRINUSE:
		why_set(why,
			"%s: the UDP port is taken; `ss -ulpn sport = :%u` shows by whom: "
			"stop that program or choose another port",
			name.text, local->port);
		break;
	case -EADDRNOTAVAIL:
		why_set(why,
			"%s: not an address of this machine; `ip address` lists those it "
			"has",
			name.text);
		break;
	case -EACCES:
		why_set(why,
			"%s: ports below net.ipv4.ip_unprivileged_port_start need "
			"CAP_NET_BIND_SERVICE; choose a higher port or grant it",
			name.text);
		break;
	case -EINVAL:
		why_set(why,
			"%s: bind refused it; a link-local address needs its interface "
			"(scope), as in fe80::1%%eth0",
			name.text);
		break;
	default:
		why_set(why, "%s: bind: %s", name.text, strerror(-err));
	}
	return err;
}

int udp_why_connect(char *why, int err, const struct qx_addr *remote)
{
	struct addr_name name = name_of(remote);

	if (err == -EAFNOSUPPORT) {
		why_set(why,
			"%s: the socket's address family cannot reach it; bind to an "
			"address of the same family",
			name.text);
		return -EINVAL;
	}
	if (err == -ENETUNREACH || err == -EHOSTUNREACH)
		why_set(why,
			"%s: no route leads there from the bound address; see `ip route "
			"get`",
			name.text);
	else if (err == -EACCES)
		why_set(why,
			"%s: connect: not permitted; a broadcast address needs "
			"QX_CFG_BROADCAST",
			name.text);
	else
		why_set(why, "%s: connect: %s", name.text, strerror(-err));
	return err;
}
