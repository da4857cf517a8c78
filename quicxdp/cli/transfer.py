"""Transfers of `quicxdp fetch`: one URL after the other, connections used again."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .dial import Connection, DialOptions, dial
from .exits import CommandError, FetchExit
from .logs import printable
from .progress import Bar
from .request_options import upload_bytes
from .sink import Sink
from .timing import Timing, write_out

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from aioquic.h3.events import Headers
    from aioquic.quic.configuration import QuicConfiguration

    from .h3_client import Response
    from .request_options import Outgoing
    from .url import Reroute, Url

_ERROR_STATUS = 400
_STDOUT_FD = 1


@dataclass(frozen=True, slots=True)
class Job:
    """A URL and where its body goes; no path is standard output."""

    url: Url
    path: Path | None
    stdout_was_named: bool


@dataclass(frozen=True, slots=True)
class Show:
    """What is printed besides the body."""

    fields: bool
    talk: bool
    fail: bool
    progress: bool
    timing: bool
    write_out: str


@dataclass(slots=True)
class Fetcher:
    """Fetches URLs, all with the same request."""

    request: Outgoing
    configuration: QuicConfiguration
    dial_options: DialOptions
    reroutes: tuple[Reroute, ...]
    timeout_s: float | None
    show: Show
    _connections: dict[tuple[str, str, int], Connection] = field(default_factory=dict)

    async def run(self, jobs: Iterable[Job]) -> int:
        """Fetch all; return the exit status of the first failure."""
        status: int = FetchExit.OK
        try:
            for job in jobs:
                try:
                    await self._fetch_in_time(job)
                except CommandError as error:
                    print(f"quicxdp: {printable(job.url.text)}: {error}", file=sys.stderr)
                    status = status or int(error.exit_code)
        finally:
            for connection in self._connections.values():
                await connection.close()
            self._connections.clear()
        return status

    async def _fetch_in_time(self, job: Job) -> None:
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._fetch(job)
        except TimeoutError:
            raise CommandError(
                f"not done within {self.timeout_s:g} s", FetchExit.TIMEOUT
            ) from None

    async def _fetch(self, job: Job) -> None:
        begin_s = time.monotonic()
        connection, is_new = await self._connect(job.url)
        protocol = connection.protocol
        body = self.request.open_body()
        size_upload = upload_bytes(body)
        headers = self.request.headers(job.url, body)
        self._talk_request(headers)
        try:
            response = protocol.send_request(
                headers,
                body,
                may_be_empty=self.request.method == "HEAD" or self.request.is_conditional,
            )
        except BaseException:
            if body is not None:
                body.close()
            raise
        try:
            status = await self._receive(job, connection, response)
        finally:
            protocol.finish(response)
        self._report(
            Timing(
                url=job.url.text,
                http_code=status,
                remote_ip=connection.address,
                remote_port=connection.port,
                io=connection.lane,
                time_namelookup=connection.looked_up_s - begin_s if is_new else 0.0,
                time_appconnect=connection.connected_s - begin_s if is_new else 0.0,
                time_starttransfer=(response.first_byte_s or time.monotonic()) - begin_s,
                time_total=time.monotonic() - begin_s,
                size_download=response.received_bytes,
                size_upload=size_upload,
            )
        )

    async def _connect(self, url: Url) -> tuple[Connection, bool]:
        host, port = url.host, url.port
        for reroute in self.reroutes:
            if (elsewhere := reroute.apply(host, port)) is not None:
                host, port = elsewhere
                break
        key = (url.host, host, port)
        known = self._connections.get(key)
        if known is not None and known.protocol.failure is None:
            self._talk(f"using the connection to {known.address} port {known.port} again")
            return known, False
        if known is not None:
            await known.close()
            del self._connections[key]
        # The certificate is checked, and SNI sent, for the host of the URL, wherever the
        # connection goes (RFC 9110 section 4.3.4).
        configuration = dataclasses.replace(self.configuration, server_name=url.host)
        connection = self._connections[key] = await dial(
            host, port, configuration, self.dial_options
        )
        self._talk(f"connected to {connection.address} port {connection.port}")
        self._talk(f"lane {connection.lane}: {connection.reason}")
        self._talk(f"engine {connection.engine}: {connection.engine_reason}")
        return connection, True

    async def _receive(self, job: Job, connection: Connection, response: Response) -> int:
        head = await response.head
        for interim in response.interim:
            self._talk_response(interim)
        self._talk_response(head)
        fields = dict(head)
        status = int(fields[b":status"])
        if self.show.fail and status >= _ERROR_STATUS:
            raise CommandError(f"the server answered {status}", FetchExit.HTTP_ERROR)
        sink = (
            Sink.create(job.path)
            if job.path is not None
            else Sink(_STDOUT_FD, "standard output", owned=False)
        )
        bar = Bar(
            job.path.name if job.path else printable(job.url.host),
            _length(fields),
            wanted=self.show.progress and not sink.is_terminal,
        )
        try:
            if self.show.fields:
                text = _head_text(head, raw=not sink.is_terminal)
                await sink.write(text, connection.protocol.keep_alive)
            await _copy(job, connection, response, sink, bar)
        finally:
            bar.close()
            sink.close()
        if response.trailers is not None:
            self._talk_response(response.trailers)
        return status

    def _report(self, timing: Timing) -> None:
        if self.show.timing:
            print(timing.as_text(), file=sys.stderr)
        if self.show.write_out:
            print(write_out(self.show.write_out, timing), end="", flush=True)

    def _talk(self, text: str) -> None:
        if self.show.talk:
            print(f"* {text}", file=sys.stderr)

    def _talk_request(self, headers: Headers) -> None:
        if self.show.talk:
            for name, value in headers:
                print(f"> {printable(name)}: {printable(value)}", file=sys.stderr)

    def _talk_response(self, headers: Headers) -> None:
        if self.show.talk:
            for name, value in headers:
                print(f"< {printable(name)}: {printable(value)}", file=sys.stderr)


async def _copy(
    job: Job, connection: Connection, response: Response, sink: Sink, bar: Bar
) -> None:
    protocol = connection.protocol
    is_first = True
    while data := await protocol.read(response):
        if is_first and sink.is_terminal and b"\0" in data and not job.stdout_was_named:
            raise CommandError(
                "the body is binary and would spoil this terminal; use -o FILE, or -o - "
                "to print it anyway",
                FetchExit.WRITE_ERROR,
            )
        is_first = False
        await sink.write(data, protocol.keep_alive)
        protocol.used(response, len(data))
        bar.advance(len(data))


def _length(fields: dict[bytes, bytes]) -> int | None:
    text = fields.get(b"content-length", b"")
    return int(text) if text.isdigit() else None


def _head_text(head: Headers, *, raw: bool) -> bytes:
    """Write a response's head as HTTP/1 would; escaped, if a person looks at it."""
    lines = [b"HTTP/3 " + dict(head)[b":status"]]
    lines += [name + b": " + value for name, value in head if not name.startswith(b":")]
    if not raw:
        lines = [printable(line).encode() for line in lines]
    return b"\r\n".join([*lines, b"", b""])
