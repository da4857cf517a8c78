"""A progress bar for downloads that take a while, on a terminal only."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# A bar that flashes by for every small file is noise.
_AFTER_S = 0.7


class Bar:
    """Shows how far a download is; does nothing where nobody would see it."""

    def __init__(self, name: str, total_bytes: int | None, *, wanted: bool) -> None:
        self._name = name
        self._total_bytes = total_bytes
        self._begin_s = time.monotonic()
        self._done_bytes = 0
        self._wanted = wanted and sys.stderr is not None and sys.stderr.isatty()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def advance(self, done_bytes: int) -> None:
        """Take note of more bytes."""
        self._done_bytes += done_bytes
        if not self._wanted:
            return
        if self._progress is None:
            if time.monotonic() - self._begin_s < _AFTER_S:
                return
            self._show()
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done_bytes)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _show(self) -> None:
        try:
            from rich.console import Console  # noqa: PLC0415  (50 ms; most runs show none)
            from rich.progress import (  # noqa: PLC0415
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )
        except ImportError:
            self._wanted = False
            return
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            # Bodies go to standard output as they are, past whatever would dress them up.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(self._name, total=self._total_bytes)
        self._progress.start()
