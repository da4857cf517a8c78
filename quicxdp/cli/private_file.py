"""--secrets-log of the commands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

from quicxdp.private_file import create

from .exits import StartError

if TYPE_CHECKING:
    from pathlib import Path


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
