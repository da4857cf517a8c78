"""The source distribution of the installed aioquic, for its own tests.

pip downloads it once into build/aioquic/; nothing of aioquic is kept in this repository.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["UnreachableError", "sources"]

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
