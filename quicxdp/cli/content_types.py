"""The media type of a file, by its name.

The same on every machine: Python's own table plus what it lacks, never /etc/mime.types.
"""

from __future__ import annotations

import mimetypes
from functools import lru_cache

_OURS = {
    ".apng": "image/apng",
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".ico": "image/vnd.microsoft.icon",
    ".jsonl": "application/jsonl",
    ".js": "text/javascript",  # RFC 9239 section 6
    ".log": "text/plain",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m4s": "video/iso.segment",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mpd": "application/dash+xml",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".ts": "video/mp2t",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
# A compressed file is served as what it is.  Content-Encoding would make the client
# unpack it, and the file saved would not be the file asked for.
_COMPRESSED = {
    "br": "application/x-brotli",
    "bzip2": "application/x-bzip2",
    "compress": "application/x-compress",
    "gzip": "application/gzip",
    "xz": "application/x-xz",
}
_UNKNOWN = "application/octet-stream"

_table = mimetypes.MimeTypes()
for _extension, _media_type in _OURS.items():
    _table.add_type(_media_type, _extension)


@lru_cache(maxsize=1024)
def of_name(name: bytes) -> bytes:
    """Return the Content-Type of a file of that name."""
    # The prefix keeps guess_type, which takes URLs, from seeing a scheme in "data:...".
    text = "./" + name.decode("ascii", "replace")
    media_type, encoding = _table.guess_type(text)
    if encoding is not None:
        media_type = _COMPRESSED.get(encoding, _UNKNOWN)
    media_type = media_type or _UNKNOWN
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    return media_type.encode("ascii")
