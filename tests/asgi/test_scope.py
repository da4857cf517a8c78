from __future__ import annotations

import pytest

from quicxdp.asgi.scope import HTTP_EXTENSIONS, Origin, http_scope
from quicxdp.h3 import RequestReceived

ORIGIN = Origin(client=("192.0.2.1", 1234), server=("192.0.2.2", 443))


def request(
    *fields: tuple[bytes, bytes], path: bytes = b"/", method: bytes = b"GET"
) -> RequestReceived:
    """Return a request as HTTP/3 tells it."""
    return RequestReceived(
        0, method, b"https", b"a.example", path, b"", list(fields), ended=True
    )


def test_a_scope_says_what_asgi_says_it_says() -> None:
    """Applications that run elsewhere run here."""
    scope = http_scope(
        request((b"accept", b"*/*"), path=b"/a%20b/%C3%BC?x=%20&y", method=b"post"),
        ORIGIN,
        HTTP_EXTENSIONS,
    )

    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert scope["http_version"] == "3"
    assert (scope["method"], scope["scheme"]) == ("POST", "https")
    assert (scope["path"], scope["raw_path"]) == ("/a b/ü", b"/a%20b/%C3%BC")
    assert scope["query_string"] == b"x=%20&y"
    assert scope["headers"] == [(b"host", b"a.example"), (b"accept", b"*/*")]
    assert (scope["client"], scope["server"]) == (ORIGIN.client, ORIGIN.server)
    assert "http.response.trailers" in scope["extensions"]


@pytest.mark.parametrize("path", [b"/\xff", b"/%ff", b"*"])
def test_a_path_is_text_whatever_its_bytes(path: bytes) -> None:
    """A stranger cannot make a scope fail; `raw_path` has the bytes."""
    scope = http_scope(request(path=path), ORIGIN, {})

    assert isinstance(scope["path"], str)
    assert scope["raw_path"] == path


def test_cookies_are_one_field_again() -> None:
    """Clients split them for compression; applications look at the first only."""
    scope = http_scope(
        request((b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")), ORIGIN, {}
    )

    assert scope["headers"][1:] == [(b"x", b"y"), (b"cookie", b"a=1; b=2")]


def test_a_root_path_stands_before_the_path() -> None:
    """As ASGI has it: `path` holds `root_path`."""
    origin = Origin(ORIGIN.client, ORIGIN.server, root_path="/api")
    scope = http_scope(request(path=b"/x"), origin, {})

    assert (scope["root_path"], scope["path"]) == ("/api", "/api/x")
    assert scope["raw_path"] == b"/api/x"


def test_each_request_has_its_own_copy_of_the_state() -> None:
    """What one request puts there is not another's."""
    origin = Origin(ORIGIN.client, ORIGIN.server, state={"pool": 1})
    http_scope(request(), origin, {})["state"]["mine"] = 2

    assert http_scope(request(), origin, {})["state"] == {"pool": 1}
