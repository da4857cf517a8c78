"""`make soak`: a network that does not hold still, and streams that must not notice.

    namespace "server"                     namespace "client"
    echoes streams, io="xdp"  <-- veth --> four connections, io="xdp"

Four connections (IPv4 and IPv6, on the link and behind a route) send streams all the time
and compare what comes back byte by byte, while links go down, cables are cut, neighbours,
MTUs, MAC addresses, routes and rules change.  Every byte that a stream took must come
back.

The troubles follow from the seed, which is printed; how they meet the packets does not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import qxnet
import qxserve
import qxtrouble

if TYPE_CHECKING:
    import subprocess

ENDS: Final = str(Path(__file__).resolve().parent / "soak_ends.py")
START_TIMEOUT_S: Final = 20.0
# Longer than the client waits for its streams.
FINISH_TIMEOUT_S: Final = 80.0
TROUBLE_S: Final = (0.05, 1.2)
QUIET_S: Final = (0.1, 0.8)


class SoakError(Exception):
    """An end did not start, or ended too early; the text says which."""


def main() -> int:
    """Soak for as long as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    options = parser.parse_args()
    reason = qxnet.unavailable()
    if reason is not None:
        print(f"soak: not possible here: {reason}")
        return 2
    print(f"soak: seed {options.seed}, {options.seconds:g} s", flush=True)
    try:
        return _soak(options.seconds, options.seed)
    except (SoakError, qxnet.NetnsError) as error:
        print(f"soak: FAILED (seed {options.seed}): {error}")
        return 1


def _soak(seconds: float, seed: int) -> int:
    with tempfile.TemporaryDirectory() as work, qxnet.joined(queue_cnt=2) as link:
        qxtrouble.dress(link)
        certificate = qxserve.make_certificate(Path(work), ["localhost"])
        server = _start(
            link.server, "server", str(certificate.certificate), str(certificate.key)
        )
        client = _start(link.client, "client", str(seed), *qxtrouble.HOSTS)
        happened = _make_trouble(link, (server, client), seconds, seed)
        qxtrouble.dress(link)
        totals, carried = _finish(client), _finish(server)
    for name, count in sorted(happened.items()):
        print(f"  {count:4} x {name}")
    print(f"  the server: {json.dumps(carried)}")
    return _judge(totals, carried, happened)


def _judge(
    totals: dict[str, Any], carried: dict[str, int], happened: Counter[str]
) -> int:
    problems: list[str] = totals["problems"]
    accepted, echoed = totals["accepted_bytes"], totals["echoed_bytes"]
    if carried["xdp_packets"] == 0:
        problems.append("nothing came over AF_XDP")
    if carried["frames_missing"]:
        problems.append(f"{carried['frames_missing']} frames are nowhere")
    if happened["cable cut"] and carried["lanes_back"] == 0:
        problems.append("AF_XDP did not come back after the cable was cut")
    if accepted == 0:
        problems.append("no stream took anything")
    lost = accepted - echoed
    result = f"bytes={accepted} lost={lost}"
    if lost or problems:
        for problem in problems:
            print(f"  {problem}")
        print(f"soak: FAILED {result}")
        return 1
    print(f"soak: OK {result}")
    return 0


def _start(netns: qxnet.Netns, role: str, *rest: str) -> subprocess.Popen[str]:
    import subprocess  # noqa: PLC0415  # only for its constant

    process = netns.start(
        [sys.executable, ENDS, role, netns.interface, *rest], stdout=subprocess.PIPE
    )
    line = _line(process, START_TIMEOUT_S)
    if line != "ready":
        raise SoakError(f"the {role} did not start; it said {line!r}")
    return process


def _line(process: subprocess.Popen[str], timeout_s: float) -> str:
    assert process.stdout is not None  # as it was started
    readable, _, _ = select.select([process.stdout], [], [], timeout_s)
    return process.stdout.readline().strip() if readable else ""


def _make_trouble(
    link: qxnet.Link,
    ends: tuple[subprocess.Popen[str], ...],
    seconds: float,
    seed: int,
) -> Counter[str]:
    dice = random.Random(seed)  # noqa: S311  # the same in each run
    happened: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        trouble = dice.choice(qxtrouble.TROUBLES)
        trouble.begin(link, dice)
        time.sleep(dice.uniform(*TROUBLE_S))
        trouble.end(link)
        happened[trouble.name] += 1
        time.sleep(dice.uniform(*QUIET_S))
        for end in ends:
            if end.poll() is not None:
                raise SoakError(f"an end was gone after: {trouble.name}")
    return happened


def _finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    process.send_signal(signal.SIGTERM)
    line = _line(process, FINISH_TIMEOUT_S)
    if not line:
        raise SoakError("an end said nothing when it was to end")
    process.wait(START_TIMEOUT_S)
    result: dict[str, Any] = json.loads(line)
    return result


if __name__ == "__main__":
    sys.exit(main())
