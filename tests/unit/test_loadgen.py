"""The load generator: figures of a client that miscounts are worth nothing."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, FrameType, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent, StreamDataReceived
from hypothesis import assume, given
from hypothesis import strategies as st

import quicxdp
from quicxdp.loadgen import messages
from quicxdp.loadgen.failures import Failure, LoadError
from quicxdp.loadgen.load import prepared
from quicxdp.loadgen.messages import Answer, AnswerError, Answers
from quicxdp.loadgen.plan import PlanError, parse
from quicxdp.loadgen.report import histogram, latency_us, report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aioquic.tls import SessionTicket

    from quicxdp.server import QuicServer
    from tests.unit.conftest import Run

# Fails sooner than the test's own patience.
TIMEOUT = "--timeout=2"


def answer_bytes(body: bytes, status: bytes = b"200") -> bytes:
    """Return an answer as a server sends it."""
    section = messages.field_section([(b":status", status)])
    return messages.frame(FrameType.HEADERS, section) + messages.frame(
        FrameType.DATA, body
    )


class CountingServer(QuicConnectionProtocol):
    """Answers /N with N bytes; counts what it was asked for."""

    requests = 0
    body_bytes = 0
    connections = 0
    status = b"200"

    def __init__(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **keywords)
        self._http: H3Connection | None = None
        self._sizes: dict[int, int] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        """Serve."""
        cls = type(self)
        if isinstance(event, ProtocolNegotiated):
            cls.connections += 1
            self._http = H3Connection(self._quic)
        if self._http is None:
            return
        for got in self._http.handle_event(event):
            if isinstance(got, HeadersReceived):
                self._sizes[got.stream_id] = int(dict(got.headers)[b":path"][1:])
            if isinstance(got, DataReceived):
                cls.body_bytes += len(got.data)
            if isinstance(got, HeadersReceived | DataReceived) and got.stream_ended:
                cls.requests += 1
                size = self._sizes.pop(got.stream_id)
                self._http.send_headers(got.stream_id, [(b":status", self.status)])
                self._http.send_data(got.stream_id, bytes(size), end_stream=True)


def counting(status: bytes = b"200") -> type[CountingServer]:
    """Return a class that has counted nothing yet."""

    class Counting(CountingServer):
        pass

    Counting.status = status
    return Counting


async def serve(
    certificate: tuple[Path, Path], protocol: type[CountingServer]
) -> QuicServer:
    """Start a server on loopback; each of its tickets is good for one connection."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(*certificate)
    tickets: dict[bytes, SessionTicket] = {}
    return await quicxdp.serve(
        "127.0.0.1",
        0,
        configuration=configuration,
        create_protocol=protocol,
        io="socket",
        session_ticket_fetcher=lambda label: tickets.pop(label, None),
        session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
    )


async def load(
    certificate: tuple[Path, Path], protocol: type[CountingServer], *words: str
) -> dict[str, Any]:
    """Run *words* against a server of its own; return the report."""
    server = await serve(certificate, protocol)
    port = server.transport.get_extra_info("sockname")[1]
    mode, *options = words
    try:
        plan = parse([mode, "127.0.0.1", str(port), TIMEOUT, *options])
        async with prepared(plan) as run:
            return await run.run()
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("words", "requests", "up_bytes", "connections"),
    [
        (["down", "--requests=2", "--size=300000"], 2, 0, 1),
        (["up", "--requests=2", "--size=3000000"], 2, 6_000_000, 1),
        (["requests", "--requests=60", "--connections=2", "--streams=5"], 60, 0, 2),
        (["requests", "--requests=7", "--streams=50"], 7, 0, 1),
        (["requests", "--requests=20", "--rate=2000", "--streams=2"], 20, 0, 1),
        (["requests", "--rate=2000", "--seconds=0.02", "--streams=50"], 40, 0, 1),
        (["handshakes", "--requests=5", "--connections=2"], 5, 0, 5),
        (["handshakes", "--requests=3", "--rate=1000"], 3, 0, 3),
        (["idle", "--connections=20", "--seconds=0.3"], 20, 0, 20),
    ],
)
def test_client_and_server_count_the_same(  # noqa: PLR0917
    run_asyncio: Run,
    certificate: tuple[Path, Path],
    words: list[str],
    requests: int,
    up_bytes: int,
    connections: int,
) -> None:
    """Costs are divided by what the client says that it has done."""
    server = counting()
    said = run_asyncio(load(certificate, server, *words))
    assert said["requests"] == requests == server.requests
    assert server.body_bytes == up_bytes
    assert server.connections == connections
    size = said["size_bytes"]
    assert said["body_bytes"] == requests * size
    assert 0 < said["latency_us"]["p50"] <= said["latency_us"]["max"]


def test_a_run_by_time_ends_and_counts_what_is_complete(
    run_asyncio: Run, certificate: tuple[Path, Path]
) -> None:
    """A server is asked for as much as it can do, without saying how much that is."""
    server = counting()
    said = run_asyncio(load(certificate, server, "requests", "--seconds=0.05"))
    assert 0 < said["requests"] <= server.requests


@pytest.mark.parametrize("rate", ["--rate=0", "--rate=500"])
@pytest.mark.parametrize(
    ("kind", "early"), [("full", 0), ("resumed", 0), ("0rtt", 6)], ids=str
)
def test_handshakes_are_of_the_kind_that_was_asked_for(
    run_asyncio: Run, certificate: tuple[Path, Path], kind: str, early: int, rate: str
) -> None:
    """A resumed handshake costs less than a full one, and must not be taken for it."""
    words = ["handshakes", "--requests=6", "--connections=2", rate]
    said = run_asyncio(load(certificate, counting(), *words, f"--handshake={kind}"))
    assert said["requests"] == 6
    assert said["early_data"] <= said["resumed"]
    if rate == "--rate=0":
        assert said["resumed"] == (0 if kind == "full" else 6)
        assert said["early_data"] == early


def test_a_stopped_run_reports_what_was_done(
    run_asyncio: Run, certificate: tuple[Path, Path]
) -> None:
    """Ctrl-C after a minute must not throw the minute away."""

    async def stop_soon() -> dict[str, Any]:
        server = await serve(certificate, counting())
        port = server.transport.get_extra_info("sockname")[1]
        words = ["requests", "127.0.0.1", str(port), "--seconds=60", "--progress=0.01"]
        try:
            async with prepared(parse(words)) as run:

                def stop(told: Mapping[str, float]) -> None:
                    if told["requests"]:
                        run.stop()

                run.on_progress = stop
                return await run.run()
        finally:
            server.close()
            await server.wait_closed()

    said = run_asyncio(stop_soon())
    assert said["requests"] >= said["samples"][-1][1] > 0
    assert said["seconds"] < 60


def test_a_failure_in_the_middle_keeps_what_was_done(
    run_asyncio: Run, certificate: tuple[Path, Path]
) -> None:
    """Whoever reads the error can still see how far it came."""

    class Tiring(CountingServer):
        def quic_event_received(self, event: QuicEvent) -> None:
            super().quic_event_received(event)
            if Tiring.requests == 5:
                Tiring.status = b"500"

    with pytest.raises(LoadError, match="status 500") as caught:
        run_asyncio(load(certificate, Tiring, "requests", "--requests=50"))
    assert caught.value.kind is Failure.ANSWER
    assert caught.value.partial is not None
    assert caught.value.partial["requests"] == 5


def test_any_size_takes_what_comes(
    run_asyncio: Run, certificate: tuple[Path, Path]
) -> None:
    """Not every server has a page of N bytes at /N."""
    words = ["requests", "--requests=3", "--any-size", "--path=/99"]
    said = run_asyncio(load(certificate, counting(), *words))
    assert said["body_bytes"] == 297


def test_a_server_that_refuses_ends_the_run_with_its_status(
    run_asyncio: Run, certificate: tuple[Path, Path]
) -> None:
    """A server that does nothing but fail is fast, and no result."""
    server = counting(status=b"503")
    with pytest.raises(LoadError, match="status 503"):
        run_asyncio(load(certificate, server, "requests", "--requests=3"))


def test_a_body_of_another_size_ends_the_run(
    run_asyncio: Run, certificate: tuple[Path, Path]
) -> None:
    """Bytes that did not come must not be counted."""
    words = ["requests", "--requests=1", "--size=100", "--path=/99"]
    with pytest.raises(LoadError, match="99 bytes came, where 100"):
        run_asyncio(load(certificate, CountingServer, *words))


def test_a_connection_that_ends_ends_the_run(
    run_asyncio: Run, certificate: tuple[Path, Path]
) -> None:
    """A run goes on with all connections that it says it has."""

    class Closing(CountingServer):
        def quic_event_received(self, event: QuicEvent) -> None:
            # Before, there would be no application to speak of (RFC 9000 section 10.2.3).
            if isinstance(event, StreamDataReceived):
                self.close(error_code=0x10B, reason_phrase="enough")

    with pytest.raises(LoadError, match=r"0x10b, enough"):
        run_asyncio(load(certificate, Closing, "requests", "--requests=1"))


def test_nobody_there_is_an_error_and_not_a_hang(run_asyncio: Run) -> None:
    """The first thing that goes wrong is the port."""

    async def try_it() -> None:
        plan = parse(["requests", "127.0.0.1", "9", "--timeout=0.05"])
        async with prepared(plan) as run:
            await run.run()

    with pytest.raises(LoadError, match=r"127\.0\.0\.1:9 has sent nothing"):
        run_asyncio(try_it())


@given(st.lists(st.integers(1, 40)), st.binary(max_size=70))
def test_an_answer_reads_the_same_however_it_is_cut(cuts: list[int], body: bytes) -> None:
    """A stream has no packets."""
    data = answer_bytes(b"", b"103")[:-2] + answer_bytes(body)
    answer = Answer()
    for cut in cuts:
        answer.feed(data[:cut])
        data = data[cut:]
    answer.feed(data)
    answer.end()
    assert answer.body_bytes == len(body)


@given(st.integers(0, 60))
def test_an_answer_that_breaks_off_is_an_error(size: int) -> None:
    """It would count as answered."""
    head, data = answer_bytes(b"")[:-2], answer_bytes(bytes(50))
    cut = data[: min(size, len(data) - 1)]
    assume(cut != head)  # complete, without a body
    with pytest.raises(AnswerError):
        Answers({}).feed(0, cut, ended=True)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(messages.frame(FrameType.DATA, b"x"), id="body first"),
        pytest.param(messages.frame(FrameType.HEADERS, b"\xff\xff"), id="no QPACK"),
        pytest.param(b"\x01\x80\x10\x00\x00", id="a huge header"),
        pytest.param(
            messages.frame(FrameType.HEADERS, messages.field_section([(b"a", b"b")])),
            id="no status",
        ),
    ],
)
def test_what_is_no_answer_is_an_error(data: bytes) -> None:
    """The server may be anything that listens on a port."""
    with pytest.raises(AnswerError):
        Answer().feed(data)


def test_equal_answers_are_recognised_only_as_wholes() -> None:
    """The last piece of one answer may look like something else alone."""
    known: dict[bytes, int] = {}
    answers = Answers(known)
    data = answer_bytes(b"four")
    assert answers.feed(0, data[:5], ended=False) is None
    assert answers.feed(0, data[5:], ended=True) == 4
    assert known == {}
    assert answers.feed(4, data, ended=True) == 4
    assert known == {data: 4}
    assert answers.feed(8, data, ended=False) is None
    assert answers.feed(8, data, ended=True) == 8


@pytest.mark.parametrize(
    "words",
    [
        ["sideways", "127.0.0.1", "1"],
        ["down", "127.0.0.1"],
        ["up", "127.0.0.1", "1", "--size=0"],
        ["down", "127.0.0.1", "1", "--streams=0"],
        ["requests", "127.0.0.1", "1", "--rate=-1"],
        ["handshakes", "127.0.0.1", "1", "--streams=2"],
    ],
)
def test_words_that_make_no_sense_are_refused(words: list[str]) -> None:
    """Before anything is sent."""
    with pytest.raises(PlanError):
        parse(words)


def test_an_ipv6_address_stands_in_brackets() -> None:
    """As it must in a URL, or the server refuses the request."""
    assert messages.authority("::1", 443) == "[::1]:443"
    assert messages.authority("127.0.0.1", 443) == "127.0.0.1:443"


def test_a_busy_client_says_that_it_was_the_limit() -> None:
    """A rate that the client could not exceed says nothing about the server."""
    times = array("Q", range(1000, 101_000, 1000))
    said = report(wall_ns=10**9, cpu_ns=95 * 10**7, body_bytes=10**6, times_ns=times)
    assert said["client_was_limit"]
    assert said["mbit_per_s"] == 8
    assert latency_us(histogram(times)) == pytest.approx(
        {"p50": 50, "p90": 90, "p99": 99, "p99.9": 100, "max": 100}, rel=1e-3
    )
    said = report(wall_ns=10**9, cpu_ns=5 * 10**7, body_bytes=1, times_ns=times)
    assert not said["client_was_limit"]
