"""ControlTable: what aioquic sent in our space, until C knows what became of it.

Bounded, because a peer decides how long that takes and can make aioquic want to send
(RETIRE_CONNECTION_ID, PATH_RESPONSE): while the table is full, nothing is collected, the
frames wait in aioquic, and aioquic's own limits end the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aioquic.quic.packet_builder import QuicDeliveryState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Handler: TypeAlias = tuple[Callable[..., None], Sequence[Any]]

# Far more than a handshake with its tickets needs, which is about 20.  Asked before
# aioquic's loop runs, which may add some dozens.
FRAME_CNT_MAX: Final = 256


class ControlTable:
    """Delivery handlers by token."""

    __slots__ = ("_handlers", "_next")

    def __init__(self) -> None:
        self._handlers: dict[int, Sequence[Handler]] = {}
        self._next = 1  # 0 is no token

    def __len__(self) -> int:
        return len(self._handlers)

    @property
    def is_full(self) -> bool:
        """Whether no more may be sent for now."""
        return len(self._handlers) >= FRAME_CNT_MAX

    def add(self, handlers: Sequence[Handler]) -> int:
        """Return a token for a frame or packet; entries without handlers count too."""
        token = self._next
        self._next += 1
        self._handlers[token] = handlers
        return token

    def resolve(self, token: int, *, acked: bool) -> None:
        """Tell the handlers of a token; each token once."""
        state = QuicDeliveryState.ACKED if acked else QuicDeliveryState.LOST
        for handler, args in self._handlers.pop(token, ()):
            handler(state, *args)
