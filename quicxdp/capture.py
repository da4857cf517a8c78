"""Capture: the packets of endpoints in a pcapng file, for Wireshark and tshark.

tcpdump does not see what AF_XDP takes from an interface, so the datapath writes down what
passes it (native/include/quicxdp_tap.h).

Invariants:
  - The file is made anew, for its owner only, never through a link, and never grows
    beyond max_bytes.
  - The event loop's thread puts records into a ring in memory; a thread of the capture
    moves them to the file.  A slow disk loses records, which are counted, and delays
    nothing.
  - TLS secrets are embedded only if asked for.  They are written by the event loop's
    thread as they come, a few lines per connection.

    with quicxdp.Capture("run.pcapng", with_secrets=True) as capture:
        configuration.secrets_log_file = capture.secrets_log
        server = await quicxdp.serve(..., capture=capture)
"""

from __future__ import annotations

import io
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from . import _native, private_file
from .errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

logger = logging.getLogger(__name__)

MAX_BYTES_DEFAULT: Final = 256 << 20
_MAX_BYTES_MIN: Final = 64 << 10
# About 1 KiB a connection; tshark reads as much as this in a hundredth of a second.
_SECRETS_SHARE: Final = 16
_SECRETS_BYTES_MAX: Final = 1 << 20
# At this pace the ring of 8 MiB holds what 160 MB/s leave behind.
_INTERVAL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class CaptureStats:
    """struct qx_tap_stats: what is in a capture's file, and what is not."""

    packets: int
    dropped_ring_full: int  # packets: the disk was too slow
    dropped_file_full: int  # packets: max_bytes was reached
    secrets_lost: int  # lines: their room was full, or the disk
    file_bytes: int
    file_error: int  # errno of a failed write, after which nothing is written; 0: none


class Capture:
    """A pcapng file that endpoints write their packets to; a context manager.

    It is made and used in the thread of the endpoints.  Packets before `start` wait in
    memory.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        max_bytes: int = MAX_BYTES_DEFAULT,
        with_secrets: bool = False,
    ) -> None:
        """Create the file.

        Raises:
            ConfigError: *max_bytes* is too small for a file of any use.
            FileExistsError: something of that name is there already.
            OSError: the file cannot be created or written.
            UnavailableError: the C extension is missing.
        """
        if max_bytes < _MAX_BYTES_MIN:
            raise ConfigError(
                f"max_bytes={max_bytes} is too small for a capture; give at least "
                f"{_MAX_BYTES_MIN}"
            )
        _native.lib()
        self.path = Path(path)
        self.secrets_log: io.TextIOBase | None = None
        self._pid = os.getpid()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._fd = private_file.create(self.path)
        secrets_bytes = min(max_bytes // _SECRETS_SHARE & ~3, _SECRETS_BYTES_MAX)
        try:
            self._tap: _native.CData | None = _native.open_tap(
                fd=self._fd,
                file_max_bytes=max_bytes,
                secrets_bytes=secrets_bytes if with_secrets else 0,
            )
        except BaseException:
            os.close(self._fd)
            raise
        if with_secrets:
            self.secrets_log = _SecretsLog(self)
        logger.warning(
            "packets of this process go to %s (at most %d MiB)%s",
            self.path,
            -(-max_bytes >> 20),
            " with TLS secrets: whoever reads it can read all traffic of this run"
            if with_secrets
            else "",
        )

    def __enter__(self) -> Self:
        """As `start`."""
        self.start()
        return self

    def start(self) -> None:
        """Start the thread that writes the file."""
        self._thread = threading.Thread(
            target=self._write, name="quicxdp-capture", daemon=True
        )
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As `close`."""
        self.close()

    def attach(self, datapath: _native.CData) -> None:
        """Let the packets of a datapath in C go here, until it is closed.

        Raises:
            DatapathError: its interface has another capture.
            RuntimeError: this capture is closed.
        """
        rc = _native.lib().qx_set_tap(datapath, self._alive())
        _native.check(rc, f"capturing to {self.path}")

    def add_secrets(self, lines: str) -> None:
        """Embed whole lines of an NSS key log; what finds no room is counted."""
        if self._tap is not None:
            data = lines.encode("ascii")
            _native.lib().qx_tap_secrets(self._tap, data, len(data))

    def stats(self) -> CaptureStats:
        """Return the counters.

        Raises:
            RuntimeError: this capture is closed.
        """
        return CaptureStats(**_native.read_tap_stats(self._alive()))

    def close(self) -> None:
        """Write what waits, and the end of the file; harmless when repeated."""
        if self._tap is None or os.getpid() != self._pid:
            # A forked child has no thread here, and the file is its parent's.
            return
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
        if self.stats().file_error == 0:
            self._move()
        stats = self.stats()
        tap, self._tap = self._tap, None
        _native.lib().qx_tap_close(tap)
        os.close(self._fd)
        lost = stats.dropped_ring_full + stats.dropped_file_full
        if lost or stats.secrets_lost or stats.file_error:
            logger.warning(
                "%s is incomplete: %d packets are in it; %d are not because the disk was "
                "too slow or failed, %d because the file was full; %d secrets are not",
                self.path,
                stats.packets,
                stats.dropped_ring_full,
                stats.dropped_file_full,
                stats.secrets_lost,
            )

    def _write(self) -> None:
        # The tap is closed only after this thread has ended.
        while not self._stop.wait(_INTERVAL_S) and self._move():
            pass

    def _move(self) -> bool:
        """Move what the ring holds to the file; whether that is still possible."""
        rc = _native.lib().qx_tap_write(self._alive())
        if rc < 0:
            logger.error("%s: %s; nothing more is captured", self.path, os.strerror(-rc))
        return bool(rc >= 0)

    def _alive(self) -> _native.CData:
        if self._tap is None:
            raise RuntimeError(f"the capture to {self.path} is closed")
        return self._tap


class _SecretsLog(io.TextIOBase):
    """What aioquic takes for a file and writes secrets to."""

    def __init__(self, capture: Capture) -> None:
        super().__init__()
        self._capture = capture

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self._capture.add_secrets(text)
        return len(text)
