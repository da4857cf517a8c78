"""`quicxdp bench idle`: what connections cost a server of ours that do nothing.

Each makes one request, and then nothing.  Memory is the server's PSS before the first
connection and with all of them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quicxdp.bench import meters, session
from quicxdp.bench.child import BenchError
from quicxdp.bench.document import document

from .bench_target import found, setup_of
from .bench_view import progress
from .exits import CommandError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from quicxdp.bench.child import Program

    from .bench_target import Target

_CONNECTION_CNT: Final = 500
_NS_PER_MS: Final = 1_000_000


@dataclass(slots=True)
class _Watch:
    """Looks at the server whenever the load generator says how far it is."""

    server: Program
    connection_cnt: int
    quiet_s: float | None = None  # when the last request was answered
    quiet_cpu_ns: int = 0
    last_s: float = 0.0
    last_cpu_ns: int = 0
    pss_kib: int = 0

    def look(self, told: Mapping[str, float]) -> None:
        """Read its clock and memory."""
        if told["requests"] < self.connection_cnt:
            return
        self.last_s, self.last_cpu_ns = told["seconds"], self.server.cpu_ns()
        self.pss_kib = meters.pss_kib(self.server.pid) or 0
        if self.quiet_s is None:
            self.quiet_s, self.quiet_cpu_ns = self.last_s, self.last_cpu_ns

    def figures(self, before_kib: int) -> dict[str, float]:
        """Return what it came to.

        Raises:
            BenchError: it was over too soon.
        """
        if self.quiet_s is None or self.last_s <= self.quiet_s:
            raise BenchError(
                "the requests were not answered early enough to look at idle "
                "connections; give more --seconds"
            )
        cpu_ms = (self.last_cpu_ns - self.quiet_cpu_ns) / _NS_PER_MS
        grown_kib = self.pss_kib - before_kib
        return {
            "server_pss_mib_before": round(before_kib / 1024, 2),
            "server_pss_mib": round(self.pss_kib / 1024, 2),
            "server_kib_per_connection": round(grown_kib / self.connection_cnt, 2),
            "server_idle_cpu_ms_per_s": round(cpu_ms / (self.last_s - self.quiet_s), 3),
        }


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the document.

    Raises:
        CommandError: it failed.
    """
    connection_cnt = options.connections or _CONNECTION_CNT
    plan: dict[str, Any] = {
        "mode": "idle",
        "size_bytes": 100,
        "connections": connection_cnt,
        "streams": 1,
        "rate_hz": 0.0,
        "seconds": options.seconds,
        "runs": 1,
    }
    with found(options, plan) as target:
        try:
            row = _measure(options, target, connection_cnt)
        except BenchError as error:
            raise CommandError(str(error)) from None
        return {
            **document(
                benchmark="idle",
                setup={**target.about, **setup_of(target, options)},
                plan=plan,
                rows=[row],
            ),
        }


def _measure(
    options: argparse.Namespace, target: Target, connection_cnt: int
) -> dict[str, float]:
    server = target.program
    assert server is not None  # noqa: S101  (--url is refused)
    words = ["idle", target.host, str(target.port), f"--timeout={options.timeout}"]
    with (
        session.load_generator(target.place) as client,
        progress(wanted=not options.no_progress) as begin,
    ):
        # A connection makes the server load what all need.
        to = session.Session(client, session.OwnServer(server))
        to.run([*words, "--connections=1", "--seconds=0.1"])
        before_kib = meters.pss_kib(server.pid) or 0
        watch = _Watch(server, connection_cnt)
        told = begin(f"{connection_cnt} connections", options.seconds)

        def look(far: Mapping[str, float]) -> None:
            watch.look(far)
            told(far)

        long = dataclasses.replace(to, patience_s=options.seconds + connection_cnt / 10)
        sample = long.run(
            [
                *words,
                *(f"--connections={connection_cnt}", f"--seconds={options.seconds}"),
                "--progress=0.2",
            ],
            on_progress=look,
        )
        if not sample.is_whole:
            raise KeyboardInterrupt
    return watch.figures(before_kib)
