"""The scope of a request: what an application is told before anything else.

Fields and pseudo-header fields arrive checked (quicxdp.h3.fields).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from .lifespan import ASGI_VERSION

if TYPE_CHECKING:
    from quicxdp.h3 import Fields, RequestReceived

    from .types import Scope

_VERSION: Final = {"version": ASGI_VERSION, "spec_version": "2.4"}

# What every connection of ours can do; `tls` is added to both.
HTTP_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {
    "http.response.early_hint": {},
    "http.response.pathsend": {},
    "http.response.trailers": {},
}
WEBSOCKET_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {"websocket.http.response": {}}


@dataclass(frozen=True, slots=True)
class Origin:
    """What is the same for all requests of a connection."""

    client: tuple[str, int] | None
    server: tuple[str, int]
    root_path: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    tls: dict[str, Any] = field(default_factory=dict)

    def extensions(self, known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return *known* ones and ours."""
        return {**known, "tls": self.tls} if self.tls else dict(known)


def request_fields(request: RequestReceived) -> Fields:
    """Return the fields as applications know them: `host` first, `cookie` once."""
    fields = request.fields
    names = [name for name, _ in fields]
    if names.count(b"cookie") > 1:
        # Split for compression; applications look at one (RFC 9114 section 4.2.1).
        cookie = b"; ".join([value for name, value in fields if name == b"cookie"])
        fields = [item for item in fields if item[0] != b"cookie"]
        fields.append((b"cookie", cookie))
    if b"host" in names:
        return fields
    return [(b"host", request.authority), *fields]


def http_scope(
    request: RequestReceived, origin: Origin, extensions: dict[str, dict[str, Any]]
) -> Scope:
    """Return the scope of an HTTP request."""
    raw_path, _, query = request.path.partition(b"?")
    return {
        "type": "http",
        "asgi": _VERSION,
        "http_version": "3",
        "method": request.method.decode("ascii").upper(),
        "scheme": request.scheme.decode("ascii"),
        "path": origin.root_path + _decoded(raw_path),
        "raw_path": origin.root_path.encode() + raw_path
        if origin.root_path
        else raw_path,
        "query_string": query,
        "root_path": origin.root_path,
        "headers": request_fields(request),
        "client": origin.client,
        "server": origin.server,
        "state": origin.state.copy(),
        "extensions": extensions,
    }


def session_scope(
    kind: str,
    request: RequestReceived,
    origin: Origin,
    extensions: dict[str, dict[str, Any]],
) -> Scope:
    """Return the scope of what an extended CONNECT opens."""
    scope = http_scope(request, origin, extensions)
    del scope["method"]
    scope["type"] = kind
    return scope


def _decoded(raw_path: bytes) -> str:
    if b"%" in raw_path:
        raw_path = unquote_to_bytes(raw_path)
    return raw_path.decode("utf-8", "replace")
