"""`quicxdp doctor --measure`: what a datagram costs on each lane, on this machine.

A process of its own sends datagrams between two of its endpoints: over loopback, and as
root over a veth pair between two network namespaces that end with it.  So nothing of the
machine's own interfaces is touched, and AF_XDP and the socket are compared on one link.

A network card is another matter, and none was measured (docs/performance): the kernel's
sockets come off too well here, because batches cross veth and loopback whole.
"""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import quicxdp
from quicxdp.bench import namespaces
from quicxdp.errors import QuicxdpError

from .exits import CommandError, sentence

_PAYLOAD_BYTES: Final = 1200
_BURST_CNT: Final = 64
# Per lane: this long each for round trips and for bursts.
_SPAN_S: Final = 0.3
_PATIENCE_S: Final = 2.0
_TIMEOUT_S: Final = 20.0
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LaneTimes:
    """What one lane did."""

    lane: str
    over: str  # "loopback" or "veth"
    round_trip_us: float  # median, one datagram at a time, the event loop included
    datagrams_per_s: float  # in bursts, both ways together
    cpu_ns_per_datagram: float  # sending and receiving it, the kernel's part included


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, and what was not and why."""

    lanes: tuple[LaneTimes, ...]
    left_out: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return the object that --json prints as "measured"."""
        return {
            "payload_bytes": _PAYLOAD_BYTES,
            "burst_cnt": _BURST_CNT,
            "lanes": [asdict(lane) for lane in self.lanes],
            "left_out": self.left_out,
        }


def measure() -> Measured:
    """Measure in a process of its own; takes two to three seconds.

    Raises:
        CommandError: that process failed.
    """
    try:
        done = subprocess.run(  # noqa: S603
            # -P: as root in somebody's folder, no modules are taken from that folder.
            [sys.executable, "-P", "-m", __name__],
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(f"measuring was not done after {_TIMEOUT_S:g} s") from None
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or [f"status {error.returncode}"]
        raise CommandError(f"measuring failed: {last[0]}") from None
    told = json.loads(done.stdout)
    return Measured(
        tuple(LaneTimes(**lane) for lane in told["lanes"]), dict(told["left_out"])
    )


# ---- In the process of its own ----


def main() -> int:
    """Measure what can be measured here, and print it as JSON."""
    lanes, left_out = [], {}
    for io in ("asyncio", "socket"):
        try:
            lanes.append(asyncio.run(_time_lane(io, "loopback", "127.0.0.1")))
        except (OSError, QuicxdpError) as error:
            left_out[f"{io} over loopback"] = sentence(error)
    try:
        with namespaces.joined() as ends:
            for io in ("socket", "xdp"):
                try:
                    lanes.append(
                        asyncio.run(
                            _time_lane(io, "veth", namespaces.SERVER_ADDRESSES[0], ends)
                        )
                    )
                except (OSError, QuicxdpError) as error:
                    left_out[f"{io} over veth"] = sentence(error)
    except OSError as error:
        left_out["veth"] = sentence(error)
    print(json.dumps({"lanes": [asdict(lane) for lane in lanes], "left_out": left_out}))
    return 0


class _Echo(asyncio.DatagramProtocol):
    """Sends batches back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagrams_received(self, batch: list[tuple[bytes, Any]]) -> None:
        sendto = self._transport.sendto  # type: ignore[attr-defined]
        for data, addr in batch:
            sendto(data, addr)


class _Count(asyncio.DatagramProtocol):
    """Waits until so many datagrams have come."""

    def __init__(self) -> None:
        self._missing = 0
        self._all_here: asyncio.Future[None] | None = None

    def datagrams_received(self, batch: list[tuple[bytes, Any]]) -> None:
        self._missing -= len(batch)
        waiting = self._all_here
        if self._missing <= 0 and waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def wait_for(self, cnt: int) -> None:
        """Wait for *cnt* more.

        Raises:
            OSError: they did not come.
        """
        self._missing += cnt
        if self._missing > 0:
            self._all_here = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(self._all_here, _PATIENCE_S)
            except TimeoutError:
                raise OSError(
                    errno.ETIMEDOUT, f"{self._missing} of {cnt} datagrams were lost"
                ) from None


async def _time_lane(
    io: str, over: str, host: str, ends: tuple[int | None, int | None] = (None, None)
) -> LaneTimes:
    on_veth = ends[0] is not None
    with namespaces.entered(ends[0]):
        server, _ = await quicxdp.create_datagram_endpoint(
            _Echo,
            local_addr=(host, 0),
            io=io,
            interface=namespaces.SERVER_INTERFACE if on_veth else None,
        )
    # Over veth the client uses the socket for either lane: only the server differs.
    with namespaces.entered(ends[1]):
        client, count = await quicxdp.create_datagram_endpoint(
            _Count,
            remote_addr=server.get_extra_info("sockname"),
            io="socket" if on_veth else io,
        )
    try:
        trips_us = await _round_trips(client, count)
        datagram_cnt, elapsed_ns, cpu_ns = await _bursts(client, count)
    finally:
        client.close()
        server.close()
        await asyncio.sleep(0)
    return LaneTimes(
        lane=io,
        over=over,
        round_trip_us=round(sorted(trips_us)[len(trips_us) // 2], 1),
        datagrams_per_s=round(datagram_cnt * _NS_PER_S / elapsed_ns),
        cpu_ns_per_datagram=round(cpu_ns / datagram_cnt),
    )


async def _round_trips(client: asyncio.DatagramTransport, count: _Count) -> list[float]:
    trips_us = []
    end_ns = time.monotonic_ns() + int(_SPAN_S * _NS_PER_S)
    payload = bytes(_PAYLOAD_BYTES)
    while (begin_ns := time.monotonic_ns()) < end_ns:
        client.sendto(payload)
        await count.wait_for(1)
        trips_us.append((time.monotonic_ns() - begin_ns) / 1000)
    return trips_us


async def _bursts(
    client: asyncio.DatagramTransport, count: _Count
) -> tuple[int, int, int]:
    payload = bytes(_PAYLOAD_BYTES)
    cnt, begin_ns, cpu_begin_ns = 0, time.monotonic_ns(), time.process_time_ns()
    while time.monotonic_ns() - begin_ns < _SPAN_S * _NS_PER_S:
        for _ in range(_BURST_CNT):
            client.sendto(payload)
        await count.wait_for(_BURST_CNT)
        cnt += 2 * _BURST_CNT
    return (
        cnt,
        time.monotonic_ns() - begin_ns,
        time.process_time_ns() - cpu_begin_ns,
    )


if __name__ == "__main__":
    sys.exit(main())
