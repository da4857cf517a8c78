"""`quicxdp serve` and `quicxdp fetch` as their users run them: as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from quicxdp.cli import certificate

if TYPE_CHECKING:
    from pathlib import Path

QUICXDP = [sys.executable, "-m", "quicxdp"]
LAST_LINE = "Stop with Ctrl-C."


@dataclass
class Running:
    """A server process and what it has printed."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port it has announced."""
        for line in self.lines:
            if match := re.search(r"https://\S*:(\d+)/ ", line):
                return int(match[1])
        raise AssertionError(self.lines)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit status and everything printed."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait for the end."""
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, "\n".join([*self.lines, rest])


@contextmanager
def running(*arguments: str) -> Generator[Running]:
    """Start `quicxdp serve` and wait until it has said that it listens."""
    process = subprocess.Popen(
        [*QUICXDP, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = Running(process)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            server.lines.append(line.rstrip())
            if line.startswith(LAST_LINE):
                break
        yield server
    finally:
        process.kill()
        process.communicate()


def options(pki: Path, *, port: int = 0) -> list[str]:
    """Return the options that every server here needs."""
    return [
        "--port",
        str(port),
        "--certfile",
        f"{pki}/cert.pem",
        "--keyfile",
        f"{pki}/key.pem",
    ]


@pytest.fixture(scope="module")
def module_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder for the server that all tests of this module share."""
    root = tmp_path_factory.mktemp("www")
    (root / "index.html").write_text("<h1>start</h1>\n")
    (root / "data.bin").write_bytes(os.urandom(3_000_000))
    return root


@pytest.fixture(scope="module")
def server(pki: Path, module_site: Path) -> Generator[Running]:
    """Run one server for all tests that only fetch."""
    with running(str(module_site), "--bench-endpoint", *options(pki)) as started:
        yield started


Fetch = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def fetch(pki: Path, server: Running, tmp_path: Path) -> Fetch:
    """Return what runs `quicxdp fetch PATH OPTIONS...` against that server."""

    def run(
        path: str,
        *arguments: str,
        host: str = "localhost",
        stdin: bytes = b"",
        trusted: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        trust = ["--cacert", f"{pki}/ca.pem"] if trusted else []
        url = f"https://{host}:{server.port}{path}"
        return subprocess.run(
            [*QUICXDP, "fetch", url, *trust, *arguments],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
        )

    return run


# ---- serve -----------------------------------------------------------------------------


def test_the_announcement_has_addresses_lane_certificate_and_commands(
    server: Running, pki: Path
) -> None:
    """Everything that a reader needs to try it, ready to be copied."""
    text = "\n".join(server.lines)
    loaded = certificate.load(pki / "cert.pem", pki / "key.pem", certificate.utc_now())

    assert re.search(rf"https://127\.0\.0\.1:{server.port}/ +lane \w+: ", text)
    assert f"https://[::1]:{server.port}/" in text
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


def begin_endless(pki: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a fetch that takes for ever, and wait until it has begun."""
    client = subprocess.Popen(
        [
            *QUICXDP,
            "fetch",
            f"https://localhost:{port}/{1 << 40}",
            "--cacert",
            f"{pki}/ca.pem",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert len(client.stdout.read(100_000)) == 100_000
    return client


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


# ---- fetch -----------------------------------------------------------------------------


def test_a_body_goes_to_standard_output(fetch: Fetch, module_site: Path) -> None:
    """Every byte, and nothing else."""
    done = fetch("/data.bin")

    assert done.returncode == 0
    assert done.stdout == (module_site / "data.bin").read_bytes()
    assert done.stderr == b""


def test_a_body_goes_to_files(fetch: Fetch, module_site: Path, tmp_path: Path) -> None:
    """-o names one, -O takes the URL's name."""
    assert fetch("/data.bin", "-o", "named").returncode == 0
    assert fetch("/data.bin", "-O").returncode == 0

    expected = (module_site / "data.bin").read_bytes()
    assert (tmp_path / "named").read_bytes() == expected
    assert (tmp_path / "data.bin").read_bytes() == expected
    assert fetch("/", "-O").returncode == 23
    assert fetch("/", "-o", "no/such/folder/file").returncode == 23


def test_the_head_alone_and_with_the_body(fetch: Fetch) -> None:
    """-I and -i."""
    head = fetch("/", "-I")
    both = fetch("/", "-i")

    assert head.stdout.startswith(b"HTTP/3 200\r\n")
    assert b"content-length: 15\r\n" in head.stdout
    assert both.stdout.endswith(b"\r\n\r\n<h1>start</h1>\n")


def test_data_is_posted(fetch: Fetch, tmp_path: Path) -> None:
    """From the command line, a file of any size, and standard input."""
    (tmp_path / "upload").write_bytes(bytes(2_000_000))

    assert fetch("/", "-d", "a=1", "-d", "b=2").stdout == b"7\n"
    assert fetch("/", "--data-binary", f"@{tmp_path}/upload").stdout == b"2000000\n"
    assert fetch("/", "--data-binary", "@-", stdin=b"12\n45").stdout == b"5\n"
    assert fetch("/", "-d", "@/nope").returncode == 26


def test_fail_makes_a_status_of_400_a_failure(fetch: Fetch) -> None:
    """-f, as scripts want it."""
    plain = fetch("/nope")
    failing = fetch("/nope", "-f")

    assert (plain.returncode, plain.stdout[:3]) == (0, b"404")
    assert (failing.returncode, failing.stdout) == (22, b"")
    assert b"the server answered 404" in failing.stderr


def test_times_are_told_in_three_forms(fetch: Fetch) -> None:
    """--timing for people, --json for programs, -w for scripts."""
    told = fetch("/", "-o", "/dev/null", "--timing", "--json", "-w", "%{http_code} ")

    assert b"handshake done" in told.stderr
    code, _, rest = told.stdout.decode().partition(" ")
    parsed = json.loads(rest)
    assert code == "200"
    assert parsed["size_download"] == 15
    assert (
        0
        < parsed["time_appconnect"]
        < parsed["time_starttransfer"]
        <= parsed["time_total"]
    )


def test_verbose_tells_what_happens(fetch: Fetch) -> None:
    """Address, lane, fields both ways; on standard error."""
    done = fetch("/", "-v", "-H", "X-Test: yes")

    text = done.stderr.decode()
    assert re.search(r"\* connected to \S+ port \d+", text)
    assert re.search(r"\* lane \w+: ", text)
    assert "> x-test: yes" in text
    assert "< :status: 200" in text
    assert done.stdout == b"<h1>start</h1>\n"


def test_ranges_and_conditions_reach_the_server(fetch: Fetch) -> None:
    """-r, and a 304 whose length counts for nothing."""
    assert fetch("/", "-r", "0-3").stdout == b"<h1>"
    assert fetch("/", "-H", "If-None-Match: *", "-w", "%{http_code}").stdout == b"304"


def test_several_urls_share_a_connection(fetch: Fetch, server: Running) -> None:
    """Bodies come one after the other; the first failure is the exit status."""
    url = f"https://localhost:{server.port}"
    done = fetch("/", f"{url}/3", "http://wrong/", "-v")
    assert done.returncode == 3

    done = fetch("/", f"{url}/3", f"{url}/nope", f"{url}/2", "-v", "-f")

    assert done.returncode == 22
    assert done.stdout == b"<h1>start</h1>\n" + bytes(5)
    assert done.stderr.count(b"connected to") == 1
    assert done.stderr.count(b"again") == 3


def test_an_untrusted_certificate_is_refused_unless_insecure(fetch: Fetch) -> None:
    """60 as curl; and what to do about it."""
    refused = fetch("/", trusted=False)
    accepted = fetch("/", "--insecure", trusted=False)

    assert refused.returncode == 60
    assert b"--cacert" in refused.stderr
    assert accepted.stdout == b"<h1>start</h1>\n"


def test_the_certificate_is_checked_for_the_url_wherever_it_leads(
    fetch: Fetch, server: Running
) -> None:
    """--connect-to and --resolve change the way, not whom we want to talk to."""
    here = f"127.0.0.1:{server.port}"
    wrong = fetch("/", "https://example.org/", "--connect-to", f"example.org:443:{here}")
    right = fetch("/", "--resolve", f"localhost:{server.port}:127.0.0.1", "-v")

    assert wrong.returncode == 60
    assert b"example.org" in wrong.stderr
    assert right.returncode == 0
    assert b"connected to 127.0.0.1" in right.stderr


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_both_families_and_literal_addresses_work(fetch: Fetch, family: str) -> None:
    """No SNI goes with an address (RFC 6066 section 3); certificates name them anyway."""
    literal = {"-4": "127.0.0.1", "-6": "[::1]"}[family]

    done = fetch("/", family, host=literal)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"<h1>start</h1>\n"


def test_a_lane_that_cannot_be_used_is_told(fetch: Fetch) -> None:
    """45 as curl for its --interface; in words, without numbers."""
    nameless = fetch("/", "--io", "xdp")
    loopback = fetch("/", "--io", "xdp", "--interface", "lo")

    assert (nameless.returncode, loopback.returncode) == (45, 45)
    assert b"needs interface" in nameless.stderr
    assert b"Errno" not in loopback.stderr


def test_a_ca_file_that_cannot_be_used_is_told(fetch: Fetch, tmp_path: Path) -> None:
    """77 as curl."""
    (tmp_path / "junk").write_text("junk")

    assert fetch("/", "--cacert", "junk", trusted=False).returncode == 77
    assert fetch("/", "--cacert", "nope", trusted=False).returncode == 77


def test_a_silent_port_times_out_with_a_sentence(fetch: Fetch) -> None:
    """28 as curl, for connecting and for the whole."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{sock.getsockname()[1]}/"
        done = fetch("/", url, "--connect-timeout", "0.2")

    assert done.returncode == 28
    assert b"no answer from 127.0.0.1" in done.stderr


def test_a_transfer_may_take_only_so_long(fetch: Fetch) -> None:
    """--timeout, whatever has arrived by then."""
    done = fetch(f"/{1 << 40}", "--timeout", "0.5", "-o", "/dev/null")

    assert done.returncode == 28
    assert b"not done within 0.5 s" in done.stderr


def test_a_reader_that_goes_away_ends_the_fetch(pki: Path, server: Running) -> None:
    """`quicxdp fetch ... | head`."""
    client = begin_endless(pki, server.port)
    assert client.stdout is not None
    client.stdout.close()
    client.stdout = None

    _, errors = client.communicate(timeout=30)

    assert client.returncode == 23
    assert b"its reader has gone" in errors


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_a_fetch_and_tells_the_server(
    pki: Path, server: Running, number: signal.Signals, status: int
) -> None:
    """With the status that a shell would show."""
    client = begin_endless(pki, server.port)
    client.send_signal(number)

    _, errors = client.communicate(timeout=30)

    assert client.returncode == status
    assert b"Traceback" not in errors
