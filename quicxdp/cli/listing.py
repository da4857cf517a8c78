"""The page that lists a folder, when the operator asked for listings."""

from __future__ import annotations

import html
import os
import stat
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

# A page longer than this is of no use to a reader, and building it would hold up others.
ENTRY_CNT_MAX = 5000


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the listing."""

    name: bytes
    is_directory: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder's visible content, at most `ENTRY_CNT_MAX` entries of it."""

    entries: tuple[Entry, ...]
    is_complete: bool


def read_directory(directory_fd: int) -> Listing:
    """Read a folder: what can be served and is not hidden, folders first.

    Blocking; links are left out, because what they lead to is decided on opening.
    """
    entries: list[Entry] = []
    is_complete = True
    with os.scandir(directory_fd) as scan:
        for item in scan:
            name = os.fsencode(item.name)
            if name.startswith(b"."):
                continue
            if len(entries) == ENTRY_CNT_MAX:
                is_complete = False
                break
            try:
                status = item.stat(follow_symlinks=False)
            except OSError:
                continue  # gone since the scan, or not ours to see
            if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
                entries.append(Entry(name, stat.S_ISDIR(status.st_mode), status.st_size))
    entries.sort(key=lambda entry: (not entry.is_directory, entry.name))
    return Listing(tuple(entries), is_complete)


def render(raw_path: bytes, listing: Listing) -> bytes:
    """Write the page.  Names are data: escaped for HTML, percent-encoded in links."""
    title = html.escape(raw_path.decode("ascii"))
    rows = ['<tr><td><a href="../">../</a><td>'] if raw_path != b"/" else []
    for entry in listing.entries:
        # "./" in front: a name such as "javascript:x" is no scheme then.
        slash = "/" if entry.is_directory else ""
        href = "./" + quote_from_bytes(entry.name) + slash
        text = html.escape(entry.name.decode("utf-8", "replace") + slash)
        size = "" if entry.is_directory else f"{entry.size_bytes:,}"
        rows.append(f'<tr><td><a href="{href}">{text}</a><td>{size}')
    if not listing.is_complete:
        rows.append(f"<tr><td>(only {ENTRY_CNT_MAX} entries are listed)<td>")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n"
        "<style>body{font-family:sans-serif}td+td{text-align:right;padding-left:2em}</style>\n"
        f"<h1>{title}</h1>\n<table>\n" + "\n".join(rows) + "\n</table>\n</html>\n"
    )
    return page.encode("utf-8")
