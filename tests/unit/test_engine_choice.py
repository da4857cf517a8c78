from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from quicxdp import _native_engine
from quicxdp.config import EngineKind
from quicxdp.connection import FastConnection
from quicxdp.engine_choice import announce, choose, connection_factory, use_datagrams
from quicxdp.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = QuicConfiguration(is_client=True)
OTHER_CONGESTION = QuicConfiguration(
    is_client=True, congestion_control_algorithm="homegrown"
)


@pytest.mark.parametrize("wish", list(EngineKind))
def test_an_engine_is_given_by_name_or_as_the_enum(wish: EngineKind) -> None:
    """A command line has the name, a program may have the member."""
    assert choose(wish, PLAIN) == choose(wish.value, PLAIN)


def test_an_unknown_engine_is_refused_with_the_names_that_exist() -> None:
    """A typo must not silently mean "auto"."""
    with pytest.raises(ConfigError, match="auto, native, aioquic"):
        choose("nativ", PLAIN)


@pytest.mark.parametrize("wish", [EngineKind.AUTO, EngineKind.NATIVE])
def test_the_engine_in_c_is_taken_where_it_can_be(wish: EngineKind) -> None:
    """Both wishes mean it."""
    kind, _ = choose(wish, PLAIN)

    assert kind is EngineKind.NATIVE
    connection = connection_factory(kind, None)(configuration=PLAIN)
    assert isinstance(connection, FastConnection)


def test_aioquic_alone_is_exactly_aioquic() -> None:
    """The slow twin must not depend on the fast one."""
    kind, _ = choose("aioquic", OTHER_CONGESTION)

    assert connection_factory(kind, None) is QuicConnection


@pytest.mark.parametrize(
    ("configuration", "why", "error"),
    [
        (OTHER_CONGESTION, "homegrown", ConfigError),
        (PLAIN, "did not load", UnavailableError),
    ],
)
def test_what_stands_in_the_way_is_said(
    monkeypatch: pytest.MonkeyPatch,
    configuration: QuicConfiguration,
    why: str,
    error: type[Exception],
) -> None:
    """With "auto" as the reason, with "native" as the error, before any packet."""
    if error is UnavailableError:
        refuse: Callable[[], bool] = lambda: False  # noqa: E731
        monkeypatch.setattr(_native_engine, "available", refuse)
        monkeypatch.setattr(_native_engine, "WHY", "the C extension did not load")

    kind, reason = choose("auto", configuration)

    assert kind is EngineKind.AIOQUIC
    assert why in reason
    with pytest.raises(error, match=why):
        choose("native", configuration)


class NotingTransport(asyncio.DatagramTransport):
    """As far as `announce` can tell, one of ours."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("::1", 443, 0, 0)})
        self.noted: list[tuple[EngineKind, str]] = []

    def note_engine(self, kind: EngineKind, reason: str) -> None:
        """Keep it."""
        self.noted.append((kind, reason))


def test_the_choice_is_said_in_the_log_and_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One precise line per endpoint."""
    transport = NotingTransport()

    with caplog.at_level("INFO", "quicxdp.engine_choice"):
        announce(transport, EngineKind.AIOQUIC, "no compiler here")

    assert transport.noted == [(EngineKind.AIOQUIC, "no compiler here")]
    assert caplog.messages == ["engine=aioquic on ('::1', 443): no compiler here"]


def test_of_somebody_elses_transport_nothing_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There may be no address to name, and nowhere to keep it."""
    with caplog.at_level("INFO", "quicxdp.engine_choice"):
        announce(asyncio.DatagramTransport(), EngineKind.NATIVE, "because")

    assert caplog.messages == []


def test_a_protocol_that_takes_datagrams_is_named_in_the_reason() -> None:
    """Whoever wonders why it is slow finds out which class it is."""

    class TakesAll(asyncio.DatagramProtocol):
        pass

    reason = use_datagrams(FastConnection(configuration=PLAIN), TakesAll())

    assert reason.startswith("the engine in C; ")
    assert "TakesAll takes each datagram itself" in reason


def test_on_aioquic_alone_every_protocol_takes_datagrams() -> None:
    """So there is nothing to say, and nothing to change."""
    connection = QuicConnection(configuration=PLAIN)
    before = dict(vars(connection))

    assert use_datagrams(connection, asyncio.DatagramProtocol()) == ""
    assert vars(connection) == before
