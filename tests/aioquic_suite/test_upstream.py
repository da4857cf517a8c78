"""aioquic's own tests of its asyncio API, over quicxdp's serve() and connect().

They come from the source distribution of the installed aioquic; nothing of aioquic is
kept in this repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import qxupstream

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

# Of aioquic 1.7.2; a test that vanished upstream, or is no longer collected, must show.
TEST_CNT = {"1.7.2": 31}
IOS = ("socket", "asyncio")
ENGINES = ("aioquic", "native")


@pytest.fixture(scope="session")
def sources() -> Path:
    """Return the unpacked source distribution of the installed aioquic."""
    try:
        return qxupstream.sources()
    except qxupstream.UnreachableError as exc:
        pytest.skip(f"aioquic's sources cannot be downloaded: {exc}")


@pytest.fixture(scope="module")
def runs(sources: Path) -> Iterator[dict[tuple[str, str], subprocess.Popen[str]]]:
    """Start all sets at the same time: most of their time they wait for timeouts."""
    started = {
        (io, engine): _start(sources, io, engine) for io in IOS for engine in ENGINES
    }
    yield started
    for process in started.values():
        process.kill()
        with process:  # closes its pipe and waits
            pass


def _start(sources: Path, io: str, engine: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "over_quicxdp"),
            *("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(sources)),
            *("--import-mode", "importlib", str(sources / "tests" / "test_asyncio.py")),
        ],
        env={
            **os.environ,
            "QUICXDP_SUITE_IO": io,
            "QUICXDP_SUITE_ENGINE": engine,
            "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)]),
        },
        cwd=sources,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("io", IOS)
def test_aioquics_own_asyncio_tests_pass(
    sources: Path,
    runs: dict[tuple[str, str], subprocess.Popen[str]],
    io: str,
    engine: str,
) -> None:
    """What aioquic promises about serve() and connect(), ours keep."""
    version = sources.name.removeprefix("aioquic-")

    said, _ = runs[io, engine].communicate()

    assert runs[io, engine].returncode == 0, said[-7000:]
    expected = TEST_CNT.get(version)
    if expected:
        assert f"{expected} passed" in said
