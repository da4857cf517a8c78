"""`quicxdp serve` as a process: announcement, signals, refusals, logs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from quicxdp import certificate
from quicxdp.cli import stats_file
from quicxdp.config import Io
from quicxdp.info import EndpointInfo
from quicxdp.stats import InterfaceStats, LaneStats, Stats
from tests.cli.processes import QUICXDP, Running, begin_endless, options, running

if TYPE_CHECKING:
    from pathlib import Path


def test_the_announcement_has_addresses_lane_certificate_and_commands(
    server: Running, pki: Path
) -> None:
    """Everything that a reader needs to try it, ready to be copied."""
    text = "\n".join(server.lines)
    loaded = certificate.load(pki / "cert.pem", pki / "key.pem", certificate.utc_now())

    assert re.search(rf"https://127\.0\.0\.1:{server.port}/ +lane \w+: ", text)
    assert f"https://[::1]:{server.port}/" in text
    assert re.search(r"^  engine (native|aioquic): ", text, re.MULTILINE)
    assert loaded.spki_hash in text
    assert f"quicxdp fetch --cacert {pki}/ca.pem https://localhost:{server.port}/" in text
    for command in (
        "gtlsclient",
        "curl --http3-only",
        "--ignore-certificate-errors-spki-list=",
    ):
        assert command in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_an_idle_server_at_once_with_zero(
    pki: Path, module_site: Path, number: signal.Signals
) -> None:
    """Ctrl-C, and what systemd sends."""
    with running(str(module_site), *options(pki)) as started:
        status, text = started.stop(number)

    assert status == 0
    assert "stopping" in text
    assert "Traceback" not in text


def test_a_stop_with_a_busy_client_waits_as_long_as_asked_and_tells_the_client(
    pki: Path,
) -> None:
    """--grace 0: cut off at once, with CONNECTION_CLOSE rather than silence."""
    with running("--bench-endpoint", *options(pki), "--grace", "0") as started:
        client = begin_endless(pki, started.port)
        status, text = started.stop()
        _, errors = client.communicate(timeout=30)

    assert status == 0
    assert "cut off" in text
    assert client.returncode == 18
    assert (
        b"the server closed the connection: H3_NO_ERROR: the server is stopping" in errors
    )


def test_a_second_signal_ends_the_server_whatever_it_waits_for(pki: Path) -> None:
    """Nobody has to look for kill -9."""
    with running("--bench-endpoint", *options(pki), "--grace", "600") as started:
        client = begin_endless(pki, started.port)
        started.process.send_signal(signal.SIGINT)
        assert started.process.stdout is not None
        for line in started.process.stdout:
            if "stopping" in line:
                break
        status, _ = started.stop(signal.SIGINT)
        client.kill()
        client.communicate()

    assert status == -signal.SIGINT


def test_a_stop_lets_answers_finish(pki: Path, module_site: Path, tmp_path: Path) -> None:
    """A restart in the middle of a download does not break it."""
    with running(
        str(module_site), *options(pki), "--grace", "30", "--access-log"
    ) as started:
        client = subprocess.Popen(
            [*QUICXDP, "fetch", f"https://localhost:{started.port}/data.bin",
             "--cacert", f"{pki}/ca.pem"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert client.stdout is not None
        begun = client.stdout.read(1)
        started.process.send_signal(signal.SIGTERM)
        with client.stdout:
            rest = client.stdout.read()
        status, text = started.wait()

    assert status == 0
    assert client.wait() == 0
    assert begun + rest == (module_site / "data.bin").read_bytes()
    assert '"GET /data.bin" 200 3000000 bytes' in text


def failed_start(*arguments: str) -> str:
    """Run a server that must not start; return what it says."""
    done = subprocess.run(
        [*QUICXDP, "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 3, done
    assert done.stderr.startswith("quicxdp: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_keeps_a_server_from_starting_is_said_with_status_three(
    pki: Path, module_site: Path, tmp_path: Path
) -> None:
    """Certificate, folder, address, loop: what was tried, what happened, what to do."""
    good = options(pki)

    assert "there is no certificate file" in failed_start(
        str(module_site), "--certfile", "nope"
    )
    assert "there is no folder" in failed_start(str(tmp_path / "nope"), *good)
    assert "is not a folder" in failed_start(str(module_site / "index.html"), *good)
    assert "not an address of this machine" in failed_start(
        str(module_site), *good, "--host", "192.0.2.1"
    )
    assert "names" in failed_start(str(module_site), *good, "--io", "xdp")
    assert "nope" in failed_start(str(module_site), *good, "--interface", "nope")
    (tmp_path / "log").write_text("")
    assert "exists" in failed_start(
        str(module_site), *good, "--secrets-log", str(tmp_path / "log")
    )


def test_a_host_may_be_a_name_and_stands_for_all_its_addresses(
    pki: Path, module_site: Path
) -> None:
    """As with every other server; and addresses may be given one by one."""
    with running(
        str(module_site), *options(pki), "--host", "localhost", "--host", "127.0.0.2"
    ) as started:
        text = "\n".join(started.lines)
        started.stop()

    assert f"https://127.0.0.1:{started.port}/" in text
    assert f"https://127.0.0.2:{started.port}/" in text
    assert "neither an address nor a name" in failed_start(
        str(module_site), *options(pki), "--host", "nowhere.invalid"
    )


def test_a_port_that_is_taken_is_said_to_be_so(pki: Path, module_site: Path) -> None:
    """And how to find out by whom."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

        said = failed_start(str(module_site), *options(pki, port=port))

    assert f"UDP port {port} on 127.0.0.1 is taken" in said
    assert "ss -ulpn" in said


def test_the_certificate_of_quicxdp_cert_is_found_by_itself(
    module_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`quicxdp cert && quicxdp serve .` needs no options."""
    monkeypatch.chdir(tmp_path)
    subprocess.run([*QUICXDP, "cert"], check=True, stdout=subprocess.DEVNULL)

    with running(str(module_site), "--port", "0") as started:
        status, text = started.stop()

    assert status == 0
    assert "certs/dev/ca.pem" in text


def test_secrets_are_logged_for_wireshark_and_warned_about(
    pki: Path, module_site: Path, tmp_path: Path
) -> None:
    """On both sides, into files for their owner only."""
    with running(
        str(module_site), *options(pki), "--secrets-log", f"{tmp_path}/server.keys"
    ) as started:
        subprocess.run(
            [*QUICXDP, "fetch", f"https://localhost:{started.port}/", "--insecure",
             "--secrets-log", f"{tmp_path}/client.keys"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _, text = started.stop()

    assert "whoever reads it can read" in text
    logs = [(tmp_path / name).read_text() for name in ("server.keys", "client.keys")]
    assert all("CLIENT_TRAFFIC_SECRET_0" in log for log in logs)
    assert set(logs[0].splitlines()) == set(logs[1].splitlines())
    assert stat.S_IMODE((tmp_path / "server.keys").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "choice", [["--loop", "asyncio"], ["--uvloop"], ["--io", "asyncio"]]
)
def test_every_loop_and_lane_serves_the_same(
    pki: Path, module_site: Path, choice: list[str]
) -> None:
    """Also signals, which the loops watch in their own ways."""
    with running(str(module_site), *options(pki), *choice) as started:
        done = subprocess.run(
            [
                *QUICXDP,
                "fetch",
                f"https://127.0.0.1:{started.port}/data.bin",
                "--insecure",
            ],
            check=True,
            capture_output=True,
        )
        status, text = started.stop(signal.SIGINT)

    assert done.stdout == (module_site / "data.bin").read_bytes()
    assert status == 0
    assert "Traceback" not in text


def test_counters_of_several_listeners_add_up() -> None:
    """Alarms on lost datagrams or forged ICMP must hear of every address served."""
    own = (
        *("errors_lost", "backlog_dropped", "turns", "turns_empty"),
        *("lanes_lost", "lanes_back", "lanes_given_up"),
        *("kernel_socket_dropped", "icmp_believed", "icmp_ignored"),
    )

    def listener(cnt: int) -> tuple[list[object], EndpointInfo]:
        counts: dict[str, Any] = dict.fromkeys(own, cnt)
        stats = Stats(
            lanes={"xdp": LaneStats(rx_packets=cnt)},
            drops={"denied": cnt},
            frames={"free": 9},
            rings={},
            frame_cnt=9,
            queue_cnt=1,
            interfaces={"eth1": InterfaceStats(modes=("zerocopy",))},
            **counts,
        )
        info = EndpointInfo(Io.XDP, "eth1", reason="", stats=lambda: stats)
        return ["192.0.2.1", cnt], info

    told = stats_file.collect([listener(1), listener(40)])

    assert {name: told[name] for name in own} == dict.fromkeys(own, 41)
    assert told["lanes"]["xdp"]["rx_packets"] == told["drops"]["denied"] == 41
    # Of the interface, which they share.
    assert told["frames"] == {"free": 9}
    assert told["frame_cnt"] == 9
    assert told["interfaces"]["eth1"]["modes"] == ("zerocopy",)


def test_a_link_in_the_way_of_the_counters_is_not_followed(tmp_path: Path) -> None:
    """Root's server must not be led to overwrite a file by who may write the folder."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "stats.json"
    (tmp_path / f".stats.json.{os.getpid()}").symlink_to(victim)

    stats_file.write(path, [])

    assert victim.read_text() == "precious"
    assert json.loads(path.read_text())["listeners"] == []
    assert sorted(tmp_path.iterdir()) == [path, victim]


def test_counters_are_written_on_request_and_at_the_end(
    pki: Path, module_site: Path, tmp_path: Path
) -> None:
    """What the demo and monitoring read."""
    path = tmp_path / "stats.json"
    with running(str(module_site), *options(pki), "--stats-file", str(path)) as started:
        subprocess.run(
            [*QUICXDP, "fetch", f"https://127.0.0.1:{started.port}/", "--insecure"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        started.stop()

    told = json.loads(path.read_text())
    assert len(told["listeners"]) == 2
    assert sum(lane["rx_packets"] for lane in told["lanes"].values()) > 0


@pytest.mark.parametrize("target", [".", "package.module:app"])
def test_limits_without_sense_are_a_usage_error_whatever_is_served(target: str) -> None:
    """A server with no handshakes to give would start, and be silent."""
    for option in ("--max-handshakes=0", "--handshake-timeout=0", "--new-per-prefix=-1"):
        done = subprocess.run(
            [*QUICXDP, "serve", target, option],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert option.partition("=")[0].removeprefix("--").replace("-", "_") in (
            done.stderr.replace("-", "_")
        )
