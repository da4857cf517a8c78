"""create_datagram_endpoint: sockets bound as asyncio binds them, and the lane above them.

The socket is made here rather than in C, so that names, families and errors are exactly
asyncio's; the datapath then adopts a duplicate of it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from . import _native, lanes
from .config import XDP_DEFAULT, DatapathConfig, Io
from .datapath import Datapath
from .errors import ConfigError, DatapathError, UnavailableError
from .ownership import Owner
from .plain import PlainProtocol
from .source_rules import SourceRules
from .transport import DatagramTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .addresses import Address
    from .capture import Capture
    from .config import XdpOptions
    from .lanes import Lane

# What the datapath sets so that nothing is fragmented: IP_MTU_DISCOVER and
# IPV6_MTU_DISCOVER of linux/in.h and linux/in6.h; of ws2ipdef.h those, and
# IP_DONTFRAGMENT and IPV6_DONTFRAG of a Windows that is too old for them.
_DF_OPTIONS: Final = {"win32": ((71, 71), (14, 14))}.get(sys.platform, ((10, 23),))

logger = logging.getLogger(__name__)

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)


async def create_datagram_endpoint(
    protocol_factory: Callable[[], ProtocolT],
    local_addr: tuple[str, int] | None = None,
    remote_addr: tuple[str, int] | None = None,
    *,
    interface: str | Sequence[str] | None = None,
    io: Io | str = Io.AUTO,
    family: int = 0,
    reuse_port: bool | None = None,
    allow_broadcast: bool | None = None,
    sock: socket.socket | None = None,
    dont_fragment: bool = False,
    xdp: XdpOptions | None = None,
    spin_us: int = 0,
    allow: Iterable[str] = (),
    deny: Iterable[str] = (),
    capture: Capture | None = None,
) -> tuple[asyncio.DatagramTransport, ProtocolT]:
    """Create a UDP endpoint; `loop.create_datagram_endpoint` with faster lanes.

    Args:
        protocol_factory: makes the protocol.  Besides asyncio's methods it may have
            `datagrams_received(list)`, which takes whole batches of (data, addr).
        local_addr: where to bind.
        remote_addr: where to connect.
        interface: the network interface, or interfaces, that io="auto" may, and io="xdp"
            and io="hybrid" must, attach an XDP program to.
        io: see `Io`.
        family: AF_INET or AF_INET6; needed without any address.
        reuse_port: set SO_REUSEPORT.
        allow_broadcast: set SO_BROADCAST, and do not connect to remote_addr.
        sock: a socket to use instead; closed with the transport.
        dont_fragment: let no datagram be fragmented, here or on its way; those that are
            too long become an EMSGSIZE in `error_received`.  QUIC wants this (RFC 9000
            section 14).  The XDP lane never fragments.
        xdp: zero-copy, generic mode, huge pages, busy polling; see `XdpOptions`.
        spin_us: after a turn, look again and again for so long whether there is something
            to do before the event loop may sleep, as long as that pays (20 to 50; see
            spin.py).  Costs CPU, and other callbacks may have to wait so long; saves the
            time of being woken.  Nothing with the lane "asyncio".  Where the loop cannot
            watch the endpoint (Windows), a thread of its own looks.
        allow: blocks of addresses ("192.0.2.0/24") that may send to the endpoint; with
            any, all others may not.
        deny: blocks that may not; the most specific block decides.
        capture: where the packets are written down.

    Returns:
        The transport, and the protocol.  `transport.get_extra_info("quicxdp")` tells
        which lane is in use and why, and has the counters.

    Raises:
        ConfigError: the options contradict each other.
        DatapathError: io="xdp" or "hybrid" is not possible; the message says why.
        UnavailableError: io="xdp" or "hybrid", source rules or a capture, and the C
            extension is missing.
        OSError: binding or connecting failed.
    """
    loop = asyncio.get_running_loop()
    io = Io.parse(io)
    sources = SourceRules.parse(allow, deny)
    lane = lanes.choose(io, interface, unavailable=_native.WHY, xdp=xdp)
    if io in {Io.XDP, Io.HYBRID} and lane.io is not io:
        raise UnavailableError(f'io="{io.value}" is not possible: {lane.reason}')
    if lane.io is Io.ASYNCIO and (sources or capture is not None):
        raise UnavailableError(
            f"allow=, deny= and capture= are not possible, because C does them: "
            f"{lane.reason}"
        )
    address: Address | None = None
    if sock is not None:
        _refuse_socket_options(
            sock,
            local_addr=local_addr,
            remote_addr=remote_addr,
            family=family,
            reuse_port=reuse_port,
            allow_broadcast=allow_broadcast,
        )
        sock.setblocking(False)  # noqa: FBT003  # the socket module's signature
    else:
        sock, address = await _make_socket(
            loop,
            local_addr,
            remote_addr,
            family=family,
            reuse_port=bool(reuse_port),
            allow_broadcast=bool(allow_broadcast),
        )
    if lane.io is Io.ASYNCIO:
        return await _plain(loop, protocol_factory, sock, address, lane)
    owner = Owner()
    try:
        _refuse_other_families(sock)
        if sock.getsockname()[1] == 0:
            # The datapath needs a port before the first datagram.
            sock.bind(("", 0))
        with _fragmenting(sock, dont_fragment):
            datapath, lane = _open(
                sock,
                lane,
                may_retreat=io is Io.AUTO,
                config=DatapathConfig(xdp=xdp or XDP_DEFAULT, sources=sources),
                owner=owner,
                capture=capture,
            )
        try:
            protocol = protocol_factory()
        except BaseException:
            datapath.close()
            raise
    except BaseException:
        sock.close()
        raise
    _log(sock, lane)
    _log_notes(datapath)
    waiter = loop.create_future()
    transport = DatagramTransport(
        loop,
        datapath,
        sock,
        protocol,
        owner=owner,
        io=lane.io,
        reason=lane.reason,
        address=address,
        waiter=waiter,
        spin_us=spin_us,
    )
    try:
        await waiter
    except BaseException:
        transport.close()
        raise
    return transport, protocol


def _open(
    sock: socket.socket,
    lane: Lane,
    *,
    may_retreat: bool,
    config: DatapathConfig,
    owner: Owner,
    capture: Capture | None,
) -> tuple[Datapath, Lane]:
    while True:
        wanted = replace(config, interfaces=lane.interfaces, sending=lane.sending)
        try:
            datapath = Datapath.open(sock, wanted, owner=owner, capture=capture)
        except DatapathError as error:
            if not (may_retreat and lane.interfaces):
                raise
            # With fewer interfaces each time, at last with none.
            lane = lanes.retreat(lane, error)
        else:
            return datapath, lanes.settle(lane, datapath.interfaces())


@contextmanager
def _fragmenting(sock: socket.socket, dont_fragment: bool) -> Iterator[None]:  # noqa: FBT001
    # The datapath sets DF; a protocol written for asyncio expects what it had there.
    before: list[tuple[int, int, int]] = []
    for ipv4, ipv6 in _DF_OPTIONS:
        options = [(socket.IPPROTO_IP, ipv4)]
        if sock.family == socket.AF_INET6:
            options.append((socket.IPPROTO_IPV6, ipv6))
        for level, name in options:
            # Not every Windows has every option.
            with suppress(OSError):
                before.append((level, name, sock.getsockopt(level, name)))
    yield
    if not dont_fragment:
        for level, name, value in before:
            sock.setsockopt(level, name, value)


def _log(sock: socket.socket, lane: Lane) -> None:
    logger.info("io=%s on %s: %s", lane.io.value, sock.getsockname()[:2], lane.reason)


def _log_notes(datapath: Datapath) -> None:
    for name, item in datapath.interfaces().items():
        if item.note:
            logger.warning("%s", item.note)
        if "generic" in item.modes:
            logger.warning(
                "%s is in generic mode: every packet is made by the kernel first, and a "
                "peer's segmented sends come through the socket; a socket alone is often "
                "faster",
                name,
            )


async def _plain(
    loop: asyncio.AbstractEventLoop,
    protocol_factory: Callable[[], ProtocolT],
    sock: socket.socket,
    address: Address | None,
    lane: Lane,
) -> tuple[asyncio.DatagramTransport, ProtocolT]:
    try:
        protocol = protocol_factory()
        _log(sock, lane)
        _, wrapper = await loop.create_datagram_endpoint(
            lambda: PlainProtocol(loop, protocol, reason=lane.reason, address=address),
            sock=sock,
        )
    except BaseException:
        sock.close()
        raise
    assert wrapper.transport is not None  # noqa: S101  # connection_made has run
    return wrapper.transport, protocol


def _refuse_socket_options(sock: socket.socket, **options: object) -> None:
    if sock.type != socket.SOCK_DGRAM:
        raise ValueError(f"A UDP Socket was expected, got {sock!r}")
    problems = ", ".join(f"{name}={value}" for name, value in options.items() if value)
    if problems:
        raise ValueError(
            f"socket modifier keyword arguments can not be used when sock is specified. "
            f"({problems})"
        )


def _refuse_other_families(sock: socket.socket) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise ConfigError(
            f'{sock.family.name} sockets have no lane but io="asyncio"; choose that'
        )


async def _candidates(
    loop: asyncio.AbstractEventLoop,
    local_addr: tuple[str, int] | None,
    remote_addr: tuple[str, int] | None,
    family: int,
) -> list[tuple[int, Address | None, Address | None]]:
    """Return (family, local, remote) to try, in the resolver's order."""
    if local_addr is None and remote_addr is None:
        if family == 0:
            raise ValueError("unexpected address family")
        return [(family, None, None)]
    found: dict[int, list[Address | None]] = {}
    for index, addr in enumerate((local_addr, remote_addr)):
        if addr is None:
            continue
        if not (isinstance(addr, tuple) and len(addr) == 2):  # noqa: PLR2004
            raise TypeError("2-tuple is expected")
        infos = await loop.getaddrinfo(*addr, family=family, type=socket.SOCK_DGRAM)
        for kind, _, _, _, address in infos:
            pair = found.setdefault(kind, [None, None])
            pair[index] = pair[index] or address
    pairs = [
        (kind, local, remote)
        for kind, (local, remote) in found.items()
        if (local_addr is None or local) and (remote_addr is None or remote)
    ]
    if not pairs:
        raise ValueError("can not get address information")
    return pairs


async def _make_socket(
    loop: asyncio.AbstractEventLoop,
    local_addr: tuple[str, int] | None,
    remote_addr: tuple[str, int] | None,
    *,
    family: int,
    reuse_port: bool,
    allow_broadcast: bool,
) -> tuple[socket.socket, Address | None]:
    """Return a bound, perhaps connected socket, and the address sendto() is tied to."""
    errors: list[OSError] = []
    for kind, local, remote in await _candidates(loop, local_addr, remote_addr, family):
        sock: socket.socket | None = None
        try:
            sock = socket.socket(kind, socket.SOCK_DGRAM)
            sock.setblocking(False)  # noqa: FBT003  # the socket module's signature
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if allow_broadcast:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if local is not None:
                sock.bind(local)
            if remote is not None and not allow_broadcast:
                # Connecting a UDP socket only notes the address; it never blocks.
                sock.connect(remote)
        except OSError as error:
            if sock is not None:
                sock.close()
            errors.append(error)
        else:
            return sock, remote
    raise errors[0]
