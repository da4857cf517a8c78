"""What an endpoint does when its interface goes away, comes back, or changes.

    gone, changed -> the socket lane alone -> tries, ever more seldom -> AF_XDP again
                                                                      -> given up

C does a try (qx_rejoin), which never waits; when to try is decided here.  The socket lane
holds the port all the time, so nothing depends on how fast it is.

A try that lacks a right is the last one: rights that were given up do not come back.  All
other reasons can pass: no such interface, no address on it yet, somebody else's program.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from .errors import DatapathError
from .stats import LaneCounts

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .datapath import Datapath

logger = logging.getLogger(__name__)

# The kernel releases queues and memory within some ten milliseconds; nobody waits longer
# than the second for an interface that is back.
_FIRST_DELAY_S: Final = 0.02
_DELAY_MAX_S: Final = 1.0
_LACKS_RIGHTS: Final = (errno.EPERM, errno.EACCES)


class Rejoin:
    """Brings one endpoint's XDP lane back.

    Attributes:
        counts: what happened until now.
    """

    __slots__ = (
        "_changed",
        "_datapath",
        "_delay_s",
        "_loop",
        "_name",
        "_timer",
        "counts",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        datapath: Datapath,
        *,
        name: str,
        changed: Callable[[str], object],
    ) -> None:
        """Prepare; nothing happens before `lost` or `outgrown`.

        Args:
            loop: whose timers are used.
            datapath: of the endpoint.
            name: of the endpoint, for the log.
            changed: called with why, when other interfaces carry than did before.
        """
        self._loop = loop
        self._datapath = datapath
        self._name = name
        self._changed = changed
        self._timer: asyncio.TimerHandle | None = None
        self._delay_s = _FIRST_DELAY_S
        self.counts = LaneCounts()

    def _away(self) -> str:
        """Name the interfaces that do not carry; an endpoint may have others that do."""
        there = self._datapath.interfaces()
        named = self._datapath.config.interfaces
        return ",".join(name for name in named if name not in there)

    def lost(self) -> None:
        """The interface is gone."""
        self.counts.lost += 1
        away = self._away()
        logger.warning(
            "%s is gone: %s goes on over the kernel's socket, and over AF_XDP when it is "
            "back",
            away,
            self._name,
        )
        self._begin(f"{away} is gone; AF_XDP goes on when it is back")

    def outgrown(self) -> None:
        """The interface has other queues, another MAC address or a larger MTU."""
        away = self._away()
        logger.info("%s has changed: %s opens AF_XDP on it anew", away, self._name)
        self._begin(f"{away} has changed; AF_XDP is being opened anew")

    def stop(self) -> None:
        """Try no more; harmless when repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, reason: str) -> None:
        self.stop()
        self._changed(reason)
        self._delay_s = _FIRST_DELAY_S
        self._later()

    def _later(self) -> None:
        self._timer = self._loop.call_later(self._delay_s, self._try)
        self._delay_s = min(2 * self._delay_s, _DELAY_MAX_S)

    def _try(self) -> None:
        self._timer = None
        away = self._away()
        try:
            self._datapath.rejoin()
        except DatapathError as exc:
            self._failed(exc)
        else:
            self.counts.back += 1
            logger.warning("%s carries %s over AF_XDP again", away, self._name)
            self._changed(f"{away} was opened again")

    def _failed(self, exc: DatapathError) -> None:
        reason = f"{self._away()} was not opened again: {exc.strerror}"
        logger.debug("%s: %s", self._name, reason)
        self._changed(reason)
        if exc.errno not in _LACKS_RIGHTS:
            self._later()
            return
        self.counts.given_up += 1
        logger.warning(
            "%s stays on the kernel's socket, since the rights that AF_XDP needs were "
            "given up: %s",
            self._name,
            exc.strerror,
        )
