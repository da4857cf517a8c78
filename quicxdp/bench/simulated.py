"""A run over the simulated NIC: client and server in this process, on virtual time.

What comes out is what congestion control, loss recovery and flow control make of a path,
as if neither end took any time to compute.  A sender that is faster than the path is held
back by its NIC's ring, of `_TX_FRAME_CNT` packets: that is the queue.
"""

from __future__ import annotations

import ssl
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aioquic.h3.connection import H3_ALPN, FrameType
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    QuicEvent,
    StreamDataReceived,
)

from quicxdp.config import DatapathConfig
from quicxdp.loadgen import messages
from quicxdp.loadgen.report import histogram
from quicxdp.simulation import Link, LinkConfig

from .child import BenchError
from .simulated_host import NEVER_NS, Host, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .netem import Shape

_CLIENT: Final = ("192.0.2.1", 4000)
_SERVER: Final = ("192.0.2.2", 443)
_TX_FRAME_CNT: Final = 256
_FRAMES: Final = DatapathConfig(rx_frame_cnt=4096, tx_frame_cnt=_TX_FRAME_CNT)
_START_NS: Final = 1_000_000_000
_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_PIECE: Final = bytes(1 << 20)
_CLIENT_WINDOW_BYTES: Final = 16 << 20
# As of `quicxdp serve`.
_SERVER_WINDOW_BYTES: Final = 256 * 1024
_HANDSHAKE_S: Final = 60.0
# So many turns without the clock moving on are a timer that spins.
_SPIN_TURN_CNT: Final = 1000


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """What a run came to.

    Attributes:
        figures: by name, as in a document.
        seconds: how long it was, in virtual time.
        requests: how many were answered.
        body_bytes: of their bodies.
        histogram: of their latencies, encoded.
        samples: seconds, requests and bytes in the course of it.
    """

    figures: dict[str, float]
    seconds: float
    requests: int
    body_bytes: int
    histogram: str
    samples: list[tuple[float, int, int]]


def simulate(
    plan: Mapping[str, Any],
    shape: Shape,
    *,
    certificate: tuple[Path, Path],
    seed: int,
    on_progress: Callable[[Mapping[str, float]], object] = lambda _: None,
) -> SimulatedRun:
    """Run *plan* once.

    Raises:
        BenchError: the connection broke, or nothing was answered.
    """
    link_config = LinkConfig(
        seed=seed,
        delay_ns=round(shape.delay_ms * _NS_PER_MS),
        rate_bytes_per_s=shape.rate_bits // 8,
        loss_ppm=shape.loss_ppm,
    )
    with ExitStack() as stack:
        link = Link(link_config)
        stack.callback(link.close)
        hosts = []
        for end, (local, configuration) in enumerate(
            ((_CLIENT, _client(plan)), (_SERVER, _server(plan, certificate)))
        ):
            datapath = link.open(end, local, config=_FRAMES)
            host = Host(Kind.NATIVE, datapath, configuration)
            stack.callback(host.close)
            hosts.append(host)
        world = _World(link, hosts[0], hosts[1])
        load = _Load(plan, world, on_progress)
        return load.run()


def _client(plan: Mapping[str, Any]) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=H3_ALPN,
        server_name="bench.invalid",
        verify_mode=ssl.CERT_NONE,
        max_data=_CLIENT_WINDOW_BYTES,
        max_stream_data=_CLIENT_WINDOW_BYTES,
        congestion_control_algorithm=plan["congestion_control"],
    )


def _server(plan: Mapping[str, Any], certificate: tuple[Path, Path]) -> QuicConfiguration:
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=H3_ALPN,
        max_stream_data=_SERVER_WINDOW_BYTES,
        congestion_control_algorithm=plan["congestion_control"],
    )
    configuration.load_cert_chain(*certificate)
    return configuration


class _World:
    """Two hosts and the link between them."""

    def __init__(self, link: Link, client: Host, server: Host) -> None:
        self.now_ns = _START_NS
        self.client = client
        self.server = server
        self._link = link
        self._spin_cnt = 0

    def turn(self, end_ns: int) -> None:
        """Do all that is due, and move on to what comes next, or to *end_ns*.

        Raises:
            BenchError: a timer fires again and again.
        """
        now_ns = self.now_ns
        self._link.advance(now_ns)
        self.client.run(now_ns)
        self.server.run(now_ns)
        next_ns = min(
            self._link.advance(now_ns),
            self.client.deadline_ns(),
            self.server.deadline_ns(),
            end_ns,
        )
        self._spin_cnt = 0 if next_ns > now_ns else self._spin_cnt + 1
        if self._spin_cnt > _SPIN_TURN_CNT:
            raise BenchError(f"simulation: time stands still at {now_ns} ns")
        self.now_ns = max(next_ns, now_ns)


class _Load:
    """The application at both ends."""

    def __init__(
        self,
        plan: Mapping[str, Any],
        world: _World,
        on_progress: Callable[[Mapping[str, float]], object],
    ) -> None:
        self._plan = plan
        self._world = world
        self._on_progress = on_progress
        self._answers = messages.Answers({})
        self._under_way: dict[int, int] = {}
        self._waiting: deque[int] = deque()
        self._times_ns: list[int] = []
        self._body_bytes = 0
        self._moved_bytes = 0
        self._is_upload = plan["mode"] == "up"
        size = plan["size_bytes"]
        path = "/0" if self._is_upload else f"/{size}"
        authority = "bench.invalid"
        upload_bytes = size if self._is_upload else 0
        self._request = messages.request(authority, path, upload_bytes)
        self._request_body = messages.pieces(upload_bytes, _PIECE)
        answer_bytes = 0 if self._is_upload else size
        section = messages.field_section([(b":status", b"200")])
        self._answer = messages.frame(FrameType.HEADERS, section)
        if answer_bytes:
            self._answer += messages.frame_header(FrameType.DATA, answer_bytes)
        self._answer_body = messages.pieces(answer_bytes, _PIECE)
        self._error: str | None = None
        self._is_connected = False
        world.client.on_event = self._client_event
        world.server.on_event = self._server_event

    def run(self) -> SimulatedRun:
        world, plan = self._world, self._plan
        world.client.connect(_SERVER, world.now_ns)
        limit_ns = world.now_ns + round(_HANDSHAKE_S * _NS_PER_S)
        while not self._is_connected:
            self._go_on(limit_ns)
            if world.now_ns >= limit_ns:
                raise BenchError(
                    f"no handshake within {_HANDSHAKE_S:g} simulated seconds"
                )
        start_ns = world.now_ns
        end_ns = start_ns + round(plan["seconds"] * _NS_PER_S)
        interval_ns = round(_NS_PER_S / plan["rate_hz"]) if plan["rate_hz"] else 0
        due_ns = start_ns if interval_ns else NEVER_NS
        if not interval_ns:
            for _ in range(plan["streams"]):
                self._send(start_ns)
        step_ns = max((end_ns - start_ns) // 20, 1)
        samples: list[tuple[float, int, int]] = []
        while world.now_ns < end_ns:
            while due_ns <= world.now_ns:
                self._due(due_ns)
                due_ns += interval_ns
            sample_ns = start_ns + step_ns * (len(samples) + 1)
            self._go_on(min(end_ns, due_ns, sample_ns))
            if world.now_ns >= sample_ns:
                elapsed_s = (world.now_ns - start_ns) / _NS_PER_S
                sample = (elapsed_s, len(self._times_ns), self._moved_bytes)
                samples.append(sample)
                names = ("seconds", "requests", "bytes")
                self._on_progress(dict(zip(names, sample, strict=True)))
        return self._report(samples)

    def _report(self, samples: list[tuple[float, int, int]]) -> SimulatedRun:
        seconds = self._plan["seconds"]
        if not self._times_ns and not self._moved_bytes:
            raise BenchError(f"nothing was answered within {seconds:g} simulated seconds")
        figures = {
            "requests_per_s": len(self._times_ns) / seconds,
            "mbit_per_s": self._moved_bytes * 8 / 1e6 / seconds,
        }
        sender = self._world.client if self._is_upload else self._world.server
        stats = sender.quic.get_stats()  # type: ignore[union-attr]  # ours, by its kind
        figures["lost_share"] = stats.lost_packets / max(stats.tx_packets, 1)
        figures["spurious_losses"] = stats.spurious_losses
        figures["rtt_min_ms"] = stats.rtt_min_ns / _NS_PER_MS
        figures["rtt_smoothed_ms"] = stats.rtt_smoothed_ns / _NS_PER_MS
        return SimulatedRun(
            {key: float(f"{value:.6g}") for key, value in figures.items()},
            seconds,
            len(self._times_ns),
            self._body_bytes,
            histogram(self._times_ns).encode().decode("ascii"),
            samples,
        )

    def _go_on(self, end_ns: int) -> None:
        self._world.turn(end_ns)
        if self._error is not None:
            raise BenchError(self._error)

    def _due(self, due_ns: int) -> None:
        if len(self._under_way) < self._plan["streams"]:
            self._send(due_ns)
        else:
            self._waiting.append(due_ns)

    def _send(self, due_ns: int) -> None:
        quic = self._world.client.quic
        assert quic is not None  # noqa: S101  (it is connected)
        stream_id = quic.get_next_available_stream_id()
        self._under_way[stream_id] = due_ns
        _write(quic, stream_id, self._request, self._request_body)

    def _client_event(self, event: QuicEvent) -> None:
        quic = self._world.client.quic
        if isinstance(event, HandshakeCompleted):
            assert quic is not None  # noqa: S101  (whose event it is)
            control = quic.get_next_available_stream_id(is_unidirectional=True)
            quic.send_stream_data(control, messages.CONTROL_STREAM)
            self._is_connected = True
        elif isinstance(event, ConnectionTerminated):
            self._error = f"the simulated connection ended: {event.reason_phrase}"
        elif isinstance(event, StreamDataReceived) and event.stream_id in self._under_way:
            if not self._is_upload:
                self._moved_bytes += len(event.data)
            answer = self._answers.feed(
                event.stream_id, event.data, ended=event.end_stream
            )
            if answer is not None:
                self._answered(event.stream_id)

    def _answered(self, stream_id: int) -> None:
        now_ns = self._world.now_ns
        self._times_ns.append(now_ns - self._under_way.pop(stream_id))
        self._body_bytes += self._plan["size_bytes"]
        if self._waiting:
            self._send(self._waiting.popleft())
        elif not self._plan["rate_hz"]:
            self._send(now_ns)

    def _server_event(self, event: QuicEvent) -> None:
        if not isinstance(event, StreamDataReceived) or event.stream_id % 4:
            return
        if self._is_upload:
            self._moved_bytes += len(event.data)
        if event.end_stream:
            quic = self._world.server.quic
            _write(quic, event.stream_id, self._answer, self._answer_body)


def _write(quic: Any, stream_id: int, head: bytes, pieces: Any) -> None:  # noqa: ANN401
    quic.send_stream_data(stream_id, head, end_stream=not pieces)
    last = len(pieces) - 1
    for index, piece in enumerate(pieces):
        quic.send_stream_data(stream_id, piece, end_stream=index == last)
