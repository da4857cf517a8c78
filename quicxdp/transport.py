"""A DatagramTransport over the C datapath, with asyncio's semantics.

What a protocol written for `loop.create_datagram_endpoint` sees is the same, except:

  - `sendto` does not look up names, may send empty datagrams (as asyncio does from
    Python 3.13 on), and raises for an address that makes no sense instead of closing the
    transport.
  - Datagrams sent in one turn of the loop leave together at its end.  Errors of sending
    therefore reach `error_received` after `sendto` returned.
  - A protocol with a method `datagrams_received(list)` gets whole batches of
    (data, addr) instead of one `datagram_received(data, addr)` each.

`get_write_buffer_size` counts what the kernel had no room for, not what waits for the end
of the turn.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import warnings
from asyncio.trsock import TransportSocket
from dataclasses import replace
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from .alarm import report
from .config import Io
from .engine_turn import EngineTurn
from .info import EndpointInfo
from .outbox import NOWHERE
from .reactor import Reactor
from .rejoin import Rejoin

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from .addresses import Address, PeerAddress
    from .admission import AdmissionStats
    from .clock import Clock
    from .config import EngineKind, SendLimits
    from .datapath import Datapath
    from .errors import DatapathError
    from .ownership import Owner
    from .stats import Stats

logger = logging.getLogger(__name__)

WHAT: Final = "this transport"

# asyncio logs from the fifth write to a lost connection on (asyncio.constants).
_LOG_THRESHOLD: Final = 5
_HIGH_WATER_BYTES: Final = 64 * 1024


class DatagramTransport(asyncio.DatagramTransport):
    """One UDP endpoint; made by `quicxdp.create_datagram_endpoint`."""

    # No __slots__: tests like to patch a method of one transport, as they can asyncio's.

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        datapath: Datapath,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        *,
        owner: Owner,
        io: Io,
        reason: str,
        address: Address | None = None,
        waiter: asyncio.Future[None] | None = None,
        limits: SendLimits | None = None,
        spin_us: int = 0,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._datapath: Datapath | None = datapath
        self._book = datapath.book
        self._sock: socket.socket | None = sock
        self._owner = owner
        # As in asyncio: `address` is where sendto() goes, whether or not the socket is
        # connected; a socket that came connected sends to its peer, whatever is asked.
        self._address = address
        self._closing = False  # no more receiving and no new sending
        self._finished = False  # connection_lost is on its way, or was
        self._late_cnt = 0  # datagrams sent after close()
        self._paused = False
        self._rx: list[tuple[bytes, PeerAddress]] = []
        self._reactor = Reactor(loop, datapath, self, limits, spin_ns=spin_us * 1000)
        self._turn: EngineTurn | None = None
        self._outbox = self._reactor.outbox
        try:
            self._peername: Address | None = sock.getpeername()
        except OSError:
            self._peername = None
        self._extra: dict[str, Any] = {
            "socket": TransportSocket(sock),
            "sockname": sock.getsockname(),
            "peername": self._peername,
            "quicxdp": EndpointInfo(
                io=io,
                interface=",".join(datapath.config.interfaces),
                reason=reason,
                stats=self._stats,
            ),
        }
        self._rejoin = Rejoin(
            loop,
            datapath,
            name=f"{self._extra['sockname'][:2]}",
            changed=self._lane_changed,
        )
        self.set_write_buffer_limits()
        self.set_protocol(protocol)
        # Three callbacks, as in asyncio: nothing is delivered before connection_made()
        # returned, and reading starts even if it raises.
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._start)
        if waiter is not None:
            loop.call_soon(_wake, waiter)

    def _start(self) -> None:
        if not self._finished:
            self._reactor.start()

    # Sending

    def sendto(  # type: ignore[override]  # typeshed allows the addresses of AF_UNIX
        self, data: bytes | bytearray | memoryview, addr: Address | None = None
    ) -> None:
        """Send *data* to *addr*, or to the remote address of the endpoint."""
        if get_ident() != self._owner.thread:
            self._owner.refuse(WHAT)
        if type(data) is not bytes:
            data = _immutable(data)
        outbox = self._outbox
        if addr is not outbox.aimed_at and not self._aim(data, addr):
            return
        cnt = outbox.add(data)
        if cnt == 1:
            self._reactor.soon()
        elif not cnt:
            self._reactor.flush()
            # For the errors that this flush may have met.
            self._reactor.soon()

    def _aim(self, data: bytes, addr: Address | None) -> bool:
        """Aim the outbox at *addr*; False if *data* is already dealt with."""
        if self._address is not None and addr not in (None, self._address):
            raise ValueError(f"Invalid address: must be None or {self._address}")
        if self._closing:
            if self._late_cnt >= _LOG_THRESHOLD:
                logger.warning("sendto() on a closed transport: the datagram is dropped")
            self._late_cnt += 1
            return False
        to = self._peername or self._address or addr
        if to is None:
            raise TypeError("sendto() needs an address: this endpoint is not connected")
        path = self._book.path(to)
        if self._outbox.stalled:
            self._outbox.defer(data, path)
            self._pause_if_full()
            return False
        self._outbox.aim(path, addr)
        return True

    # Flow control

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """Set when pause_writing() and resume_writing() are called, in bytes."""
        if high is None:
            high = _HIGH_WATER_BYTES if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high_bytes = high
        self._low_bytes = low
        self._pause_if_full()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return (low, high)."""
        return (self._low_bytes, self._high_bytes)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait because the kernel had no room."""
        return self._outbox.backlog_bytes

    def _pause_if_full(self) -> None:
        if not self._paused and self._outbox.backlog_bytes > self._high_bytes:
            self._paused = True
            self._call("pause_writing")

    def _resume_if_empty(self) -> None:
        if self._paused and self._outbox.backlog_bytes <= self._low_bytes:
            self._paused = False
            self._call("resume_writing")

    # What the reactor calls

    def deliver(self, batch: list[tuple[bytes, PeerAddress]]) -> None:
        """Give a batch to the protocol."""
        if self._closing:
            return
        if self._datagrams_received is not None:
            try:
                self._datagrams_received(batch)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:  # noqa: BLE001  # asyncio's rule for callbacks
                self._report("protocol.datagrams_received() failed", exc)
            return
        # close() empties this list, which ends the loop: asyncio delivers nothing either
        # once the transport is closing.
        self._rx = batch
        waiting = iter(batch)
        for data, addr in waiting:
            try:
                self._protocol.datagram_received(data, addr)  # type: ignore[attr-defined]
            except (SystemExit, KeyboardInterrupt):
                self._loop.call_soon(self.deliver, list(waiting))
                raise
            except BaseException as exc:  # noqa: BLE001  # asyncio's rule for callbacks
                self._report("protocol.datagram_received() failed", exc)
        self._rx = []

    def datapath_failed(self, exc: DatapathError) -> None:
        """Pass on that a whole receive or send failed."""
        if exc.errno == errno.ESTALE:
            # Nothing failed: the socket goes on until the rings do again.
            self._rejoin.outgrown()
            return
        self._error_received(exc)
        if exc.errno == errno.ENETDOWN:
            self._rejoin.lost()
        elif not self._finished:
            # Only the loss of the interface leaves something that works: the socket.
            self._closing = True
            self._rx.clear()
            self._finish(exc)

    def _lane_changed(self, reason: str) -> None:
        there = self._live().interfaces().values()
        io = Io.SOCKET
        if there:
            io = Io.XDP if any(item.sends for item in there) else Io.HYBRID
        self._extra["quicxdp"] = replace(self._extra["quicxdp"], io=io, reason=reason)

    def peer_failed(self, code: int, peer: Address | None) -> None:
        """Pass on what the kernel said about one datagram."""
        if code == errno.ECONNREFUSED and self._peername is None:
            # Somebody that we answered is gone.  Without a connection, asyncio's sockets
            # never hear of that, and a server cannot act on it.
            return
        exc = OSError(code, os.strerror(code))
        if peer is not None:
            exc.add_note(f"peer: {peer!r}")
        self._error_received(exc)

    def backlog_changed(self) -> None:
        """Look whether the protocol must pause or may go on."""
        self._pause_if_full()
        self._resume_if_empty()

    def drained(self) -> None:
        """Go on closing, once everything has left."""
        if self._closing and not self._finished:
            self._finish(None)

    # Closing

    def is_closing(self) -> bool:
        """Tell whether the transport is closed or being closed."""
        return self._closing

    def close(self) -> None:
        """Send what waits, then close."""
        if self._closing:
            return
        if self._owner.forked:
            self._release()
            return
        self._owner.check(WHAT)
        self._closing = True
        self._rx.clear()
        all_gone = self._reactor.drain()
        self._outbox.aimed_at = NOWHERE
        if all_gone:
            self._finish(None)

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        if self._owner.forked:
            self._release()
            return
        self._owner.check(WHAT)
        if not self._finished:
            self._closing = True
            self._rx.clear()
            self._finish(None)

    def _finish(self, exc: BaseException | None) -> None:
        self._finished = True
        self._rejoin.stop()
        self._reactor.stop()
        self._loop.call_soon(self._connection_lost, exc)

    def _connection_lost(self, exc: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(exc)  # type: ignore[arg-type]
        finally:
            self._release()

    def _release(self) -> None:
        self._closing = True
        self._rejoin.stop()
        turn, self._turn = self._turn, None
        datapath, self._datapath = self._datapath, None
        sock, self._sock = self._sock, None
        if turn is not None:
            turn.close()
        if datapath is not None:
            datapath.close()
        if sock is not None:
            sock.close()

    def __del__(self) -> None:
        if getattr(self, "_datapath", None) is not None:
            if not self._owner.forked:
                warnings.warn(
                    f"unclosed transport {self!r}", ResourceWarning, stacklevel=2
                )
            # The collector may run in any thread; by now nobody else can be inside.
            self._owner.thread = get_ident()
            self._release()

    # QUIC connections in C

    def open_engine(self, cid_len_bytes: int) -> EngineTurn:
        """Let an engine handle the connections that are opened in it; once.

        Args:
            cid_len_bytes: the length of our own connection IDs.

        Raises:
            UnavailableError: the C extension has no engine.
        """
        assert self._turn is None  # noqa: S101  # whoever made the transport does it
        self._owner.check(WHAT)
        self._turn = EngineTurn(
            self._live(),
            self._owner,
            cid_len_bytes=cid_len_bytes,
            soon=self._reactor.soon,
        )
        self._turn.engine.on_failure = self._connection_failed
        self._reactor.attach(self._turn)
        return self._turn

    def _connection_failed(self, connection: object, exc: Exception) -> None:
        self._report(f"{connection!r} failed to handle a packet", exc)

    # The rest of asyncio's face

    @property
    def clock(self) -> Clock:
        """Timers as precise as the kernel's; run in this transport's turns."""
        return self._reactor.clock

    def note_engine(self, kind: EngineKind, reason: str) -> None:
        """Let `get_extra_info("quicxdp")` tell who handles connections here, and why."""
        self._extra["quicxdp"] = replace(
            self._extra["quicxdp"], engine=kind, engine_reason=reason
        )

    def note_admission(self, stats: Callable[[], AdmissionStats]) -> None:
        """Let `get_extra_info("quicxdp")` tell what a server admits."""
        self._extra["quicxdp"] = replace(self._extra["quicxdp"], admission=stats)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let *protocol* receive from now on."""
        self._protocol = protocol
        self._datagrams_received: Callable[[list[tuple[bytes, Any]]], object] | None = (
            getattr(protocol, "datagrams_received", None)
        )

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that receives."""
        return self._protocol

    def __repr__(self) -> str:
        state = (
            "closed" if self._datapath is None else "closing" if self._closing else "open"
        )
        return f"<{type(self).__name__} {state} sockname={self._extra['sockname']}>"

    def _stats(self) -> Stats:
        return self._live().stats(
            backlog_dropped=self._outbox.dropped_cnt, lane_counts=self._rejoin.counts
        )

    def _live(self) -> Datapath:
        if self._datapath is None:
            raise RuntimeError("this transport is closed")
        return self._datapath

    def _error_received(self, exc: OSError) -> None:
        if not self._finished:
            self._call("error_received", exc)

    def _call(self, method: str, *args: object) -> None:
        try:
            getattr(self._protocol, method)(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:  # noqa: BLE001  # asyncio's rule for callbacks
            self._report(f"protocol.{method}() failed", exc)

    def _report(self, message: str, exc: BaseException) -> None:
        report(self._loop, message, exc, transport=self, protocol=self._protocol)


def _immutable(data: object) -> bytes:
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(
            f"data argument must be a bytes-like object, not {type(data).__name__!r}"
        )
    return bytes(data)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.cancelled():
        waiter.set_result(None)
