from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from quicxdp.datapath import Datapath, open_datapaths
from quicxdp.ownership import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def datapath() -> Iterator[Datapath]:
    """Open a datapath on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        opened = Datapath.open(sock)
    yield opened
    opened.close()


def in_thread(function: Callable[[], object]) -> BaseException | None:
    """Return what *function* raises in another thread."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def in_child(function: Callable[[], object]) -> str:
    """Return the message of what *function* raises in a forked child."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        text = "nothing raised"
        try:
            function()
        except BaseException as error:  # noqa: BLE001
            text = f"{type(error).__name__}: {error}"
        finally:
            os.write(write_fd, text.encode())
            os._exit(0)
    os.close(write_fd)
    os.waitpid(pid, 0)
    with os.fdopen(read_fd, "rb") as pipe:
        return pipe.read().decode()


METHODS: dict[str, Callable[[Datapath], object]] = {
    "recv": lambda dp: dp.recv(0),
    "flush": lambda dp: dp.flush(),
    "arm": lambda dp: dp.arm(0),
    "errors": lambda dp: dp.errors(),
    "local": lambda dp: dp.local(),
    "stats": lambda dp: dp.stats(),
    "census": lambda dp: dp.census(),
}


@pytest.mark.parametrize("method", METHODS)
def test_another_thread_is_refused(datapath: Datapath, method: str) -> None:
    """There is no lock below; two threads would tear the rings apart."""
    error = in_thread(lambda: METHODS[method](datapath))

    assert isinstance(error, RuntimeError)
    assert "call_soon_threadsafe" in str(error)


@pytest.mark.parametrize("method", METHODS)
def test_a_forked_child_is_refused(datapath: Datapath, method: str) -> None:
    """Its memory has holes where the rings are: without the check it would crash."""
    text = in_child(lambda: METHODS[method](datapath))

    assert text.startswith("RuntimeError: ")
    assert "parent" in text


def test_the_parent_goes_on_after_a_fork(datapath: Datapath) -> None:
    """Starting a subprocess must not cost a server its endpoint."""
    in_child(lambda: None)

    assert datapath.recv(0) == []


def test_a_forked_child_may_close_what_it_inherited(datapath: Datapath) -> None:
    """A child that tidies up must neither crash nor close the parent's endpoint."""

    def close() -> None:
        datapath.close()
        raise LookupError(str(open_datapaths()))

    assert in_child(close) == "LookupError: []"
    assert datapath.recv(0) == []


def test_an_owner_is_the_thread_that_made_it() -> None:
    """Also when the check is asked directly."""
    owner = Owner()

    owner.check("this")
    assert not owner.forked
    with pytest.raises(RuntimeError, match="this may only be used by the thread"):
        raise in_thread(lambda: owner.check("this")) or AssertionError("not refused")


@pytest.mark.parametrize("method", METHODS)
def test_a_closed_datapath_says_so(method: str) -> None:
    """Rather than crash in C."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        datapath = Datapath.open(sock)
    datapath.close()
    datapath.close()

    assert datapath.closed
    with pytest.raises(RuntimeError, match="closed"):
        METHODS[method](datapath)


def test_a_datapath_that_nobody_closed_is_closed_with_a_warning() -> None:
    """The port is free again, and the programmer learns of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        datapath = Datapath.open(sock)

    with pytest.warns(ResourceWarning, match="unclosed"):
        del datapath

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
