"""The bytes of a message, taken piece by piece."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.cli import body as body_module
from quicxdp.cli.body import CHUNK_BYTES, Body, BodyError
from quicxdp.cli.static import FileSlice, Part, Zeros

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, bytes]:
    """Make a file of three chunks and a bit."""
    content = os.urandom(3 * CHUNK_BYTES + 17)
    path = tmp_path / "data"
    path.write_bytes(content)
    return path, content


def drain(body: Body) -> bytes:
    """Take all, loading where the kernel has nothing in memory, as the pump does."""
    taken = []
    while body.remaining_bytes:
        piece = body.take()
        if not piece:
            loaded = b""
            body.begin_load()
            try:
                loaded = body.load()
            finally:
                body.end_load(loaded)
            continue
        assert len(piece) <= CHUNK_BYTES
        taken.append(piece)
    body.close()
    return b"".join(taken)


def test_parts_come_in_order(data: tuple[Path, bytes]) -> None:
    """Text, slices of the file and zeros, each in pieces of bounded size."""
    path, content = data
    fd = os.open(path, os.O_RDONLY)

    body = Body(
        [
            b"head",
            FileSlice(5, 2 * CHUNK_BYTES),
            b"x" * (CHUNK_BYTES + 1),
            Zeros(100_000),
        ],
        fd,
    )

    expected = (
        b"head"
        + content[5 : 5 + 2 * CHUNK_BYTES]
        + b"x" * (CHUNK_BYTES + 1)
        + bytes(100_000)
    )
    assert body.remaining_bytes == len(expected)
    assert drain(body) == expected


def test_a_file_that_became_shorter_breaks_off(data: tuple[Path, bytes]) -> None:
    """The head has promised more: the client must not take the rest for complete."""
    path, content = data
    body = Body([FileSlice(0, len(content))], os.open(path, os.O_RDONLY))
    body.take()
    os.truncate(path, CHUNK_BYTES)

    with pytest.raises(BodyError, match="became shorter"):
        drain(body)

    body.close()


def test_reading_errors_break_off(
    data: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails is not an end of file."""
    path, _ = data
    body = Body([FileSlice(0, 10)], os.open(path, os.O_RDONLY))
    monkeypatch.setattr(body_module, "_NOWAIT", None)

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    assert body.take() == b""
    body.begin_load()
    with pytest.raises(BodyError, match="Input/output error"):
        body.load()
    body.end_load(b"")
    body.close()


def test_a_file_system_without_nowait_is_read_in_a_thread(
    data: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FUSE and NFS do not know RWF_NOWAIT."""
    path, content = data

    def refuse(*_: object) -> int:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "preadv", refuse)

    assert (
        drain(Body([FileSlice(0, len(content))], os.open(path, os.O_RDONLY))) == content
    )


def test_a_file_is_not_closed_under_the_thread_that_reads_it(
    data: tuple[Path, bytes],
) -> None:
    """Its number could be another file's by the time the thread reads."""
    path, content = data
    fd = os.open(path, os.O_RDONLY)
    body = Body([FileSlice(0, 10)], fd)

    body.begin_load()
    body.close()
    assert body.load() == content[:10]
    body.end_load(content[:10])

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


PARTS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=50),
        st.integers(1, 200_000).map(Zeros),
        st.builds(FileSlice, st.integers(0, 100), st.integers(1, 3 * CHUNK_BYTES - 100)),
    ),
    max_size=5,
)


@given(parts=PARTS)
def test_what_is_left_is_always_what_will_come(parts: list[Part]) -> None:
    """The pump decides by it when a stream has ended."""
    with os.fdopen(os.memfd_create("body"), "wb") as file:
        file.truncate(4 * CHUNK_BYTES)
        body = Body(parts, os.dup(file.fileno()))
        promised = body.remaining_bytes

        assert len(drain(body)) == promised
