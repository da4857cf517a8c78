"""Logging of the commands, and how strangers' bytes are made fit to print."""

from __future__ import annotations

import logging
import sys
from enum import Enum

from quicxdp.asgi.access import AccessFormat, printable
from quicxdp.asgi.access import logger as access_log

__all__ = ["LogLevel", "access_log", "printable", "set_up"]


class LogLevel(Enum):
    """What --log-level takes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def set_up(
    level: LogLevel, *, access: bool, form: AccessFormat = AccessFormat.TEXT
) -> None:
    """Send logs to standard error and the access log, if wanted, to standard output."""
    logging.basicConfig(
        level=level.value.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    if level is not LogLevel.DEBUG:
        # aioquic warns of every stranger's broken handshake, and what goes wrong in our
        # own connections we say ourselves.
        logging.getLogger("quic").setLevel(logging.ERROR)
        # Lane and engine are part of what the commands print.
        for name in ("quicxdp.endpoint", "quicxdp.engine_choice"):
            logging.getLogger(name).setLevel(logging.WARNING)
    # It says that it is running, as if it were alone.
    logging.getLogger("quicxdp.asgi.hypercorn").setLevel(logging.WARNING)
    access_log.propagate = False
    access_log.handlers.clear()
    access_log.disabled = not access
    if access:
        handler = logging.StreamHandler(sys.stdout)
        # An object tells its time itself.
        time = "" if form is AccessFormat.JSON else "%(asctime)s "
        handler.setFormatter(logging.Formatter(f"{time}%(message)s"))
        access_log.addHandler(handler)
        access_log.setLevel(logging.INFO)
