"""aioquic's own tests of its asyncio API, over quicxdp's serve() and connect().

They come from the source distribution of the installed aioquic; nothing of aioquic is
kept in this repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import qxupstream

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

# Of aioquic 1.7.2; a test that vanished upstream, or is no longer collected, must show.
TEST_CNT = {"1.7.2": 31}


@pytest.fixture(scope="session")
def sources() -> Path:
    """Return the unpacked source distribution of the installed aioquic."""
    try:
        return qxupstream.sources()
    except qxupstream.UnreachableError as exc:
        pytest.skip(f"aioquic's sources cannot be downloaded: {exc}")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", ["aioquic", "native"])
@pytest.mark.parametrize("io", ["socket", "asyncio"])
def test_aioquics_own_asyncio_tests_pass(sources: Path, io: str, engine: str) -> None:
    """What aioquic promises about serve() and connect(), ours keep."""
    version = sources.name.removeprefix("aioquic-")

    done = subprocess.run(
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
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    expected = TEST_CNT.get(version)
    if expected:
        assert f"{expected} passed" in done.stdout
