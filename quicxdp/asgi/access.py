"""The access log: a line for every request, as text or as a JSON object.

What a stranger has sent is made fit to print: everything but plain ASCII as escapes.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .types import Scope

_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")

logger = logging.getLogger("quicxdp.access")


class AccessFormat(Enum):
    """How the access log is written."""

    TEXT = "text"
    JSON = "json"


def printable(data: bytes | str) -> str:
    r"""Return *data* for a log or a terminal, everything but plain ASCII as escapes.

    A path or a field may hold what moves the cursor, renames the window or forges a line.
    """
    text = data.decode("latin-1") if isinstance(data, bytes) else data
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


class AccessLog:
    """Writes lines to the logger ``quicxdp.access``."""

    def __init__(self, form: AccessFormat, clock: Callable[[], float]) -> None:
        self._form = form
        self._clock = clock

    def write(
        self,
        scope: Scope,
        *,
        status: int,
        sent_bytes: int,
        received_bytes: int,
        started_s: float,
        outcome: str,
        path_facts: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        """Write a line about one request.

        Args:
            scope: of the request.
            status: of the response; 0 if there was none.
            sent_bytes: of content.
            received_bytes: of content.
            started_s: when the request came, by the clock.
            outcome: ok, or what went wrong.
            path_facts: tells lane and RTT; asked only if a line is written.
        """
        if not logger.isEnabledFor(logging.INFO):
            return
        target = scope.get("raw_path") or scope["path"].encode()
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        facts = {
            "client": scope.get("client"),
            "method": printable(scope.get("method", "CONNECT")),
            "target": printable(target),
            "protocol": f"HTTP/{scope.get('http_version', '3')}",
            "status": status or None,
            "sent_bytes": sent_bytes,
            "received_bytes": received_bytes,
            "duration_ms": round((self._clock() - started_s) * 1000, 3),
            "outcome": outcome,
            **(path_facts() if path_facts else {}),
        }
        if self._form is AccessFormat.JSON:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            logger.info("%s", json.dumps({"time": now, **facts}))
        else:
            logger.info("%s", _as_text(facts))


def _as_text(facts: dict[str, Any]) -> str:
    host, port = (facts["client"] or ("-", 0))[:2]
    line = (
        f'[{host}]:{port} "{facts["method"]} {facts["target"]} {facts["protocol"]}" '
        f"{facts['status'] or '-'} {facts['sent_bytes']} bytes "
        f"{facts['duration_ms']:.1f} ms {facts['outcome']}"
    )
    if "lane" in facts:
        line += f" lane={facts['lane']}"
    if facts.get("rtt_ms") is not None:
        line += f" rtt={facts['rtt_ms']:.1f}ms"
    return line
