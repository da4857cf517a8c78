"""From request and file to response, without network or disk."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.cli import content_types, static, validators
from quicxdp.cli.request import parse_path_untrusted
from quicxdp.cli.static import FileFacts, FileSlice, Plan, part_bytes

NS = 1_000_000_000
NOW_NS = 1_800_000_000 * NS
SIZE = 10_000
FACTS = FileFacts(b"page.html", SIZE, NOW_NS - 3600 * NS, NOW_NS - 3600 * NS)
PART_HEAD = (
    b"\r\n--BOUNDARY\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Range: bytes %b/10000\r\n\r\n"
)
ETAG = validators.of_file(
    size_bytes=SIZE, mtime_ns=FACTS.mtime_ns, ctime_ns=FACTS.ctime_ns, now_ns=NOW_NS
).etag


def plan(method: bytes = b"GET", facts: FileFacts = FACTS, **fields: bytes) -> Plan:
    """Plan the answer to a request whose fields are named with underscores."""
    named = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return static.plan_file(
        method, named, facts, now_ns=NOW_NS, boundary=lambda: b"BOUNDARY"
    )


def field(answer: Plan, name: bytes) -> bytes | None:
    """Return the value of a field, which must not come twice."""
    values = [value for found, value in answer.fields if found == name]
    assert len(values) <= 1
    return values[0] if values else None


def test_a_file_is_answered_whole_with_all_that_caches_need() -> None:
    """Type, length, validators and the offer of ranges."""
    answer = plan()

    assert answer.status == HTTPStatus.OK
    assert answer.parts == (FileSlice(0, SIZE),)
    assert field(answer, b"content-length") == b"10000"
    assert field(answer, b"content-type") == b"text/html; charset=utf-8"
    assert field(answer, b"etag") == ETAG
    assert field(answer, b"last-modified") == b"Fri, 15 Jan 2027 07:00:00 GMT"
    assert field(answer, b"accept-ranges") == b"bytes"


@pytest.mark.rfc("9110#9.3.2")
def test_head_has_the_fields_of_get_and_no_body() -> None:
    """The same fields, so that a client can decide whether it wants the file."""
    head, get = plan(b"HEAD"), plan(b"GET")

    assert head.fields == get.fields
    assert head.body_bytes == 0


@pytest.mark.rfc("9110#14.2")
def test_head_ignores_ranges() -> None:
    """Section 14.2 defines ranges for GET only."""
    assert plan(b"HEAD", range=b"bytes=0-9").status == HTTPStatus.OK


@pytest.mark.rfc("9110#15.3.7.1")
def test_one_range_is_sent_as_it_is() -> None:
    """A player that seeks gets its bytes and where they lie."""
    answer = plan(range=b"bytes=100-199")

    assert answer.status == HTTPStatus.PARTIAL_CONTENT
    assert answer.parts == (FileSlice(100, 100),)
    assert field(answer, b"content-range") == b"bytes 100-199/10000"
    assert field(answer, b"content-length") == b"100"
    assert field(answer, b"etag") == ETAG


@pytest.mark.rfc("9110#15.3.7.2")
def test_several_ranges_are_sent_in_parts() -> None:
    """Each part says its type and place, the head says neither of them."""
    answer = plan(range=b"bytes=0-9,5000-5009")

    assert answer.status == HTTPStatus.PARTIAL_CONTENT
    assert field(answer, b"content-range") is None
    assert field(answer, b"content-type") == b"multipart/byteranges; boundary=BOUNDARY"
    assert answer.parts == (
        PART_HEAD % b"0-9",
        FileSlice(0, 10),
        PART_HEAD % b"5000-5009",
        FileSlice(5000, 10),
        b"\r\n--BOUNDARY--\r\n",
    )
    assert field(answer, b"content-length") == b"%d" % answer.body_bytes


@pytest.mark.rfc("9110#15.5.17")
def test_a_range_behind_the_end_is_answered_with_the_size() -> None:
    """A client that resumes learns how long the file is now."""
    answer = plan(range=b"bytes=10000-")

    assert answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    assert field(answer, b"content-range") == b"bytes */10000"


def test_if_range_of_another_version_sends_the_whole_file() -> None:
    """Half of one version and half of another is a file that never existed."""
    assert plan(range=b"bytes=0-9", if_range=ETAG).status == HTTPStatus.PARTIAL_CONTENT
    assert plan(range=b"bytes=0-9", if_range=b'"old"').status == HTTPStatus.OK


@pytest.mark.rfc("9110#15.4.5")
def test_304_has_the_validators_and_no_body() -> None:
    """The RFC: "MUST generate ... ETag ... that would have been sent in a 200"."""
    answer = plan(if_none_match=ETAG)

    assert answer.status == HTTPStatus.NOT_MODIFIED
    assert answer.parts == ()
    assert field(answer, b"etag") == ETAG


def test_conditions_come_before_ranges() -> None:
    """RFC 9110 section 13.2.2: a cached copy is not fetched in part."""
    assert plan(if_none_match=ETAG, range=b"bytes=0-9").status == HTTPStatus.NOT_MODIFIED
    assert (
        plan(if_match=b'"x"', range=b"bytes=0-9").status == HTTPStatus.PRECONDITION_FAILED
    )


def test_a_file_that_has_just_changed_gets_a_weak_tag() -> None:
    """It may change again within the same tick of the clock."""
    fresh = FileFacts(b"page.html", SIZE, NOW_NS, NOW_NS)

    assert (field(plan(facts=fresh), b"etag") or b"").startswith(b'W/"')


def test_an_empty_file_has_no_parts() -> None:
    """Then the head ends the stream."""
    answer = plan(facts=FileFacts(b"empty", 0, 0, 0))

    assert answer.parts == ()
    assert field(answer, b"content-length") == b"0"


@pytest.mark.rfc("9110#15.5.6")
def test_other_methods_are_told_which_are_allowed() -> None:
    """The RFC: "MUST generate an Allow header field in a 405 response"."""
    answer = static.plan_method(b"POST")

    assert answer is not None
    assert answer.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert field(answer, b"allow") == static.ALLOW
    options = static.plan_method(b"OPTIONS")
    assert options is not None
    assert field(options, b"allow") == static.ALLOW
    assert static.plan_method(b"GET") is None


def test_a_redirect_keeps_escapes_and_query_and_stays_on_this_host() -> None:
    """The path is echoed as it came: encoded, with one slash in front."""
    answer = static.plan_redirect(b"GET", parse_path_untrusted(b"/a%20b?x=%0d%0a"))

    assert answer.status == HTTPStatus.MOVED_PERMANENTLY
    assert field(answer, b"location") == b"/a%20b/?x=%0d%0a"


def test_refusals_are_text_and_say_what_is_wrong() -> None:
    """A person with curl reads them."""
    answer = static.plan_refusal(
        b"GET", HTTPStatus.NOT_FOUND, "There is no such file here."
    )

    assert answer.parts == (b"404 Not Found\nThere is no such file here.\n",)
    assert static.plan_refusal(b"HEAD", HTTPStatus.NOT_FOUND, "x").parts == ()


@given(
    method=st.sampled_from([b"GET", b"HEAD"]),
    fields=st.dictionaries(
        st.sampled_from([b"range", b"if-range", b"if-match", b"if-none-match"]),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([ETAG, b"*"]),
            st.text("0123456789-,", max_size=30).map(lambda t: b"bytes=" + t.encode()),
        ),
    ),
    size_bytes=st.integers(0, 20_000),
)
def test_the_length_promised_is_the_length_sent(
    method: bytes, fields: dict[bytes, bytes], size_bytes: int
) -> None:
    """A wrong content-length breaks the connection (RFC 9114 section 4.1.2)."""
    facts = FileFacts(b"x", size_bytes, 0, 0)

    answer = static.plan_file(
        method, fields, facts, now_ns=NOW_NS, boundary=lambda: b"BOUNDARY"
    )

    length = field(answer, b"content-length")
    if answer.status == HTTPStatus.NOT_MODIFIED:
        assert length is None
    elif method == b"GET":
        assert length == b"%d" % answer.body_bytes
    for part in answer.parts:
        assert part_bytes(part) > 0
        if isinstance(part, FileSlice):
            assert part.offset_bytes + part.length_bytes <= size_bytes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"a.html", b"text/html; charset=utf-8"),
        (b"a.js", b"text/javascript; charset=utf-8"),
        (b"a.mjs", b"text/javascript; charset=utf-8"),
        (b"a.wasm", b"application/wasm"),
        (b"a.PNG", b"image/png"),
        (b"a.tar.gz", b"application/gzip"),
        (b"a.html.br", b"application/x-brotli"),
        (b"a.svg", b"image/svg+xml"),
        (b"a", b"application/octet-stream"),
        (b"a.unknown", b"application/octet-stream"),
        (b"data:text,x.html", b"text/html; charset=utf-8"),
        ("\u00fc.css".encode(), b"text/css; charset=utf-8"),
        (b"\xff.json", b"application/json"),
    ],
)
def test_types_are_told_by_the_name(name: bytes, expected: bytes) -> None:
    """The same on every machine, and a packed file stays packed."""
    assert content_types.of_name(name) == expected
