/* handle_win.h: kernel objects of Windows in the int that the portable code calls fd.
 *
 * Handles of kernel objects, sockets included, have 32 significant bits on 64-bit Windows,
 * so that processes of both kinds can share them: cutting one to an int and extending its
 * sign again gives the same handle (Microsoft, "Interprocess Communication Between 32-bit
 * and 64-bit Applications"). */
#ifndef QX_HANDLE_WIN_H
#define QX_HANDLE_WIN_H

#include <stdint.h>
#include <winsock2.h>

static inline int fd_of_handle(HANDLE handle)
{
	return (int)(intptr_t)handle;
}

static inline HANDLE handle_of_fd(int fd)
{
	return (HANDLE)(intptr_t)fd;
}

static inline SOCKET socket_of_fd(int fd)
{
	return (SOCKET)(intptr_t)fd;
}

#endif
