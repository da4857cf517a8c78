"""Range fields of strangers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.cli.ranges import RANGE_CNT_MAX, ByteRange, select_untrusted

SIZE = 1000


@pytest.mark.rfc("9110#14.1.2")
@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"bytes=0-499", [(0, 499)]),
        (b"bytes=500-999", [(500, 999)]),
        (b"bytes=-500", [(500, 999)]),
        (b"bytes=500-", [(500, 999)]),
        (b"bytes=0-0,-1", [(0, 0), (999, 999)]),
        (b"bytes= 0-0, 500-600 ,, 900-999", [(0, 0), (500, 600), (900, 999)]),
        (b"BYTES=1-2", [(1, 2)]),
        (b"bytes=990-100000", [(990, 999)]),
        (b"bytes=-100000", [(0, 999)]),
        (b"bytes=900-999,0-99", [(900, 999), (0, 99)]),
    ],
)
def test_the_forms_of_the_rfc_are_understood(
    field: bytes, expected: list[tuple[int, int]]
) -> None:
    """Players and download managers use every one of these."""
    selected = select_untrusted(field, SIZE)

    assert selected == tuple(ByteRange(*pair) for pair in expected)


@pytest.mark.rfc("9110#14.1.1")
@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"bytes=-",
        b"bytes=5-4",
        b"bytes=a-b",
        b"bytes=1-2;3-4",
        b"bytes=1-2-3",
        b"bytes=0x1-2",
        b"bytes=+1-2",
        "bytes=\u0661-\u0662".encode(),
        b"lines=1-2",
        b"bytes=0-1," + b"5" * 100_000 + b"-",
        b"bytes=1 - 2",
    ],
)
def test_what_makes_no_sense_is_ignored_or_matches_nothing(field: bytes) -> None:
    """A broken field costs a whole transfer at most, and never an error."""
    selected = select_untrusted(field, SIZE)

    assert selected is None or selected == (ByteRange(0, 1),)


@pytest.mark.rfc("9110#15.5.17")
@pytest.mark.parametrize("field", [b"bytes=1000-", b"bytes=5000-6000", b"bytes=-0"])
def test_a_range_behind_the_end_can_not_be_satisfied(field: bytes) -> None:
    """A client that resumes a file which has become shorter must be told (416)."""
    assert select_untrusted(field, SIZE) == ()


def test_an_empty_file_has_no_range_but_can_be_had_whole() -> None:
    """Content-Range has no form for no bytes."""
    assert select_untrusted(b"bytes=0-", 0) == ()
    assert select_untrusted(b"bytes=-5", 0) is None


@pytest.mark.rfc("9110#17.15")
def test_overlapping_and_many_ranges_do_not_multiply_the_answer() -> None:
    """A request of a few bytes must not make us send a file a thousand times."""
    overlapping = b"bytes=" + b",".join([b"0-"] * RANGE_CNT_MAX)
    many = b"bytes=" + b",".join([b"0-0"] * (RANGE_CNT_MAX + 1))

    assert select_untrusted(overlapping, SIZE) == (ByteRange(0, SIZE - 1),)
    assert select_untrusted(many, SIZE) is None


SPECS = st.one_of(
    st.tuples(st.integers(0, 3000), st.integers(0, 3000)).map(lambda p: b"%d-%d" % p),
    st.integers(0, 3000).map(lambda n: b"%d-" % n),
    st.integers(0, 3000).map(lambda n: b"-%d" % n),
)


@given(specs=st.lists(SPECS, max_size=20), size_bytes=st.integers(0, 2000))
def test_what_is_selected_lies_in_the_file_and_never_overlaps(
    specs: list[bytes], size_bytes: int
) -> None:
    """So an answer is never longer than the file, besides the headers of its parts."""
    selected = select_untrusted(b"bytes=" + b",".join(specs), size_bytes) or ()

    covered = [set(range(item.first, item.last + 1)) for item in selected]
    assert all(covered)
    assert sum(map(len, covered)) == len(set().union(*covered))
    assert set().union(*covered) <= set(range(size_bytes))


@given(field=st.binary(max_size=200), size_bytes=st.integers(0, 1 << 62))
def test_no_bytes_from_the_network_raise(field: bytes, size_bytes: int) -> None:
    """Whoever sends nonsense gets the whole file, not a dead connection."""
    for prefix in (b"", b"bytes="):
        selected = select_untrusted(prefix + field, size_bytes)
        assert selected is None or len(selected) <= RANGE_CNT_MAX
