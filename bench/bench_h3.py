"""What does HTTP/3 cost in Python, QUIC aside: a request and its small answer?

`make bench-h3` gives `quicxdp.h3` and aioquic's `H3Connection` the same requests, a
turn's worth at a time, lets both answer, and takes the process's CPU time; the last line
is one JSON object.  README.md says what each figure means.

    bench_h3.py --requests 5000 --runs 15
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from typing import TYPE_CHECKING, Any

import harness
import pylsqpack
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3Connection, encode_frame
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import StreamDataReceived
from harness import figure
from qxwires import Wire

from quicxdp.h3 import Connection, RequestReceived
from quicxdp.h3 import DataReceived as OurData

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TURN_CNT = 32
BODY = bytes(1024)
PIECE = bytes(1200)
PIECE_CNT = 50
WANTED_US = 10.0
# What a browser sends, near enough; each request has a path of its own.
REQUEST = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"example.com:4433"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"priority", b"u=1, i"),
]
ANSWER = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"1024"),
    (b"date", b"Tue, 24 Nov 2026 12:00:00 GMT"),
    (b"server", b"bench"),
]
ANSWER_HEAD = [(b":status", b"200"), *ANSWER]

# Stream ID, data, end.
Turn = list[tuple[int, bytes, bool]]


class Drain(Wire):
    """A wire that keeps nothing but numbers."""

    writes = 0
    written_bytes = 0

    def send_stream_data(
        self,
        stream_id: int,  # noqa: ARG002
        data: bytes,
        end_stream: bool = False,  # noqa: ARG002, FBT001, FBT002
    ) -> None:
        """Count."""
        self.writes += 1
        self.written_bytes += len(data)


def requests(count: int) -> list[Turn]:
    """Return turns with requests that have no body."""
    encoder = pylsqpack.Encoder()
    turns: list[Turn] = []
    for number in range(count):
        path = (b":path", b"/articles/%d?from=front" % number)
        fields = [*REQUEST[:3], path, *REQUEST[3:]]
        section = encoder.encode(4 * number, fields)[1]
        if number % TURN_CNT == 0:
            turns.append([])
        turns[-1].append((4 * number, encode_frame(1, section), True))
    return turns


def uploads(count: int) -> list[Turn]:
    """Return turns with the parts of large bodies, a packet's worth of one frame each."""
    head = [(b":method", b"POST"), *REQUEST[1:3], (b":path", b"/upload"), *REQUEST[3:]]
    section = encode_frame(1, pylsqpack.Encoder().encode(0, head)[1])
    frame = encode_uint_var(0) + encode_uint_var(len(PIECE) * PIECE_CNT)
    turns: list[Turn] = []
    for number in range(count):
        turns.append([(4 * number, section + frame, False)])
        turns += [[(4 * number, PIECE, i == PIECE_CNT - 1)] for i in range(PIECE_CNT)]
    return turns


def ours(turns: Sequence[Turn]) -> tuple[int, Drain]:
    """Answer with our layer; return how many requests there were."""
    wire = Drain(is_client=False)
    server = Connection(wire, is_client=False)
    answered = 0
    for turn in turns:
        for stream_id, data, ended in turn:
            server.receive(stream_id, data, ended)
        for event in server.take_events():
            if (type(event) is RequestReceived or type(event) is OurData) and event.ended:
                server.send_response(event.stream_id, 200, ANSWER, BODY)
                answered += 1
    return answered, wire


def aioquics(turns: Sequence[Turn]) -> tuple[int, Drain]:
    """Answer with aioquic's, the events of QUIC not counted."""
    wire = Drain(is_client=False)
    server = H3Connection(wire)  # type: ignore[arg-type]
    answered = 0
    for turn in turns:
        for stream_id, data, ended in turn:
            event = StreamDataReceived(data, ended, stream_id)
            for told in server.handle_event(event):
                if isinstance(told, HeadersReceived | DataReceived) and told.stream_ended:
                    server.send_headers(told.stream_id, ANSWER_HEAD)
                    server.send_data(told.stream_id, BODY, end_stream=True)
                    answered += 1
    return answered, wire


def measure(
    layer: Callable[[Sequence[Turn]], tuple[int, Drain]], turns: list[Turn], wanted: int
) -> float:
    """Return the microseconds per request."""
    gc.collect()
    gc.freeze()  # as servers do: what was made before is not looked at again
    began = time.process_time_ns()
    answered, wire = layer(turns)
    spent = time.process_time_ns() - began
    if answered != wanted or wire.written_bytes < wanted * len(BODY) or wire.closed:
        raise harness.BenchError(f"{answered} of {wanted} answered, {wire.closed}")
    return spent / 1000 / answered


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--requests", type=int, default=3000)
    options = parser.parse_args()
    loads = {
        "request": (requests(options.requests), options.requests, 1.0),
        "upload_packet": (uploads(20), 20, 1 / PIECE_CNT),
    }
    layers = {"quicxdp": ours, "aioquic": aioquics}
    runs: dict[tuple[str, str], list[float]] = {}
    try:
        for _ in range(options.runs):
            for what, (turns, cnt, share) in loads.items():
                for name, layer in layers.items():
                    spent_us = measure(layer, turns, cnt) * share
                    runs.setdefault((what, name), []).append(spent_us)
    except harness.BenchError as error:
        print(f"bench-h3: {error}", file=sys.stderr)
        return 1
    machine = harness.machine()
    harness.headline(machine, options.runs)
    harness.table(
        ["us of CPU per", *layers],
        [
            [
                what.replace("_", "'s "),
                *(str(figure(runs[what, name])) for name in layers),
            ]
            for what in loads
        ],
    )
    result: dict[str, Any] = {
        what: {name: round(figure(runs[what, name]).median, 3) for name in layers}
        | {"spread": {n: round(figure(runs[what, n]).spread, 3) for n in layers}}
        for what in loads
    }
    request = result["request"]
    print(
        f"{'met' if request['quicxdp'] <= WANTED_US else 'MISSED':6}  a request:"
        f" {request['quicxdp']:.1f} us, wanted at most {WANTED_US:g}; aioquic's"
        f" {request['aioquic'] / request['quicxdp']:.1f} times as much"
    )
    harness.finish({**result, "machine": machine, "runs": options.runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
