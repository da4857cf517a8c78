"""Files that hold secrets: made anew, for one user, and never through a link."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

from .exits import StartError

if TYPE_CHECKING:
    from pathlib import Path

_FLAGS = (
    os.O_WRONLY
    | os.O_CREAT
    # Exclusive: neither an existing file nor, on the way to a new one, a link is
    # followed.
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


def create(path: Path) -> int:
    """Create *path* with mode 0600 and return a descriptor for writing.

    Raises:
        FileExistsError: something of that name is there already, be it a dangling link.
        OSError: as `os.open`.
    """
    return os.open(path, _FLAGS, 0o600)


def open_secrets_log(path: Path) -> TextIO:
    """Open a file for TLS secrets (the NSS key log that Wireshark reads)."""
    try:
        descriptor = create(path)
    except FileExistsError:
        raise StartError(
            f"the secrets log {path} exists; secrets are only written to a new file: "
            f"remove it or name another"
        ) from None
    except OSError as error:
        raise StartError(
            f"the secrets log {path} cannot be created: {error.strerror}"
        ) from None
    # aioquic flushes after every line; line buffering makes sure of whole lines.
    return os.fdopen(descriptor, "w", buffering=1, encoding="ascii")
