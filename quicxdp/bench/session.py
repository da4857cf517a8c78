"""One server, one load generator, and repetitions of a run.

Everything here waits without an event loop: the work is done by the two children, and
Ctrl-C arrives here as KeyboardInterrupt while one of their lines is awaited.
"""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from . import meters
from .child import BenchError, Program, launched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .place import Place

# The last packets of a run are still being worked on when its report comes.
_SETTLE_S: Final = 0.01
# What a run may take beyond its own patience.
_GRACE_S: Final = 15.0
_LOADGEN: Final = [sys.executable, "-m", "quicxdp.loadgen", "--stdin"]


class RunFailedError(BenchError):
    """A run has failed; `kind` is its `quicxdp.loadgen.failures.Failure`.

    Attributes:
        kind: of the failure, in a word.
        sample: what was done until then, if anything was.
    """

    def __init__(self, text: str, kind: str, sample: Sample | None) -> None:
        super().__init__(text)
        self.kind = kind
        self.sample = sample


class Server(Protocol):
    """A server on this machine, whoever made it."""

    def cpu_ns(self) -> int:
        """Return the CPU time that it has taken so far."""

    def lanes(self) -> Mapping[str, Mapping[str, int]] | None:
        """Return what each of its lanes has carried so far; None: it does not say."""

    def pss_kib(self) -> int | None:
        """Return its memory; None: not to be had."""


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server of ours, which answers "totals" with its counters."""

    program: Program

    def cpu_ns(self) -> int:
        """Return the CPU time that it has taken so far."""
        return self.program.cpu_ns()

    def lanes(self) -> Mapping[str, Mapping[str, int]] | None:
        """Return what each of its lanes has carried so far."""
        lanes: Mapping[str, Mapping[str, int]] = self.program.ask("totals")["lanes"]
        return lanes

    def pss_kib(self) -> int | None:
        """Return its memory."""
        return meters.pss_kib(self.program.pid)


@dataclass(frozen=True, slots=True)
class OtherServer:
    """A server of others, with all processes that it has started."""

    pid: int

    def cpu_ns(self) -> int:
        """Return the CPU time that it has taken so far."""
        return meters.tree_cpu_ns(self.pid)

    def lanes(self) -> None:
        """Return nothing: it has no lanes."""
        return

    def pss_kib(self) -> int | None:
        """Return its memory."""
        return meters.tree_pss_kib(self.pid)


@dataclass(frozen=True, slots=True)
class Sample:
    """One run.

    Attributes:
        said: the load generator's report.
        server_cpu_ns: of the server meanwhile; None if it is elsewhere.
        machine_busy_ns: of all cores.
        wall_ns: between the readings of the clocks.
        server_lanes: what each lane of the server has carried, if it is ours.
        server_pss_kib: memory of the server at the end.
        is_whole: it was not ended early.
    """

    said: Mapping[str, Any]
    server_cpu_ns: int | None
    machine_busy_ns: int
    wall_ns: int
    server_lanes: Mapping[str, Mapping[str, int]] | None
    server_pss_kib: int | None
    is_whole: bool


@contextmanager
def load_generator(place: Place) -> Iterator[Program]:
    """Start the load generator where *place* has the client."""
    argv = _LOADGEN
    with launched(argv, core=place.cores[1], namespace=place.namespaces[1]) as client:
        yield client


@dataclass(frozen=True, slots=True)
class Session:
    """A load generator with a server to aim at.

    Attributes:
        client: the load generator.
        server: on this machine; None if it is elsewhere.
        patience_s: of a run, beyond the seconds that it is to take.
    """

    client: Program
    server: Server | None
    patience_s: float = 60.0

    def run(
        self,
        words: Sequence[str],
        *,
        on_progress: Callable[[Mapping[str, float]], object] = lambda _: None,
    ) -> Sample:
        """Let the load generator do *words* once.

        Connections are made before the clocks start, unless handshakes are the load, and
        closed after they have stopped.

        Raises:
            RunFailedError: it failed.
            BenchError: a child has ended.
        """
        ready = self._answer(shlex.join(words), self.patience_s)
        if "error" in ready:
            raise RunFailedError(ready["error"], ready["kind"], None)
        return self._measure(on_progress)

    def _measure(self, on_progress: Callable[[Mapping[str, float]], object]) -> Sample:
        lanes = self.server.lanes() if self.server else None
        wall_ns, busy_ns = time.monotonic_ns(), meters.busy_ns()
        server_ns = self.server.cpu_ns() if self.server else 0
        self.client.tell("go")
        is_whole = True
        while True:
            try:
                said = self.client.read_json(self.patience_s + _GRACE_S)
                if "progress" not in said:
                    break
                on_progress(said["progress"])
            except KeyboardInterrupt:
                if not is_whole:
                    raise
                is_whole = False
                self.client.tell("stop")
        time.sleep(_SETTLE_S)
        wall_ns = time.monotonic_ns() - wall_ns
        busy_ns = meters.busy_ns() - busy_ns
        report = said.get("partial") if "error" in said else said
        try:
            cpu_ns = self.server.cpu_ns() - server_ns if self.server else None
            after = self.server.lanes() if self.server else None
        except BenchError as error:
            raise RunFailedError(str(error), "server", None) from None
        sample = None
        if report is not None:
            sample = Sample(
                report,
                cpu_ns,
                busy_ns,
                wall_ns,
                _grown(lanes, after),
                self.server.pss_kib() if self.server else None,
                is_whole and "error" not in said,
            )
        if "error" in said:
            raise RunFailedError(said["error"], said["kind"], sample)
        assert sample is not None  # noqa: S101  (a report without an error)
        return sample

    def _answer(self, line: str, timeout_s: float) -> dict[str, Any]:
        self.client.tell(line)
        return self.client.read_json(timeout_s)


def _grown(
    before: Mapping[str, Mapping[str, int]] | None,
    after: Mapping[str, Mapping[str, int]] | None,
) -> dict[str, dict[str, int]] | None:
    """Return by how much counters have grown, lanes that carried nothing left out."""
    if before is None or after is None:
        return None
    grown = {
        lane: {key: counters[key] - before[lane][key] for key in counters}
        for lane, counters in after.items()
    }
    return {lane: counters for lane, counters in grown.items() if any(counters.values())}
