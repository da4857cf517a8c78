"""What the benchmarks of whole servers share: fastpath_server.py with loadgen at it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from certificate import make_certificate
from harness import CLIENT_CORE, SERVER_CORE, BenchError, Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qxnet import Link, Netns

PORT = 4433
SETTLE_S = 0.01
# The engines in C and aioquic's encrypt with the same cipher: the one of bench_engine.
CIPHER = "aes128"
OTHER_LANE_MAX = 0.02
CONNECTION_TYPE = {"native": "FastConnection", "aioquic": "QuicConnection"}


@dataclass(frozen=True, slots=True)
class Setup:
    """One server under test."""

    scene: str  # lo, veth, veth_segmented
    engine: str
    io: str

    @property
    def name(self) -> str:
        """What its figures are filed under within the scene."""
        return self.engine if self.scene == "lo" else self.io


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the servers and clients are, and what they need."""

    link: Link
    folder: Path
    clients: Mapping[str, Program]  # a load generator in each namespace, by its name
    openssl: set[str]  # what the servers say that they are linked with

    def host(self, setup: Setup) -> str:
        """Return the address that the server listens on."""
        return "127.0.0.1" if setup.scene == "lo" else self.link.server.address4

    def client(self, setup: Setup) -> Program:
        """Return the load generator that has the server at the other end of its link."""
        netns = self.link.server if setup.scene == "lo" else self.link.client
        return self.clients[netns.name]


@contextlib.contextmanager
def open_bench() -> Iterator[Bench]:
    """Make namespaces, a certificate, and a load generator in each namespace."""
    harness.build("bare_ring")
    with contextlib.ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        link = undo.enter_context(harness.link_of_rules())
        link.server.run(["ip", "link", "set", "lo", "mtu", "1500"])
        make_certificate(folder, link.server.address4)
        clients = {
            netns.name: undo.enter_context(_load_generator(netns))
            for netns in (link.server, link.client)
        }
        yield Bench(link, folder, clients, openssl=set())


def _load_generator(netns: Netns) -> contextlib.AbstractContextManager[Program]:
    argv = [sys.executable, "-m", "quicxdp.loadgen", "--stdin"]
    return harness.launch(netns, CLIENT_CORE, argv)


@contextlib.contextmanager
def server_of(bench: Bench, setup: Setup, *options: str) -> Iterator[Program]:
    """Run the server under test; on a segmented link, XDP sits on both ends meanwhile."""
    server, client = bench.link.server, bench.link.client
    argv = [sys.executable, str(harness.ROOT / "bench" / "fastpath_server.py")]
    argv += ["--engine", setup.engine, "--io", setup.io]
    argv += ["--host", bench.host(setup), "--port", str(PORT)]
    argv += ["--certificate", str(bench.folder / "certificate.pem")]
    argv += ["--private-key", str(bench.folder / "key.pem")]
    if setup.io == "xdp":
        argv += ["--interface", server.interface]
    segmented = setup.scene == "veth_segmented"
    with (
        harness.pass_program(client, CLIENT_CORE, wanted=segmented),
        harness.pass_program(server, SERVER_CORE, wanted=segmented and setup.io != "xdp"),
        harness.start(server, SERVER_CORE, [*argv, *options]) as program,
    ):
        yield program


@dataclass(frozen=True, slots=True)
class Sample:
    """What a run of the load generator cost, and what it said."""

    server_ns: int
    machine_ns: int
    said: Mapping[str, Any]


def load(
    bench: Bench,
    setup: Setup,
    program: Program,
    words: Sequence[str],
    wanted: Mapping[str, int] | None = None,
) -> Sample:
    """Let the load generator do *words*; the server's totals must grow by *wanted*.

    Connections are made before the clocks start, unless handshakes are the load, and
    closed after they have stopped.
    """
    client = bench.client(setup)
    mode, *options = words
    options += ["--cipher", CIPHER]
    client.ask(" ".join([mode, bench.host(setup), str(PORT), *options]))
    before = program.ask("totals")
    counters = bench.link.server.udp_counters()
    busy, cpu = harness.busy_ns(), program.cpu_ns()
    said = client.ask("go")
    if "error" in said:
        raise BenchError(f"{setup}: {said['error']}")
    # The last packets are still being worked on.
    time.sleep(SETTLE_S)
    cpu, busy = program.cpu_ns() - cpu, harness.busy_ns() - busy
    seen = bench.link.server.udp_counters().since(counters)
    after = program.ask("totals")
    for key, value in (wanted or {}).items():
        if after[key] - before[key] != value:
            raise BenchError(f"{setup}: {after} after {before}, wanted {wanted}")
    if after["connection_types"] != [CONNECTION_TYPE[setup.engine]]:
        raise BenchError(f"{setup}: connections are {after['connection_types']}")
    bench.openssl.add(after["openssl"])
    packets = said.get("packets_in", 0) + said.get("packets_out", 0)
    if said["body_bytes"] > packets * harness.PAYLOAD_BYTES > 0:
        raise BenchError(f"{setup}: packets are not of {harness.PAYLOAD_BYTES}: {said}")
    through_kernel = seen.in_datagrams + seen.out_datagrams
    if setup.io == "xdp" and through_kernel > packets * OTHER_LANE_MAX > 0:
        raise BenchError(f"{setup}: {seen} of {packets} packets went through the kernel")
    return Sample(cpu, busy, said)


def warm_up(bench: Bench, setup: Setup, program: Program) -> None:
    """Let the interpreter and aioquic do what they do once."""
    load(bench, setup, program, ["handshakes", "--requests=2"])
