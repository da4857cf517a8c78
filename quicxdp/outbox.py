"""What an endpoint is about to send.

    batch     the datagrams of this turn, in the form that one qx_send takes
    backlog   what the kernel had no room for, as (payload, path), in order

While there is a backlog everything goes behind it, so datagrams leave in the order in
which they were sent.  `stalled` says that the kernel refused, and that flushing again is
pointless before the datapath's descriptor became readable.
"""

from __future__ import annotations

from array import array
from collections import deque
from itertools import repeat
from operator import or_
from typing import TYPE_CHECKING, Final

from . import _native
from .config import SendLimits

if TYPE_CHECKING:
    from collections.abc import Callable

_SHIFT: Final = _native.ITEM_PATH_SHIFT

# What a datagram costs besides its payload, so that empty ones are bounded too; asyncio
# counts the same (UDP's header).
_OVERHEAD_BYTES: Final = 8


# Full batches of datagrams up to this size stay within SendLimits.batch_bytes.
_LARGE_BYTES: Final = 2048

# What `Outbox.aimed_at` holds when the batch is aimed nowhere; no address is this object.
NOWHERE: Final = object()


class Outbox:
    """Datagrams on their way to one `Datapath.send`.

    The caller aims (`aim`) and then adds payloads for that destination (`add`), as long
    as `aimed_at` is still what it aimed at.
    """

    __slots__ = (
        "_aims",
        "_backlog",
        "_cnt_max",
        "_indices",
        "_large_bytes",
        "_limits",
        "_paths",
        "_payloads",
        "_send",
        "aimed_at",
        "backlog_bytes",
        "dropped_cnt",
        "stalled",
    )

    def __init__(
        self,
        send: Callable[[bytes, array[int], list[bytes]], int],
        limits: SendLimits | None = None,
    ) -> None:
        self._send = send
        self._limits = limits or SendLimits()
        self._cnt_max = self._limits.batch_datagram_cnt
        self._backlog: deque[tuple[bytes, bytes]] = deque()
        self.backlog_bytes = 0
        self.dropped_cnt = 0
        self.stalled = False
        self._payloads: list[bytes] = []
        self._large_bytes = 0
        self._paths: list[bytes] = []
        self._indices: dict[bytes, int] = {}
        # From which payload on, which path: (position, index).
        self._aims: list[tuple[int, int]] = []
        self.aimed_at: object = NOWHERE

    def _start_batch(self) -> None:
        self._payloads.clear()
        self._large_bytes = 0
        self._paths.clear()
        self._indices.clear()
        self._aims.clear()
        self.aimed_at = NOWHERE

    def __bool__(self) -> bool:
        """Whether anything waits here."""
        return bool(self._payloads or self._backlog)

    def aim(self, path: bytes, aimed_at: object) -> None:
        """Let `add` send to *path*, until the batch ends or the next `aim`."""
        index = self._indices.get(path)
        if index is None:
            index = self._indices[path] = len(self._paths)
            self._paths.append(path)
        self._aims.append((len(self._payloads), index))
        self.aimed_at = aimed_at

    def add(self, payload: bytes) -> int:
        """Put one datagram into the batch.

        Returns:
            How many the batch has, or 0 if it is full and must be flushed now.
        """
        payloads = self._payloads
        payloads.append(payload)
        cnt = len(payloads)
        if cnt >= self._cnt_max or (
            len(payload) > _LARGE_BYTES and self._is_large(payload)
        ):
            return 0
        return cnt

    def _is_large(self, payload: bytes) -> bool:
        # Small ones are bounded by their number, and not counted.
        self._large_bytes += len(payload)
        return self._large_bytes >= self._limits.batch_bytes

    def _items(self) -> array[int]:
        """Return the batch's struct qx_send_item."""
        sizes = map(len, self._payloads)
        if len(self._paths) == 1:
            return array("Q", sizes)
        ends = [start for start, _ in self._aims[1:]]
        ends.append(len(self._payloads))
        indices: list[int] = []
        for (start, index), end in zip(self._aims, ends, strict=True):
            indices.extend(repeat(index << _SHIFT, end - start))
        return array("Q", map(or_, sizes, indices))

    def defer(self, payload: bytes, path: bytes) -> None:
        """Put one datagram behind the backlog; for when the outbox is stalled."""
        size = len(payload) + _OVERHEAD_BYTES
        if self.backlog_bytes + size > self._limits.backlog_bytes:
            self.dropped_cnt += 1
            return
        self._backlog.append((payload, path))
        self.backlog_bytes += size

    def flush(self) -> bool:
        """Send the batch; what finds no room becomes the backlog.

        Returns:
            Whether there was anything in the batch.

        Raises:
            DatapathError: the datapath cannot send at all; the batch is lost.
        """
        payloads = self._payloads
        if not payloads:
            return False
        cnt = len(payloads)
        items = self._items()
        try:
            taken = self._send(
                b"".join(payloads) if cnt > 1 else payloads[0], items, self._paths
            )
            if taken < cnt:
                self.stalled = True
                for i in range(cnt - 1, taken - 1, -1):
                    self._backlog.appendleft(
                        (payloads[i], self._paths[items[i] >> _SHIFT])
                    )
                    self.backlog_bytes += len(payloads[i]) + _OVERHEAD_BYTES
        finally:
            self._start_batch()
        return True

    def resume(self) -> None:
        """Try the backlog again, now that the datapath may have room."""
        self.stalled = False
        backlog = self._backlog
        while backlog and not self.stalled:
            full = False
            while backlog and not full:
                payload, path = backlog.popleft()
                self.backlog_bytes -= len(payload) + _OVERHEAD_BYTES
                self.aim(path, NOWHERE)
                full = not self.add(payload)
            self.flush()

    def clear(self) -> None:
        """Drop everything."""
        self._start_batch()
        self._backlog.clear()
        self.backlog_bytes = 0
        self.stalled = False
