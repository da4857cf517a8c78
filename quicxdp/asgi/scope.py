"""The scope of a request: what an application is told before anything else.

Field names arrive in lower case and checked (RFC 9114 section 4.2).  What is left to
decide is in here; a request that no application can be told of is `BadRequestError`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from .lifespan import ASGI_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .types import Scope

Field = tuple[bytes, bytes]

HTTP_VERSION = {"version": ASGI_VERSION, "spec_version": "2.4"}
WEBSOCKET_VERSION = {"version": ASGI_VERSION, "spec_version": "2.4"}

# What every connection of ours can do; `tls` is added to it.
HTTP_EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.early_hint": {},
    "http.response.pathsend": {},
    "http.response.trailers": {},
}
WEBSOCKET_EXTENSIONS: dict[str, dict[str, Any]] = {"websocket.http.response": {}}


class BadRequestError(Exception):
    """The request is answered with *status* and the sentence, without the application."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Origin:
    """What is the same for all requests of a connection."""

    client: tuple[str, int] | None
    server: tuple[str, int]
    root_path: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    extensions: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """A request's header section, taken apart.

    Attributes:
        protocol: of an extended CONNECT (RFC 9220), such as ``websocket``.
        fields: without pseudo-headers; ``host`` first, ``cookie`` once.
    """

    method: str
    scheme: str
    path: bytes
    protocol: bytes | None
    fields: list[Field]
    content_length: int | None
    expects_continue: bool


def read_head_untrusted(headers: Iterable[Field]) -> Head:
    """Return what a header section says.

    Raises:
        BadRequestError: it cannot be told to an application.
    """
    pseudo: dict[bytes, bytes] = {}
    fields: list[Field] = []
    cookies: list[bytes] = []
    length: bytes | None = None
    host: bytes | None = None
    expects_continue = False
    for item in headers:
        name, value = item
        if name[:1] == b":":
            pseudo[name] = value
        elif name == b"cookie":
            cookies.append(value)
        elif name == b"host":
            host = value
        else:
            fields.append(item)
            if name == b"content-length":
                if length is not None and length != value:
                    raise BadRequestError(
                        HTTPStatus.BAD_REQUEST, "The content-length comes twice."
                    )
                length = value
            elif name == b"expect" and value.lower() == b"100-continue":
                expects_continue = True
    if cookies:
        # Split for compression; applications know one line (RFC 9114 section 4.2.1).
        fields.append((b"cookie", b"; ".join(cookies)))
    authority = pseudo.get(b":authority", host)
    if authority is None or (host is not None and host != authority):
        raise BadRequestError(
            HTTPStatus.BAD_REQUEST, "Host and :authority are missing or differ."
        )
    fields.insert(0, (b"host", authority))
    return Head(
        _method(pseudo),
        pseudo.get(b":scheme", b"https").decode("latin-1"),
        _path(pseudo),
        pseudo.get(b":protocol"),
        fields,
        None if length is None else _length(length),
        expects_continue,
    )


def _method(pseudo: dict[bytes, bytes]) -> str:
    method = pseudo.get(b":method", b"")
    if method == b"CONNECT" and b":protocol" not in pseudo:
        raise BadRequestError(HTTPStatus.NOT_IMPLEMENTED, "This server opens no tunnels.")
    return method.decode("latin-1").upper()


def _path(pseudo: dict[bytes, bytes]) -> bytes:
    path = pseudo.get(b":path", b"")
    if not path.isascii() or not (path.startswith(b"/") or path == b"*"):
        raise BadRequestError(HTTPStatus.BAD_REQUEST, "The :path is not one.")
    return path


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:  # noqa: PLR2004  (below 2**63)
        raise BadRequestError(
            HTTPStatus.BAD_REQUEST, "The content-length is not one number."
        )
    return int(value)


def http_scope(head: Head, origin: Origin) -> Scope:
    """Return the scope of an HTTP request."""
    return {
        "type": "http",
        "asgi": HTTP_VERSION,
        "method": head.method,
        "scheme": head.scheme,
        **_common(head, origin),
        "extensions": origin.extensions,
    }


def websocket_scope(head: Head, origin: Origin, subprotocols: Sequence[str]) -> Scope:
    """Return the scope of a WebSocket."""
    return {
        "type": "websocket",
        "asgi": WEBSOCKET_VERSION,
        "scheme": "wss",
        "subprotocols": list(subprotocols),
        **_common(head, origin),
        "extensions": {
            **{k: v for k, v in origin.extensions.items() if k not in HTTP_EXTENSIONS},
            **WEBSOCKET_EXTENSIONS,
        },
    }


def _common(head: Head, origin: Origin) -> dict[str, Any]:
    raw_path, _, query = head.path.partition(b"?")
    if b"%" in raw_path:
        path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
    else:
        path = raw_path.decode("ascii")
    if origin.root_path:
        path = origin.root_path + path
        raw_path = origin.root_path.encode() + raw_path
    return {
        "http_version": "3",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": origin.root_path,
        "headers": head.fields,
        "client": origin.client,
        "server": origin.server,
        "state": origin.state.copy(),
    }
