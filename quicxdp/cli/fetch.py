"""`quicxdp fetch`: a small curl that speaks HTTP/3 only."""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509

from . import capture_file, fetch_options, logs, timing, transfer, url
from .dial import DialOptions
from .exits import CommandError, FetchExit, sentence
from .h3_client import WINDOW_BYTES
from .options import new_event_loop, xdp_options
from .private_file import open_secrets_log
from .request_options import outgoing
from .signals import first_signal

if TYPE_CHECKING:
    import argparse
    import signal

    from quicxdp.capture import Capture

_IDLE_TIMEOUT_S = 30.0
_SIGNALLED = 128  # what a shell adds to the number of the signal that ended a process


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    fetch_options.add_parser(commands).set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fetch all URLs; return the status of the first that failed."""
    logs.set_up(options.log_level, access=False)
    if options.json:
        options.write_out = (options.write_out or "") + "%{json}\\n"
    if unknown := timing.unknown_variables(options.write_out or ""):
        options.usage_error(f"-w has no variable {', '.join(sorted(unknown))}")
    jobs = _jobs(options)
    request = outgoing(
        method=options.request,
        head=options.head,
        data=options.data,
        header_lines=options.header,
        byte_range=options.range,
    )
    with ExitStack() as stack:
        capture = capture_file.create(options)
        if capture is not None:
            stack.enter_context(capture)
        fetcher = transfer.Fetcher(
            request=request,
            configuration=_configuration(options, stack, capture),
            dial_options=DialOptions(
                io=options.io,
                interface=options.interface,
                xdp=xdp_options(options),
                spin_us=options.spin,
                engine=options.engine,
                family=options.family,
                timeout_s=options.connect_timeout,
                capture=capture,
            ),
            reroutes=tuple(options.reroutes),
            timeout_s=options.timeout,
            show=transfer.Show(
                fields=options.include or options.head,
                talk=options.verbose,
                fail=options.fail,
                progress=not options.no_progress,
                timing=options.timing,
                write_out=options.write_out or "",
            ),
        )
        with asyncio.Runner(loop_factory=new_event_loop(options.loop)) as runner:
            return runner.run(_fetch_all(fetcher, jobs))


async def _fetch_all(fetcher: transfer.Fetcher, jobs: list[transfer.Job]) -> int:
    task = asyncio.create_task(fetcher.run(jobs))
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        received.append(number)
        task.cancel()

    with first_signal(stop):
        try:
            return await task
        except asyncio.CancelledError:
            if not received:
                raise
            return _SIGNALLED + received[0]


def _jobs(options: argparse.Namespace) -> list[transfer.Job]:
    """Pair each URL with where its body goes, as curl does."""
    outputs: list[str] = list(options.output)
    if len(outputs) > len(options.urls):
        options.usage_error("more -o than URLs")
    jobs = []
    for text in options.urls:
        parsed = url.parse(text)
        name = outputs.pop(0) if outputs else ""
        if not name and options.remote_name:
            name = parsed.file_name
            if not name:
                raise CommandError(
                    f"{text} ends with a slash, so -O finds no name for the file; use "
                    f"-o FILE",
                    FetchExit.WRITE_ERROR,
                )
        jobs.append(
            transfer.Job(parsed, None if name in ("", "-") else Path(name), name == "-")
        )
    return jobs


def _configuration(
    options: argparse.Namespace, stack: ExitStack, capture: Capture | None
) -> QuicConfiguration:
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=list(H3_ALPN),
        idle_timeout=_IDLE_TIMEOUT_S,
        max_data=WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
    )
    if options.insecure:
        configuration.verify_mode = ssl.CERT_NONE
    if options.cacert is not None:
        try:
            x509.load_pem_x509_certificates(options.cacert.read_bytes())
        except (OSError, ValueError) as error:
            raise CommandError(
                f"--cacert {options.cacert}: {sentence(error)}", FetchExit.BAD_CA_FILE
            ) from None
        configuration.load_verify_locations(cafile=str(options.cacert))
    secrets_log = None
    if options.secrets_log is not None:
        secrets_log = stack.enter_context(open_secrets_log(options.secrets_log))
        print(
            f"quicxdp: TLS secrets go to {options.secrets_log}: whoever reads it can "
            f"read this traffic",
            file=sys.stderr,
        )
    configuration.secrets_log_file = capture_file.secrets_log(
        secrets_log, capture and capture.secrets_log
    )
    return configuration
