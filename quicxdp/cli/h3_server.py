"""HTTP/3 between `quicxdp.h3` and the `Responder`: one protocol per connection.

What a stranger can make us keep is bounded: the header section of a request by
`quicxdp.h3`, and here the receive window of a stream, the open files of the process, and,
through the pump, what lies in send buffers.
"""

from __future__ import annotations

import hashlib
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events

from quicxdp import aioquic_shim_streams as shim
from quicxdp.h3 import (
    Connection,
    DataReceived,
    ErrorCode,
    H3Config,
    MessageFailed,
    RequestReceived,
    SendingStopped,
    StreamReset,
    TrailersReceived,
)

from .body import Body, BodyError
from .h3_state import Exchange, ServerState
from .logs import access_log, printable
from .request import Refused, Request, read_request_untrusted
from .responder import (
    BENCH_BYTES_MAX,
    Answer,
    CountBody,
    SlowAnswer,
    count_answer,
    refusal,
)
from .stream_pump import LOW_WATER_BYTES, StreamPump
from .validators import format_date

if TYPE_CHECKING:
    import asyncio

    from aioquic.asyncio.protocol import QuicStreamHandler
    from aioquic.quic.connection import QuicConnection

    from .static import Plan

logger = logging.getLogger(__name__)

# Encoded and decoded size of a request's header section; what Apache and nginx allow,
# twice.
FIELD_SECTION_BYTES_MAX = 16 * 1024
_CONFIG = H3Config(field_section_bytes_max=FIELD_SECTION_BYTES_MAX)
# An answer up to this size goes out with its head, in one write.
_ONE_WRITE_BYTES_MAX = 16 * 1024
# A stream that has its answer may send this much more before it is told to stop.
_UNWANTED_BYTES_MAX = 64 * 1024
# Request bodies are counted and thrown away, so a small window does.
STREAM_WINDOW_BYTES = 256 * 1024


class H3ServerProtocol(QuicConnectionProtocol):
    """Answers the requests of one connection."""

    def __init__(
        self,
        quic: QuicConnection,
        stream_handler: QuicStreamHandler | None = None,
        *,
        state: ServerState,
    ) -> None:
        super().__init__(quic, stream_handler)
        shim.bound_receive_windows(quic, STREAM_WINDOW_BYTES)
        self._state = state
        self._h3: Connection | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._slow: set[asyncio.Future[Answer]] = set()
        self._pump = StreamPump(
            self, lambda function: self._loop.run_in_executor(None, function)
        )
        state.connections.add(self)

    # ---- draining ----------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether nothing asked for is still on its way."""
        return not (
            self._slow or len(self._pump) or shim.has_undelivered_responses(self._quic)
        )

    def begin_drain(self) -> None:
        """Tell the client to send no more requests; those under way are answered."""
        if self._h3 is not None:
            self._h3.send_goaway()
            self.transmit()

    # ---- aioquic's protocol ------------------------------------------------------------

    def transmit(self) -> None:
        """Answer what has come, top up the send buffers, build and send datagrams."""
        self._take_events()
        self._pump.fill()
        super().transmit()
        if self._pump.wants_turn():
            self._transmit_soon()
        if self._state.is_draining and self.is_idle:
            self._state.idle_changed.set()

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Turn one event of the connection into answers."""
        if isinstance(event, events.ProtocolNegotiated):
            self._h3 = Connection(self._quic, is_client=False, config=_CONFIG)
            shim.deliver_to(self._quic, self._h3)
            if self._state.is_draining:
                self._h3.send_goaway()
        elif isinstance(event, events.ConnectionTerminated):
            self._terminated(event)
        elif self._h3 is not None:
            shim.forward(event, self._h3)

    def _take_events(self) -> None:
        """Answer what has come since the last time."""
        if self._h3 is None:
            return
        for event in self._h3.take_events():
            if isinstance(event, RequestReceived):
                self._request_received(event)
            elif isinstance(event, DataReceived):
                self._data_received(event.stream_id, event.data)
            elif isinstance(event, StreamReset):
                self._input_broken(event.stream_id)
            elif isinstance(event, SendingStopped):
                self._give_up(event.stream_id)
            elif isinstance(event, MessageFailed):
                self._message_failed(event.stream_id)
            # Trailers say nothing to us, but may be the end.
            if (
                isinstance(event, RequestReceived | DataReceived | TrailersReceived)
                and event.ended
            ):
                self._input_ended(event.stream_id)

    def _terminated(self, event: events.ConnectionTerminated) -> None:
        logger.debug("connection ended: %s", printable(event.reason_phrase))
        self._h3 = None
        for stream_id in tuple(self._exchanges):
            self._give_up(stream_id)
        self._exchanges.clear()
        self._pump.drop_all()
        self._state.connections.discard(self)
        self._state.idle_changed.set()

    def _data_received(self, stream_id: int, data: bytes) -> None:
        if (exchange := self._exchanges.get(stream_id)) is None:
            return
        exchange.received_bytes += len(data)
        if exchange.digest is not None:
            exchange.digest.update(data)
        self._check_received(stream_id, exchange)

    def _message_failed(self, stream_id: int) -> None:
        if (exchange := self._exchanges.get(stream_id)) is not None:
            exchange.is_input_ended = True
            self._give_up(stream_id)

    # ---- requests ----------------------------------------------------------------------

    def _request_received(self, event: RequestReceived) -> None:
        stream_id = event.stream_id
        self._state.request_cnt += 1
        exchange = self._exchanges[stream_id] = Exchange(self._state.clock())
        exchange.method = event.method
        exchange.target = event.path or b"-"
        try:
            self._check_load()
            self._answer(stream_id, exchange, read_request_untrusted(_headers(event)))
        except Refused as refused:
            self._respond(stream_id, exchange, refusal(exchange.method, refused))
        except Exception:
            # A fault of ours: one request gets to know of it, and nobody else.
            logger.exception("answering %s failed", printable(exchange.target))
            self._respond(stream_id, exchange, refusal(exchange.method, _our_fault()))

    def _check_load(self) -> None:
        if self._state.open_file_cnt >= self._state.open_files_max:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many files are being sent; try again.",
            )

    def _answer(self, stream_id: int, exchange: Exchange, request: Request) -> None:
        answer = self._state.responder.answer(request)
        if isinstance(answer, CountBody):
            exchange.counts_body = True
            exchange.digest = hashlib.sha256() if answer.hashes else None
            if request.fields.get(b"expect", b"").lower() == b"100-continue":
                self._send_continue(stream_id)
        elif isinstance(answer, Answer):
            self._respond(stream_id, exchange, answer.plan, answer.fd)
        else:
            self._answer_slowly(stream_id, exchange, answer)

    def _send_continue(self, stream_id: int) -> None:
        """Tell a client that waits for it to send its body (RFC 9110 section 10.1.1)."""
        if self._h3 is not None:
            self._h3.send_interim(stream_id, HTTPStatus.CONTINUE.value, [])

    def _answer_slowly(
        self, stream_id: int, exchange: Exchange, answer: SlowAnswer
    ) -> None:
        future = self._loop.run_in_executor(None, answer.finish)
        self._slow.add(future)

        def finished(done: asyncio.Future[Answer]) -> None:
            self._slow.discard(done)
            if done.cancelled():
                return
            if (error := done.exception()) is not None:
                logger.error("answering failed", exc_info=error)
                self._respond(stream_id, exchange, refusal(exchange.method, _our_fault()))
            else:
                result = done.result()
                self._respond(stream_id, exchange, result.plan, result.fd)
            self.transmit()

        future.add_done_callback(finished)

    def _check_received(self, stream_id: int, exchange: Exchange) -> None:
        if exchange.counts_body:
            if exchange.received_bytes > BENCH_BYTES_MAX:
                exchange.counts_body = False
                refused = Refused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too long."
                )
                self._respond(stream_id, exchange, refusal(exchange.method, refused))
        elif exchange.received_bytes > _UNWANTED_BYTES_MAX:
            self._stop_input(stream_id, exchange)

    def _input_ended(self, stream_id: int) -> None:
        if (exchange := self._exchanges.get(stream_id)) is None:
            return
        exchange.is_input_ended = True
        if exchange.counts_body:
            exchange.counts_body = False
            digest, exchange.digest = exchange.digest, None
            told = digest.hexdigest() if digest else str(exchange.received_bytes)
            self._respond(stream_id, exchange, count_answer(told))
        self._settle(stream_id, exchange)

    def _input_broken(self, stream_id: int) -> None:
        """Take note that the client has reset its side: the request stays incomplete."""
        if (exchange := self._exchanges.get(stream_id)) is None:
            return
        exchange.is_input_ended = True
        if exchange.counts_body:
            if self._h3 is not None:
                self._h3.reset(stream_id, ErrorCode.H3_REQUEST_INCOMPLETE)
            self._done(stream_id, exchange, "incomplete")
        self._settle(stream_id, exchange)

    def _stop_input(self, stream_id: int, exchange: Exchange) -> None:
        """Tell the client that its answer does not depend on the rest (RFC 9114 4.1)."""
        assert self._h3 is not None  # noqa: S101  (its event brought us here)
        self._h3.stop(stream_id)
        exchange.is_input_ended = True
        self._settle(stream_id, exchange)

    # ---- answers -----------------------------------------------------------------------

    def _respond(
        self, stream_id: int, exchange: Exchange, plan: Plan, fd: int | None = None
    ) -> None:
        body = Body(plan.parts, fd)
        h3 = self._h3
        if h3 is None or exchange.is_answered:
            body.close()  # the client has gone, or said that it does not want an answer
            return
        exchange.is_answered = True
        exchange.status = plan.status.value
        exchange.answered_bytes = body.remaining_bytes
        fields = [
            (b"date", format_date(int(self._state.wall_clock()))),
            (b"server", self._state.server_name),
            *plan.fields,
        ]
        data = b""
        if body.remaining_bytes <= _ONE_WRITE_BYTES_MAX:
            try:
                data = body.take()
            except BodyError as error:
                body.close()
                self.body_failed(stream_id, error)
                return
        has_more = body.remaining_bytes > 0
        h3.send_response(stream_id, plan.status.value, fields, data, end=not has_more)
        if has_more:
            if fd is not None:
                exchange.holds_file = True
                self._state.open_file_cnt += 1
            self._pump.add(stream_id, body)
        else:
            body.close()
            self._done(stream_id, exchange, "ok")

    def _give_up(self, stream_id: int) -> None:
        """Take note that the client wants no answer, or no more of it."""
        self._pump.drop(stream_id)
        if (exchange := self._exchanges.get(stream_id)) is not None:
            self._done(stream_id, exchange, "aborted")

    def _done(self, stream_id: int, exchange: Exchange, outcome: str) -> None:
        """Account for an answer, once, however it ended."""
        if exchange.is_done:
            return
        exchange.is_done = exchange.is_answered = True
        if exchange.holds_file:
            self._state.open_file_cnt -= 1
        if access_log.isEnabledFor(logging.INFO):
            peer = self._quic.get_peer_address() or ("-", 0)
            access_log.info(
                '[%s]:%d "%s %s" %s %d bytes %.1f ms %s',
                peer[0],
                peer[1],
                printable(exchange.method),
                printable(exchange.target),
                exchange.status or "-",
                exchange.answered_bytes,
                (self._state.clock() - exchange.started_s) * 1000,
                outcome,
            )
        self._settle(stream_id, exchange)

    def _settle(self, stream_id: int, exchange: Exchange) -> None:
        """Forget an exchange of which both halves have ended."""
        if exchange.is_done and exchange.is_input_ended:
            self._exchanges.pop(stream_id, None)

    # ---- what the pump calls -----------------------------------------------------------

    def send(self, stream_id: int, data: bytes, *, end: bool) -> None:
        """Append to an answer."""
        if (
            self._h3 is not None
            and self._h3.send_data(stream_id, data, end=end)
            and not end
        ):
            shim.expect_turn(self._quic, stream_id, LOW_WATER_BYTES)

    def unsent_bytes(self, stream_id: int) -> int:
        """Say how far an answer's buffer is ahead of what has been sent."""
        return shim.unsent_bytes(self._quic, stream_id)

    def unacknowledged_bytes(self, stream_id: int) -> int:
        """Say how much an answer's buffer holds."""
        return shim.unacknowledged_bytes(self._quic, stream_id)

    def body_failed(self, stream_id: int, error: BodyError) -> None:
        """Break the answer off, so that the client does not take it for complete."""
        if self._h3 is not None:
            self._h3.reset(stream_id, ErrorCode.H3_INTERNAL_ERROR)
        if (exchange := self._exchanges.get(stream_id)) is not None:
            logger.error("%s: %s", printable(exchange.target), error)
            self._done(stream_id, exchange, "broken off")

    def body_sent(self, stream_id: int) -> None:
        """Take note that an answer is complete."""
        if (exchange := self._exchanges.get(stream_id)) is not None:
            self._done(stream_id, exchange, "ok")


def _headers(event: RequestReceived) -> list[tuple[bytes, bytes]]:
    pseudo = (
        (b":method", event.method),
        (b":scheme", event.scheme),
        (b":authority", event.authority),
        (b":path", event.path),
        (b":protocol", event.protocol),
    )
    return [*(field for field in pseudo if field[1]), *event.fields]


def _our_fault() -> Refused:
    return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "The server has made a mistake.")
