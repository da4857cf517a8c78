"""Files over HTTP/3, from our server to our client, on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from quicxdp import aioquic_shim_streams as shim
from quicxdp.cli import listing, stream_pump
from quicxdp.cli.body import Body
from quicxdp.cli.exits import CommandError, FetchExit
from quicxdp.cli.responder import Responder
from quicxdp.cli.static import Zeros

from .conftest import until

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Connect, Serve, Served


def test_files_arrive_as_they_are(serve: Serve, connect: Connect, site: Path) -> None:
    """Small, empty, bigger than every window; over one connection."""

    async def run() -> None:
        async with serve(site) as server, connect(server.port) as client:
            assert (await client.get("/")).body == b"<h1>start</h1>"
            assert (await client.get("/empty")).body == b""
            assert (await client.get("/sub/file.txt")).body == b"0123456789" * 10
            big = await client.get("/big.bin")
            assert big.body == (site / "big.bin").read_bytes()
            assert big.fields[b"content-type"] == b"application/octet-stream"

    asyncio.run(run())


def test_many_requests_at_once_are_all_answered(
    serve: Serve, connect: Connect, site: Path
) -> None:
    """A page with a hundred pictures."""

    async def run() -> None:
        async with serve(site) as server, connect(server.port) as client:
            responses = [client.send("/big.bin") for _ in range(3)]
            responses += [client.send("/sub/file.txt") for _ in range(97)]
            answers = await asyncio.gather(*map(client.answer, responses))
            assert [answer.status for answer in answers] == [200] * 100
            assert {len(answer.body) for answer in answers} == {100, 256 * 8192}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "method", "fields", "status"),
    [
        ("/nope", "GET", {}, 404),
        ("/.hidden", "GET", {}, 404),
        ("/out", "GET", {}, 403),
        ("/sub/", "GET", {}, 403),
        ("/sub", "GET", {}, 301),
        ("/%2e%2e/x", "GET", {}, 400),
        ("/" + "x" * 9000, "GET", {}, 414),
        ("/", "POST", {}, 405),
        ("/", "BREW", {}, 501),
        ("/", "OPTIONS", {}, 204),
        ("/", "HEAD", {}, 200),
        ("/sub/file.txt", "GET", {"range": "bytes=0-9"}, 206),
        ("/sub/file.txt", "GET", {"range": "bytes=0-9,50-59"}, 200),
        ("/sub/file.txt", "GET", {"range": "bytes=0-0,99-99"}, 206),
        ("/sub/file.txt", "GET", {"range": "bytes=100-"}, 416),
        ("/sub/file.txt", "GET", {"if_none_match": "*"}, 304),
        ("/sub/file.txt", "HEAD", {"if_none_match": "*"}, 304),
        ("/sub/file.txt", "GET", {"if_match": '"x"'}, 412),
    ],
)  # fmt: skip
def test_every_kind_of_answer_has_its_status(  # noqa: PLR0917  (a table)
    serve: Serve,
    connect: Connect,
    site: Path,
    path: str,
    method: str,
    fields: dict[str, str],
    status: int,
) -> None:
    """And leaves the connection alive for the next request."""

    async def run() -> None:
        async with serve(site) as server, connect(server.port) as client:
            answer = await client.get(path, method, **fields)
            if fields.get("range") == "bytes=0-9,50-59":
                # Too close to be worth two parts: one range from 0 to 59.
                assert answer.status == 206
                assert answer.body == (b"0123456789" * 6)
            else:
                assert answer.status == status
            assert answer.fields[b"date"]
            assert (await client.get("/")).status == 200

    asyncio.run(run())


def test_a_request_for_another_scheme_is_answered(
    serve: Serve, connect: Connect, site: Path
) -> None:
    """421: it is well-formed, and not for this server."""

    async def run() -> None:
        async with serve(site) as server, connect(server.port) as client:
            response = client.send("/", pseudo={b":scheme": b"http"})
            assert (await client.answer(response)).status == 421

    asyncio.run(run())


@pytest.mark.parametrize(
    "pseudo",
    [
        {b":scheme": None},
        {b":path": None, b":scheme": None},
        {b":authority": b"a@b"},
        {b":path": b"nope"},
    ],
)
def test_malformed_pseudo_headers_are_refused(
    serve: Serve, connect: Connect, site: Path, pseudo: dict[bytes, bytes | None]
) -> None:
    """Their stream is reset (RFC 9114 section 4.1.2); the connection goes on."""

    async def run() -> None:
        async with serve(site) as server, connect(server.port) as client:
            with pytest.raises(CommandError, match="H3_MESSAGE_ERROR"):
                await client.answer(client.send("/", pseudo=pseudo))
            assert (await client.get("/")).status == 200

    asyncio.run(run())


def test_folders_are_listed_only_when_asked_for(
    serve: Serve, connect: Connect, site: Path
) -> None:
    """Names as links, escaped; hidden ones and links left out."""
    (site / "sub" / "<b>&.txt").write_text("x")
    (site / "sub" / ".secret").write_text("x")
    (site / "sub" / "link").symlink_to("file.txt")

    async def run() -> None:
        async with serve(site, listing=True) as server, connect(server.port) as client:
            answer = await client.get("/sub/")
            assert answer.status == 200
            page = answer.body.decode()
            assert '<a href="./%3Cb%3E%26.txt">&lt;b&gt;&amp;.txt</a>' in page
            assert "file.txt" in page
            assert "secret" not in page
            assert "link" not in page
            assert (await client.get("/")).body == b"<h1>start</h1>"

    asyncio.run(run())


def test_the_bench_endpoint_answers_and_counts_bytes(
    serve: Serve, connect: Connect
) -> None:
    """/N down, a body up, nothing else."""

    async def run() -> None:
        async with serve(None, bench=True) as server, connect(server.port) as client:
            assert (await client.get("/0")).body == b""
            assert (await client.get("/1000003")).body == bytes(1_000_003)
            head = await client.get("/1000003", "HEAD")
            assert (head.fields[b"content-length"], head.body) == (b"1000003", b"")
            posted = client.send("/", "POST", body=Body([Zeros(3_000_001)]))
            assert (await client.answer(posted)).body == b"3000001\n"
            assert (await client.answer(client.send("/", "POST"))).body == b"0\n"
            hashed = client.send("/sha256", "POST", body=Body([Zeros(3_000_001)]))
            want = hashlib.sha256(bytes(3_000_001)).hexdigest().encode() + b"\n"
            assert (await client.answer(hashed)).body == want
            assert (await client.get("/9999999999999")).status == 404
            assert (await client.get("/file")).status == 404
            endless = Body([Zeros(10**15)])
            too_long = client.send("/", "POST", body=endless, content_length=f"{10**15}")
            assert (await too_long.head)[0] == (b":status", b"413")

    asyncio.run(run())


def test_a_body_nobody_asked_for_is_stopped_after_the_answer(
    serve: Serve, connect: Connect, site: Path
) -> None:
    """RFC 9114 section 4.1: the answer does not depend on the rest."""

    async def run() -> None:
        async with serve(site) as server, connect(server.port) as client:
            response = client.send("/", "POST", body=Body([Zeros(1 << 30)]))
            assert (await response.head)[0] == (b":status", b"405")
            await until(lambda: not (client.protocol._pump))
            client.protocol.finish(response)
            assert (await client.get("/")).status == 200

    asyncio.run(run())


@pytest.mark.rfc("9110#10.1.1")
def test_a_client_that_waits_for_100_is_told_to_go_on(
    serve: Serve, connect: Connect
) -> None:
    """The RFC: "MUST send either 100 ... or a final status code"."""

    async def run() -> None:
        async with serve(None, bench=True) as server, connect(server.port) as client:
            posted = client.send(
                "/", "POST", body=Body([Zeros(300_000)]), expect="100-continue"
            )
            assert (await client.answer(posted)).body == b"300000\n"
            assert posted.interim == [[(b":status", b"100")]]

    asyncio.run(run())


def test_a_fault_of_ours_costs_one_request_and_no_connection(
    serve: Serve,
    connect: Connect,
    site: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """500 for the client, a traceback for the operator."""

    def broken(_responder: Responder, _request: object) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with serve(site) as server, connect(server.port) as client:
            good = Responder.answer
            monkeypatch.setattr(Responder, "answer", broken)
            assert (await client.get("/")).status == 500
            monkeypatch.setattr(Responder, "answer", good)
            assert (await client.get("/")).status == 200

    asyncio.run(run())

    assert "ZeroDivisionError" in caplog.text


def test_a_listing_that_fails_is_answered(
    serve: Serve, connect: Connect, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in the thread, the client does not wait for ever."""

    def broken(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(listing, "read_directory", broken)

    async def run() -> None:
        async with serve(site, listing=True) as server, connect(server.port) as client:
            assert (await client.get("/sub/")).status == 500
            monkeypatch.setattr(listing, "read_directory", len)
            assert (await client.get("/sub/")).status == 500
            assert (await client.get("/")).status == 200

    asyncio.run(run())


def buffered(server: Served) -> int:
    """Count what lies in the server's send buffers."""
    quic = next(iter(server.state.connections))._quic
    return sum(shim.unacknowledged_bytes(quic, stream_id) for stream_id in quic._streams)


def test_a_slow_reader_of_a_huge_file_costs_the_server_little_memory(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    """10 GB (of holes) for somebody who reads nothing: the pump waits."""
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(10 << 30)

    async def run() -> None:
        async with serve(tmp_path) as server, connect(server.port) as client:
            response = client.send("/huge")
            await response.head
            # The client's window fills, and then nothing moves.
            await until(lambda: response.held_bytes >= 7 << 20)
            for _ in range(200):
                await asyncio.sleep(0)
            assert buffered(server) < stream_pump.STREAM_UNACKNOWLEDGED_BYTES_MAX
            assert response.held_bytes <= 8 << 20
            # Its reader takes some, and it moves again.
            before = response.received_bytes
            taken = await client.protocol.read(response)
            client.protocol.used(response, len(taken))
            await until(lambda: response.received_bytes > before)
            client.protocol.finish(response)
            await until(lambda: not (server.state.open_file_cnt))

    asyncio.run(run())


def test_a_file_cut_short_under_way_resets_its_stream(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    """The client must not take half a file for the whole."""
    path = tmp_path / "file"
    path.write_bytes(bytes(64 << 20))

    async def run() -> None:
        async with serve(tmp_path) as server, connect(server.port) as client:
            response = client.send("/file")
            await response.head
            os.truncate(path, 1 << 20)
            with pytest.raises(
                CommandError, match="reset the stream with H3_INTERNAL_ERROR"
            ) as e:
                await client.answer(response)
            assert e.value.exit_code == FetchExit.PARTIAL
            path.write_bytes(b"new")
            assert (await client.get("/file")).body == b"new"

    asyncio.run(run())


def test_a_client_that_goes_away_leaves_nothing_open(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    """Files, exchanges and the connection itself."""
    (tmp_path / "file").write_bytes(bytes(64 << 20))

    async def run() -> None:
        async with serve(tmp_path) as server:
            async with connect(server.port) as client:
                for _ in range(5):
                    await client.send("/file").head
                assert server.state.open_file_cnt == 5
            await until(lambda: not (server.state.connections))
            assert server.state.open_file_cnt == 0

    asyncio.run(run())


def test_more_files_than_allowed_are_refused_for_now(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    """503 with Retry-After, rather than running out of descriptors."""
    (tmp_path / "file").write_bytes(bytes(64 << 20))

    async def run() -> None:
        async with (
            serve(tmp_path, open_files_max=2) as server,
            connect(server.port) as client,
        ):
            busy = [client.send("/file") for _ in range(2)]
            for response in busy:
                await response.head
            answer = await client.get("/file")
            assert answer.status == 503
            assert answer.fields[b"retry-after"] == b"1"
            for response in busy:
                client.protocol.finish(response)
            await until(lambda: not (server.state.open_file_cnt))
            assert (await client.get("/file", "HEAD")).status == 200

    asyncio.run(run())


def test_finished_exchanges_are_forgotten(
    serve: Serve, connect: Connect, site: Path
) -> None:
    """A connection of many hours must not grow with each request."""

    async def run() -> None:
        async with serve(site) as server, connect(server.port) as client:
            for _ in range(30):
                assert (await client.get("/sub/file.txt")).status == 200
            (connection,) = server.state.connections
            assert not connection._exchanges
            assert connection._h3 is not None
            assert connection._h3.open_cnt == 0
            assert not client.protocol._responses

    asyncio.run(run())


def test_draining_refuses_new_requests_and_finishes_old_ones(
    serve: Serve, connect: Connect, site: Path
) -> None:
    """GOAWAY (RFC 9114 section 5.2), then idle."""

    async def run() -> None:
        async with serve(site) as server, connect(server.port) as client:
            response = client.send("/big.bin")
            await response.head
            (connection,) = server.state.connections
            server.state.is_draining = True
            connection.begin_drain()
            with pytest.raises(CommandError, match="H3_REQUEST_REJECTED"):
                await client.get("/")
            assert not connection.is_idle
            assert len((await client.answer(response)).body) == 256 * 8192
            while not connection.is_idle:
                await server.state.idle_changed.wait()
                server.state.idle_changed.clear()

    asyncio.run(run())
