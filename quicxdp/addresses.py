"""Addresses as asyncio gives them, and as C takes them.

    asyncio   ("192.0.2.1", 443) on an AF_INET socket,
              ("2001:db8::1", 443, 0, 0) on an AF_INET6 one, where an IPv4 peer of a
              dual-stack socket is ("::ffff:192.0.2.1", 443, 0, 0)
    C         struct qx_path: 48 bytes, the peer's address and ours

A received address is a `PeerAddress`: equal to the plain tuple, and it remembers the
path, so that an answer leaves from the address that was asked.  Both directions go
through caches that are bounded, since peers choose their addresses.
"""

from __future__ import annotations

import socket
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from . import _native
from .errors import ConfigError

if TYPE_CHECKING:
    from typing import TypeAlias

    Address: TypeAlias = tuple[Any, ...]

_ADDR = _native.ADDR
_ADDR_BYTES: Final = _native.ADDR.size
_MAPPED: Final = bytes(10) + b"\xff\xff"
_IPV4: Final = 4
_IPV6: Final = 6
_PORT_MAX: Final = 65535

# What the socket module understands besides numbers.
_SPECIAL: Final = {
    (socket.AF_INET, ""): "0.0.0.0",  # noqa: S104
    (socket.AF_INET, "<broadcast>"): "255.255.255.255",
    (socket.AF_INET6, ""): "::",
}


class PeerAddress(tuple[Any, ...]):  # noqa: SLOT001  # tuples cannot have slots
    """The address of a received datagram.

    Attributes:
        path: its struct qx_path, peer and local address.
        owner: whose local address that is; another endpoint cannot send from it.
    """

    path: bytes
    owner: object


def pack_addr(family: int, address: Address) -> bytes:
    """Return *address*, numeric and of a socket of *family*, as struct qx_addr.

    An IPv4-mapped IPv6 address becomes the IPv4 address that it is.
    """
    host, port = address[0], address[1]
    if family == socket.AF_INET:
        return _ADDR.pack(socket.inet_pton(family, host), port, _IPV4, 0)
    ip = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    if ip.startswith(_MAPPED):
        return _ADDR.pack(ip[12:], port, _IPV4, 0)
    scope_id = address[3] if len(address) > 3 else 0  # noqa: PLR2004
    return _ADDR.pack(ip, port, _IPV6, scope_id)


def unpack_addr(family: int, raw: bytes) -> Address | None:
    """Return struct qx_addr *raw* as a socket of *family* would show it.

    None stands for an address that is not there (QX_UNSPEC).
    """
    ip, port, kind, scope_id = _ADDR.unpack(raw)
    if kind == _IPV4:
        host = socket.inet_ntop(socket.AF_INET, ip[:4])
        if family == socket.AF_INET:
            return (host, port)
        return ("::ffff:" + host, port, 0, 0)
    if kind == _IPV6:
        return (socket.inet_ntop(socket.AF_INET6, ip), port, 0, scope_id)
    return None


def resolve(family: int, address: Address) -> bytes:
    """Return the numeric *address* that a user sends to as struct qx_addr.

    Raises:
        TypeError: it is not a (host, port) tuple, or a longer one for IPv6.
        ConfigError: the host is a name or of the wrong family, or the port is not one.
    """
    if not isinstance(address, tuple) or len(address) not in (2, 3, 4):
        raise TypeError(f"address must be a tuple (host, port), not {address!r}")
    host, port = address[0], address[1]
    if not isinstance(host, str) or not isinstance(port, int):
        raise TypeError(f"address must be (str, int), not {address!r}")
    if not 0 <= port <= _PORT_MAX:
        raise ConfigError(f"the port of {address!r} is not between 0 and {_PORT_MAX}")
    host = _SPECIAL.get((socket.AddressFamily(family), host), host)
    scope_id = address[3] if len(address) > 3 else 0  # noqa: PLR2004
    try:
        infos = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
    except (socket.gaierror, UnicodeError):
        raise ConfigError(
            f"{host!r} is not a numeric address, and sending does not look names up; "
            f"resolve it once with `await loop.getaddrinfo(...)`"
        ) from None
    found_family = infos[0][0]
    found: Address = infos[0][4]
    if found_family == socket.AF_INET6:
        if family == socket.AF_INET:
            raise ConfigError(f"{host!r} is an IPv6 address, but the socket is IPv4")
        return pack_addr(family, (found[0], port, 0, scope_id or found[3]))
    return pack_addr(socket.AF_INET, (found[0], port))


class AddressBook:
    """The addresses of one endpoint, in both forms."""

    __slots__ = ("_family", "_owner", "_paths", "_peers", "_size")

    def __init__(self, family: int, *, size: int = 8192) -> None:
        self._family = family
        self._size = size
        self._owner = object()
        self._peers: dict[bytes, PeerAddress] = {}
        self._paths: dict[Address, bytes] = {}

    @property
    def peers(self) -> dict[bytes, PeerAddress]:
        """The cache of `peer`, for a caller that looks there first."""
        return self._peers

    def peer(self, path: bytes) -> PeerAddress:
        """Return the address of the peer at *path*, which came from C."""
        known = self._peers.get(path)
        if known is None:
            _make_room(self._peers, self._size)
            plain = unpack_addr(self._family, path[:_ADDR_BYTES])
            known = PeerAddress(plain or ())
            known.path = path
            known.owner = self._owner
            self._peers[path] = known
        return known

    def path(self, address: Address) -> bytes:
        """Return the path to *address*; errors as `resolve`."""
        if type(address) is PeerAddress and address.owner is self._owner:
            return address.path
        known = self._paths.get(address) if isinstance(address, tuple) else None
        if known is None:
            known = resolve(self._family, address) + _native.NO_ADDR
            _make_room(self._paths, self._size)
            self._paths[address] = known
        return known


def _make_room(cache: dict[Any, Any], size: int) -> None:
    # Dropping the older half at once keeps the cost per entry constant without any
    # bookkeeping on a hit.
    if len(cache) >= size:
        for key in list(islice(cache, (size + 1) // 2)):
            del cache[key]
