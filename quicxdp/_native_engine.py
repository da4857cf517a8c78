# ruff: noqa: PLR0917  (C has no keyword arguments)
"""The engine's C API (native/include/quicxdp_engine.h) with types.

With _native.py, all that touches cffi.  What is called once per turn or once per action
of the application is called as it is; what comes back in numbers (events, statistics) is
read as whole buffers, because an attribute of a cdata object costs as much as a call.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from . import _native
from .errors import UnavailableError

if TYPE_CHECKING:
    from ._native import CData

CID_BYTES_MAX: Final = 20
NEVER_NS: Final = _native.NEVER_NS
NO_LIMIT: Final = 2**64 - 1
NONE_RECEIVED: Final = 2**64 - 1
WHOLE_CONNECTION: Final = 2**62  # a stream ID that stands for all

# enum qx_epoch
EPOCH_ZERO_RTT: Final = 0
EPOCH_ONE_RTT: Final = 1

# enum qx_event_type
EV_STREAM_DATA: Final = 1
EV_STREAM_RESET: Final = 2
EV_STOP_SENDING: Final = 3
EV_DATAGRAM: Final = 4
EV_RELEASED: Final = 5
EV_DRAINED: Final = 6
EV_STREAM_GONE: Final = 7
EV_CONTROL_ACKED: Final = 8
EV_CONTROL_LOST: Final = 9
EV_UPCALL: Final = 10
EV_DATAGRAM_UP: Final = 11
EV_ERROR: Final = 12
EV_FIRST_ACK: Final = 13
EV_KEY_UPDATED: Final = 14
EV_LOST: Final = 15

# enum qx_event_flags
FIN: Final = 1
BY_PEER: Final = 2
PROBING: Final = 4
ELICITING: Final = 8
NEW_CID: Final = 16
NEW_PATH: Final = 32
DUPLICATE: Final = 64
UNDECRYPTABLE: Final = 128

# enum qx_turn_flags
TURN_EVENTS: Final = 1
TURN_MORE: Final = 2
TURN_STAYED: Final = 4
TURN_ERRORS: Final = 8

# enum qx_conn_flags
CONN_REPORT_DROPS: Final = 1
CONN_ECN: Final = 2

# enum qx_receive_flags
RECEIVE_UP: Final = 256

# enum qx_control_flags
CTL_ELICITING: Final = 1
CTL_IN_FLIGHT: Final = 2
CTL_URGENT: Final = 4
CTL_PAD: Final = 8

# struct qx_event: conn, type, flags, path, stream_id, value, data, len_bytes, more,
# time_ns.
EVENT: Final = struct.Struct("=IBBHQQQIIQ")
# struct qx_upcall: header_len_bytes, frames_len_bytes, largest_before.
UPCALL: Final = struct.Struct("=IIQ")


# enum qx_stream_flags
STREAM_MAY_WRITE: Final = 1
STREAM_MAY_RECEIVE: Final = 2


class Lib(Protocol):
    """The C API, as the type checker sees it."""

    def qx_engine_open(self, out: CData, dp: CData, cid_len_bytes: int, /) -> int: ...
    def qx_engine_close(self, e: CData, /) -> None: ...
    def qx_engine_receive(self, e: CData, now_ns: int, /) -> int: ...
    def qx_engine_events(self, e: CData, events: CData, paths: CData, /) -> int: ...
    def qx_engine_events_done(self, e: CData, /) -> None: ...
    def qx_engine_flush(self, e: CData, now_ns: int, /) -> int: ...
    def qx_engine_deadline(self, e: CData, /) -> int: ...
    def qx_engine_turn(self, e: CData, now_ns: int, alarm_ns: int, /) -> int: ...
    def qx_engine_finish(self, e: CData, now_ns: int, alarm_ns: int, /) -> int: ...

    def qx_conn_open(self, out: CData, e: CData, cfg: CData, /) -> int: ...
    def qx_conn_close(self, c: CData, /) -> None: ...
    def qx_conn_add_cid(self, c: CData, cid: bytes, len_bytes: int, /) -> int: ...
    def qx_conn_remove_cid(self, c: CData, cid: bytes, len_bytes: int, /) -> None: ...
    def qx_conn_set_peer_cid(self, c: CData, cid: bytes, len_bytes: int, /) -> int: ...
    def qx_conn_set_host_cid(self, c: CData, cid: bytes, len_bytes: int, /) -> None: ...
    def qx_conn_set_secret(
        self,
        c: CData,
        epoch: int,
        sending: int,
        cipher_suite: int,
        version: int,
        secret: bytes,
        len_bytes: int,
        /,
    ) -> int: ...
    def qx_conn_teardown(self, c: CData, epoch: int, sending: int, /) -> None: ...
    def qx_conn_has_keys(self, c: CData, epoch: int, sending: int, /) -> int: ...
    def qx_conn_update_key(self, c: CData, now_ns: int, /) -> int: ...
    def qx_conn_key_phase(self, c: CData, sending: int, /) -> int: ...
    def qx_conn_set_peer_limits(self, c: CData, limits: CData, /) -> None: ...
    def qx_conn_set_complete(self, c: CData, now_ns: int, /) -> None: ...
    def qx_conn_set_confirmed(
        self, c: CData, cwnd_bytes: int, now_ns: int, /
    ) -> None: ...
    def qx_conn_lose_zero_rtt(self, c: CData, now_ns: int, /) -> None: ...
    def qx_conn_reject_zero_rtt(self, c: CData, limits: CData, now_ns: int, /) -> int: ...
    def qx_conn_set_path(self, c: CData, path: CData, /) -> None: ...
    def qx_conn_reset_path(self, c: CData, now_ns: int, /) -> None: ...
    def qx_conn_abandon_path(self, c: CData, first_pn: int, /) -> None: ...
    def qx_conn_set_budget(self, c: CData, budget_bytes: int, /) -> None: ...
    def qx_conn_budget(self, c: CData, /) -> int: ...
    def qx_conn_set_foreign_in_flight(self, c: CData, bytes_: int, /) -> None: ...
    def qx_conn_set_foreign_window(self, c: CData, cwnd_bytes: int, /) -> None: ...
    def qx_conn_set_rtt(
        self, c: CData, latest_ns: int, smoothed_ns: int, variance_ns: int, min_ns: int, /
    ) -> None: ...
    def qx_conn_receive(
        self,
        c: CData,
        epoch: int,
        packet: CData,
        len_bytes: int,
        off_bytes: int,
        ecn: int,
        now_ns: int,
        /,
    ) -> int: ...
    def qx_conn_send(
        self, c: CData, now_ns: int, buf: CData, buf_bytes: int, lens: CData, max_: int, /
    ) -> int: ...
    def qx_conn_deadline(self, c: CData, /) -> int: ...
    def qx_conn_handle_timer(self, c: CData, now_ns: int, /) -> None: ...
    def qx_conn_push_control(
        self, c: CData, frame: bytes, len_bytes: int, token: int, flags: int, /
    ) -> int: ...
    def qx_conn_seal_foreign(
        self,
        c: CData,
        header: bytes,
        header_len: int,
        payload: bytes,
        payload_len: int,
        out: CData,
        pn: CData,
        /,
    ) -> int: ...
    def qx_conn_adopt(
        self, c: CData, size_bytes: int, flags: int, token: int, now_ns: int, /
    ) -> int: ...
    def qx_conn_fill(
        self, c: CData, now_ns: int, room_bytes: int, out: CData, flags: CData, /
    ) -> int: ...
    def qx_conn_next_stream_id(self, c: CData, unidirectional: int, /) -> int: ...
    def qx_stream_write(
        self,
        c: CData,
        stream_id: int,
        data: bytes,
        len_bytes: int,
        fin: int,
        token: int,
        /,
    ) -> int: ...
    def qx_stream_reset(self, c: CData, stream_id: int, error_code: int, /) -> int: ...
    def qx_stream_stop(self, c: CData, stream_id: int, error_code: int, /) -> int: ...
    def qx_conn_set_manual_consume(self, c: CData, manual: int, /) -> None: ...
    def qx_conn_set_window_max(self, c: CData, window_max_bytes: int, /) -> None: ...
    def qx_stream_consume(self, c: CData, stream_id: int, len_bytes: int, /) -> int: ...
    def qx_stream_buffered(self, c: CData, stream_id: int, /) -> int: ...
    def qx_stream_unacknowledged(self, c: CData, stream_id: int, /) -> int: ...
    def qx_stream_state(self, c: CData, stream_id: int, /) -> int: ...
    def qx_conn_undelivered(self, c: CData, /) -> int: ...
    def qx_stream_set_low_mark(self, c: CData, stream_id: int, low: int, /) -> int: ...
    def qx_conn_send_datagram(self, c: CData, data: bytes, len_bytes: int, /) -> int: ...
    def qx_conn_get_stats(self, c: CData, out: CData, /) -> None: ...


def _load() -> tuple[Lib | None, str]:
    if not _native.available():
        return None, _native.WHY
    ffi, native = _native.ffi(), _native.lib()
    if not hasattr(native, "qx_engine_open"):
        return None, "the C extension was built without the engine; build it again"
    for name, size in (
        ("struct qx_event", EVENT.size),
        ("struct qx_upcall", UPCALL.size),
    ):
        if ffi.sizeof(name) != size:
            return None, (
                f"the C extension was built from another version: {name} has "
                f"{ffi.sizeof(name)} bytes, not {size}; build it again"
            )
    return cast("Lib", native), ""


_lib, WHY = _load()
_ffi: Any = _native.ffi() if _native.available() else None

if _native.available():
    # All of this process's memory.  A slice of it is the quickest way to copy what an
    # event points to (190 ns for 1200 bytes; ffi.unpack of a cast pointer takes 520).
    memory: Any = _ffi.buffer(_ffi.cast("char *", 0), sys.maxsize)


def available() -> bool:
    """Tell whether the engine can be used; `WHY` has the reason if not."""
    return _lib is not None


def lib() -> Lib:
    """Return the C API.

    Raises:
        UnavailableError: the extension did not load, or lacks the engine.
    """
    if _lib is None:
        raise UnavailableError(WHY)
    return _lib


def open_engine(dp: CData | None, cid_len_bytes: int) -> CData:
    """Open an engine over the datapath *dp*, or without one.

    Raises:
        DatapathError: there is no memory.
    """
    native = lib()
    out = _ffi.new("struct qx_engine **")
    rc = native.qx_engine_open(out, _ffi.NULL if dp is None else dp, cid_len_bytes)
    _native.check(rc, "opening the engine")
    return cast("CData", out[0])


def open_conn(engine: CData, **config: int) -> CData:
    """Open a connection; *config* are the fields of struct qx_conn_config.

    Raises:
        DatapathError: there is no memory.
    """
    out = _ffi.new("struct qx_conn **")
    rc = lib().qx_conn_open(out, engine, _ffi.new("struct qx_conn_config *", config))
    _native.check(rc, "opening a connection in the engine")
    return cast("CData", out[0])


def limits(**values: int) -> CData:
    """Return a struct qx_peer_limits."""
    return cast("CData", _ffi.new("struct qx_peer_limits *", values))


def path(raw: bytes) -> CData:
    """Return a struct qx_path."""
    out = _ffi.new("struct qx_path *")
    _ffi.memmove(out, raw, _native.PATH_BYTES)
    return cast("CData", out)


class EventView:
    """Where the pointers of qx_engine_events arrive, and how they become Python."""

    __slots__ = ("_events", "_paths", "_raw_events", "_raw_paths")

    def __init__(self) -> None:
        self._events: CData = _ffi.new("struct qx_event **")
        self._paths: CData = _ffi.new("struct qx_path **")
        # The two pointers themselves, as integers.
        self._raw_events = memoryview(_ffi.buffer(self._events)).cast("B").cast("Q")
        self._raw_paths = memoryview(_ffi.buffer(self._paths)).cast("B").cast("Q")

    def read(self, native: Lib, engine: CData) -> tuple[bytes, int]:
        """Return the events as one `bytes` of EVENTs, and where the paths lie."""
        cnt = native.qx_engine_events(engine, self._events, self._paths)
        if not cnt:
            return b"", 0
        start = self._raw_events[0]
        return memory[start : start + cnt * EVENT.size], self._raw_paths[0]


class Numbers:
    """A struct of 64-bit integers, to be filled again and again.

    Attributes:
        index: where each field stands in `values`; an array's first element.
        values: the struct, always up to date.
    """

    __slots__ = ("cdata", "index", "values")

    def __init__(self, name: str) -> None:
        self.cdata: CData = _ffi.new(f"{name} *")
        view = memoryview(_ffi.buffer(cast("Any", self.cdata)))
        self.values = view.cast("B").cast("Q")
        fields = _ffi.typeof(name).fields
        self.index = {field: info.offset // 8 for field, info in fields}


class Scratch:
    """A byte array for C to write into, and integers beside it.

    Attributes:
        cdata: the array, for C.
        buffer: the same, for Python; its slices are bytes.
        ints_cdata: *int_cnt* 32-bit integers, for C.
        ints: the same, for Python.
        long_cdata: one 64-bit integer, for C.
        long: the same, for Python.
    """

    __slots__ = ("buffer", "cdata", "ints", "ints_cdata", "long", "long_cdata", "size")

    def __init__(self, size: int, int_cnt: int) -> None:
        self.size = size
        self.cdata: CData = _ffi.new("uint8_t[]", size)
        self.buffer: Any = _ffi.buffer(cast("Any", self.cdata))
        self.ints_cdata: CData = _ffi.new("uint32_t[]", int_cnt)
        view = memoryview(_ffi.buffer(cast("Any", self.ints_cdata)))
        self.ints = view.cast("B").cast("I")
        self.long_cdata: CData = _ffi.new("uint64_t *")
        view = memoryview(_ffi.buffer(cast("Any", self.long_cdata)))
        self.long = view.cast("B").cast("Q")
