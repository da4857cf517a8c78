"""Child processes that answer in lines of JSON.

A child has a session of its own, so that Ctrl-C reaches only whoever started it; and it
ends at the end of its standard input, so that it does not outlive a parent that was
killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from . import meters
from .namespaces import entered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LAST_WORDS_BYTES: Final = 2000
_END_S: Final = 5.0
_READ_BYTES: Final = 65536


class BenchError(Exception):
    """A measurement could not be made; the text says which part failed and how."""


@dataclass(slots=True)
class Program:
    """A running child."""

    name: str
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    _read: bytearray = field(default_factory=bytearray)  # beyond the last line given

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    def read_line(self, timeout_s: float) -> str:
        """Return the next line that the program prints.

        Raises:
            BenchError: it has ended, or takes too long.
        """
        assert self.process.stdout is not None  # noqa: S101  (a pipe)
        stdout = self.process.stdout.fileno()
        while (end := self._read.find(b"\n")) < 0:
            if not select.select([stdout], [], [], timeout_s)[0]:
                raise BenchError(f"{self.name}: said nothing for {timeout_s:g} s")
            data = os.read(stdout, _READ_BYTES)
            if not data:
                raise BenchError(f"{self.name}: ended early: {self._last_words()}")
            self._read += data
        line = self._read[:end].decode("utf-8", "replace")
        del self._read[: end + 1]
        return line

    def wait_ready(self, timeout_s: float = 15.0) -> None:
        """Return when the program has said "ready".

        Raises:
            BenchError: it did not.
        """
        word = self.read_line(timeout_s).strip()
        if word != "ready":
            raise BenchError(f"{self.name}: said {word!r} in place of ready")

    def read_json(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """Return the next line as an object.

        Raises:
            BenchError: it has ended, or takes too long.
        """
        answer: dict[str, Any] = json.loads(self.read_line(timeout_s))
        return answer

    def tell(self, line: str) -> None:
        """Write a line to the program.

        Raises:
            BenchError: it has ended.
        """
        assert self.process.stdin is not None  # noqa: S101  (a pipe)
        try:
            self.process.stdin.write(f"{line}\n".encode())
        except OSError:
            raise BenchError(f"{self.name}: ended early: {self._last_words()}") from None

    def ask(self, line: str) -> dict[str, Any]:
        """Write a line to the program and return its answer.

        Raises:
            BenchError: it has ended, or takes too long.
        """
        self.tell(line)
        return self.read_json()

    def cpu_ns(self) -> int:
        """Return the user and system time of the process, all its threads.

        Raises:
            BenchError: it has ended.
        """
        try:
            return meters.cpu_ns(self.pid)
        except OSError:
            raise BenchError(f"{self.name}: ended early: {self._last_words()}") from None

    def end(self) -> None:
        """Kill the process and what it has started, and collect it."""
        # Before the wait: until then its number cannot be another's group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_S)
        self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(self.errors.tell() - _LAST_WORDS_BYTES, 0))
        said = self.errors.read().decode("utf-8", "replace").strip()
        return said or f"exit status {self.process.returncode}, nothing on stderr"


@contextlib.contextmanager
def launched(
    argv: Sequence[str], *, core: int | None = None, namespace: int | None = None
) -> Iterator[Program]:
    """Run *argv* on one core, in a namespace; end it at the end of the block."""
    # In a file: nobody reads along, and a full pipe would stop the program.
    errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `end`)
    with entered(namespace), pinned(core):
        process = subprocess.Popen(  # noqa: S603  (words of ours)
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            start_new_session=True,
        )
    name = " ".join([Path(argv[0]).name, *argv[1:]])
    program = Program(name, process, errors)
    try:
        yield program
    finally:
        program.end()


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keep the calling thread to a core, and what it starts; None changes nothing."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
