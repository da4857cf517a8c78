"""The engine of an endpoint, and its part in the endpoint's turns.

    run -> news of connections (take) -> what is aioquic's -> application (tell) -> finish

`run` takes a batch from the datapath: the engine opens what it has keys for and leaves
the rest, in order, for `take`.  Whoever has news is told once per turn.  A turn without
news is over with `run`.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Final

from .engine import Engine
from .engine_gate import EngineGate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .addresses import PeerAddress
    from .admission import Admission
    from .datapath import Datapath
    from .engine import Owner
    from .ownership import Owner as ThreadOwner

WHAT: Final = "this engine"


class EngineTurn:
    """Made by `DatagramTransport.open_engine`.

    Attributes:
        engine: what connections of the endpoint are opened in.
    """

    __slots__ = (
        "_batch",
        "_cid_len_bytes",
        "_gate",
        "_heard",
        "_listeners",
        "_owner",
        "_peer",
        "_soon",
        "engine",
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
        self._cid_len_bytes = cid_len_bytes
        self._gate: EngineGate | None = None
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

    def guard(
        self,
        admission: Admission,
        *,
        retry_key: bytes,
        token_lifetime_s: float,
        versions: Sequence[int],
    ) -> EngineGate:
        """Let a gate judge what belongs to no connection before it goes up; once.

        Args:
            admission: its limits.
            retry_key: what Retry tokens are made with.
            token_lifetime_s: for how long they are good.
            versions: of QUIC, that are spoken.

        Raises:
            DatapathError: there is no memory.
        """
        assert self._gate is None and self.engine.book is not None  # noqa: S101, PT018
        self._gate = EngineGate(
            admission,
            retry_key=retry_key,
            token_lifetime_s=token_lifetime_s,
            versions=versions,
            cid_len_bytes=self._cid_len_bytes,
            book=self.engine.book,
        )
        self.engine.use_gate(self._gate)
        return self._gate

    def run(self, now_ns: int, alarm_ns: int) -> int:
        """Take a batch and run what is due; without news, send and arm as well.

        Args:
            now_ns: the time.
            alarm_ns: when another turn is wanted at the latest.

        Returns:
            What is left to do, enum qx_turn_flags.  With TURN_EVENTS, and whenever the
            caller goes on, the turn ends with `finish`.

        Raises:
            DatapathError: ENETDOWN once, when the interface is gone, ESTALE once, when
                it has changed; or sending failed as a whole.
        """
        if get_ident() != self._owner.thread:
            self._owner.refuse(WHAT)
        return self.engine.turn(now_ns, alarm_ns)

    def take(self) -> list[tuple[bytes, PeerAddress]]:
        """Note the news of `run`; return the datagrams that are aioquic's."""
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

    def finish(self, now_ns: int, alarm_ns: int) -> int:
        """Send what connections have to send, and arm; arguments and result as of `run`.

        Raises:
            DatapathError: sending failed as a whole.
        """
        if get_ident() != self._owner.thread:
            self._owner.refuse(WHAT)
        return self.engine.finish(now_ns, alarm_ns)

    def _pump(self) -> None:
        for connection in self.engine.pump():
            self._heard[connection] = None

    def close(self) -> None:
        """Close the engine, before the datapath."""
        self._listeners.clear()
        self._heard.clear()
        self._batch.clear()
        self.engine.close()
        if self._gate is not None:
            self._gate.close()

    def _take_datagram(self, path: bytes, data: bytes, _time_ns: int) -> None:
        self._batch.append((data, self._peer(path)))
