"""The progress bar: on terminals, for downloads that take a while, and nowhere else."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from quicxdp.cli import progress
from quicxdp.cli.progress import Bar

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    """What looks like a terminal to those who ask."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def download(monkeypatch: pytest.MonkeyPatch, *, wanted: bool = True) -> str:
    """Download 1000 bytes in two pieces; return what the terminal got to see."""
    terminal = Terminal()
    # Not in a fixture: pytest sets standard error anew before the test itself.
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    bar = Bar("file[red].iso", 1000, wanted=wanted)
    bar.advance(400)
    bar.advance(600)
    bar.close()
    return terminal.getvalue()


def test_a_long_download_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, size and speed; a name is a name, and no markup."""
    monkeypatch.setattr(progress, "_AFTER_S", 0.0)

    shown = download(monkeypatch)

    assert "file[red].iso" in shown
    assert "1.0/1.0 kB" in shown


def test_a_short_download_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar that flashes by is noise."""
    assert download(monkeypatch) == ""


def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a log file, or when it was not wanted."""
    monkeypatch.setattr(progress, "_AFTER_S", 0.0)
    assert download(monkeypatch, wanted=False) == ""
    monkeypatch.setattr(Terminal, "isatty", lambda _self: False)
    assert download(monkeypatch) == ""


def test_without_rich_there_is_no_bar_and_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is decoration."""
    monkeypatch.setattr(progress, "_AFTER_S", 0.0)
    monkeypatch.setitem(sys.modules, "rich.console", None)

    assert download(monkeypatch) == ""
