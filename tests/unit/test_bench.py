"""What benchmarks share: clocks, children, namespaces, paths, documents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import compare
import compare_render
import peers
import pytest

from quicxdp.bench import meters, namespaces, place
from quicxdp.bench.child import BenchError, launched
from quicxdp.bench.netem import Shape
from quicxdp.config import Io
from quicxdp.errors import ConfigError

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
input()
"""

HOLDING = """
import subprocess, sys
worker = "import sys; held = open(sys.argv[1], 'w'); input()"
subprocess.Popen([sys.executable, "-c", worker, sys.argv[1]], stdin=subprocess.PIPE)
input()
"""


def test_a_median_has_the_spread_of_its_runs() -> None:
    """One run alone looks more certain than it is."""
    assert meters.figure([2.0, 1.0, 4.0]) == meters.Figure(2.0, 1.5)
    assert str(meters.figure([100.0, 110.0])) == "105 ±5%"


def test_cpu_time_is_that_of_a_process_and_of_all_that_it_started() -> None:
    """Servers with workers must not look cheaper than those without."""
    assert meters.cpu_ns(os.getpid()) <= meters.tree_cpu_ns(os.getpid())
    with launched([sys.executable, "-c", PARENT]) as program:
        child = int(program.read_line(10.0))
        assert set(meters.tree_of(program.pid)) == {program.pid, child}
        assert meters.tree_pss_kib(program.pid) > (meters.pss_kib(child) or 0) > 0


def test_the_end_of_a_program_is_the_end_of_what_it_started(tmp_path: Path) -> None:
    """A worker that outlives its server would answer in the next one's place."""
    held = tmp_path / "held"
    os.mkfifo(held)
    with launched([sys.executable, "-c", HOLDING, str(held)]):
        # Open at both ends once the worker has it.
        reader = held.open("rb")
    with reader:
        # Its end comes with the end of all that could write.
        assert reader.read() == b""


def test_a_program_that_ends_early_is_told_with_its_last_words() -> None:
    """The reason is on its stderr, and nowhere else."""
    words = "import sys; sys.exit('no such thing')"
    with launched([sys.executable, "-c", words]) as program:
        with pytest.raises(BenchError, match="no such thing"):
            program.read_line(10.0)
        program.process.wait()
        with pytest.raises(BenchError, match="ended early"):
            program.cpu_ns()


def test_lines_that_come_together_are_read_one_by_one() -> None:
    """Progress comes faster than it is read, and silence has a limit."""
    words = "print('one'); print('two', flush=True); input()"
    with launched([sys.executable, "-c", words]) as program:
        assert [program.read_line(10.0), program.read_line(10.0)] == ["one", "two"]
        with pytest.raises(BenchError, match="said nothing"):
            program.read_line(0.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_a_place_of_its_own_has_the_mtu_of_a_network() -> None:
    """On the usual loopback a datagram is as long as 45 of a real one."""
    with place.own(io=Io.SOCKET, is_ipv6=True, cores=None) as found:
        assert (found.link, found.host, found.interface) == ("loopback", "::1", None)
        with namespaces.entered(found.namespaces[0]):
            mtu = Path("/sys/class/net/lo/mtu")
            told = subprocess.run(
                ["ip", "-oneline", "link", "show", "lo"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        assert " mtu 1500 " in told
        assert mtu.read_text(encoding="ascii").strip() != "1500"


def test_what_happens_to_packets_is_read_with_its_units() -> None:
    """Loss in per cent, delay in time, rate in bits."""
    shape = Shape.parse("loss=0.5%, delay=25ms,rate=1.5mbit")
    assert (shape.loss_ppm, shape.delay_ms, shape.rate_bits) == (5000, 25.0, 1_500_000)
    assert Shape.parse("delay=500us").delay_ms == 0.5


@pytest.mark.parametrize(
    "text",
    ["", "loss", "loss=1", "loss=-1%", "delay=1", "rate=5", "speed=1ms", "rate=1bit"],
)
def test_what_cannot_happen_to_packets_is_refused(text: str) -> None:
    """With the form that is understood."""
    with pytest.raises(ConfigError, match="netem"):
        Shape.parse(text)


def comparison() -> dict[str, Any]:
    """Return what compare.json may hold."""

    def tests(cost: float, **more: object) -> dict[str, Any]:
        figures = {
            key: {"median": cost, "spread": 0.1, "values": [cost]}
            for _, key, _ in compare_render.COLUMNS
        }
        figures["server_cpu_share"] = {"median": 1.0, "spread": 0.0, "values": [1.0]}
        return {"figures": figures, "client_was_limit": False, "breakdown": None, **more}

    shares = {"kernel": 0.7, "Python": 0.3}
    return {
        "date": "2026-11-24",
        "command": "bench/compare.py",
        "machine": {
            "cpu": "a processor",
            "cores": 2,
            "kernel": "6",
            "python": "3",
            "openssl": "OpenSSL",
            "git": "123",
            "load_before": 0.0,
        },
        "runs": 3,
        "seconds": 2.0,
        "broken_rules": [],
        "no_breakdown": None,
        "missing": {"nginx": "is too old"},
        "peers": {
            "quicxdp socket": {
                "stack": "C",
                "version": "1",
                "rounds": 3,
                "tests": {"down": tests(1.5, breakdown=shares)},
            },
            "caddy": {
                "stack": "Go",
                "version": "2",
                "rounds": 3,
                "tests": {
                    "down": tests(1234.5, client_was_limit=True),
                    "up": {"error": "no back end"},
                },
            },
        },
    }


def test_a_comparison_tells_its_rows_limits_and_gaps() -> None:
    """What is missing in a table must be said, or it looks chosen."""
    text = "\n".join(compare_render.page(comparison()))
    assert "| **quicxdp socket** | 1; C | 1.5 ±5 % |" in text
    assert "1,234† ±5 %" in text
    assert "| quicxdp socket | down | 70% |" in text
    assert "kernel and Python" in text
    assert "- nginx: is too old" in text
    assert "- caddy, up: no back end" in text
    assert "Partial" not in text


def test_an_ended_comparison_keeps_its_rounds_and_says_that_it_is_partial(
    tmp_path: Path,
) -> None:
    """Minutes of measuring are not lost, and what they lack is not hidden."""
    first, second, third = peers.OURS[:3]
    path = tmp_path / "compare.json"
    head = {key: value for key, value in comparison().items() if key != "peers"}
    versions = dict.fromkeys(peers.OURS[:3], "1")
    results = compare.Results(head | {"runs": 2}, versions, path)
    for peer in (first, second, first):
        results.add(peer, {"down": {"error": "is silent"}})
    compare_render.render(path, tmp_path, None)
    text = (tmp_path / "compare.md").read_text(encoding="utf-8")
    assert "**Partial, ended early: of 2 rounds some had fewer: " in text
    assert f": {second.name} (1), {third.name} (0).**" in text
    assert f"- {first.name}, down: is silent" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_comparison_once(number: signal.Signals) -> None:
    """Servers and namespaces are cleaned up, whoever loses patience meanwhile."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(each) for each in numbers]
    cleaned: list[str] = []

    @compare.ended_by_signals()
    def measure() -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            cleaned.append("all")

    with pytest.raises(SystemExit) as ended:
        measure()
    assert (ended.value.code, cleaned) == (128 + number, ["all"])
    assert handlers == [signal.getsignal(each) for each in numbers]
