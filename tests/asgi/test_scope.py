from __future__ import annotations

import pytest

from quicxdp.asgi.scope import BadRequestError, Origin, http_scope, read_head_untrusted

ORIGIN = Origin(client=("192.0.2.1", 1234), server=("192.0.2.2", 443))


def headers(*fields: tuple[bytes, bytes], **pseudo: bytes) -> list[tuple[bytes, bytes]]:
    """Return a header section; pseudo-headers by name, b"" leaves one out."""
    known = {
        "method": b"GET",
        "scheme": b"https",
        "authority": b"a.example",
        "path": b"/",
        **pseudo,
    }
    return [(b":" + k.encode(), v) for k, v in known.items() if v] + list(fields)


def test_a_scope_says_what_asgi_says_it_says() -> None:
    """Applications that run elsewhere run here."""
    head = read_head_untrusted(
        headers((b"accept", b"*/*"), path=b"/a%20b/%C3%BC?x=%20&y", method=b"post")
    )
    scope = http_scope(head, ORIGIN)

    assert scope["type"] == "http"
    assert scope["http_version"] == "3"
    assert (scope["method"], scope["scheme"]) == ("POST", "https")
    assert (scope["path"], scope["raw_path"]) == ("/a b/ü", b"/a%20b/%C3%BC")
    assert scope["query_string"] == b"x=%20&y"
    assert scope["headers"] == [(b"host", b"a.example"), (b"accept", b"*/*")]
    assert (scope["client"], scope["server"]) == (ORIGIN.client, ORIGIN.server)


def test_cookies_are_one_field_again() -> None:
    """Clients split them for compression; applications look at the first only."""
    head = read_head_untrusted(headers((b"cookie", b"a=1"), (b"cookie", b"b=2")))

    assert head.fields[-1] == (b"cookie", b"a=1; b=2")


def test_a_root_path_stands_before_the_path() -> None:
    """As ASGI has it: `path` holds `root_path`."""
    origin = Origin(ORIGIN.client, ORIGIN.server, root_path="/api")
    scope = http_scope(read_head_untrusted(headers(path=b"/x")), origin)

    assert (scope["root_path"], scope["path"]) == ("/api", "/api/x")
    assert scope["raw_path"] == b"/api/x"


def test_each_request_has_its_own_copy_of_the_state() -> None:
    """What one request puts there is not another's."""
    origin = Origin(ORIGIN.client, ORIGIN.server, state={"pool": 1})
    head = read_head_untrusted(headers())
    http_scope(head, origin)["state"]["mine"] = 2

    assert http_scope(head, origin)["state"] == {"pool": 1}


@pytest.mark.parametrize(
    ("section", "status"),
    [
        (headers((b"host", b"b.example")), 400),
        (headers(authority=b""), 400),
        (headers(path=b""), 400),
        (headers(path=b"a.example/"), 400),
        (headers(path=b"/\xff"), 400),
        (headers((b"content-length", b"1"), (b"content-length", b"2")), 400),
        (headers((b"content-length", b"-1")), 400),
        (headers((b"content-length", b"9" * 19)), 400),
        (headers(method=b"CONNECT"), 501),
    ],
)
def test_what_no_application_can_be_told_of_is_refused(
    section: list[tuple[bytes, bytes]], status: int
) -> None:
    """Requests that two readers understand differently are how smuggling begins."""
    with pytest.raises(BadRequestError) as caught:
        read_head_untrusted(section)
    assert caught.value.status == status
