"""Run `quicxdp serve` as a child, in a namespace or here, and ask it for its counters.

The demo and the tests of netns/ and interop/ start the very command that users start.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = ["HERE", "Certificate", "Place", "ServeError", "Server", "make_certificate"]

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
STATS_TIMEOUT_S = 5.0
POLL_INTERVAL_S = 0.01
# The last line of what the server prints once it listens.
READY_LINE = "Stop with Ctrl-C"


class ServeError(Exception):
    """The server did not start, answer or stop; the text holds what it printed."""


class Place(Protocol):
    """Where a command runs: `HERE`, or a `qxnet.Netns`."""

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout_s: float = ...,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""

    def start(
        self,
        argv: Sequence[str],
        *,
        stdout: int | None = None,
        stderr: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command."""


class _Here:
    """The namespace that this process is in."""

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, its output captured as text."""
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout_s,
            env=env,
            cwd=cwd,
        )
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise ServeError(f"{' '.join(argv)}: exit status {done.returncode}: {said}")
        return done

    def start(
        self,
        argv: Sequence[str],
        *,
        stdout: int | None = None,
        stderr: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command; whoever asked for it ends it."""
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            text=True,
        )


HERE = _Here()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A development certificate on disk."""

    certificate: Path
    key: Path
    ca: Path
    spki_sha256: str


class Server:
    """A running `quicxdp serve`; a context manager that stops it gracefully.

    With port 0 the kernel picks one; `port` is the one in use once the server runs.
    """

    def __init__(
        self,
        place: Place,
        folder: Path,
        *,
        work: Path,
        certificate: Certificate,
        hosts: Sequence[str],
        port: int = 0,
        options: Sequence[str] = (),
    ) -> None:
        self._place = place
        self.port = port
        self._stats_file = work / f"stats-{port}-{time.monotonic_ns()}.json"
        self.argv = [
            *(PYTHON, "-m", "quicxdp", "serve", str(folder)),
            *(part for host in hosts for part in ("--host", host)),
            *("--port", str(port)),
            *("--certfile", str(certificate.certificate)),
            *("--keyfile", str(certificate.key)),
            *("--stats-file", str(self._stats_file)),
            *options,
        ]
        self.lines: list[str] = []
        self._news: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        """As `start`."""
        self.start()
        return self

    def start(self) -> None:
        """Start the server and wait until it says that it serves.

        Raises:
            ServeError: it ended instead, or took too long; it is gone then.
        """
        self.process = self._place.start(
            self.argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._wait_for_line(READY_LINE)
            self.port = self._announced_port()
        except ServeError:
            self.process.kill()
            self.join()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server as Ctrl-C would, whatever happened inside."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise ServeError(f"still there after Ctrl-C:\n{self.text}") from error
        finally:
            self.join()

    @property
    def text(self) -> str:
        """All that the server has printed until now."""
        return "\n".join(self.lines)

    def stats(self) -> dict[str, Any]:
        """Ask the running server for its counters (SIGUSR1)."""
        self._stats_file.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + STATS_TIMEOUT_S
        while not self._stats_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ServeError(f"no statistics from the server:\n{self.text}")
            time.sleep(POLL_INTERVAL_S)
        return self.last_stats()

    def last_stats(self) -> dict[str, Any]:
        """Return the counters that the server wrote last, at the latest on its exit."""
        stats: dict[str, Any] = json.loads(self._stats_file.read_text(encoding="utf-8"))
        return stats

    def _read(self) -> None:
        if self.process.stdout is not None:
            for line in self.process.stdout:
                self.lines.append(line.rstrip("\n"))
                self._news.put(line)
        self._news.put(None)

    def join(self) -> None:
        """Wait for the end of the server, and of what it prints."""
        self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _announced_port(self) -> int:
        found = re.search(r"^  https://\S+:(\d+)/ ", self.text, re.MULTILINE)
        if found is None:
            raise ServeError(f"the server told no address:\n{self.text}")
        return int(found[1])

    def _wait_for_line(self, start: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                line = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ServeError(f"no line {start!r} in time:\n{self.text}") from None
            if line is None:
                code = self.process.wait()
                raise ServeError(f"the server ended with status {code}:\n{self.text}")
            if line.startswith(start):
                return


def make_certificate(folder: Path, names: Sequence[str]) -> Certificate:
    """Make a development certificate for localhost and *names* with `quicxdp cert`."""
    argv = [PYTHON, "-m", "quicxdp", "cert", "--dir", str(folder), "--force"]
    argv += [part for name in names for part in ("--name", name)]
    said = HERE.run(argv, cwd=ROOT).stdout
    found = re.search(r"SPKI SHA-256 (\S+)", said)
    if found is None:
        raise ServeError(f"quicxdp cert told no SPKI hash:\n{said}")
    return Certificate(
        certificate=folder / "cert.pem",
        key=folder / "key.pem",
        ca=folder / "ca.pem",
        spki_sha256=found[1],
    )
