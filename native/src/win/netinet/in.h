/* netinet/in.h: WinSock under the name that POSIX gives it; only on the include path of a
 * Windows build (windows.mk). */
#ifndef QX_WIN_NETINET_IN_H
#define QX_WIN_NETINET_IN_H

#include <winsock2.h>
#include <ws2tcpip.h>

/* mingw-w64 has socklen_t, not this one. */
typedef ADDRESS_FAMILY sa_family_t;

#endif
