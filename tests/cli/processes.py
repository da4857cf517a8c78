"""Real processes of the command line, as a user starts them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

QUICXDP = [sys.executable, "-m", "quicxdp"]
LAST_LINE = "Stop with Ctrl-C."


@dataclass
class Running:
    """A server process and what it has printed."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port it has announced."""
        for line in self.lines:
            if match := re.search(r"https://\S*:(\d+)/ ", line):
                return int(match[1])
        raise AssertionError(self.lines)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit status and everything printed."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait for the end."""
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, "\n".join([*self.lines, rest])


@contextmanager
def running(*arguments: str) -> Generator[Running]:
    """Start `quicxdp serve` and wait until it has said that it listens."""
    process = subprocess.Popen(
        [*QUICXDP, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = Running(process)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            server.lines.append(line.rstrip())
            if line.startswith(LAST_LINE):
                break
        yield server
    finally:
        process.kill()
        process.communicate()


def options(pki: Path, *, port: int = 0) -> list[str]:
    """Return the options that every server here needs."""
    return [
        "--port",
        str(port),
        "--certfile",
        f"{pki}/cert.pem",
        "--keyfile",
        f"{pki}/key.pem",
    ]


def begin_endless(pki: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a fetch that takes for ever, and wait until it has begun."""
    client = subprocess.Popen(
        [
            *QUICXDP,
            "fetch",
            f"https://localhost:{port}/{1 << 40}",
            "--cacert",
            f"{pki}/ca.pem",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert len(client.stdout.read(100_000)) == 100_000
    return client
