"""aioquic's own tests of its asyncio API, over quicxdp's serve() and connect().

They come from the source distribution of the installed aioquic; nothing of aioquic is
kept in this repository.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import qxupstream

if TYPE_CHECKING:
    import subprocess
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
    """Run them on every lane and engine."""

    def arguments(name: tuple[str, str]) -> tuple[Path, str, dict[str, str]]:
        env = {
            "QUICXDP_SUITE_IO": name[0],
            "QUICXDP_SUITE_ENGINE": name[1],
            "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)]),
        }
        return sources / "tests" / "test_asyncio.py", "over_quicxdp", env

    with qxupstream.running(product(IOS, ENGINES), arguments) as started:
        yield started


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
