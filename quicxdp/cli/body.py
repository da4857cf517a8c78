"""The bytes of one outgoing message, read piece by piece when they can be sent.

Reading a file that is in the page cache costs microseconds, reading one that is not can
stall a disk's worth of milliseconds, and with it every connection of the event loop.  So
`Body.take` asks the kernel for what is in memory only (RWF_NOWAIT), and says "not now"
otherwise; the caller then runs `Body.load` in a thread.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .static import FileSlice, Part, Zeros, part_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK_BYTES = 64 * 1024
_NOWAIT = getattr(os, "RWF_NOWAIT", None)
_ZEROS = bytes(CHUNK_BYTES)
# Where RWF_NOWAIT reads land before they become bytes.  Only `take` uses it, and `take`
# runs in the one thread of the event loop.
_scratch = bytearray(CHUNK_BYTES)


class BodyError(Exception):
    """The bytes that the head has promised cannot be had any more."""


class Body:
    """Parts, one after the other; owns *fd*."""

    def __init__(self, parts: Sequence[Part], fd: int | None = None) -> None:
        """Take over *fd*, the file that every `FileSlice` of *parts* lies in."""
        self._parts = list(reversed(parts))
        self._fd = -1 if fd is None else fd
        self._loaded = b""
        self._is_loading = False
        self._close_pending = False
        self.remaining_bytes = sum(map(part_bytes, parts))

    def take(self) -> bytes:
        """Return the next bytes, up to `CHUNK_BYTES`; none if they must be loaded first.

        Raises:
            BodyError: the file became shorter, or cannot be read.
        """
        if self._loaded:
            data, self._loaded = self._loaded, b""
        elif self._is_loading or not self._parts:
            return b""
        elif isinstance(part := self._parts[-1], FileSlice):
            data = self._read_cached(part)
        elif isinstance(part, Zeros):
            data = _ZEROS[: part.length_bytes]
        else:
            data = part[:CHUNK_BYTES]
        if data:
            self._advance(len(data))
        return data

    def begin_load(self) -> None:
        """Mark that `load` will run in a thread; `close` waits for `end_load` then."""
        self._is_loading = True

    def load(self) -> bytes:
        """Read the next piece from the disk.  The only method for other threads.

        Raises:
            BodyError: as `take`.
        """
        part = self._parts[-1]
        assert isinstance(part, FileSlice)  # noqa: S101  (take returns the others at once)
        try:
            data = os.pread(
                self._fd, min(CHUNK_BYTES, part.length_bytes), part.offset_bytes
            )
        except OSError as error:
            raise BodyError(f"reading the file failed: {error.strerror}") from error
        return _checked(data, part)

    def end_load(self, data: bytes) -> None:
        """Hand over what `load` returned (nothing, if it failed)."""
        self._is_loading = False
        self._loaded = data
        if self._close_pending:
            self.close()

    def close(self) -> None:
        """Let go of the file, now or when the thread that reads it is done with it.

        Closing a descriptor under a reading thread would let it read whatever file gets
        the same number next.
        """
        if self._is_loading:
            self._close_pending = True
        elif self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_cached(self, part: FileSlice) -> bytes:
        if _NOWAIT is None:
            return b""
        wanted_bytes = min(CHUNK_BYTES, part.length_bytes)
        view = memoryview(_scratch)[:wanted_bytes]
        try:
            read_bytes = os.preadv(self._fd, [view], part.offset_bytes, _NOWAIT)
        except BlockingIOError:
            return b""
        except OSError:
            # Not every file system knows RWF_NOWAIT; a real fault shows itself in `load`.
            return b""
        return _checked(bytes(view[:read_bytes]), part)

    def _advance(self, taken_bytes: int) -> None:
        self.remaining_bytes -= taken_bytes
        part = self._parts.pop()
        left_bytes = part_bytes(part) - taken_bytes
        if not left_bytes:
            return
        if isinstance(part, FileSlice):
            self._parts.append(FileSlice(part.offset_bytes + taken_bytes, left_bytes))
        elif isinstance(part, Zeros):
            self._parts.append(Zeros(left_bytes))
        else:
            self._parts.append(part[taken_bytes:])


def _checked(data: bytes, part: FileSlice) -> bytes:
    if not data and part.length_bytes:
        raise BodyError("the file became shorter while it was being sent")
    return data
