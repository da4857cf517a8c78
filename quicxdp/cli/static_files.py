"""Opening files under a folder for strangers: the second fence around it.

`FileRoot` holds the served folder open and walks to a file one name at a time, each
relative to the descriptor of its parent and with O_NOFOLLOW.  So there is no moment
between a check and a use at which somebody who can write below the folder could swap a
component for a link out of it.  Symbolic links are taken apart here, not by the kernel:
their targets go through the same walk and the same rules, ".." pops the stack of open
parents, and neither it nor an absolute target can leave the root.  (openat2 with
RESOLVE_BENEATH does the same in one call, but knows nothing of hidden names inside a
link, needs Linux 5.6, and is refused by older container sandboxes; two ways with two
behaviours would be worse than one that costs 2 us per component.)

Only regular files are opened: the type is looked at before, so that no FIFO or device
feels an open, and again after it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

from .request import Refused, Target
from .static import FileFacts

INDEX_NAME = b"index.html"

_LINKS_MAX = 8
_DIRECTORY_FLAGS = (
    # O_PATH: a folder that may be entered but not read can still be walked through.
    getattr(os, "O_PATH", os.O_RDONLY)
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_FILE_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    # Should the name have become a FIFO or a terminal since it was looked at.
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
)

_NOT_FOUND = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG))
_FORBIDDEN = frozenset((errno.EACCES, errno.EPERM, errno.ENXIO))
_BUSY = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file; whoever receives it closes *fd*."""

    fd: int
    facts: FileFacts


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """A folder without an index, or asked for without its slash; to be closed too."""

    fd: int


def is_supported() -> bool:
    """Whether this system can open relative to a descriptor, as serving needs."""
    return (
        {os.open, os.stat, os.readlink} <= os.supports_dir_fd
        and hasattr(os, "O_NOFOLLOW")
        and hasattr(os, "O_DIRECTORY")
    )


class FileRoot:
    """A served folder; a context manager that holds it open."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the folder, or raise OSError as `os.open` does."""
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the folder; files opened from it live on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_untrusted(self, target: Target) -> OpenFile | OpenFolder:
        """Open what *target* names, or raise `Refused`.

        A folder asked for with its slash is answered by its index, if it has one.
        """
        walk = _Walk(self._fd)
        try:
            if (found := walk.to(target.segments)) is None and target.is_directory:
                found = walk.to_index()
            elif found is not None and target.is_directory:
                os.close(found.fd)
                raise Refused(HTTPStatus.NOT_FOUND, "That is a file, not a folder.")
            return found or OpenFolder(walk.take_folder())
        except OSError as error:
            raise _refusal(error) from error
        finally:
            walk.close()


def _refusal(error: OSError) -> Refused:
    if error.errno in _NOT_FOUND:
        return Refused(HTTPStatus.NOT_FOUND, "There is no such file here.")
    if error.errno in _FORBIDDEN:
        return Refused(HTTPStatus.FORBIDDEN, "The server may not read that.")
    if error.errno in _BUSY:
        return Refused(
            HTTPStatus.SERVICE_UNAVAILABLE, "Too many files are open; try again."
        )
    return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "The file could not be opened.")


class _Walk:
    """One walk down from the root: the stack of open folders that led to here."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._below: list[int] = []
        self._links_left = _LINKS_MAX

    def close(self) -> None:
        while self._below:
            os.close(self._below.pop())

    def take_folder(self) -> int:
        """Return a descriptor of the folder reached, readable and the caller's."""
        return os.open(
            ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._here()
        )

    def to_index(self) -> OpenFile | None:
        """Open the index of the folder reached; None if it has none."""
        try:
            found = self.to((INDEX_NAME,))
        except FileNotFoundError:
            return None
        if found is None:
            raise Refused(HTTPStatus.FORBIDDEN, "The folder's index is not a file.")
        return found

    def to(self, names: tuple[bytes, ...]) -> OpenFile | None:
        """Walk down *names*; return the file they end at, or None for a folder."""
        pending = deque(names)
        while pending:
            name = pending.popleft()
            if name in (b"", b"."):  # only inside links: requests hold none
                continue
            if name == b"..":
                self._up()
                continue
            if name.startswith(b"."):
                raise Refused(HTTPStatus.NOT_FOUND, "There is no such file here.")
            mode = os.stat(name, dir_fd=self._here(), follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                self._below.append(os.open(name, _DIRECTORY_FLAGS, dir_fd=self._here()))
            elif stat.S_ISLNK(mode):
                pending.extendleft(reversed(self._read_link(name)))
            elif not stat.S_ISREG(mode):
                raise Refused(HTTPStatus.FORBIDDEN, "That is not a regular file.")
            elif pending:
                raise Refused(HTTPStatus.NOT_FOUND, "There is no such file here.")
            else:
                # The media type goes by the name asked for, not by what a link calls it.
                return self._open_file(name, shown_name=names[-1])
        return None

    def _here(self) -> int:
        return self._below[-1] if self._below else self._root_fd

    def _up(self) -> None:
        if not self._below:
            raise Refused(HTTPStatus.FORBIDDEN, "A link leads out of the served folder.")
        os.close(self._below.pop())

    def _read_link(self, name: bytes) -> list[bytes]:
        self._links_left -= 1
        if self._links_left < 0:
            raise Refused(HTTPStatus.FORBIDDEN, "Too many links.")
        link = os.readlink(name, dir_fd=self._here())
        if link.startswith(b"/"):
            raise Refused(HTTPStatus.FORBIDDEN, "A link leads out of the served folder.")
        return link.split(b"/")

    def _open_file(self, name: bytes, *, shown_name: bytes) -> OpenFile:
        fd = os.open(name, _FILE_FLAGS, dir_fd=self._here())
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise Refused(HTTPStatus.FORBIDDEN, "That is not a regular file.")
        return OpenFile(
            fd,
            FileFacts(
                name=shown_name,
                size_bytes=status.st_size,
                mtime_ns=status.st_mtime_ns,
                ctime_ns=status.st_ctime_ns,
            ),
        )
