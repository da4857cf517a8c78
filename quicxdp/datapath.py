"""The C datapath as a Python object: batches of `bytes` in, batches of `bytes` out.

Invariants:
  - The boundary is crossed per batch: receiving is one call that fills a batch, one that
    gives its buffers back; sending is one call.
  - No frame is lent beyond `recv`: payloads are copied into `bytes` and the whole batch
    goes back before it returns.
  - Nothing here knows an event loop; time comes in as an argument.
"""

from __future__ import annotations

import socket
import struct
import warnings
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, NoReturn
from weakref import WeakSet

from . import _native, stats
from .addresses import AddressBook, PeerAddress, pack_addr, unpack_addr
from .config import DatapathConfig, Sending
from .errors import host_errno
from .ownership import Owner
from .stats import InterfaceStats, LaneCounts

if TYPE_CHECKING:
    from array import array

    from .addresses import Address
    from .capture import Capture
    from .stats import Stats

WHAT: Final = "this datapath"

_PATH_BYTES: Final = _native.PATH_BYTES
_iter_paths = struct.Struct(f"{_PATH_BYTES}s").iter_unpack
_DATAGRAM_BYTES: Final = _native.DATAGRAM.size
_iter_datagrams = _native.DATAGRAM.iter_unpack
_one_datagram = _native.DATAGRAM.unpack_from

_open: WeakSet[Datapath] = WeakSet()


class Datapath:
    """One UDP address and port, over the kernel's socket and, if named, an XDP device."""

    __slots__ = (
        "__weakref__",
        "_area",
        "_batch",
        "_book",
        "_dp",
        "_error",
        "_last_path",
        "_memories",
        "_owner",
        "_peers",
        "_qx_next_error",
        "_qx_recv",
        "_qx_recv_done",
        "_qx_send",
        "config",
        "family",
        "fd",
    )

    def __init__(
        self, dp: _native.CData, family: int, config: DatapathConfig, owner: Owner
    ) -> None:
        """Take over the open *dp*; use `Datapath.open`."""
        native = _native.lib()
        self.config = config
        self.family = family
        self.fd = native.qx_fd(dp)
        self._dp: _native.CData | None = dp
        self._owner = owner
        self._batch = _native.Batch()
        self._area = _native.SendArea()
        self._last_path = b""  # what area.paths holds, if it is one
        self._error = _native.ErrorSlot()
        self._book = AddressBook(family)
        self._peers = self._book.peers
        self._memories: tuple[Any, ...] = _memories(dp, config)
        # Bound once: a global and two attribute look-ups per batch are a tenth of it.
        self._qx_recv = native.qx_recv
        self._qx_recv_done = native.qx_recv_done
        self._qx_send = native.qx_send
        self._qx_next_error = native.qx_next_error
        _open.add(self)

    @classmethod
    def open(
        cls,
        sock: socket.socket,
        config: DatapathConfig | None = None,
        *,
        owner: Owner | None = None,
        capture: Capture | None = None,
    ) -> Datapath:
        """Open a datapath on the address that *sock* is bound (and connected) to.

        The datapath works on a duplicate; *sock* stays the caller's and remains useful
        for socket options.  The packets go to *capture* as well.

        Raises:
            DatapathError: the kernel or the device refused.
            UnavailableError: the C extension is missing.
        """
        config = config or DatapathConfig()
        family = sock.family
        try:
            remote = pack_addr(family, sock.getpeername())
        except OSError:
            remote = _native.NO_ADDR
        # Not os.dup: a socket of Windows is no descriptor of the C library.
        fd = sock.dup().detach()
        try:
            dp = _native.open_datapath(
                socket_fd=fd,
                local=pack_addr(family, sock.getsockname()),
                remote=remote,
                interfaces=config.interfaces,
                source_rules=config.sources.packed(),
                flags=_flags(config),
                rx_frame_cnt=config.rx_frame_cnt,
                tx_frame_cnt=config.tx_frame_cnt,
                socket_buffer_bytes=config.socket_buffer_bytes,
                xdp_mode=_native.XDP_MODE_NAMES.index(config.xdp.mode.value),
                busy_poll_us=config.xdp.busy_poll_us,
                busy_poll_budget=config.xdp.busy_poll_budget,
            )
        except BaseException:
            socket.close(fd)
            raise
        opened = cls(dp, family, config, owner or Owner())
        if capture is not None:
            try:
                capture.attach(dp)
            except BaseException:
                opened.close()
                raise
        return opened

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._dp is None

    @property
    def book(self) -> AddressBook:
        """The endpoint's addresses, in asyncio's form and in C's."""
        return self._book

    @property
    def cdata(self) -> _native.CData:
        """The datapath in C, for an engine that is closed before it."""
        return self._alive()

    def recv(self, now_ns: int) -> list[tuple[bytes, PeerAddress]]:
        """Return what has arrived, at most `BATCH_MAX` datagrams.

        As many as that mean that more may wait and that `fd` may not say so.

        Raises:
            DatapathError: ENETDOWN once, when the interface is gone, ESTALE once, when
                it has changed; the socket lane goes on, and `rejoin` may follow.
        """
        if get_ident() != self._owner.thread:
            self._owner.refuse(WHAT)
        batch = self._batch
        cdata = batch.cdata
        cnt = self._qx_recv(self._dp, cdata, now_ns)  # type: ignore[arg-type]
        if cnt <= 0:
            _native.check(cnt, "receiving")
            return []
        try:
            memories = self._memories
            find = self._peers.get
            make = self._book.peer
            if cnt == 1:
                off, size, _, lane = _one_datagram(batch.datagrams)
                path = batch.paths[:_PATH_BYTES]
                return [(memories[lane][off : off + size], find(path) or make(path))]
            from_paths = [
                find(path) or make(path)
                for (path,) in _iter_paths(batch.paths[: batch.path_cnt[0] * _PATH_BYTES])
            ]
            return [
                (memories[lane][off : off + size], from_paths[path])
                for off, size, path, lane in _iter_datagrams(
                    batch.datagrams[: cnt * _DATAGRAM_BYTES]
                )
            ]
        finally:
            self._qx_recv_done(self._dp, cdata)  # type: ignore[arg-type]

    def rejoin(self) -> None:
        """Join the interface again, after `recv` has said ENETDOWN or ESTALE.

        It never waits.  What waits on `fd` in another thread may go on doing so.

        Raises:
            DatapathError: it is not possible now; EPERM and EACCES: nor will it be.
        """
        self._owner.check(WHAT)
        dp = self._alive()
        try:
            _native.rejoin(dp)
        finally:
            # The old device's is gone, whatever came of it.
            self._memories = _memories(dp, self.config)

    def send(self, payload: bytes, items: array[int], paths: list[bytes]) -> int:
        """Send the datagrams that *items* cut *payload* into.

        Args:
            payload: all payloads, one behind the other.
            items: per datagram its length, and the index of its path shifted left by
                `_native.ITEM_PATH_SHIFT`; at most `BATCH_MAX`.
            paths: the raw paths, at most as many.

        Returns:
            How many were taken, from the front.  The rest found no room; `fd` becomes
            readable once there is some.
        """
        if get_ident() != self._owner.thread:
            self._owner.refuse(WHAT)
        area = self._area
        cnt = len(items)
        if cnt == 1:
            area.items[0] = items[0]
        else:
            area.items[:cnt] = items
        if len(paths) != 1:
            self._last_path = b""
            area.paths[: len(paths) * _PATH_BYTES] = b"".join(paths)
        elif paths[0] is not self._last_path:
            self._last_path = paths[0]
            area.paths[:_PATH_BYTES] = paths[0]
        taken = self._qx_send(
            self._dp,  # type: ignore[arg-type]
            payload,
            area.items_cdata,
            cnt,
            area.paths_cdata,
            len(paths),
        )
        if taken < 0:
            _native.check(taken, "sending")
        return taken

    def flush(self) -> bool:
        """Try again to hand over what was taken but had to stay.

        Returns:
            Whether something still has to; `fd` becomes readable when to call again.
        """
        self._owner.check(WHAT)
        return bool(_native.check(_native.lib().qx_flush(self._alive()), "sending"))

    def arm(self, deadline_ns: int) -> None:
        """Make `fd` readable at *deadline_ns*; `_native.NEVER_NS` disarms."""
        self._owner.check(WHAT)
        _native.check(_native.lib().qx_arm(self._alive(), deadline_ns), "arming a timer")

    def spin(self, spin_ns: int) -> bool:
        """Look again and again, for at most *spin_ns*, whether `fd` is readable.

        Returns:
            Whether it is.
        """
        self._owner.check(WHAT)
        rc = _native.lib().qx_spin(self._alive(), spin_ns)
        return bool(_native.check(rc, "looking for datagrams"))

    def wait(self, spin_ns: int, timeout_ns: int) -> bool:
        """Wait until there is something to do, in another thread than the owner's.

        The owner may use the datapath meanwhile, but not close it; `arm(0)` ends the
        wait.

        Args:
            spin_ns: how long to look again and again before sleeping.
            timeout_ns: how long to wait altogether.

        Returns:
            Whether there is something.
        """
        rc = _native.lib().qx_wait(self._alive(), spin_ns, timeout_ns)
        return bool(_native.check(rc, "waiting"))

    def errors(self) -> list[tuple[int, Address | None]]:
        """Take the errors that the kernel reported: errno and peer, if it said whose."""
        found: list[tuple[int, Address | None]] = []
        if get_ident() != self._owner.thread:
            self._owner.refuse(WHAT)
        while self._qx_next_error(self._dp, self._error.cdata) == 1:  # type: ignore[arg-type]
            code, peer = self._error.read()
            found.append((host_errno(code), unpack_addr(self.family, peer)))
        return found

    def local(self) -> Address:
        """Return the bound address, with the port that the kernel picked."""
        self._owner.check(WHAT)
        return unpack_addr(self.family, _native.local(self._alive())) or ()

    def stats(
        self, *, backlog_dropped: int = 0, lane_counts: LaneCounts | None = None
    ) -> Stats:
        """Return the counters; one system call, and two per XDP queue."""
        self._owner.check(WHAT)
        return stats.from_native(
            _native.read_stats(self._alive()),
            lane_names=_native.LANE_NAMES,
            drop_names=_native.drop_names(),
            frame_state_names=_native.frame_state_names(),
            ring_names=_native.ring_names(),
            interfaces=self.interfaces(),
            backlog_dropped=backlog_dropped,
            lane_counts=lane_counts or LaneCounts(),
        )

    def interfaces(self) -> dict[str, InterfaceStats]:
        """Return what the interfaces turned out to be, by name; no system call."""
        dp = self._alive()
        numbers = range(len(self.config.interfaces))
        found = [_native.read_interface(dp, number) for number in numbers]
        return {item.pop("name"): InterfaceStats(**item) for item in found if item}

    def census(self) -> dict[str, int]:
        """Return how many frames are where; the values sum to `Stats.frame_cnt`."""
        return dict(self.stats().frames)

    def close(self) -> None:
        """Close the socket and leave the device; harmless when repeated."""
        if self._dp is None:
            return
        if not self._owner.forked:
            self._owner.check(WHAT)
        dp, self._dp = self._dp, None
        self._memories = ()
        # Not a test in recv and send themselves, which are hot.
        self._qx_recv = self._qx_send = self._qx_next_error = _refuse_closed
        _open.discard(self)
        _native.lib().qx_close(dp)

    def _alive(self) -> _native.CData:
        if self._dp is None:
            _refuse_closed()
        return self._dp

    def __del__(self) -> None:
        if getattr(self, "_dp", None) is not None:
            if not self._owner.forked:
                warnings.warn(
                    f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2
                )
            # The collector may run in any thread; by now nobody else can be inside.
            self._owner.thread = get_ident()
            self.close()


def _memories(dp: _native.CData, config: DatapathConfig) -> tuple[Any, ...]:
    # The socket's, and one for each interface; the simulated NIC's has no name.
    lane_cnt = 1 + max(1, len(config.interfaces))
    return tuple(_native.memory(dp, lane) for lane in range(lane_cnt))


def _flags(config: DatapathConfig) -> int:
    flags = {
        Sending.XDP: 0,
        Sending.SOCKET: _native.QX_CFG_TX_SOCKET,
        Sending.XDP_IF_ZEROCOPY: _native.QX_CFG_TX_SOCKET_IF_COPIED,
    }[config.sending]
    return flags | (_native.QX_CFG_HUGE_PAGES if config.xdp.huge_pages else 0)


def _refuse_closed(*_: object) -> NoReturn:
    raise RuntimeError("this datapath is closed")


def open_datapaths() -> list[Datapath]:
    """Return every datapath of this process that is not closed; for leak checks."""
    return list(_open)
