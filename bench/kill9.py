"""What is lost when a receiver on AF_XDP is killed and another one started afterwards?

A sender sends RATE datagrams a second; a receiver notes their numbers.  In the middle of
it the receiver is killed (SIGKILL) and the next one started, which takes port and
interface over without any clean-up.  Two ways to have the port:

    own    each process binds it, so that between them it is nobody's
    held   the socket is inherited, as from systemd: it holds what comes between them

Prints how many datagrams never arrived, and one JSON object on the last line.  To compare
with: a bare AF_XDP program beside a kernel socket that stays alive loses 4 of 8,000.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness import CLIENT_CORE, SERVER_CORE, BenchError
from kill9_receiver import SEQUENCE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qxnet import Link

RATE = 10_000
PACKETS = 20_000
KILL_AFTER_S = 0.5
SETTLE_S = 0.3
SEND_PAUSE_S = 0.0005
SERVER_PORT = 5200
SOCKET_BUFFER_BYTES = 32 << 20
SO_RCVBUFFORCE = 33
WAYS = ("own", "held")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one kill has cost."""

    lost: int
    before: int  # datagrams that the first process received
    after: int  # and the second
    ready_ms: float  # from the kill until the second one said that it receives


def main() -> int:
    """Kill as often as asked, in both ways."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, action="append")
    options = parser.parse_args()
    try:
        return _measure(options.way or list(WAYS), options.runs)
    except BenchError as error:
        print(f"kill9: {error}", file=sys.stderr)
        return 1


def _measure(ways: list[str], runs: int) -> int:
    result: dict[str, Any] = harness.machine()
    result |= {"rate": RATE, "packets": PACKETS}
    rows = []
    harness.headline(result, runs)
    outcomes: dict[str, list[Outcome]] = {way: [] for way in ways}
    for _ in range(runs):
        for way in ways:
            with harness.link_of_rules() as link:
                outcomes[way].append(_kill(link, held=way == "held"))
    for way in ways:
        lost = [each.lost for each in outcomes[way]]
        ready_ms = [each.ready_ms for each in outcomes[way]]
        result[way] = {
            "lost": lost,
            "lost_median": statistics.median(lost),
            "ready_ms": [round(ms, 1) for ms in ready_ms],
        }
        rows.append(
            [
                *(way, f"{statistics.median(lost):g}", f"{min(lost)} to {max(lost)}"),
                f"{statistics.median(ready_ms):.0f}",
            ]
        )
    harness.table(["port", f"lost of {PACKETS}", "range", "ready again, ms"], rows)
    harness.finish(result)
    return 0


def _kill(link: Link, *, held: bool) -> Outcome:
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        marks = work / "marks"
        marks.write_bytes(bytes(PACKETS))
        fd = stack.enter_context(_held_socket(link)) if held else None
        first = stack.enter_context(_receiver(link, marks, 1, fd))
        sender = threading.Thread(target=_send, args=(_sending_socket(link, stack),))
        sender.start()
        stack.callback(sender.join)
        time.sleep(KILL_AFTER_S)
        killed = time.monotonic()
        first.kill()
        first.wait()
        stack.enter_context(_receiver(link, marks, 2, fd))
        ready_ms = (time.monotonic() - killed) * 1000
        sender.join()
        time.sleep(SETTLE_S)
        seen = marks.read_bytes()
    before, after = seen.count(1), seen.count(2)
    if not before or not after:
        raise BenchError(f"{before} datagrams before the kill and {after} after it")
    return Outcome(PACKETS - before - after, before, after, ready_ms)


@contextlib.contextmanager
def _held_socket(link: Link) -> Iterator[int]:
    with link.server.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES)
        sock.bind((link.server.address4, SERVER_PORT))
        yield sock.fileno()


@contextlib.contextmanager
def _receiver(
    link: Link, marks: Path, number: int, fd: int | None
) -> Iterator[subprocess.Popen[str]]:
    program = str(Path(__file__).with_name("kill9_receiver.py"))
    address = [link.server.address4, str(SERVER_PORT), link.server.interface]
    process = subprocess.Popen(
        link.server.command(
            [
                *("taskset", "--cpu-list", str(SERVER_CORE), sys.executable, program),
                *(str(marks), str(number), *address, *([] if fd is None else [str(fd)])),
            ]
        ),
        pass_fds=[] if fd is None else [fd],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise BenchError("the receiver did not start; see above")
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _sending_socket(link: Link, stack: contextlib.ExitStack) -> socket.socket:
    with link.client.entered():
        sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind(("", 0))
    sock.connect((link.server.address4, SERVER_PORT))
    return sock


def _send(sock: socket.socket) -> None:
    """Send PACKETS numbered datagrams at RATE, whoever is there to receive them."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    padding = bytes(harness.PAYLOAD_BYTES - SEQUENCE_BYTES)
    began = time.monotonic()
    sent = 0
    while sent < PACKETS:
        due = min(PACKETS, int((time.monotonic() - began) * RATE) + 1)
        while sent < due:
            # While nobody has the port, every other send reports that and sends nothing.
            with contextlib.suppress(ConnectionRefusedError):
                sock.send(sent.to_bytes(SEQUENCE_BYTES, sys.byteorder) + padding)
                sent += 1
        time.sleep(SEND_PAUSE_S)


if __name__ == "__main__":
    sys.exit(main())
