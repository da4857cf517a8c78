"""`quicxdp bench` as a process: against a server of its own, and against others."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from quicxdp.cli import main
from tests.cli.processes import QUICXDP, running
from tests.cli.processes import options as server_options

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.cli.processes import Running

pytestmark = pytest.mark.long

SCHEMA = Path(__file__).parent.parent.parent / "docs" / "bench.schema.json"
# So little that the tests are quick; the figures are of no interest here.
SHORT = ["--runs=1", "--warm-up=0", "--seconds=0.5"]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    return subprocess.run(
        [*QUICXDP, "bench", *words],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def document(printed: str) -> dict[str, Any]:
    """Return what --json printed, held to the documented schema."""
    told: dict[str, Any] = json.loads(printed)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(told)
    return told


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        (["throughput", "--size=100k"], "server_cpu_s_per_gb"),
        (["throughput", "--up", "--size=100k", "-6"], "server_cpu_s_per_gb"),
        (["requests", "--engine=aioquic", "--streams=2"], "server_cpu_us_per_request"),
        (["handshakes", "--handshake=0rtt"], "server_cpu_us_per_handshake"),
        (["latency", "--rate=100", "--congestion-control=cubic"], "requests_per_s"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_each_benchmark_measures_a_server_of_its_own(
    words: list[str], figure: str
) -> None:
    """One command is enough, and what it prints is what the schema says."""
    done = bench(*words, *SHORT, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = document(done.stdout)
    assert told["benchmark"] == words[0]
    assert told["figures"][figure]["median"] > 0
    assert told["totals"]["requests"] > 0
    assert sum(lane["tx_packets"] for lane in told["lanes"]["server"].values()) > 0
    assert told["latency_us"]["p50"] <= told["latency_us"]["max"]
    if "0rtt" in words[-1]:
        assert told["totals"]["early_data"] == told["totals"]["resumed"] > 0


def test_tables_tell_the_same_as_json_and_a_picture_is_drawn(tmp_path: Path) -> None:
    """For people: a table, a picture, and no progress where nobody looks."""
    picture = tmp_path / "requests.svg"
    done = bench("requests", *SHORT, "--plot", str(picture))
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("requests per second", "CPU µs per request", "p99.9", "server, socket"):
        assert word in done.stdout
    assert "milliseconds" in picture.read_text(encoding="utf-8")


def test_any_server_can_be_measured(server: Running, pki: Path) -> None:
    """--url checks the certificate and takes the size that the page has."""
    url = f"https://localhost:{server.port}/"
    done = bench("requests", "--url", url, "--cacert", f"{pki}/ca.pem", *SHORT, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = document(done.stdout)
    assert told["plan"]["size_bytes"] == 15
    assert told["totals"]["body_bytes"] == 15 * told["totals"]["requests"]
    assert "server_cpu_share" not in told["figures"]
    assert "not ours" in told["setup"]["broken_rules"][0]


@pytest.mark.parametrize(
    ("path", "words", "said"),
    [
        ("/", [], "certificate is not trusted"),
        ("/nowhere", ["--insecure"], "status 404"),
    ],
)
def test_a_server_that_does_not_answer_well_is_told_before_any_load(
    server: Running, path: str, words: list[str], said: str
) -> None:
    """With what to do about it."""
    url = f"https://localhost:{server.port}{path}"
    done = bench("requests", "--url", url, *words, *SHORT, "--json")
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stdout == ""


def test_what_is_no_server_is_told() -> None:
    """A name without an address, and a port where nobody answers."""
    nowhere = bench("requests", "--url", "https://nowhere.invalid/", *SHORT)
    assert nowhere.returncode == 1
    assert "nowhere.invalid has no address" in nowhere.stderr
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/"
        silent = bench("requests", "--url", url, "--timeout=0.3", *SHORT)
    assert silent.returncode == 1
    assert "nothing speaks QUIC there" in silent.stderr


def test_idle_connections_are_held_and_weighed() -> None:
    """Memory per connection decides how many a server can have."""
    done = bench("idle", "--connections=20", "--seconds=1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    figures = document(done.stdout)["figures"]
    assert figures["server_pss_mib"]["median"] > 1
    assert figures["server_idle_cpu_ms_per_s"]["median"] >= 0


def test_a_datagram_is_weighed_on_each_lane() -> None:
    """Sockets and asyncio on loopback, wherever this runs."""
    done = bench("datapath", "--runs=1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    figures = document(done.stdout)["figures"]
    for lane in ("asyncio", "socket"):
        assert figures[f"{lane}_loopback_cpu_ns_per_datagram"]["median"] > 0


def test_a_simulated_path_gives_what_it_can_carry() -> None:
    """Virtual time: ten megabits are ten, on any machine; and a seed repeats a run."""
    words = ["throughput", "--netem=delay=5ms,rate=10mbit", "--size=100k", "--json"]
    done = bench(*words, "--runs=2", "--seconds=2")
    assert (done.returncode, done.stderr) == (0, "")
    told = document(done.stdout)
    assert 8 < told["figures"]["mbit_per_s"]["median"] < 10
    assert told["figures"]["rtt_min_ms"]["median"] == pytest.approx(10, rel=0.2)
    assert told["setup"]["netem_by"] == "the simulated NIC"
    assert told["latency_us"]["p50"] > 100_000 * 8 / 10


@contextmanager
def under_way(*words: str) -> Generator[subprocess.Popen[str]]:
    """Start it at a terminal, and wait until the progress bar counts answers."""
    # In the background of a script all that is started ignores Ctrl-C; at a terminal not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [*QUICXDP, "bench", *words],
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    try:
        shown = ""
        while not re.search(r"[1-9]\d* answers/s", shown):
            shown += os.read(master, 4096).decode()
        yield process
    finally:
        process.kill()
        process.communicate()
        os.close(master)


def test_a_server_that_goes_leaves_what_was_measured(pki: Path) -> None:
    """Partial results are kept, and told from whole ones."""
    with running("--bench-endpoint", *server_options(pki)) as started:
        url = f"https://localhost:{started.port}/100"
        words = ["requests", "--url", url, "--insecure", "--json", "--timeout=1"]
        with under_way(*words, "--warm-up=0", "--seconds=30") as process:
            started.process.kill()
            out, _ = process.communicate(timeout=40)
    told = document(out)
    assert process.returncode == 1
    assert told["partial"]
    assert told["error"]["kind"] in ("silent", "refused")
    assert told["totals"]["requests"] > 0


def test_ctrl_c_prints_what_was_measured() -> None:
    """Whoever has seen enough gets the figures so far."""
    words = ["requests", "--json", "--seconds=30", "--warm-up=0"]
    with under_way(*words) as process:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=40)
    told = document(out)
    assert process.returncode == 130
    assert told["error"]["kind"] == "interrupted"
    assert not told["runs"][0]["whole"]
    assert told["totals"]["requests"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["requests", "--up"], "--up is for throughput"),
        (["requests", "--handshake=resumed"], "--handshake is for handshakes"),
        (["handshakes", "--streams=2"], "one request on each connection"),
        (["throughput", "--insecure"], "go with --url"),
        (["throughput", "--interface=eth0"], "goes with --url"),
        (["requests", "--url=https://a/", "--spin=20"], "are for a server of ours"),
        (["throughput", "--url=https://a/", "--netem=loss=1%"], "is what it is"),
        (["idle", "--url=https://a/"], "not by --url"),
        (["datapath", "--netem=loss=1%"], "no use for"),
        (["datapath", "--io=socket"], "every lane"),
        (["idle", "--rate=5"], "no use for --rate"),
        (["handshakes", "--netem=loss=1%"], "--netem-by kernel"),
        (["requests", "--netem=loss=1%", "--connections=2"], "has one connection"),
        (["requests", "--netem=loss=1%", "--io=socket"], "no --io"),
        (["throughput", "--netem=lose=1%"], "is not understood"),
        (["throughput", "--netem=loss=100%"], "nothing to measure"),
        (["throughput", "--size=0"], "is no size"),
        (["throughput", "--rate=-1"], "is not a rate"),
        (["throughput", "--seconds=0"], "is too short"),
        (["throughput", "--cores=0"], "is not two cores"),
        (["throughput", "--connections=1000000"], "is not a number up to"),
        (["throughput", "--plot=picture.gif"], "FILE.svg or FILE.png"),
        (["sideways"], "invalid choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_make_no_sense_are_wrong_usage(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told before anything is started."""
    with pytest.raises(SystemExit) as caught:
        main(["bench", *words])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
