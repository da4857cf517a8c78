"""URLs, and options that send a request elsewhere."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.cli import url
from quicxdp.cli.exits import CommandError, FetchExit
from quicxdp.cli.url import Reroute


@pytest.mark.parametrize(
    ("text", "host", "port", "authority", "target"),
    [
        ("https://example.org", "example.org", 443, "example.org", "/"),
        ("https://EXAMPLE.org:443/a?b#c", "example.org", 443, "example.org", "/a?b"),
        ("https://example.org:4433/", "example.org", 4433, "example.org:4433", "/"),
        ("example.org/x", "example.org", 443, "example.org", "/x"),
        ("https://[::1]:4433/x", "::1", 4433, "[::1]:4433", "/x"),
        ("https://127.0.0.1/", "127.0.0.1", 443, "127.0.0.1", "/"),
        ("https://\u00fc.de/\u00fc b", "xn--tda.de", 443, "xn--tda.de", "/%C3%BC%20b"),
        ("https://h/%2e%2e/a%20b", "h", 443, "h", "/%2e%2e/a%20b"),
        ("https://h?x=1", "h", 443, "h", "/?x=1"),
    ],
)  # fmt: skip
def test_urls_are_taken_apart(
    text: str, host: str, port: int, authority: str, target: str
) -> None:
    """Names, literals, ports; what is escaped stays so, what must be is."""
    parsed = url.parse(text)

    assert (parsed.host, parsed.port) == (host, port)
    assert parsed.authority == authority
    assert parsed.target == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https:///x",
        "http://example.org/",
        "ftp://example.org/",
        "https://user:pw@example.org/",
        "https://example.org:99999/",
        "https://example.org:0/",
        "https://example.org:x/",
        "https://[::1/",
        "https://[zz]/",
        "https://a b/",
        "https://" + "a" * 300 + "/",
        "https://a\x00b/",
    ],
)
def test_what_http3_cannot_fetch_is_refused_with_a_sentence(text: str) -> None:
    """And curl's status for it."""
    with pytest.raises(CommandError) as caught:
        url.parse(text)

    assert caught.value.exit_code == FetchExit.BAD_URL


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    """Whatever a script puts together."""
    try:
        parsed = url.parse("https://" + text)
    except CommandError:
        return
    assert parsed.host
    assert parsed.target.startswith("/")
    assert all("\x21" <= character <= "\x7e" for character in parsed.target)


def test_dash_o_names_files_as_the_url_does() -> None:
    """Without path and query."""
    assert url.parse("https://h/a/b.iso?x=/y").file_name == "b.iso"
    assert url.parse("https://h/a/").file_name == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1:b:2", Reroute("a", 1, "b", 2)),
        ("::b:2", Reroute(None, None, "b", 2)),
        ("a:1::", Reroute("a", 1, None, None)),
        ("[::1]:443:[fe80::1]:4433", Reroute("::1", 443, "fe80::1", 4433)),
    ],
)
def test_connect_to_is_read_as_curl_reads_it(text: str, expected: Reroute) -> None:
    """Empty fields match everything, or keep what is."""
    assert url.connect_to(text) == expected


@pytest.mark.parametrize(
    "text", ["", "a", "a:1:b", "a:1:b:2:3", "a:x:b:2", "a:1:b:70000"]
)
def test_a_broken_connect_to_is_wrong_usage(text: str) -> None:
    """Argparse turns this into status 2."""
    with pytest.raises(argparse.ArgumentTypeError):
        url.connect_to(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1:127.0.0.1", Reroute("a", 1, "127.0.0.1", None)),
        ("a:1:::1", Reroute("a", 1, "::1", None)),
        ("a:1:[::1]", Reroute("a", 1, "::1", None)),
        ("*:1:::1", Reroute(None, 1, "::1", None)),
    ],
)
def test_resolve_is_read_as_curl_reads_it(text: str, expected: Reroute) -> None:
    """IPv6 with and without brackets."""
    assert url.resolve(text) == expected


def test_reroutes_apply_to_their_server_only() -> None:
    """Another port or host goes where it says."""
    reroute = Reroute("a", 1, "b", None)

    assert reroute.apply("a", 1) == ("b", 1)
    assert reroute.apply("a", 2) is None
    assert reroute.apply("c", 1) is None
