"""The source distribution of the installed aioquic, and how its own tests are run.

pip downloads it once into build/aioquic/; nothing of aioquic is kept in this repository.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

__all__ = ["UnreachableError", "running", "sources"]

UPSTREAM = Path(__file__).resolve().parent.parent / "build" / "aioquic"


class UnreachableError(Exception):
    """pip could not download it; the text holds what it printed."""


def sources() -> Path:
    """Return the unpacked source distribution of the installed aioquic.

    Raises:
        UnreachableError: it is not there yet and cannot be downloaded.
    """
    version = importlib.metadata.version("aioquic")
    folder = UPSTREAM / f"aioquic-{version}"
    if not (folder / "tests" / "test_connection.py").exists():
        UPSTREAM.mkdir(parents=True, exist_ok=True)
        command = (
            f"download --no-deps --no-binary :all: --no-build-isolation -d {UPSTREAM}"
        )
        done = subprocess.run(
            [sys.executable, "-m", "pip", *command.split(), f"aioquic=={version}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UnreachableError(done.stderr[-300:])
        # By tar itself: Debian 12's Python 3.11.2 has no safe way of its own.
        archive = UPSTREAM / f"aioquic-{version}.tar.gz"
        subprocess.run(["tar", "-xzf", archive, "-C", UPSTREAM], check=True)
    info = (folder / "PKG-INFO").read_text(encoding="utf-8")
    assert re.search(rf"^Version: {re.escape(version)}$", info, re.MULTILINE)
    return folder


@contextmanager
def running(
    names: Iterable[Hashable],
    arguments: Callable[[Any], tuple[Path, str, dict[str, str]]],
) -> Iterator[dict[Any, subprocess.Popen[str]]]:
    """Run several of aioquic's test files, all at the same time; yield the processes.

    Most of their time they wait for timeouts.

    Args:
        names: of the runs.
        arguments: returns for a name the file, a pytest plugin, and what to add to the
            environment.
    """
    runs = {name: _start(*arguments(name)) for name in names}
    try:
        yield runs
    finally:
        for process in runs.values():
            process.kill()
            with process:  # closes its pipe and waits
                pass


def _start(file: Path, plugin: str, env: dict[str, str]) -> subprocess.Popen[str]:
    folder = file.parent.parent
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", plugin, "--tb=short"),
            *("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder)),
            *("--import-mode", "importlib", str(file)),
        ],
        env={**os.environ, **env},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
