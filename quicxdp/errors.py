"""Every exception that quicxdp raises on purpose.

    QuicxdpError
    ├── ConfigError         the caller asked for something that contradicts itself
    ├── DatapathError       the kernel or a device refused; also an OSError
    ├── UnavailableError    this installation or machine lacks what was asked for
    ├── ApplicationError    an ASGI application cannot be loaded or does not start
    └── ProtocolError
        ├── LocalProtocolError     our side used the protocol wrongly
        │   └── StreamEndedError   it wrote to a stream that it has ended or reset
        └── RemoteProtocolError    the peer did
            └── ClientDisconnectedError    it went too early; also an OSError

Messages say what was tried, what happened and what to do.
"""

from __future__ import annotations

import errno
from typing import Final

# The numbers of the C API are Linux's on every platform (quicxdp.h); Python's, up to 35
# the same, are the platform's own.  These can come out of C.
C_EMSGSIZE: Final = 90
C_ENOBUFS: Final = 105
_HOST: Final = {
    71: errno.EPROTO,
    75: errno.EOVERFLOW,
    88: errno.ENOTSOCK,
    89: errno.EDESTADDRREQ,
    C_EMSGSIZE: errno.EMSGSIZE,
    92: errno.ENOPROTOOPT,
    93: errno.EPROTONOSUPPORT,
    95: errno.EOPNOTSUPP,
    97: errno.EAFNOSUPPORT,
    98: errno.EADDRINUSE,
    99: errno.EADDRNOTAVAIL,
    100: errno.ENETDOWN,
    101: errno.ENETUNREACH,
    103: errno.ECONNABORTED,
    104: errno.ECONNRESET,
    C_ENOBUFS: errno.ENOBUFS,
    106: errno.EISCONN,
    107: errno.ENOTCONN,
    110: errno.ETIMEDOUT,
    111: errno.ECONNREFUSED,
    113: errno.EHOSTUNREACH,
    116: errno.ESTALE,
}


def host_errno(code: int) -> int:
    """Return Python's number for an error of the C API."""
    return _HOST.get(code, code)


class QuicxdpError(Exception):
    """The base of everything below."""


class ConfigError(QuicxdpError, ValueError):
    """Options that contradict each other or have no meaning."""


class DatapathError(QuicxdpError, OSError):
    """The kernel or a device refused; `errno` says how, `strerror` what to do."""


class UnavailableError(QuicxdpError):
    """This installation or machine lacks what was asked for."""


class ApplicationError(QuicxdpError):
    """An ASGI application cannot be loaded, or does not start."""


class ProtocolError(QuicxdpError):
    """The protocol was broken, by one side or the other."""


class LocalProtocolError(ProtocolError):
    """Our side used the protocol wrongly."""


class StreamEndedError(LocalProtocolError, ValueError, RuntimeError):
    """Our side wrote to a stream that was ended or reset, by us or by the peer.

    aioquic raises ValueError once it has forgotten the stream and RuntimeError before, so
    that applications may expect either.
    """


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""


class ClientDisconnectedError(RemoteProtocolError, OSError):
    """The client went, or refused the rest, while an application was answering it.

    An OSError, as ASGI has it; an application need not handle it.
    """
