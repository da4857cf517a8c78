"""Feeding big messages to QUIC streams, a window ahead of what has been sent.

aioquic's send buffer takes everything it is given, so a 10 GB file written at once is 10
GB of memory until the slowest reader has it.  The pump keeps a little unsent data in each
stream's buffer: call `fill` before datagrams are built, and again soon if `wants_turn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .body import Body, BodyError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# Enough unsent data that a turn of the event loop never finds the buffer empty: 256 KiB
# last 2 ms at 1 Gbit/s.
STREAM_AHEAD_BYTES = 256 * 1024
# Shared by all streams of a connection, so that opening more does not buy more memory.
CONNECTION_AHEAD_BYTES = 1024 * 1024
# Sent but not acknowledged, for peers that withhold acknowledgements: more than the
# product of bandwidth and delay of 1 Gbit/s around the world.
STREAM_UNACKNOWLEDGED_BYTES_MAX = 32 * 1024 * 1024
# Below this a stream may run dry before the next acknowledgement gives it a turn.
LOW_WATER_BYTES = 64 * 1024


class StreamSender(Protocol):
    """What the pump needs of a connection."""

    def send(self, stream_id: int, data: bytes, *, end: bool) -> None:
        """Append to a stream."""

    def unsent_bytes(self, stream_id: int) -> int:
        """Say how far the stream's buffer is ahead of what has been sent."""

    def unacknowledged_bytes(self, stream_id: int) -> int:
        """Say how much the stream's buffer holds."""

    def transmit(self) -> None:
        """Build and send datagrams; calls `StreamPump.fill`."""

    def body_sent(self, stream_id: int) -> None:
        """Take note: the stream has been given its last byte."""

    def body_failed(self, stream_id: int, error: BodyError) -> None:
        """Take note: the rest cannot be had, and the stream must be reset."""


@dataclass(slots=True)
class _Feed:
    body: Body
    load: asyncio.Future[bytes] | None = None


class StreamPump:
    """All big messages that one connection is sending."""

    def __init__(
        self, sender: StreamSender, run_in_thread: Callable[..., asyncio.Future[bytes]]
    ) -> None:
        self._sender = sender
        self._run_in_thread = run_in_thread
        self._feeds: dict[int, _Feed] = {}

    def __len__(self) -> int:
        return len(self._feeds)

    def add(self, stream_id: int, body: Body) -> None:
        """Send *body*, now the pump's, on a stream, and end it."""
        self._feeds[stream_id] = _Feed(body)

    def drop(self, stream_id: int) -> None:
        """Stop feeding a stream, if it is being fed."""
        if (feed := self._feeds.pop(stream_id, None)) is not None:
            feed.body.close()

    def drop_all(self) -> None:
        """Stop feeding: the connection is gone."""
        for stream_id in tuple(self._feeds):
            self.drop(stream_id)

    def fill(self) -> None:
        """Top up every stream's buffer, in turns."""
        unsent_bytes = self._unsent_bytes()
        progress = True
        while progress:
            progress = False
            for stream_id, feed in tuple(self._feeds.items()):
                if unsent_bytes >= CONNECTION_AHEAD_BYTES:
                    return
                if self._may_feed(stream_id, feed, STREAM_AHEAD_BYTES):
                    fed_bytes = self._feed(stream_id, feed)
                    unsent_bytes += fed_bytes
                    progress |= fed_bytes > 0

    def wants_turn(self) -> bool:
        """Whether a stream could run dry before the peer's next packet calls for more.

        True only where `fill` would do something, so a turn asked for is never idle.
        """
        return self._unsent_bytes() < CONNECTION_AHEAD_BYTES and any(
            self._may_feed(stream_id, feed, LOW_WATER_BYTES)
            for stream_id, feed in self._feeds.items()
        )

    def _unsent_bytes(self) -> int:
        return sum(map(self._sender.unsent_bytes, self._feeds))

    def _may_feed(self, stream_id: int, feed: _Feed, ahead_bytes: int) -> bool:
        return (
            feed.load is None
            and self._sender.unsent_bytes(stream_id) < ahead_bytes
            and self._sender.unacknowledged_bytes(stream_id)
            < STREAM_UNACKNOWLEDGED_BYTES_MAX
        )

    def _feed(self, stream_id: int, feed: _Feed) -> int:
        """Move one chunk, or start loading it; return how many bytes moved."""
        try:
            data = feed.body.take()
        except BodyError as error:
            self._fail(stream_id, error)
            return 0
        if not data:
            feed.body.begin_load()
            feed.load = self._run_in_thread(feed.body.load)
            feed.load.add_done_callback(
                lambda future: self._loaded(stream_id, feed, future)
            )
            return 0
        is_last = feed.body.remaining_bytes == 0
        if is_last:
            self.drop(stream_id)
        else:
            # To the end of the dict: under the connection's limit, streams take turns.
            self._feeds[stream_id] = self._feeds.pop(stream_id)
        self._sender.send(stream_id, data, end=is_last)
        if is_last:
            self._sender.body_sent(stream_id)
        return len(data)

    def _loaded(self, stream_id: int, feed: _Feed, future: asyncio.Future[bytes]) -> None:
        feed.load = None
        error = None if future.cancelled() else future.exception()
        failed = future.cancelled() or error is not None
        feed.body.end_load(b"" if failed else future.result())
        if self._feeds.get(stream_id) is not feed:
            return  # dropped meanwhile
        if isinstance(error, BodyError):
            self._fail(stream_id, error)
        elif failed:
            self._fail(stream_id, BodyError(f"reading the file failed: {error!r}"))
        self._sender.transmit()

    def _fail(self, stream_id: int, error: BodyError) -> None:
        self.drop(stream_id)
        self._sender.body_failed(stream_id, error)
