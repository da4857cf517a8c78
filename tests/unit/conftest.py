"""Event loops to run tests on, and certificates for QUIC."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import qxcerts
import uvloop
from aioquic.quic.configuration import QuicConfiguration
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

# Nothing here takes a fraction of this; it turns a hang into a failure.
PATIENCE_S = 10


@pytest.fixture(scope="session", autouse=True)
def _loops_have_run_once() -> None:
    """Let uvloop open the pipe that it keeps for the life of the process."""
    for make in LOOPS.values():
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(asyncio.sleep(0))


class Run:
    """Runs a coroutine to its end on one kind of loop; call it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reported: list[dict[str, Any]] = []

    def __call__(self, coroutine: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
        """Run, and fail if the loop was told of an exception that nobody expects."""
        with asyncio.Runner(debug=debug, loop_factory=LOOPS[self.name]) as runner:
            runner.get_loop().set_exception_handler(
                lambda _, context: self.reported.append(context)
            )
            return runner.run(asyncio.wait_for(coroutine, PATIENCE_S))

    def take_reported(self) -> list[dict[str, Any]]:
        """Return what the loop's exception handler was given, as expected."""
        reported, self.reported = self.reported, []
        return reported


@pytest.fixture(params=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run coroutines on asyncio's loop, and again on uvloop's."""
    runner = Run(request.param)
    yield runner
    assert runner.reported == []


@pytest.fixture
def run_asyncio() -> Iterator[Run]:
    """Run coroutines on asyncio's loop only, where the loop makes no difference."""
    runner = Run("asyncio")
    yield runner
    assert runner.reported == []


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    return qxcerts.self_signed(tmp_path_factory.mktemp("certificate"), key)


@pytest.fixture
def server_configuration(certificate: tuple[Path, Path]) -> QuicConfiguration:
    """Return what a server needs."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["test"])
    configuration.load_cert_chain(*certificate)
    return configuration


def client_configuration() -> QuicConfiguration:
    """Return what a client needs; the certificate is not the point here."""
    return QuicConfiguration(
        is_client=True, alpn_protocols=["test"], verify_mode=ssl.CERT_NONE
    )
