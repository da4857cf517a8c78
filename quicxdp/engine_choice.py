"""Who handles the 1-RTT packets of a connection: the choice, and what it makes.

`engine="aioquic"` is the slow twin: aioquic alone, which knows nothing of this module.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from aioquic.quic.connection import QuicConnection

from . import _native_engine as native
from .config import EngineKind
from .connection import FastConnection
from .errors import ConfigError, UnavailableError
from .seam.core import engine_config

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aioquic.quic.configuration import QuicConfiguration

    from .engine import Engine

logger = logging.getLogger(__name__)


def choose(
    wish: EngineKind | str, configuration: QuicConfiguration
) -> tuple[EngineKind, str]:
    """Return NATIVE or AIOQUIC, and why.

    Raises:
        ConfigError: nothing of that name exists, or *configuration* asks the engine in C
            for something that it does not have.
        UnavailableError: engine="native", and the C extension is missing.
    """
    wish = EngineKind.parse(wish)
    if wish is EngineKind.AIOQUIC:
        return wish, 'engine="aioquic" was asked for'
    reason, error = _obstacle(configuration)
    if not reason:
        return EngineKind.NATIVE, "the engine in C"
    if wish is EngineKind.NATIVE:
        raise error(f'engine="native" is not possible: {reason}')
    return EngineKind.AIOQUIC, f"the engine in C is not possible: {reason}"


def _obstacle(
    configuration: QuicConfiguration,
) -> tuple[str, type[ConfigError | UnavailableError]]:
    if not native.available():
        return native.WHY, UnavailableError
    try:
        engine_config(configuration)
    except ConfigError as error:
        return str(error), ConfigError
    return "", ConfigError


def connection_factory(
    kind: EngineKind, engine: Engine | None
) -> Callable[..., QuicConnection]:
    """Return what makes a connection, taking the arguments of aioquic's QuicConnection.

    Args:
        kind: what `choose` returned.
        engine: the endpoint's engine; without one, a native connection is sans-IO as
            aioquic's is.
    """
    if kind is EngineKind.AIOQUIC:
        return QuicConnection
    return partial(FastConnection, engine=engine)


def announce(transport: asyncio.BaseTransport, kind: EngineKind, reason: str) -> None:
    """Say who handles the connections of an endpoint, and why: in the log, and there.

    Of a transport that is not ours nothing is said.
    """
    note = getattr(transport, "note_engine", None)
    if note is not None:
        address = transport.get_extra_info("sockname")[:2]
        logger.info("engine=%s on %s: %s", kind.value, address, reason)
        note(kind, reason)


def use_datagrams(connection: QuicConnection, protocol: asyncio.DatagramProtocol) -> str:
    """Let *protocol* carry the datagrams of the new *connection*, since it asks for that.

    Returns:
        What to say of it; "" if the engine in C does not handle the connection.
    """
    if not isinstance(connection, FastConnection):
        return ""
    connection.carry_datagrams()
    name = type(protocol).__qualname__
    return f"the engine in C; {name} takes each datagram itself, at a call per packet"
