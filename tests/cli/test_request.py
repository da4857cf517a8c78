"""Request heads and paths of strangers."""

from __future__ import annotations

import contextlib
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.cli.request import (
    PATH_BYTES_MAX,
    Refused,
    Request,
    parse_path_untrusted,
    read_request_untrusted,
)

GOOD = {
    b":method": b"GET",
    b":scheme": b"https",
    b":authority": b"localhost:4433",
    b":path": b"/",
}


def read(*fields: tuple[bytes, bytes], **pseudo: bytes | None) -> Request:
    """Read a good request, changed as told."""
    changed = {**GOOD, **{f":{name}".encode(): value for name, value in pseudo.items()}}
    return read_request_untrusted(
        [
            *((name, value) for name, value in changed.items() if value is not None),
            *fields,
        ]
    )


def refusal(*fields: tuple[bytes, bytes], **pseudo: bytes | None) -> HTTPStatus:
    """Return with what a changed request is refused."""
    with pytest.raises(Refused) as caught:
        read(*fields, **pseudo)
    return caught.value.status


@pytest.mark.rfc("9114#4.3.1")
@pytest.mark.parametrize(
    ("pseudo", "status"),
    [
        ({"scheme": None}, 400),
        ({"path": None}, 400),
        ({"path": b""}, 400),
        ({"scheme": b"http"}, 421),
        ({"scheme": b"ftp"}, 421),
        ({"authority": b"user@localhost"}, 400),
        ({"authority": b"local host"}, 400),
        ({"authority": b"localhost/x"}, 400),
        ({"authority": b"[::1"}, 400),
        ({"authority": b"localhost:123456"}, 400),
        ({"method": b"GE T"}, 400),
        ({"method": b"BREW"}, 501),
        ({"method": b"CONNECT"}, 501),
        ({"protocol": b"websocket"}, 501),
        ({"path": b"/" + b"x" * PATH_BYTES_MAX}, 414),
    ],
)
def test_malformed_pseudo_headers_are_refused(
    pseudo: dict[str, bytes | None], status: int
) -> None:
    """A client learns what is wrong with its request instead of losing its connection."""
    assert refusal(**pseudo) == status


@pytest.mark.parametrize(
    "authority",
    [b"localhost", b"localhost:4433", b"[::1]:4433", b"127.0.0.1", b"a.b-c.d:1"],
)
def test_hosts_of_all_kinds_are_taken(authority: bytes) -> None:
    """A server does not know all the names it is reached by."""
    assert read(authority=authority).authority == authority


def test_a_host_field_must_agree_with_the_authority() -> None:
    """Otherwise two readers of one request see two different sites."""
    assert read((b"host", b"localhost:4433")).authority == b"localhost:4433"
    assert refusal((b"host", b"elsewhere")) == HTTPStatus.BAD_REQUEST
    assert refusal((b"host", b"localhost:4433"), (b"host", b"elsewhere")) == 400


@pytest.mark.parametrize("value", [b"5, 5", b"+5", b"1_0", b"-1", b"", b"9" * 30])
def test_a_content_length_is_one_plain_number(value: bytes) -> None:
    """Python's int() reads more than HTTP allows."""
    assert refusal((b"content-length", value)) == HTTPStatus.BAD_REQUEST


def test_fields_that_come_several_times_are_joined() -> None:
    """RFC 9110 section 5.3: with commas; RFC 9114 section 4.2.1: cookies not."""
    request = read((b"a", b"1"), (b"a", b"2"), (b"cookie", b"x=1"), (b"cookie", b"y=2"))

    assert request.fields == {b"a": b"1, 2", b"cookie": b"x=1; y=2"}


@pytest.mark.parametrize(
    ("path", "segments", "is_directory", "query"),
    [
        (b"/", (), True, None),
        (b"/a", (b"a",), False, None),
        (b"/a/", (b"a",), True, None),
        (b"/a/b%20c?x=/../", (b"a", b"b c"), False, b"x=/../"),
        (b"/a?", (b"a",), False, b""),
        (b"/%C3%BC", ("\u00fc".encode(),), False, None),
        (b"/%252e%252e/x", (b"%2e%2e", b"x"), False, None),
        (b"/a%2520", (b"a%20",), False, None),
        (b"/a..b/c..", (b"a..b", b"c.."), False, None),
    ],
)
def test_paths_are_taken_apart_and_decoded_once(
    path: bytes,
    segments: tuple[bytes, ...],
    is_directory: bool,  # noqa: FBT001  (a table)
    query: bytes | None,
) -> None:
    """A name with blanks or umlauts is found; one decoded twice would be another one."""
    target = parse_path_untrusted(path)

    assert target.segments == segments
    assert target.is_directory is is_directory
    assert target.query == query


@pytest.mark.parametrize(
    "path",
    [
        b"/..",
        b"/../",
        b"/../etc/passwd",
        b"/a/../../etc/passwd",
        b"/%2e%2e/etc/passwd",
        b"/.%2e/etc/passwd",
        b"/%2E./etc/passwd",
        b"/a/..%2f..%2fetc/passwd",
        b"/..%5cetc",
        b"/a%2fb",
        b"/a\\..\\b",
        b"/a%5c..%5cb",
        b"/a%00.html",
        b"/a%0ab",
        b"/a%7f",
        b"/%",
        b"/%2",
        b"/%zz",
        b"/a b",
        b"/\xc3\xbc",
        b"/a#b",
        b"*",
        b"a",
        b"https://localhost/",
        b"/./a",
        b"/a/.",
        b"/%2e/a",
    ],
)
def test_paths_that_try_to_leave_the_folder_are_bad_requests(path: bytes) -> None:
    """Every spelling of "..", of a separator and of a control byte."""
    with pytest.raises(Refused) as caught:
        parse_path_untrusted(path)

    assert caught.value.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "path",
    [
        b"/.git/config",
        b"/.env",
        b"/a/.htpasswd",
        b"/%2egit/config",
        b"/...",
        b"//",
        b"//evil.example/..a",
        b"/a//b",
        b"/" + b"x" * 256,
        b"/.well-known/x",
    ],
)
def test_hidden_and_impossible_names_do_not_exist(path: bytes) -> None:
    """Nobody learns whether a hidden file is there."""
    with pytest.raises(Refused) as caught:
        parse_path_untrusted(path)

    assert caught.value.status == HTTPStatus.NOT_FOUND


@given(
    st.one_of(
        st.binary(max_size=60),
        st.text("/.%25eEfF2\\aA0?#;", max_size=60)
        .map(lambda text: "/" + text)
        .map(str.encode),
    )
)
def test_no_path_yields_a_segment_that_leads_elsewhere(path: bytes) -> None:
    """Whatever is sent: refused, or only plain and visible names."""
    try:
        target = parse_path_untrusted(path)
    except Refused:
        return
    assert target.raw_path.startswith(b"/")
    assert not target.raw_path.startswith(b"//")
    for segment in target.segments:
        assert segment
        assert not segment.startswith(b".")
        assert not {0, *b"/\\\r\n"} & set(segment)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*GOOD, b":protocol", b"host", b"range", b"content-length"]),
            st.binary(max_size=30),
        ),
        max_size=12,
    )
)
def test_no_head_raises_anything_but_a_refusal(
    headers: list[tuple[bytes, bytes]],
) -> None:
    """A stranger's request ends in an answer, never in our traceback."""
    with contextlib.suppress(Refused):
        read_request_untrusted(headers)
