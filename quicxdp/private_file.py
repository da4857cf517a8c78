"""Files that hold secrets: made anew, for one user, and never through a link."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_FLAGS: Final = (
    os.O_WRONLY
    | os.O_CREAT
    # Exclusive: neither an existing file nor, on the way to a new one, a link is
    # followed.
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def create(path: Path) -> int:
    """Create *path* with mode 0600 and return a descriptor for writing.

    Raises:
        FileExistsError: something of that name is there already, be it a dangling link.
        OSError: as `os.open`.
    """
    return os.open(path, _FLAGS, 0o600)
