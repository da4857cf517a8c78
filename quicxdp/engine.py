"""The C engine of one endpoint as a Python object, and whom its events belong to.

What happened in a turn comes back in one piece (`Engine.pump`) and is handed to the
connections that it belongs to.

Invariants:
  - What an event points to is copied before any owner hears of one: owners may call into
    C again, and that overwrites it.
  - Time comes in as an argument, in nanoseconds.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, Protocol

from . import _native
from . import _native_engine as native
from .engine_conn import Conn, StatsIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from ._native import CData
    from .addresses import Address, AddressBook

    # Kind (enum qx_event_type), flags, stream ID, value, data, path (struct qx_path, of
    # upcalls only), and time in nanoseconds.
    Event: TypeAlias = tuple[int, int, int, int, bytes, bytes, int]

_PATH_BYTES: Final = _native.PATH_BYTES
_TELLS_PATH: Final = (native.EV_UPCALL, native.EV_DATAGRAM_UP)
_iter_events = native.EVENT.iter_unpack


class Owner(Protocol):
    """Who hears of a connection's events."""

    def engine_event(self, event: Event, /) -> None:
        """Take one event."""


class Gate(Protocol):
    """What may stand before what goes up; engine_gate.py."""

    def guard(self, engine: CData, /) -> None:
        """Stand before *engine*."""


def _nothing() -> None:
    """Do nothing."""


class Engine:
    """The connections of one endpoint, or of one sans-IO connection.

    Attributes:
        sans_io: there is no datapath: whoever owns a connection carries its datagrams.
        owners: who hears of the events of each connection, by its number.
        stats: where the statistics of a connection are read to.
        at: where they stand there.
        on_datagram: called with (path, datagram, time_ns) for what belongs to aioquic.
        on_failure: called with what an owner has raised; the others hear of their events
            all the same.  Without, the caller of `pump` gets it.
        wake: called when a connection may have something for `flush` to send.
        book: the addresses of the datapath's endpoint; None without a datapath.
    """

    def __init__(
        self,
        *,
        cid_len_bytes: int,
        dp: CData | None = None,
        book: AddressBook | None = None,
    ) -> None:
        """Open an engine over the open datapath *dp* and its *book*, or without.

        Raises:
            UnavailableError: the C extension is missing or has no engine.
            DatapathError: there is no memory.
        """
        self._lib = native.lib()
        self._e: CData | None = native.open_engine(dp, cid_len_bytes)
        self._qx_turn, self._qx_finish = (
            self._lib.qx_engine_turn,
            self._lib.qx_engine_finish,
        )
        self._events = native.EventView()
        self._numbers = itertools.count(1)
        self.stats = native.Numbers("struct qx_conn_stats")
        self.at = StatsIndex(self.stats.index)
        self.sans_io = dp is None
        self.book = book
        self.owners: dict[int, Owner] = {}
        self.on_datagram: Callable[[bytes, bytes, int], object] | None = None
        self.on_failure: Callable[[Owner, Exception], object] | None = None
        self.wake: Callable[[], object] = _nothing
        self._conns: dict[int, Conn] = {}

    def close(self) -> None:
        """Close the engine and all its connections."""
        for conn in list(self._conns.values()):
            conn.close()
        if self._e is not None:
            self._lib.qx_engine_close(self._e)
            self._e = None

    def __del__(self) -> None:
        if getattr(self, "_e", None) is not None:
            self.close()

    def use_gate(self, gate: Gate) -> None:
        """Let *gate* judge what belongs to no connection; it is closed after this."""
        assert self._e is not None  # noqa: S101
        gate.guard(self._e)

    def open(self, owner: Owner, **config: int) -> Conn:
        """Open a connection; *config* are fields of struct qx_conn_config.

        Raises:
            DatapathError: there is no memory.
        """
        assert self._e is not None  # noqa: S101
        number = next(self._numbers)
        conn = Conn(self, number, native.open_conn(self._e, id=number, **config))
        self._conns[number] = conn
        self.owners[number] = owner
        return conn

    def path_of(self, address: Address) -> bytes | None:
        """Return the struct qx_path to *address*; None without a datapath."""
        return None if self.book is None else self.book.path(address)

    def forget(self, number: int) -> None:
        """Take note that a connection was closed."""
        self._conns.pop(number, None)
        self.owners.pop(number, None)

    # A turn

    def turn(self, now_ns: int, alarm_ns: int) -> int:
        """Take one batch from the datapath, run what is due; `finish` if that is all.

        Returns:
            What is left to do, enum qx_turn_flags.

        Raises:
            DatapathError: ENETDOWN or ESTALE once, as of `Datapath.recv`; or as `finish`.
        """
        flags = self._qx_turn(self._e, now_ns, alarm_ns)  # type: ignore[arg-type]
        return flags if flags >= 0 else _native.check(flags, "receiving")

    def finish(self, now_ns: int, alarm_ns: int) -> int:
        """Send what connections have to send; wake at *alarm_ns* or their deadlines.

        Returns:
            What is left to do, enum qx_turn_flags.

        Raises:
            DatapathError: sending failed as a whole.
        """
        flags = self._qx_finish(self._e, now_ns, alarm_ns)  # type: ignore[arg-type]
        return flags if flags >= 0 else _native.check(flags, "sending")

    def pump(self) -> Iterable[Owner]:
        """Hand the events that wait to their owners; return those who had some."""
        if self._e is None:
            return ()
        raw, paths = self._events.read(self._lib, self._e)
        if not raw:
            return ()
        memory = native.memory
        find = self.owners.get
        events = [
            (
                find(conn),
                (
                    kind,
                    flags,
                    stream_id,
                    value,
                    memory[at : at + size],
                    memory[paths + path * _PATH_BYTES : paths + (path + 1) * _PATH_BYTES]
                    if kind in _TELLS_PATH
                    else b"",
                    time_ns,
                ),
            )
            for conn, kind, flags, path, stream_id, value, at, size, _, time_ns in (
                _iter_events(raw)
            )
        ]
        self._lib.qx_engine_events_done(self._e)
        heard: dict[Owner, None] = {}
        for owner, event in events:
            if event[0] == native.EV_DATAGRAM_UP:
                if self.on_datagram is not None:
                    self.on_datagram(event[5], event[4], event[6])
            elif owner is not None:
                heard[owner] = None
                try:
                    owner.engine_event(event)
                except Exception as exc:
                    if self.on_failure is None:
                        raise
                    self.on_failure(owner, exc)
        return heard

    def deadline_ns(self) -> int:
        """Return the earliest deadline of all connections, or `NEVER_NS`."""
        return self._lib.qx_engine_deadline(self._e)  # type: ignore[arg-type]
