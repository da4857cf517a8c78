/* udp_win_why.c: what a person reads when a UDP socket could not be opened on Windows. */
#include <errno.h>
#include <string.h>

#include "addr.h"
#include "udp_win.h"
#include "why.h"

int udp_why_socket(char *why, int err, int family)
{
	if (err == -EAFNOSUPPORT)
		why_set(why,
			"socket: this machine has %s switched off; use an address of the other "
			"family",
			family == AF_INET6 ? "IPv6" : "IPv4");
	else
		why_set(why, "socket: %s", strerror(-err));
	return err;
}

int udp_why_bind(char *why, int err, const struct qx_addr *local)
{
	char text[ADDR_TEXT_BYTES];

	addr_text(text, local);
	/* A port that somebody else holds exclusively is "access denied" to WinSock; so is one
	 * that Windows has set aside. */
	if (err == -EADDRINUSE || err == -EACCES) {
		why_set(why,
			"%s: the UDP port is taken or reserved; `netstat -ano -p udp` shows by "
			"whom, `netsh interface ipv4 show excludedportrange udp` what Windows "
			"keeps: choose another port",
			text);
		return -EADDRINUSE;
	}
	if (err == -EADDRNOTAVAIL)
		why_set(why,
			"%s: not an address of this machine; `ipconfig` lists those it has",
			text);
	else if (err == -EINVAL || err == -EFAULT)
		why_set(why,
			"%s: bind refused it; a link-local address needs its interface's "
			"number, as in fe80::1%%5",
			text);
	else
		why_set(why, "%s: bind: %s", text, strerror(-err));
	return err;
}

int udp_why_connect(char *why, int err, const struct qx_addr *remote)
{
	char text[ADDR_TEXT_BYTES];

	addr_text(text, remote);
	if (err == -EAFNOSUPPORT) {
		why_set(why,
			"%s: the socket's address family cannot reach it; bind to an address "
			"of the same family",
			text);
		return -EINVAL;
	}
	if (err == -ENETUNREACH || err == -EHOSTUNREACH || err == -EADDRNOTAVAIL)
		why_set(why,
			"%s: no route leads there from the bound address; see `route print`",
			text);
	else
		why_set(why, "%s: connect: %s", text, strerror(-err));
	return err;
}
