"""RFC 9218's two parameters, out of whatever a stranger writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.h3.priority import DEFAULT, Priority, priority_of, priority_untrusted


@pytest.mark.parametrize(
    ("value", "urgency", "incremental"),
    [
        (b"", 3, False),
        (b"u=0", 0, False),
        (b"u=7, i", 7, True),
        (b"i", 3, True),
        (b"i=?1", 3, True),
        (b"i=?0", 3, False),
        (b"i,u=2", 2, True),
        (b"u=2,\t i ", 2, True),
        (b"u=1, u=5", 5, False),  # the last one counts (RFC 9651 section 3.2)
        (b"i, i=?0", 3, False),
        (b"u=1;x=2, i;y", 1, True),
        (b'a="b, u=1", u=4', 4, False),
        (b"a=:YQ==:, b=tok/en, c=-1.5, u=2", 2, False),
        (b"u=8", 3, False),
        (b"u=-1", 3, False),
        (b"u=1.5", 3, False),
        (b"u", 3, False),
        (b"i=1", 3, False),
    ],
)
def test_what_is_well_formed_says_what_it_says(
    value: bytes, urgency: int, *, incremental: bool
) -> None:
    """Unknown members and values out of range are as if they were not there."""
    assert priority_untrusted(value) == Priority(urgency, incremental)


@pytest.mark.parametrize(
    "value",
    [
        b"u=1,",
        b",u=1",
        b"u=1 i",
        b"u=",
        b"U=1",
        b"u=1;",
        b'u=1, a="',
        b"\xff",
        b"u=1" + b" " * 300 + b", i",
    ],
)
def test_what_cannot_be_parsed_says_nothing(value: bytes) -> None:
    """RFC 9218 section 5: it must be ignored, as a whole."""
    assert priority_untrusted(value) == DEFAULT


def test_several_fields_are_one_list() -> None:
    """RFC 9110 section 5.3."""
    fields = [(b"priority", b"u=1"), (b"x", b"u=5"), (b"priority", b"i")]

    assert priority_of(fields) == Priority(1, incremental=True)


@given(
    st.binary(max_size=300) | st.text('ui=?01234567,; \t"', max_size=64).map(str.encode)
)
def test_nothing_fails_and_all_is_in_range(value: bytes) -> None:
    """Whatever comes, there is an order to send in."""
    urgency, incremental = priority_untrusted(value)

    assert 0 <= urgency <= 7
    assert isinstance(incremental, bool)
