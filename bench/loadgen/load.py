"""Requests in a closed loop (the next when one is done) or an open one (by the clock).

In the open loop a request's time counts from when it was due, so that a server that
stalls answers for all that waited meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import time
from array import array
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from . import messages
from .endpoint import Endpoint, LoadError
from .plan import Mode
from .report import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .endpoint import Client
    from .plan import Plan

_NS_PER_S: Final = 1_000_000_000
_PIECE: Final = bytes(1 << 20)


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
    """One run of a plan; made by `prepared`."""

    def __init__(self, plan: Plan, endpoint: Endpoint) -> None:
        self._plan = plan
        self._endpoint = endpoint
        endpoint.load = self
        self._clients: list[Client] = []
        self._is_upload = plan.mode is Mode.UP
        self._is_alone = plan.mode is Mode.HANDSHAKES  # each on its own connection
        self._request = messages.request(
            messages.authority(plan.host, plan.port),
            plan.path,
            plan.size_bytes if self._is_upload else 0,
        )
        self._body = messages.pieces(plan.size_bytes, _PIECE) if self._is_upload else ()
        self._times_ns = array("Q")
        self._body_bytes = 0
        self._begun_cnt = 0
        self._most_cnt = 0  # so many requests in all; 0: until the time is over
        self._is_over = False
        self._start_ns = 0
        self._waiting: deque[int] = deque()  # when requests were due, open loop
        self._free: deque[Client] = deque()  # connections with room, open loop
        loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = loop.create_future()
        self._done: asyncio.Future[None] = loop.create_future()

    async def connect(self) -> None:
        """Make the connections, unless handshakes are the load."""
        if not self._is_alone:
            for _ in range(self._plan.connections):
                self._endpoint.connect()
            await self._while_alive(self._connected)

    async def run(self) -> dict[str, Any]:
        """Make the requests; return the report.

        Raises:
            LoadError: an answer was wrong, or the server stopped answering.
        """
        plan = self._plan
        gc.collect()
        gc.freeze()
        self._most_cnt = plan.requests
        if plan.rate_hz and not plan.requests:
            self._most_cnt = max(round(plan.rate_hz * plan.seconds), 1)
        cpu_ns, self._start_ns = time.process_time_ns(), time.monotonic_ns()
        if not self._most_cnt:
            asyncio.get_running_loop().call_later(plan.seconds, self._end)
        if plan.rate_hz:
            self._free.extend(self._clients * plan.streams)
            self._tick()
        else:
            for _ in range(plan.streams):
                for number in range(plan.connections):
                    self._next(None if self._is_alone else self._clients[number])
            self._transmit()
        await self._while_alive(self._done)
        wall_ns = time.monotonic_ns() - self._start_ns
        cpu_ns = time.process_time_ns() - cpu_ns
        gc.unfreeze()
        if not self._times_ns:
            raise LoadError(f"no request was answered within {plan.seconds:g} s")
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
            **self._packets(),
        }

    async def close(self) -> None:
        """Close everything."""
        self._is_over = True
        await self._endpoint.close()

    # What connections report

    def connected(self, client: Client) -> None:
        """Make the one request of a connection that is a part of the load."""
        if self._is_alone:
            self._send(client, client.due_ns)
        else:
            # The server answers only after the end of the handshake that precedes it:
            # what it does for that must not count as work for requests.
            client.connection.send_ping(0)

    def settled(self, client: Client) -> None:
        """Begin once the last connection is no work any more."""
        self._clients.append(client)
        if len(self._clients) == self._plan.connections:
            self._connected.set_result(None)

    def answered(self, client: Client, stream_id: int, body_bytes: int) -> None:
        """Count an answer, and go on."""
        now_ns = time.monotonic_ns()
        due_ns = client.under_way.pop(stream_id)
        if self._is_alone:
            client.leave()
        if self._is_over:
            return
        if self._is_upload:
            self._body_bytes += self._plan.size_bytes
        elif body_bytes == self._plan.size_bytes:
            self._body_bytes += body_bytes
        else:
            wanted = self._plan.size_bytes
            text = f"a body of {body_bytes} bytes came, where {wanted} were expected"
            self.failed(LoadError(text))
            return
        self._times_ns.append(now_ns - due_ns)
        if len(self._times_ns) == self._most_cnt:
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
        if not self._is_over and (not self._most_cnt or self._begun_cnt < self._most_cnt):
            self._begin(client, time.monotonic_ns())

    def _begin(self, client: Client | None, due_ns: int) -> None:
        self._begun_cnt += 1
        if self._is_alone:
            self._endpoint.connect().due_ns = due_ns
        elif client is not None:
            self._send(client, due_ns)

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
            if not future.done() and heard == before:
                host = messages.authority(self._plan.host, self._plan.port)
                raise LoadError(
                    f"{host} has sent nothing for {self._plan.timeout_s:g} s, with"
                    f" {len(self._times_ns)} requests done; does it listen there?"
                )
            before = heard
        future.result()

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
