"""From a host name to a connection: looking it up and trying its addresses.

Several addresses are tried as RFC 8305 (happy eyeballs) describes: the first at once,
each further one after a short while or as soon as one before it has failed, and the
first that completes a handshake wins.  UDP needs this more than TCP does: "localhost"
has two addresses, and the one where nobody listens just stays silent.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import quicxdp
from quicxdp.config import ENGINE_DEFAULT, XDP_DEFAULT
from quicxdp.errors import QuicxdpError

from .exits import CommandError, FetchExit, sentence
from .h3_client import H3ClientProtocol

if TYPE_CHECKING:
    from aioquic.quic.configuration import QuicConfiguration

    from quicxdp.capture import Capture
    from quicxdp.config import EngineKind, Io, XdpOptions

# RFC 8305 section 8: "Connection Attempt Delay", 250 ms recommended.
_ATTEMPT_DELAY_S = 0.25
_ADDRESS_CNT_MAX = 8


@dataclass(frozen=True, slots=True)
class DialOptions:
    """How to connect."""

    io: Io
    interface: list[str] | None
    family: socket.AddressFamily
    timeout_s: float
    engine: EngineKind = ENGINE_DEFAULT
    capture: Capture | None = None
    xdp: XdpOptions = XDP_DEFAULT
    spin_us: int = 0


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection; whoever has it closes it."""

    protocol: H3ClientProtocol
    address: str
    port: int
    lane: str
    reason: str
    engine: str
    engine_reason: str
    looked_up_s: float
    connected_s: float
    context: AbstractAsyncContextManager[object]

    async def close(self) -> None:
        """Say goodbye to the server and close the socket."""
        await self.context.__aexit__(None, None, None)


async def dial(
    host: str, port: int, configuration: QuicConfiguration, options: DialOptions
) -> Connection:
    """Connect to a server.

    Raises:
        CommandError: with curl's exit status and a sentence.
    """
    addresses = await _look_up(host, port, options.family)
    looked_up_s = time.monotonic()
    race = _Race(addresses, port, configuration, options)
    try:
        async with asyncio.timeout(options.timeout_s):
            address, context, protocol = await race.run()
    except TimeoutError:
        raise CommandError(
            f"no answer from {' or '.join(addresses)}, UDP port {port}, within "
            f"{options.timeout_s:g} s: nothing speaks QUIC there, or a firewall is "
            f"between",
            FetchExit.TIMEOUT,
        ) from None
    finally:
        await race.abandon()
    assert protocol.datagram_transport is not None  # noqa: S101  (it is connected)
    info = protocol.datagram_transport.get_extra_info("quicxdp")
    connected_s = time.monotonic()
    return Connection(
        protocol,
        address,
        port,
        info.io.value,
        info.reason,
        info.engine.value,
        info.engine_reason,
        looked_up_s,
        connected_s,
        context,
    )


async def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        raise CommandError(
            f"the name {host} has no address: {sentence(error)}", FetchExit.NO_ADDRESS
        ) from None
    addresses: list[str] = []
    for found_family, _, _, _, sockaddr in infos:
        address = str(sockaddr[0])
        if found_family == socket.AF_INET6 and len(sockaddr) == 4 and sockaddr[3]:  # noqa: PLR2004
            address += f"%{sockaddr[3]}"
        if address not in addresses:
            addresses.append(address)
    return addresses[:_ADDRESS_CNT_MAX]


_Winner = tuple[str, AbstractAsyncContextManager[object], H3ClientProtocol]


class _Race:
    """Attempts to connect, begun one after the other, of which one wins."""

    def __init__(
        self,
        addresses: list[str],
        port: int,
        configuration: QuicConfiguration,
        options: DialOptions,
    ) -> None:
        self._waiting = list(addresses)
        self._port = port
        self._configuration = configuration
        self._options = options
        self._running: set[asyncio.Task[_Winner]] = set()
        self._failures: list[CommandError] = []

    async def run(self) -> _Winner:
        """Return the first connection that is made."""
        while self._waiting or self._running:
            if self._waiting:
                address = self._waiting.pop(0)
                self._running.add(asyncio.create_task(self._attempt(address)))
            done, _ = await asyncio.wait(
                self._running,
                timeout=_ATTEMPT_DELAY_S if self._waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                if task.exception() is None:
                    self._running.discard(task)
                    return task.result()
                self._running.discard(task)
                self._failures.append(_failure(task.exception()))
        raise self._failures[0]

    async def abandon(self) -> None:
        """Stop the attempts that have not won."""
        for task in self._running:
            task.cancel()
        for result in await asyncio.gather(*self._running, return_exceptions=True):
            if not isinstance(result, BaseException):
                await result[1].__aexit__(None, None, None)

    async def _attempt(self, address: str) -> _Winner:
        context = quicxdp.connect(
            address,
            self._port,
            # A copy: the attempts run at the same time.
            configuration=dataclasses.replace(self._configuration),
            create_protocol=H3ClientProtocol,
            io=self._options.io,
            interface=self._options.interface,
            xdp=self._options.xdp,
            spin_us=self._options.spin_us,
            engine=self._options.engine,
            capture=self._options.capture,
            wait_connected=False,
        )
        protocol = await context.__aenter__()
        try:
            assert isinstance(protocol, H3ClientProtocol)  # noqa: S101
            protocol.transmit()
            await protocol.ready()
        except BaseException:
            await context.__aexit__(None, None, None)
            raise
        return address, context, protocol


def _failure(error: BaseException | None) -> CommandError:
    """Translate what an attempt raised."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, QuicxdpError):
        return CommandError(sentence(error), FetchExit.NO_LOCAL_ADDRESS)
    if isinstance(error, OSError):
        return CommandError(f"cannot connect: {sentence(error)}", FetchExit.NO_CONNECTION)
    assert error is not None  # noqa: S101
    raise error
