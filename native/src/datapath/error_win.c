/* error_win.c: error codes of Windows into ours, and ours into words. */
#include "error_win.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <winsock2.h>

struct number_of {
	uint32_t code;
	int number;
};

static const struct number_of numbers[] = {
	{ERROR_FILE_NOT_FOUND, ENOENT},
	{ERROR_PATH_NOT_FOUND, ENOENT},
	{ERROR_TOO_MANY_OPEN_FILES, EMFILE},
	{ERROR_ACCESS_DENIED, EACCES},
	{ERROR_INVALID_HANDLE, EBADF},
	{ERROR_NOT_ENOUGH_MEMORY, ENOMEM},
	{ERROR_OUTOFMEMORY, ENOMEM},
	{ERROR_NOT_SUPPORTED, EOPNOTSUPP},
	{ERROR_INVALID_PARAMETER, EINVAL},
	{ERROR_SEM_TIMEOUT, ETIMEDOUT},
	{ERROR_BUSY, EBUSY},
	{ERROR_ALREADY_EXISTS, EEXIST},
	{ERROR_NOT_FOUND, ENOENT},
	{ERROR_NO_SYSTEM_RESOURCES, ENOBUFS},
	{ERROR_WORKING_SET_QUOTA, ENOBUFS},
	{ERROR_DEV_NOT_EXIST, ENODEV},
	{ERROR_DEVICE_REMOVED, ENXIO},
	{ERROR_NETWORK_UNREACHABLE, ENETUNREACH},
	{ERROR_HOST_UNREACHABLE, EHOSTUNREACH},
	{ERROR_PORT_UNREACHABLE, ECONNREFUSED},
	{ERROR_CONNECTION_REFUSED, ECONNREFUSED},
	{ERROR_NETNAME_DELETED, ECONNRESET},
	{WSAEINTR, EINTR},
	{WSAEBADF, EBADF},
	{WSAEACCES, EACCES},
	{WSAEFAULT, EFAULT},
	{WSAEINVAL, EINVAL},
	{WSAEMFILE, EMFILE},
	{WSAEWOULDBLOCK, EAGAIN},
	{WSAENOTSOCK, ENOTSOCK},
	{WSAEDESTADDRREQ, EDESTADDRREQ},
	{WSAEMSGSIZE, EMSGSIZE},
	{WSAENOPROTOOPT, ENOPROTOOPT},
	{WSAEPROTONOSUPPORT, EPROTONOSUPPORT},
	{WSAEOPNOTSUPP, EOPNOTSUPP},
	{WSAEAFNOSUPPORT, EAFNOSUPPORT},
	{WSAEADDRINUSE, EADDRINUSE},
	{WSAEADDRNOTAVAIL, EADDRNOTAVAIL},
	{WSAENETDOWN, ENETDOWN},
	{WSAENETUNREACH, ENETUNREACH},
	{WSAENETRESET, ENETRESET},
	{WSAECONNABORTED, ECONNABORTED},
	/* What Windows calls a port unreachable message about an earlier datagram. */
	{WSAECONNRESET, ECONNREFUSED},
	{WSAENOBUFS, ENOBUFS},
	{WSAEISCONN, EISCONN},
	{WSAENOTCONN, ENOTCONN},
	{WSAETIMEDOUT, ETIMEDOUT},
	{WSAECONNREFUSED, ECONNREFUSED},
	{WSAEHOSTDOWN, EHOSTDOWN},
	{WSAEHOSTUNREACH, EHOSTUNREACH},
};

static const struct {
	int number;
	const char *text;
} texts[] = {
	{EPERM, "operation not permitted"},
	{ENOENT, "not found"},
	{EINTR, "interrupted"},
	{EIO, "input/output error"},
	{ENXIO, "the device is gone"},
	{EBADF, "bad handle"},
	{EAGAIN, "try again"},
	{ENOMEM, "out of memory"},
	{EACCES, "access denied"},
	{EFAULT, "bad address"},
	{EBUSY, "busy"},
	{EEXIST, "exists already"},
	{ENODEV, "no such device"},
	{EINVAL, "invalid argument"},
	{EMFILE, "too many open handles"},
	{ENOSPC, "no space left"},
	{EPROTO, "protocol error"},
	{EOVERFLOW, "value too large"},
	{ENOTSOCK, "not a socket"},
	{EDESTADDRREQ, "destination address required"},
	{EMSGSIZE, "datagram too long"},
	{ENOPROTOOPT, "option not supported"},
	{EPROTONOSUPPORT, "protocol not supported"},
	{EOPNOTSUPP, "not supported"},
	{EAFNOSUPPORT, "address family not supported"},
	{EADDRINUSE, "address in use"},
	{EADDRNOTAVAIL, "not an address of this machine"},
	{ENETDOWN, "network is down"},
	{ENETUNREACH, "network unreachable"},
	{ECONNABORTED, "connection aborted"},
	{ECONNRESET, "connection reset"},
	{ENOBUFS, "no buffer space"},
	{EISCONN, "connected already"},
	{ENOTCONN, "not connected"},
	{ETIMEDOUT, "timed out"},
	{ECONNREFUSED, "refused"},
	{EHOSTDOWN, "host is down"},
	{EHOSTUNREACH, "host unreachable"},
};

int error_of(uint32_t code)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].code == code)
			return numbers[i].number;
	return EIO;
}

const char *error_text(int number)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].number == number)
			return texts[i].text;
	return "unknown error";
}
