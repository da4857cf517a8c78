"""`quicxdp bench`: measure a server of ours, or any that speaks HTTP/3."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from quicxdp.errors import UnavailableError

from . import bench_options, bench_values
from .exits import CommandError, ExitCode, StartError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from quicxdp.bench.session import Sample, Session

    from .bench_target import Target

_PROGRESS_S: Final = 0.2
_INTERRUPTED: Final = 130  # as a shell reports a process ended by SIGINT
# What a warm-up may be cut short to in a short run.
_PATIENCE_S: Final = 5.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    bench_options.add_parser(commands).set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure; return the exit status."""
    bench_values.check(options)
    _check_machine(options)
    return _finish(options, _measured(options))


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    # Not at the top: an extra is in them, and most commands are others.
    if options.benchmark == "idle":
        from . import bench_idle  # noqa: PLC0415

        return bench_idle.measured(options)
    if options.benchmark == "datapath":
        from . import bench_datapath  # noqa: PLC0415

        return bench_datapath.measured(options)
    if options.netem is not None and options.netem_by == "sim":
        from . import bench_simulated  # noqa: PLC0415

        return bench_simulated.measured(options)
    return _Load(options, bench_options.plan(options)).document()


def _check_machine(options: argparse.Namespace) -> None:
    """Find out what is missing before anything is started.

    Raises:
        StartError: something is.
    """
    if sys.platform != "linux":
        raise StartError("bench reads Linux's clocks of processes, and runs only there")
    try:
        import quicxdp.loadgen.report  # noqa: F401, PLC0415  (what the extra is for)
    except ImportError:
        raise StartError(
            "bench needs hdrhistogram; install it by pip install 'quicxdp[bench]'"
        ) from None
    if options.plot is None:
        return
    try:
        from quicxdp.bench import plot  # noqa: PLC0415  (an extra)

        plot.check()
    except UnavailableError as error:
        raise StartError(str(error)) from None


def _finish(options: argparse.Namespace, document: Mapping[str, Any]) -> int:
    if options.json:
        print(json.dumps(document), flush=True)
    else:
        from . import bench_view  # noqa: PLC0415  (rich takes a while)

        bench_view.show(document)
    if options.plot is not None:
        from quicxdp.bench import plot  # noqa: PLC0415  (an extra)

        try:
            plot.draw(document, options.plot)
        except OSError as error:
            raise CommandError(f"--plot {options.plot}: {error.strerror}") from None
    failure = document["error"]
    if failure is None:
        return ExitCode.OK
    print(f"quicxdp: {failure['message']}", file=sys.stderr)
    return _INTERRUPTED if failure["kind"] == "interrupted" else ExitCode.FAILURE


@dataclass(slots=True)
class _Load:
    """A benchmark that puts load on a server."""

    options: argparse.Namespace
    plan: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)
    error: dict[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """Measure, and return what came out.

        Raises:
            CommandError: there is nothing to tell.
        """
        from quicxdp.bench import document  # noqa: PLC0415  (an extra is in it)

        from .bench_target import found, setup_of  # noqa: PLC0415

        with found(self.options, self.plan) as target:
            self._measure(target)
        if not self.samples:
            message = self.error["message"] if self.error else "nothing was measured"
            if self.error and self.error["kind"] == "interrupted":
                raise KeyboardInterrupt
            raise CommandError(message)
        unit = bench_options.BENCHMARKS[self.options.benchmark].unit
        told = document.document(
            benchmark=self.options.benchmark,
            setup={**target.about, **setup_of(target, self.options)},
            plan=self.plan,
            rows=[document.run_figures(sample, unit) for sample in self.samples],
            error=self.error,
        )
        return told | document.of_load(self.samples, unit)

    def _measure(self, target: Target) -> None:
        from quicxdp.bench import session  # noqa: PLC0415
        from quicxdp.bench.child import BenchError  # noqa: PLC0415

        from .bench_view import progress  # noqa: PLC0415

        try:
            with session.load_generator(target.place) as client:
                patience_s = 2 * self.options.timeout + 2 * self.plan["seconds"]
                server = session.OwnServer(target.program) if target.program else None
                to = session.Session(client, server, patience_s)
                with progress(wanted=not self.options.no_progress) as begin:
                    self._runs(to, target, begin)
        except session.RunFailedError as error:
            if error.sample is not None:
                self.samples.append(error.sample)
            self.error = {"kind": error.kind, "message": str(error)}
        except BenchError as error:
            self.error = {"kind": "local", "message": str(error)}
        except KeyboardInterrupt:
            self.error = {"kind": "interrupted", "message": "ended by Ctrl-C"}

    def _runs(
        self,
        to: Session,
        target: Target,
        begin: Callable[[str, float], Callable[[Mapping[str, float]], None]],
    ) -> None:
        if warm_up_s := self.plan["warm_up_seconds"]:
            sample = to.run(
                self._words(target, warm_up_s), on_progress=begin("warm-up", warm_up_s)
            )
            if not sample.is_whole:
                raise KeyboardInterrupt
        for number in range(self.plan["runs"]):
            seconds = self.plan["seconds"]
            name = f"run {number + 1} of {self.plan['runs']}"
            words = self._words(target, seconds)
            sample = to.run(words, on_progress=begin(name, seconds))
            self.samples.append(sample)
            if not sample.is_whole:
                raise KeyboardInterrupt

    def _words(self, target: Target, seconds: float) -> list[str]:
        plan = self.plan
        words = [plan["mode"], target.host, str(target.port), "--seconds", str(seconds)]
        for option in ("connections", "streams", "handshake"):
            words += [f"--{option}", str(plan[option])]
        if plan["size_bytes"] is not None and "--size" not in target.words:
            words += ["--size", str(plan["size_bytes"])]
        words += ["--rate", str(plan["rate_hz"])]
        words += ["--congestion-control", plan["congestion_control"]]
        words += ["--timeout", str(self.options.timeout), "--progress", str(_PROGRESS_S)]
        return [*words, *target.words]
