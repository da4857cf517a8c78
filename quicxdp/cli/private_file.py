"""Files of the commands that hold secrets or payload: their names, and --secrets-log."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from quicxdp.private_file import create

from .exits import StartError


def new_file(text: str) -> Path:
    """Return the path that *text* stands for in this process.

    Files are only made anew, so a server that is restarted needs a name that is free:
    {time} becomes the time in UTC, {pid} the process's number.
    """
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    return Path(text.replace("{time}", now).replace("{pid}", str(os.getpid())))


def open_secrets_log(path: Path) -> TextIO:
    """Open a file for TLS secrets (the NSS key log that Wireshark reads)."""
    try:
        descriptor = create(path)
    except FileExistsError:
        raise StartError(
            f"the secrets log {path} exists; secrets are only written to a new file: "
            f"remove it, or put {{time}} or {{pid}} into its name"
        ) from None
    except OSError as error:
        raise StartError(
            f"the secrets log {path} cannot be created: {error.strerror}"
        ) from None
    # aioquic flushes after every line; line buffering makes sure of whole lines.
    return os.fdopen(descriptor, "w", buffering=1, encoding="ascii")
