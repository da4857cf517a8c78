"""The receiver that kill9.py kills: it notes every sequence number in a shared file.

    kill9_receiver.py MARKS NUMBER HOST PORT INTERFACE [FD]

NUMBER says which process it was.  What is in the file survives who wrote it.  With FD the
socket is inherited, as from systemd; without, it is bound here.  Says "ready" once it
receives.
"""

from __future__ import annotations

import asyncio
import mmap
import socket
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import quicxdp

SEQUENCE_BYTES = 8


class Marker(asyncio.DatagramProtocol):
    """Set a byte per sequence number."""

    def __init__(self, marks: mmap.mmap, number: int) -> None:
        self._marks = marks
        self._number = number

    def datagrams_received(self, batch: list[tuple[bytes, Any]]) -> None:
        """Take the sequence numbers at the start of the payloads."""
        for data, _ in batch:
            sequence = int.from_bytes(data[:SEQUENCE_BYTES], sys.byteorder)
            if sequence < len(self._marks):
                self._marks[sequence] = self._number


def _map(file: str) -> mmap.mmap:
    with Path(file).open("r+b") as shared:
        return mmap.mmap(shared.fileno(), 0)


async def main(  # noqa: PLR0917  # as on the command line
    file: str, number: str, host: str, port: str, interface: str, fd: str = ""
) -> None:
    """Receive until somebody kills us."""
    marks = _map(file)
    if fd:
        sock = socket.socket(fileno=int(fd))
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((host, int(port)))
    transport, _ = await quicxdp.create_datagram_endpoint(
        lambda: Marker(marks, int(number)), sock=sock, io="xdp", interface=interface
    )
    print("ready", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        transport.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
