"""Where and with what was measured, for the document that says what came out."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = ("quicxdp", "aioquic", "cryptography", "uvloop")
_HERE: Final = Path(__file__).resolve().parent


def facts() -> dict[str, Any]:
    """Return processor, kernel, versions and the state of this checkout."""
    packages = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": openssl_version(),
        "packages": packages,
        "git": git_hash(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def processor() -> str:
    """Return the model of the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def openssl_version() -> str | None:
    """Return the version of the libcrypto that the C extension is linked with, if any."""
    spec = importlib.util.find_spec("quicxdp._native_ext")
    if spec is None or spec.origin is None:
        return None
    # Looked up through the extension's own handle: others may have loaded another one.
    try:
        library = ctypes.CDLL(spec.origin)
        library.OpenSSL_version.restype = ctypes.c_char_p
        version: bytes = library.OpenSSL_version(0)
    except (OSError, AttributeError):
        return None
    return version.decode("ascii")


def git_hash() -> str | None:
    """Return the commit of the checkout that this runs from, if it is one."""
    git = ["git", "-C", str(_HERE)]
    try:
        found = _say([*git, "rev-parse", "--short=12", "HEAD"])
        changed = _say([*git, "status", "--porcelain", "--untracked-files=no"])
    except (subprocess.SubprocessError, OSError):
        return None
    return found + ("+changes" if changed else "")


def _say(argv: list[str]) -> str:
    return subprocess.run(  # noqa: S603  (git, with words of ours)
        argv, check=True, capture_output=True, text=True, timeout=10.0
    ).stdout.strip()
