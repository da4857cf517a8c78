"""Validators and conditional requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.cli import validators
from quicxdp.cli.validators import Validators, Verdict

NS = 1_000_000_000
NOW_S = 1_800_000_000
CHANGED_S = NOW_S - 3600
STRONG = Validators(b'"abc"', CHANGED_S)
WEAK = Validators(b'W/"abc"', CHANGED_S)


def verdict(version: Validators = STRONG, **fields: bytes) -> Verdict:
    """Evaluate conditions, named with underscores."""
    named = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return validators.precondition(named, version, now_s=NOW_S)


def test_a_settled_file_has_a_strong_tag_and_a_fresh_one_a_weak_tag() -> None:
    """Ranges may only be joined where equal tags promise equal bytes (8.8.1)."""
    settled = validators.of_file(
        size_bytes=5, mtime_ns=10 * NS, ctime_ns=10 * NS, now_ns=13 * NS
    )
    fresh = validators.of_file(
        size_bytes=5, mtime_ns=10 * NS, ctime_ns=12 * NS, now_ns=13 * NS
    )

    assert settled.is_strong
    assert not fresh.is_strong


@pytest.mark.parametrize("changed", ["size_bytes", "mtime_ns", "ctime_ns"])
def test_every_change_of_a_file_changes_its_tag(changed: str) -> None:
    """A copy that preserves size and time still has a new change time."""
    facts = {"size_bytes": 5, "mtime_ns": 10 * NS, "ctime_ns": 10 * NS}
    before = validators.of_file(**facts, now_ns=100 * NS)

    after = validators.of_file(**{**facts, changed: facts[changed] + 1}, now_ns=100 * NS)

    assert before.etag != after.etag


@pytest.mark.rfc("9110#8.8.2.1")
def test_last_modified_is_never_in_the_future() -> None:
    """A file from a machine whose clock is ahead would never be fetched again."""
    version = validators.of_file(
        size_bytes=5, mtime_ns=200 * NS, ctime_ns=10 * NS, now_ns=100 * NS
    )

    assert version.last_modified_s == 100


@pytest.mark.rfc("9110#13.1.2")
@pytest.mark.parametrize(
    "field", [b'"abc"', b'W/"abc"', b'"x", "abc"', b'"x","y" ,W/"abc"', b"*", b' "abc" ']
)
@pytest.mark.parametrize("version", [STRONG, WEAK])
def test_if_none_match_compares_weakly(field: bytes, version: Validators) -> None:
    """Caches hand back the tag as they got it, weak or strong."""
    assert verdict(version, if_none_match=field) is Verdict.NOT_MODIFIED


@pytest.mark.parametrize(
    "field", [b'"ABC"', b"abc", b"", b'"abc', b'"a"bc"', b"W/*", b'w/"abc"']
)
def test_if_none_match_of_another_version_or_junk_sends_the_file(field: bytes) -> None:
    """To send too much is never wrong; to say 304 wrongly always is."""
    assert verdict(if_none_match=field) is Verdict.PROCEED


@pytest.mark.rfc("9110#13.1.1")
def test_if_match_needs_a_strong_tag() -> None:
    """A weak tag cannot promise that the bytes are the same."""
    assert verdict(STRONG, if_match=b'"abc"') is Verdict.PROCEED
    assert verdict(STRONG, if_match=b"*") is Verdict.PROCEED
    assert verdict(STRONG, if_match=b'"x"') is Verdict.FAILED
    assert verdict(WEAK, if_match=b'W/"abc"') is Verdict.FAILED
    assert verdict(STRONG, if_match=b"junk") is Verdict.FAILED


@pytest.mark.rfc("9110#13.2.2")
def test_tags_overrule_dates() -> None:
    """A date counts seconds and knows less than a tag."""
    new = validators.format_date(CHANGED_S)

    assert verdict(if_none_match=b'"x"', if_modified_since=new) is Verdict.PROCEED
    assert verdict(if_match=b'"abc"', if_unmodified_since=b"junk") is Verdict.PROCEED
    assert verdict(if_match=b"*", if_none_match=b'"abc"') is Verdict.NOT_MODIFIED


@pytest.mark.parametrize(
    ("delta_s", "modified", "unmodified"),
    [
        (-1, Verdict.PROCEED, Verdict.FAILED),
        (0, Verdict.NOT_MODIFIED, Verdict.PROCEED),
        (1, Verdict.NOT_MODIFIED, Verdict.PROCEED),
    ],
)
def test_dates_are_compared_by_the_second(
    delta_s: int, modified: Verdict, unmodified: Verdict
) -> None:
    """Browsers without our tag still save a transfer."""
    date = validators.format_date(CHANGED_S + delta_s)

    assert verdict(if_modified_since=date) is modified
    assert verdict(if_unmodified_since=date) is unmodified


@pytest.mark.rfc("9110#13.1.5")
def test_if_range_needs_strong_and_exact_validators() -> None:
    """Half of one version and half of another is a file that never existed."""
    date = validators.format_date(CHANGED_S)

    def applies(version: Validators, field: bytes) -> bool:
        return validators.range_applies({b"if-range": field}, version, now_s=NOW_S)

    assert applies(STRONG, b'"abc"')
    assert applies(STRONG, date)
    assert not applies(STRONG, b'W/"abc"')
    assert not applies(WEAK, b'W/"abc"')
    assert not applies(WEAK, date)
    assert not applies(STRONG, b'"x"')
    assert not applies(STRONG, validators.format_date(CHANGED_S + 1))
    assert not applies(STRONG, b"junk")
    assert validators.range_applies({}, WEAK, now_s=NOW_S)


@pytest.mark.rfc("9110#5.6.7")
@pytest.mark.parametrize(
    "field",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_forms_of_dates_are_read(field: bytes) -> None:
    """The RFC: "MUST accept all three HTTP-date formats"."""
    assert validators.parse_date_untrusted(field, NOW_S) == 784111777


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"0",
        b"Sun, 31 Feb 2021 08:49:37 GMT",
        b"Sun, 06 Foo 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 25:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, \u0660\u0661 Nov 1994 08:49:37 GMT".encode(),
    ],
)
def test_what_is_no_date_is_none(field: bytes) -> None:
    """A broken date is as if it were not there."""
    assert validators.parse_date_untrusted(field, NOW_S) is None


def test_a_year_of_two_digits_lies_at_most_fifty_years_ahead() -> None:
    """RFC 9110 section 5.6.7 says so, for RFC 850 dates."""
    assert (
        validators.parse_date_untrusted(b"Sunday, 06-Nov-94 08:49:37 GMT", NOW_S)
        == 784111777
    )
    near = validators.parse_date_untrusted(b"Sunday, 06-Nov-30 08:49:37 GMT", NOW_S)
    assert near is not None
    assert near > NOW_S


@given(st.integers(0, 253402300799))
def test_dates_survive_the_round_trip(time_s: int) -> None:
    """What we send as Last-Modified is what we understand in If-Modified-Since."""
    assert (
        validators.parse_date_untrusted(validators.format_date(time_s), NOW_S) == time_s
    )


@given(
    st.dictionaries(
        st.sampled_from(
            [
                b"if-match",
                b"if-none-match",
                b"if-modified-since",
                b"if-unmodified-since",
                b"if-range",
            ]
        ),
        st.binary(max_size=100),
    )
)
def test_no_bytes_from_the_network_raise(fields: dict[bytes, bytes]) -> None:
    """Whoever sends nonsense gets a file, not a dead connection."""
    validators.precondition(fields, STRONG, now_s=NOW_S)
    validators.range_applies(fields, STRONG, now_s=NOW_S)
