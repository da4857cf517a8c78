"""Logging of the commands, and how strangers' bytes are made fit to print."""

from __future__ import annotations

import logging
import re
import sys
from enum import Enum

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_ACCESS = "quicxdp.access"

access_log = logging.getLogger(_ACCESS)


class LogLevel(Enum):
    """What --log-level takes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def printable(data: bytes | str) -> str:
    r"""Return *data* for a log or a terminal, everything but plain ASCII as escapes.

    A path or a field may hold what moves the cursor, renames the window or forges a line.
    """
    text = data.decode("latin-1") if isinstance(data, bytes) else data
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def set_up(level: LogLevel, *, access: bool) -> None:
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
    access_log.propagate = False
    access_log.handlers.clear()
    access_log.disabled = not access
    if access:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        access_log.addHandler(handler)
        access_log.setLevel(logging.INFO)
