"""The engine of an endpoint, and its part in the endpoint's turns.

    receive -> news of connections -> what is aioquic's -> application -> flush

`receive` takes a batch from the datapath: the engine opens what it has keys for and
returns the rest, in order.  Whoever has news is told once per turn.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Final

from .config import BATCH_MAX
from .engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from .addresses import PeerAddress
    from .datapath import Datapath
    from .engine import Owner
    from .ownership import Owner as ThreadOwner

WHAT: Final = "this engine"


class EngineTurn:
    """Made by `DatagramTransport.open_engine`.

    Attributes:
        engine: what connections of the endpoint are opened in.
        is_full: the last batch was as large as batches are; more may wait.
    """

    __slots__ = (
        "_batch",
        "_heard",
        "_listeners",
        "_owner",
        "_peer",
        "_soon",
        "engine",
        "is_full",
    )

    def __init__(
        self,
        datapath: Datapath,
        owner: ThreadOwner,
        *,
        cid_len_bytes: int,
        soon: Callable[[], object],
    ) -> None:
        """Open an engine over *datapath*.

        Args:
            datapath: of the endpoint; from now on only the engine receives from it.
            owner: of the endpoint.
            cid_len_bytes: the length of the connection IDs that are ours.
            soon: called when a connection may have something to send.

        Raises:
            UnavailableError: the C extension has no engine.
        """
        self.engine = Engine(
            cid_len_bytes=cid_len_bytes, dp=datapath.cdata, book=datapath.book
        )
        self.engine.wake = self._soon = soon
        self.engine.on_datagram = self._take_datagram
        self.is_full = False
        self._owner = owner
        self._peer = datapath.book.peer
        self._batch: list[tuple[bytes, PeerAddress]] = []
        self._heard: dict[Owner, None] = {}
        self._listeners: dict[Owner, Callable[[], object]] = {}

    def listen(self, connection: Owner, callback: Callable[[], object]) -> None:
        """Call *callback* in every turn that has news of *connection*."""
        self._listeners[connection] = callback

    def unlisten(self, connection: Owner) -> None:
        """Forget *connection*; harmless when repeated."""
        self._listeners.pop(connection, None)

    def receive(self, now_ns: int) -> list[tuple[bytes, PeerAddress]]:
        """Take a batch and run what is due; return what is for aioquic to open.

        Raises:
            DatapathError: ENETDOWN once, when the interface is gone.
        """
        if get_ident() != self._owner.thread:
            self._owner.refuse(WHAT)
        self.is_full = False
        try:
            self.is_full = self.engine.receive(now_ns) >= BATCH_MAX
        finally:
            self._pump()
        batch, self._batch = self._batch, []
        return batch

    def tell(self, failed: Callable[[BaseException], object]) -> None:
        """Call the listeners of the connections with news.

        Args:
            failed: called with what a listener has raised; the others are told all the
                same.
        """
        # What came of the datagrams that aioquic was given meanwhile.
        self._pump()
        while self._heard:
            heard, self._heard = self._heard, {}
            for connection in heard:
                listener = self._listeners.get(connection)
                if listener is None:
                    continue
                try:
                    listener()
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as exc:  # noqa: BLE001  # asyncio's rule for callbacks
                    failed(exc)

    def flush(self, now_ns: int) -> None:
        """Send what connections have to send.

        Raises:
            DatapathError: sending failed as a whole.
        """
        self.engine.flush(now_ns)
        self._pump()
        if self._heard:
            # Rare: a key that must not seal more, or memory that ran out.
            self._soon()

    def _pump(self) -> None:
        for connection in self.engine.pump():
            self._heard[connection] = None

    def deadline_ns(self) -> int:
        """Return when `receive` must run next at the latest."""
        return self.engine.deadline_ns()

    def close(self) -> None:
        """Close the engine, before the datapath."""
        self._listeners.clear()
        self._heard.clear()
        self._batch.clear()
        self.engine.close()

    def _take_datagram(self, path: bytes, data: bytes, _time_ns: int) -> None:
        self._batch.append((data, self._peer(path)))
