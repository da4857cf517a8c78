"""The one module that touches cffi: the C API with types, and what is needed to call it.

Some facts about cffi in API mode:
  - A call costs about 85 ns, an attribute of a cdata object as much again.  So nothing
    here is called per datagram: a batch comes and goes as whole buffers, which `struct`
    takes apart at C speed.
  - Slicing an ffi.buffer returns bytes: the one copy between a frame and Python.
  - Every call releases the GIL.

When the extension is missing, this module still imports; `available()` is false, `WHY`
says why, and `lib()` raises.
"""

from __future__ import annotations

import os
import struct
from array import array
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NewType, Protocol, cast

from .config import BATCH_MAX
from .errors import DatapathError, UnavailableError, host_errno

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CData = NewType("CData", object)

NEVER_NS: Final = 2**64 - 1
_WHY_BYTES: Final = 256

QX_CFG_TX_SOCKET: Final = 32
QX_CFG_HUGE_PAGES: Final = 128
QX_CFG_TX_SOCKET_IF_COPIED: Final = 256

# enum qx_xdp_mode and enum qx_pages, in order.
XDP_MODE_NAMES: Final = ("auto", "copy", "zerocopy", "generic")
PAGES_NAMES: Final = ("normal", "advised", "huge")

LANE_SOCKET: Final = 0
LANE_XDP: Final = 1
LANE_NAMES: Final = ("socket", "xdp")

# struct qx_addr, without padding: ip, port, family, zero, scope_id.
ADDR: Final = struct.Struct("=16sHBxI")
PATH_BYTES: Final = 2 * ADDR.size
NO_ADDR: Final = bytes(ADDR.size)

# struct qx_datagram, the fields that Python needs: off_bytes, len_bytes, path, lane.
DATAGRAM: Final = struct.Struct("=8xII4xHxB")

# struct qx_send_item as one 64-bit integer (little-endian): the length in the low half,
# the path's index above it.
ITEM_PATH_SHIFT: Final = 32


class Lib(Protocol):
    """The C API (native/include/quicxdp.h), as the type checker sees it."""

    def qx_open(self, out: CData, cfg: CData, why: CData, /) -> int: ...
    def qx_close(self, dp: CData, /) -> None: ...
    def qx_fd(self, dp: CData, /) -> int: ...
    def qx_wait(self, dp: CData, spin_ns: int, timeout_ns: int, /) -> int: ...
    def qx_spin(self, dp: CData, spin_ns: int, /) -> int: ...
    def qx_arm(self, dp: CData, deadline_ns: int, /) -> int: ...
    def qx_recv(self, dp: CData, batch: CData, now_ns: int, /) -> int: ...
    def qx_rejoin(self, dp: CData, why: CData, /) -> int: ...
    def qx_recv_done(self, dp: CData, batch: CData, /) -> None: ...
    def qx_send(  # noqa: PLR0917  # C has no keyword arguments
        self,
        dp: CData,
        payload: bytes,
        items: CData,
        item_cnt: int,
        paths: CData,
        path_cnt: int,
        /,
    ) -> int: ...
    def qx_flush(self, dp: CData, /) -> int: ...
    def qx_next_error(self, dp: CData, out: CData, /) -> int: ...
    def qx_local(self, dp: CData, out: CData, /) -> None: ...
    def qx_memory(self, dp: CData, lane: int, base: CData, /) -> int: ...
    def qx_get_stats(self, dp: CData, out: CData, /) -> int: ...
    def qx_interface(self, dp: CData, n: int, out: CData, /) -> int: ...
    def qx_tap_open(self, out: CData, cfg: CData, /) -> int: ...
    def qx_tap_close(self, tap: CData, /) -> None: ...
    def qx_tap_write(self, tap: CData, /) -> int: ...
    def qx_tap_secrets(self, tap: CData, lines: bytes, len_bytes: int, /) -> int: ...
    def qx_tap_get_stats(self, tap: CData, out: CData, /) -> None: ...
    def qx_set_tap(self, dp: CData, tap: CData, /) -> int: ...
    def qx_link_open(self, out: CData, cfg: CData, /) -> int: ...
    def qx_link_close(self, link: CData, /) -> None: ...
    def qx_link_configure(self, link: CData, cfg: CData, /) -> int: ...
    def qx_link_advance(self, link: CData, now_ns: int, /) -> int: ...
    def qx_link_inject(
        self, link: CData, end: int, frame: bytes, len_bytes: int, /
    ) -> int: ...
    def qx_open_memory(
        self, out: CData, link: CData, end: int, cfg: CData, why: CData, /
    ) -> int: ...
    def qx_forked(self) -> None: ...
    def qx_drop_name(self, reason: int, /) -> CData: ...
    def qx_frame_state_name(self, state: int, /) -> CData: ...
    def qx_ring_name(self, ring: int, /) -> CData: ...


def _load() -> tuple[Any, Lib | None, str]:
    try:
        extension: Any = import_module("._native_ext", __package__)
    except ImportError as error:
        why = (
            f"the C extension quicxdp._native_ext did not load ({error}); install "
            f"quicxdp where a C compiler is, on Linux or Windows"
        )
        return None, None, why
    ffi = extension.ffi
    sizes = {
        "struct qx_addr": ADDR.size,
        "struct qx_path": PATH_BYTES,
        "struct qx_datagram": DATAGRAM.size,
        "struct qx_send_item": array("Q").itemsize,
    }
    for name, size in sizes.items():
        if ffi.sizeof(name) != size:
            why = (
                f"the C extension was built from another version: {name} has "
                f"{ffi.sizeof(name)} bytes, not {size}; build it again"
            )
            return None, None, why
    return ffi, cast("Lib", extension.lib), ""


_ffi, _lib, WHY = _load()


def available() -> bool:
    """Tell whether the C extension can be used; `WHY` has the reason if not."""
    return _lib is not None


def lib() -> Lib:
    """Return the C API.

    Raises:
        UnavailableError: the extension did not load.
    """
    if _lib is None:
        raise UnavailableError(WHY)
    return _lib


def ffi() -> Any:  # noqa: ANN401
    """Return cffi's FFI object of the extension, for _native_engine.py alone.

    Raises:
        UnavailableError: the extension did not load.
    """
    if _lib is None:
        raise UnavailableError(WHY)
    return _ffi


def check(rc: int, doing: str, why: str = "") -> int:
    """Return *rc*, or raise the `DatapathError` that a negative *rc* stands for."""
    if rc < 0:
        code = host_errno(-rc)
        raise DatapathError(code, f"{doing}: {why or os.strerror(code)}")
    return rc


def open_datapath(
    *,
    socket_fd: int,
    local: bytes,
    remote: bytes,
    interfaces: Sequence[str],
    source_rules: bytes,
    **numbers: int,
) -> CData:
    """Open a datapath over the bound socket *socket_fd*, which it owns from then on.

    The other keys are those of struct qx_config.

    Raises:
        DatapathError: with the sentence that C gave; *socket_fd* is still the caller's.
    """
    native = lib()
    cfg = _config(local, remote, numbers)
    if interfaces:
        cfg.interface = interfaces[0].encode()
        cfg.more_interfaces = [name.encode() for name in interfaces[1:]]
    cfg.socket_fd = socket_fd
    # Copied by qx_open; until then this variable keeps the array alive.
    rules = _ffi.from_buffer("struct qx_source_rule[]", source_rules)
    cfg.source_rules = rules
    cfg.source_rule_cnt = len(rules)
    out = _ffi.new("struct qx_datapath **")
    why = _ffi.new(f"char[{_WHY_BYTES}]")
    rc = native.qx_open(out, cfg, why)
    check(rc, "opening the datapath", _ffi.string(why).decode(errors="replace"))
    return cast("CData", out[0])


def rejoin(dp: CData) -> None:
    """Let *dp* join its interface again.

    Raises:
        DatapathError: with the sentence that C gave.
    """
    why = _ffi.new(f"char[{_WHY_BYTES}]")
    rc = lib().qx_rejoin(dp, why)
    check(rc, "joining the interface", _ffi.string(why).decode(errors="replace"))


def _config(local: bytes, remote: bytes, numbers: Mapping[str, int]) -> Any:  # noqa: ANN401
    cfg = _ffi.new("struct qx_config *", dict(numbers))
    _ffi.memmove(_ffi.addressof(cfg, "local"), local, ADDR.size)
    _ffi.memmove(_ffi.addressof(cfg, "remote"), remote, ADDR.size)
    return cfg


def open_link(config: Mapping[str, int]) -> CData:
    """Open a simulated link; the keys of *config* are struct qx_link_config's."""
    out = _ffi.new("struct qx_link **")
    cfg = _ffi.new("struct qx_link_config *", dict(config))
    check(lib().qx_link_open(out, cfg), "opening a simulated link")
    return cast("CData", out[0])


def configure_link(link: CData, config: Mapping[str, int]) -> None:
    """Change what happens on *link* from now on."""
    cfg = _ffi.new("struct qx_link_config *", dict(config))
    check(lib().qx_link_configure(link, cfg), "configuring a simulated link")


def open_memory_datapath(
    link: CData,
    end: int,
    *,
    local: bytes,
    remote: bytes,
    rx_frame_cnt: int,
    tx_frame_cnt: int,
) -> CData:
    """Open a datapath over one end of a simulated link."""
    cfg = _config(
        local, remote, {"rx_frame_cnt": rx_frame_cnt, "tx_frame_cnt": tx_frame_cnt}
    )
    out = _ffi.new("struct qx_datapath **")
    why = _ffi.new(f"char[{_WHY_BYTES}]")
    rc = lib().qx_open_memory(out, link, end, cfg, why)
    check(rc, "opening a simulated datapath", _ffi.string(why).decode(errors="replace"))
    return cast("CData", out[0])


class Batch:
    """A struct qx_batch and views of the two arrays in it."""

    __slots__ = ("cdata", "datagrams", "path_cnt", "paths")

    def __init__(self) -> None:
        self.cdata: CData = _ffi.new("struct qx_batch *")
        raw = cast("Any", self.cdata)
        # ffi.buffer objects; their slices are bytes.
        self.datagrams: Any = _ffi.buffer(raw.datagrams)
        self.paths: Any = _ffi.buffer(raw.paths)
        # A view of the counter: reading it through cffi's attribute costs three times as
        # much.
        self.path_cnt = memoryview(_ffi.buffer(raw))[4:8].cast("I")


class SendArea:
    """Where the items and paths of a qx_send lie, written by slice assignment.

    `ffi.from_buffer` on fresh Python buffers would do, but costs a microsecond a call.
    """

    __slots__ = ("items", "items_cdata", "paths", "paths_cdata")

    def __init__(self) -> None:
        self.items_cdata: CData = _ffi.new(f"struct qx_send_item[{BATCH_MAX}]")
        self.paths_cdata: CData = _ffi.new(f"struct qx_path[{BATCH_MAX}]")
        items = _ffi.buffer(cast("Any", self.items_cdata))
        self.items: memoryview = memoryview(items).cast("B").cast("Q")
        self.paths: Any = _ffi.buffer(cast("Any", self.paths_cdata))


def memory(dp: CData, lane: int) -> Any:  # noqa: ANN401
    """Return the ffi.buffer that received payloads of *lane* lie in; it may be empty."""
    base = _ffi.new("uint8_t **")
    size = lib().qx_memory(dp, lane, base)
    return _ffi.buffer(base[0], size) if size else b""


def local(dp: CData) -> bytes:
    """Return the bound address, a struct qx_addr."""
    out = _ffi.new("struct qx_addr *")
    lib().qx_local(dp, out)
    return bytes(_ffi.buffer(out))


class ErrorSlot:
    """A struct qx_error to be filled again and again."""

    __slots__ = ("_raw", "cdata")

    def __init__(self) -> None:
        self.cdata: CData = _ffi.new("struct qx_error *")
        self._raw = _ffi.buffer(cast("Any", self.cdata))

    def read(self) -> tuple[int, bytes]:
        """Return the errno and the peer's struct qx_addr."""
        code: int = cast("Any", self.cdata).code
        return code, bytes(self._raw[8 : 8 + ADDR.size])


def _names(function: str) -> tuple[str, ...]:
    names: list[str] = []
    name_of = getattr(lib(), function)
    while (text := name_of(len(names))) != _ffi.NULL:
        names.append(_ffi.string(text).decode())
    return tuple(names)


def drop_names() -> tuple[str, ...]:
    """Return the names of enum qx_drop, in order."""
    return _names("qx_drop_name")


def frame_state_names() -> tuple[str, ...]:
    """Return the names of enum qx_frame_state, in order."""
    return _names("qx_frame_state_name")


def ring_names() -> tuple[str, ...]:
    """Return the names of enum qx_ring_kind, in order."""
    return _names("qx_ring_name")


def read_stats(dp: CData) -> dict[str, Any]:
    """Return struct qx_stats as plain Python numbers, arrays as lists."""
    out = _ffi.new("struct qx_stats *")
    check(lib().qx_get_stats(dp, out), "reading the datapath's statistics")
    values: dict[str, Any] = {}
    for name, _ in _ffi.typeof("struct qx_stats").fields:
        value = getattr(out, name)
        if name == "lane":
            lane_fields = [
                field for field, _ in _ffi.typeof("struct qx_lane_stats").fields
            ]
            values[name] = [
                {field: getattr(lane, field) for field in lane_fields} for lane in value
            ]
        elif isinstance(value, int):
            values[name] = value
        else:
            values[name] = list(value)
    return values


def read_interface(dp: CData, n: int) -> dict[str, Any] | None:
    """Return a struct qx_interface_info, its numbers as names; None: it is not there."""
    out = _ffi.new("struct qx_interface_info *")
    if not check(lib().qx_interface(dp, n, out), "asking about the interface"):
        return None
    return {
        "name": _ffi.string(out.name).decode(errors="replace"),
        "modes": tuple(XDP_MODE_NAMES[mode] for mode in list(out.mode)[: out.queue_cnt]),
        "pages": PAGES_NAMES[out.pages],
        "busy_poll": bool(out.busy_poll),
        "sends": bool(out.tx),
        "frame_bytes": out.frame_bytes,
        "note": _ffi.string(out.note).decode(errors="replace"),
    }


def open_tap(*, fd: int, file_max_bytes: int, secrets_bytes: int) -> CData:
    """Open a tap that writes to *fd*, which stays the caller's.

    Raises:
        DatapathError: there is no memory, or the file cannot be written.
    """
    out = _ffi.new("struct qx_tap **")
    cfg = _ffi.new(
        "struct qx_tap_config *",
        {"fd": fd, "file_max_bytes": file_max_bytes, "secrets_bytes": secrets_bytes},
    )
    check(lib().qx_tap_open(out, cfg), "starting a capture")
    return cast("CData", out[0])


def read_tap_stats(tap: CData) -> dict[str, int]:
    """Return struct qx_tap_stats as plain Python numbers."""
    out = _ffi.new("struct qx_tap_stats *")
    lib().qx_tap_get_stats(tap, out)
    names = [name for name, _ in _ffi.typeof("struct qx_tap_stats").fields]
    return {name: getattr(out, name) for name in names if name != "zero"}


def forked() -> None:
    """Tell C that this process is a forked child: every datapath refuses from here on."""
    if _lib is not None:
        _lib.qx_forked()
