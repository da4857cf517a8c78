"""`quicxdp fetch` as a process, against one server for all."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.cli.processes import QUICXDP, Running, begin_endless

if TYPE_CHECKING:
    from pathlib import Path


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
    assert re.search(r"\* engine \w+: ", text)
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
