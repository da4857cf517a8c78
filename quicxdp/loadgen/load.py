"""Requests in a closed loop (the next when one is done) or an open one (by the clock).

In the open loop a request's time counts from when it was due, so that a server that
stalls answers for all that waited meanwhile.

By the clock, a run of small requests ends when its time is over, whatever is under way.
Large bodies under way are waited for, within reason: cut off, they would be missing from
the sum.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import time
from array import array
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from . import messages
from .endpoint import Endpoint
from .failures import Failure, LoadError
from .plan import Handshake, Mode
from .report import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aioquic.quic.events import HandshakeCompleted

    from .endpoint import Client
    from .plan import Plan

_NS_PER_S: Final = 1_000_000_000
_PIECE: Final = bytes(1 << 20)
# A server's socket buffer does not hold the first packets of hundreds of connections.
_HANDSHAKES_AT_A_TIME: Final = 16


@contextlib.asynccontextmanager
async def prepared(plan: Plan) -> AsyncIterator[Run]:
    """Give a run whose connections are made; close them at the end of the block.

    Raises:
        LoadError: a handshake failed, or the server is silent.
        quicxdp.QuicxdpError: the lane or the engine is not possible.
        OSError: there is no such host.
    """
    endpoint = await Endpoint.open(plan)
    run = Run(plan, endpoint)
    try:
        await run.connect()
        yield run
    finally:
        await run.close()


class Run:
    """One run of a plan; made by `prepared`.

    Attributes:
        on_progress: called with what has been done so far, as often as the plan says.
    """

    on_progress: Callable[[dict[str, float]], object]

    def __init__(self, plan: Plan, endpoint: Endpoint) -> None:
        self._plan = plan
        self._endpoint = endpoint
        endpoint.load = self
        self._clients: list[Client] = []
        self._upload_bytes = (plan.size_bytes or 0) if plan.mode is Mode.UP else 0
        self.on_progress = lambda _: None
        self._is_alone = plan.mode is Mode.HANDSHAKES  # each on its own connection
        self._is_resuming = plan.handshake is not Handshake.FULL
        self._is_long = plan.mode in (Mode.DOWN, Mode.UP)
        self._is_idle = plan.mode is Mode.IDLE
        self._request = messages.request(
            plan.authority,
            plan.path,
            self._upload_bytes,
        )
        self._body = messages.pieces(self._upload_bytes, _PIECE)
        self._times_ns = array("Q")
        self._body_bytes = 0
        self._begun_cnt = 0
        self._most_cnt = 0  # so many requests in all; 0: until the time is over
        self._is_over = False  # answers count no more
        self._is_draining = False  # no further requests
        self._is_warm = False  # connections are what is measured
        self._connected_cnt = 0  # connections begun before the run
        self._resumed_cnt = 0
        self._early_cnt = 0
        self._starved_cnt = 0  # connections that wait for a ticket
        self._samples: list[tuple[float, int, int]] = []
        self._start_bytes = 0
        self._start_ns = 0
        self._start_cpu_ns = 0
        self._waiting: deque[int] = deque()  # when requests were due, open loop
        self._free: deque[Client] = deque()  # connections with room, open loop
        loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = loop.create_future()
        self._done: asyncio.Future[None] = loop.create_future()

    async def connect(self) -> None:
        """Make the connections, unless handshakes are the load.

        Where those resume earlier ones, these are made here.
        """
        if not self._is_alone or self._is_resuming:
            for _ in range(min(self._plan.connections, _HANDSHAKES_AT_A_TIME)):
                self._connect_next()
            await self._while_alive(self._connected)
        if self._is_resuming and not self._endpoint.tickets:
            raise LoadError(
                f"{self._where()} has sent no session ticket, so there is nothing to "
                f"resume; measure full handshakes",
                Failure.TICKETS,
            )
        self._is_warm = True
        if self._is_alone:
            for client in self._clients:
                client.leave()
            self._clients.clear()

    def _connect_next(self) -> None:
        if self._connected_cnt < self._plan.connections:
            self._connected_cnt += 1
            self._endpoint.connect()

    async def run(self) -> dict[str, Any]:
        """Make the requests; return the report.

        Raises:
            LoadError: an answer was wrong, or the server stopped answering; `partial` is
                the report of what was done until then.
        """
        plan = self._plan
        gc.collect()
        gc.freeze()
        self._most_cnt = plan.requests
        if plan.rate_hz and not plan.requests:
            self._most_cnt = max(round(plan.rate_hz * plan.seconds), 1)
        self._start_bytes = self._moved_bytes()
        self._start_cpu_ns, self._start_ns = time.process_time_ns(), time.monotonic_ns()
        loop = asyncio.get_running_loop()
        if not self._most_cnt:
            loop.call_later(plan.seconds, self._drain if self._is_long else self._end)
        if plan.progress_s:
            loop.call_later(plan.progress_s, self._sample)
        if plan.rate_hz:
            self._free.extend(self._clients * plan.streams)
            self._tick()
        else:
            for _ in range(plan.streams):
                for number in range(plan.connections):
                    self._next(None if self._is_alone else self._clients[number])
            self._transmit()
        try:
            await self._while_alive(self._done)
        except LoadError as error:
            self._is_over = True
            if self._times_ns:
                error.partial = self._report()
            raise
        finally:
            gc.unfreeze()
        if not self._times_ns:
            seconds = (time.monotonic_ns() - self._start_ns) / _NS_PER_S
            text = f"no request was answered within {seconds:.3g} s"
            raise LoadError(text, Failure.SILENT)
        return self._report()

    def _report(self) -> dict[str, Any]:
        plan = self._plan
        wall_ns = time.monotonic_ns() - self._start_ns
        cpu_ns = time.process_time_ns() - self._start_cpu_ns
        return {
            "mode": plan.mode.value,
            "connections": plan.connections,
            "streams": plan.streams,
            "rate_hz": plan.rate_hz,
            "size_bytes": plan.size_bytes,
            **report(
                wall_ns=wall_ns,
                cpu_ns=cpu_ns,
                body_bytes=self._body_bytes,
                times_ns=self._times_ns,
            ),
            "resumed": self._resumed_cnt,
            "early_data": self._early_cnt,
            "samples": self._samples,
            "lanes": {
                name: asdict(lane)
                for name, lane in self._endpoint.lanes().items()
                if lane.rx_packets or lane.tx_packets
            },
            **self._packets(),
        }

    def stop(self) -> None:
        """End the run now."""
        self._end()

    async def close(self) -> None:
        """Close everything."""
        self._is_over = True
        await self._endpoint.close()

    # What connections report

    def connected(self, client: Client, event: HandshakeCompleted) -> None:
        """Make the one request of a connection that is a part of the load."""
        if self._is_alone and self._is_warm:
            self._resumed_cnt += event.session_resumed
            self._early_cnt += event.early_data_accepted
            if not client.under_way and not client.is_spent:
                self._send(client, client.due_ns)
        else:
            # The server answers only after the end of the handshake that precedes it:
            # what it does for that must not count as work for requests.
            client.connection.send_ping(0)

    def settled(self, client: Client) -> None:
        """Begin once the last connection is no work any more."""
        self._clients.append(client)
        self._connect_next()
        if len(self._clients) == self._plan.connections:
            self._connected.set_result(None)

    def ticket_came(self, client: Client) -> None:
        """Use it, where one was waited for."""
        if client.is_spent:
            client.leave()
        if self._starved_cnt:
            self._starved_cnt -= 1
            self._next(None)

    def answered(self, client: Client, stream_id: int, body_bytes: int) -> None:
        """Count an answer, and go on."""
        now_ns = time.monotonic_ns()
        due_ns = client.under_way.pop(stream_id)
        if self._is_alone:
            client.is_spent = True
            if client.has_given_ticket or not self._is_resuming:
                client.leave()
        if self._is_over:
            return
        if self._upload_bytes:
            self._body_bytes += self._upload_bytes
        elif self._plan.size_bytes in (None, body_bytes):
            self._body_bytes += body_bytes
        else:
            wanted = self._plan.size_bytes
            text = f"a body of {body_bytes} bytes came, where {wanted} were expected"
            self.failed(LoadError(text, Failure.ANSWER))
            return
        self._times_ns.append(now_ns - due_ns)
        is_last = self._is_draining and len(self._times_ns) == self._begun_cnt
        if is_last or len(self._times_ns) == self._most_cnt:
            self._end()
        elif not self._plan.rate_hz:
            self._next(client)
        elif self._waiting:
            self._begin(client, self._waiting.popleft())
        elif not self._is_alone:
            self._free.append(client)

    def failed(self, error: LoadError) -> None:
        """End the run."""
        for future in (self._connected, self._done):
            if not future.done():
                future.set_exception(error)
                # Whoever waits takes one of the two.
                future.exception()

    # Requests

    def _next(self, client: Client | None) -> None:
        if self._is_over or self._is_draining:
            return
        most = self._plan.connections if self._is_idle else self._most_cnt
        if most and self._begun_cnt >= most:
            return
        if self._is_resuming and not self._endpoint.tickets:
            self._starved_cnt += 1
        else:
            self._begin(client, time.monotonic_ns())

    def _begin(self, client: Client | None, due_ns: int) -> None:
        self._begun_cnt += 1
        if self._is_alone:
            self._begin_connection(due_ns)
        elif client is not None:
            self._send(client, due_ns)

    def _begin_connection(self, due_ns: int) -> None:
        tickets = self._endpoint.tickets
        # In an open loop the clock does not wait for tickets: full handshakes, counted.
        ticket = tickets.popleft() if self._is_resuming and tickets else None
        client = self._endpoint.connect(ticket=ticket)
        client.due_ns = due_ns
        if ticket is not None and self._plan.handshake is Handshake.EARLY:
            self._send(client, due_ns)
            client.transmit()

    def _send(self, client: Client, due_ns: int) -> None:
        connection = client.connection
        stream_id = connection.get_next_available_stream_id()
        client.under_way[stream_id] = due_ns
        if not self._body:
            connection.send_stream_data(stream_id, self._request, end_stream=True)
            return
        connection.send_stream_data(stream_id, self._request)
        last = len(self._body) - 1
        for index, piece in enumerate(self._body):
            connection.send_stream_data(stream_id, piece, end_stream=index == last)

    def _tick(self) -> None:
        """Begin what is due, and come again for the next."""
        if self._is_over:
            return
        interval_ns = _NS_PER_S / self._plan.rate_hz
        now_ns = time.monotonic_ns()
        for number in itertools.count(self._begun_cnt + len(self._waiting)):
            due_ns = self._start_ns + round(number * interval_ns)
            if number == self._most_cnt:
                return
            if due_ns > now_ns:
                break
            if self._is_alone:
                self._begin(None, due_ns)
            elif self._free:
                client = self._free.popleft()
                self._begin(client, due_ns)
                client.transmit()
            else:
                self._waiting.append(due_ns)
        self._endpoint.clock.call_at(due_ns / _NS_PER_S, self._tick)

    def _transmit(self) -> None:
        for client in self._clients:
            client.transmit()

    def _drain(self) -> None:
        """Begin no more requests, and end when those under way are done."""
        self._is_draining = True
        if len(self._times_ns) == self._begun_cnt:
            self._end()
        else:
            patience_s = max(self._plan.seconds, self._plan.timeout_s)
            asyncio.get_running_loop().call_later(patience_s, self._end)

    def _end(self) -> None:
        self._is_over = True
        if not self._done.done():
            self._done.set_result(None)

    # Watching

    async def _while_alive(self, future: asyncio.Future[None]) -> None:
        """Wait for *future*, as long as packets arrive."""
        before = -1
        while not future.done():
            await asyncio.wait([future], timeout=self._plan.timeout_s)
            heard = self._endpoint.heard_cnt()
            is_quiet = self._is_idle and len(self._times_ns) == self._plan.connections
            if not future.done() and heard == before and not is_quiet:
                raise LoadError(
                    f"{self._where()} has sent nothing for {self._plan.timeout_s:g} s,"
                    f" with {len(self._times_ns)} requests done; does it listen there?",
                    Failure.SILENT,
                )
            before = heard
        future.result()

    def _where(self) -> str:
        return messages.authority(self._plan.host, self._plan.port)

    def _moved_bytes(self) -> int:
        """Return how much has come or gone, requests that are not complete included."""
        if self._upload_bytes:
            return self._endpoint.sent_bytes()
        return self._endpoint.stream_bytes

    def _sample(self) -> None:
        """Tell how far it is, and come again."""
        if self._is_over:
            return
        elapsed_s = (time.monotonic_ns() - self._start_ns) / _NS_PER_S
        moved = self._moved_bytes() - self._start_bytes
        sample = (round(elapsed_s, 3), len(self._times_ns), moved)
        self._samples.append(sample)
        self.on_progress(dict(zip(("seconds", "requests", "bytes"), sample, strict=True)))
        asyncio.get_running_loop().call_later(self._plan.progress_s, self._sample)

    def _packets(self) -> dict[str, Any]:
        """Return what the connections have sent and received, handshakes aside."""
        stats = [client.connection.get_stats() for client in self._clients]
        if not stats:
            return {}
        return {
            "packets_in": sum(of.rx_packets for of in stats),
            "packets_out": sum(of.tx_packets for of in stats),
            "lost_packets": sum(of.lost_packets for of in stats),
        }
