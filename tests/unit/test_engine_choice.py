from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from quicxdp import _native_engine
from quicxdp.config import EngineKind
from quicxdp.connection import FastConnection
from quicxdp.engine_choice import choose, connection_factory
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
