"""Rules for all tests: which skips are allowed, and which quicxdp is under test."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import quicxdp
from quicxdp.datapath import Datapath, open_datapaths

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# For tests of lab/.  Last, so that another build of the package that comes by PYTHONPATH
# (tools/test_sanitized.sh) goes before the sources.
sys.path.append(str(Path(__file__).parent.parent))

NO_SKIPS = os.environ.get("QUICXDP_NO_SKIPS") == "1"

# Hypothesis: the same examples every time, so that a change is judged by what it changes.
# QUICXDP_NEW_EXAMPLES=1 looks for new ones.
settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("new", print_blob=True)
settings.load_profile("new" if os.environ.get("QUICXDP_NEW_EXAMPLES") == "1" else "same")


def pytest_configure() -> None:
    """Make sure that a run meant for another build really tests that one."""
    expected = os.environ.get("QUICXDP_EXPECT_PACKAGE")
    tested = Path(quicxdp.__file__).parent
    if expected and tested != Path(expected):
        raise pytest.UsageError(f"quicxdp comes from {tested}, expected {expected}")


@pytest.fixture(autouse=True)
def _no_datapath_stays_open() -> Iterator[None]:
    """Fail a test that leaks descriptors and frames, here and not in a later one."""
    yield
    left, leaked = [], open_datapaths()
    for datapath in leaked:
        left.append(repr(datapath))
        datapath.close()
    assert left == []


@pytest.fixture(autouse=True)
def _frames_add_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test after which a frame has no owner, or two."""
    close, wrong = Datapath.close, []

    def check_and_close(self: Datapath) -> None:
        if not (self.closed or self._owner.forked):
            stats = self.stats()
            if sum(stats.frames.values()) != stats.frame_cnt or stats.frames["lent"]:
                wrong.append((repr(self), dict(stats.frames), stats.frame_cnt))
        close(self)

    monkeypatch.setattr(Datapath, "close", check_and_close)
    yield
    assert wrong == []


def descriptors() -> set[str]:
    """Return what this process has open, as far as a leak would show."""
    names = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own descriptor
            names.add(f"{fd.name} -> {fd.readlink()}")
    return names


@pytest.fixture(autouse=True)
def _no_descriptor_stays_open() -> Iterator[None]:
    """Fail a test that opens more than it closes."""
    before = descriptors()
    yield
    left = descriptors() - before
    if left:
        # Perhaps only garbage so far.
        gc.collect()
        left = descriptors() - before
    assert left == set()


@pytest.fixture
def quiet_aioquic() -> Iterator[None]:
    """Let aioquic not log every connection that ends."""
    logger = logging.getLogger("quic")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        report.outcome = "failed"
        report.longrepr = f"{reason} (QUICXDP_NO_SKIPS=1: this run allows no skips)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skipped tests into failed ones where none may be skipped."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[
    None, pytest.CollectReport, pytest.CollectReport
]:
    """Turn skipped modules into failed ones where none may be skipped."""
    report = yield
    _refuse_skip(report)
    return report
