"""Where `quicxdp fetch` puts a body: a descriptor, written without holding up the loop.

A pipe into a pager may stand still for as long as its reader likes.  Standard output is
shared with other processes, so it is not made non-blocking (they would see that too);
instead it is asked whether it is ready, and given at most PIPE_BUF bytes, which a ready
pipe takes without blocking (pipe(7)).
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
from typing import TYPE_CHECKING

from .exits import CommandError, FetchExit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_REGULAR_CHUNK_BYTES = 256 * 1024
_PIPE_BYTES = getattr(select, "PIPE_BUF", 512)
_STALL_S = 10.0
# Windows has no O_CLOEXEC, and writes text unless told not to.
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Sink:
    """A file or pipe to write to; closes it if it has opened it."""

    def __init__(self, fd: int, name: str, *, owned: bool) -> None:
        """Write to *fd*; *name* is for messages."""
        self._fd = fd
        self._name = name
        self._owned = owned
        is_regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._chunk_bytes = _REGULAR_CHUNK_BYTES if is_regular else _PIPE_BYTES
        # Windows has neither poll nor pipes that could be asked: writing blocks there.
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(fd, select.POLLOUT)

    @classmethod
    def create(cls, path: Path) -> Sink:
        """Open a file for writing, emptied."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o666)
        except OSError as error:
            raise CommandError(
                f"{path} cannot be written: {error.strerror}", FetchExit.WRITE_ERROR
            ) from None
        return cls(fd, str(path), owned=True)

    @property
    def is_terminal(self) -> bool:
        """Whether a person is looking."""
        return os.isatty(self._fd)

    async def write(self, data: bytes, on_stall: Callable[[], object]) -> None:
        """Write all of *data*; *on_stall* is called every few seconds that it takes.

        Raises:
            CommandError: the disk is full, the reader has gone, ...
        """
        view = memoryview(data)
        try:
            while view:
                while self._poll is not None and not self._poll.poll(0):
                    await self._wait(on_stall)
                view = view[os.write(self._fd, view[: self._chunk_bytes]) :]
        except BrokenPipeError:
            raise CommandError(
                f"{self._name}: its reader has gone", FetchExit.WRITE_ERROR
            ) from None
        except OSError as error:
            raise CommandError(
                f"writing to {self._name} failed: {error.strerror}", FetchExit.WRITE_ERROR
            ) from None

    def close(self) -> None:
        """Close the file, if it is ours."""
        if self._owned and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def _wait(self, on_stall: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._fd, ready.set)
        try:
            async with asyncio.timeout(_STALL_S):
                await ready.wait()
        except TimeoutError:
            on_stall()
        finally:
            loop.remove_writer(self._fd)
