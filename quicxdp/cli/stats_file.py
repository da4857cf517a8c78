"""`quicxdp serve --stats-file FILE`: the counters of all listeners, as one JSON object.

Written when SIGUSR1 asks for it and when the server stops.  The file is replaced as a
whole, so a reader finds the old counters or the new ones and never a half.

    {"listeners": [{"address": [...], "io": "xdp", "interface": "eth1", "reason": "...",
                    "engine": "native", "engine_reason": "..."}],
     "admission": {"connections": 3, "refused": {"prefix_rate": 17, ...}, ...},
     "lanes": {"xdp": {"rx_packets": ...}, ...}, "drops": {"fragment": ...}, ...
     "rx_ring_produced": ..., "frames": {"free": ...}, ...}

Lanes, drops and admission are sums over the listeners.  What belongs to the interface
(rings, frames, the kernel's own counters) is the same for each and stands there once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from quicxdp.info import EndpointInfo
    from quicxdp.stats import Stats

logger = logging.getLogger(__name__)

# Fields of Stats that each listener counts for itself; the rest is the interface's.
_OWN_SUMS = (
    *("errors_lost", "backlog_dropped", "lanes_lost", "lanes_back", "lanes_given_up"),
    *("turns", "turns_empty", "kernel_socket_dropped"),
    *("icmp_believed", "icmp_ignored"),
)


def _add(into: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        into[name] = into.get(name, 0) + count


def _add_admission(into: dict[str, Any], stats: dict[str, Any]) -> None:
    refused: dict[str, int] = into.setdefault("refused", {})
    _add(refused, stats.pop("refused"))
    _add(into, stats)


def _device_part(stats: Stats) -> dict[str, Any]:
    own = {"lanes", "drops", "interfaces", *_OWN_SUMS}
    names = [field.name for field in dataclasses.fields(stats) if field.name not in own]
    part = {name: getattr(stats, name) for name in names}
    return {**part, "frames": dict(stats.frames), "rings": dict(stats.rings)}


def collect(listeners: Sequence[tuple[Sequence[Any], EndpointInfo]]) -> dict[str, Any]:
    """Return what the file says about *listeners*, pairs of bound address and info."""
    lanes: dict[str, dict[str, int]] = {}
    drops: dict[str, int] = {}
    sums = dict.fromkeys(_OWN_SUMS, 0)
    device: dict[str, Any] = {}
    interfaces: dict[str, Any] = {}
    admission: dict[str, Any] = {}
    for _, info in listeners:
        stats = info.stats()
        for name, lane in stats.lanes.items():
            _add(lanes.setdefault(name, {}), dataclasses.asdict(lane))
        _add(drops, dict(stats.drops))
        _add(sums, {name: getattr(stats, name) for name in _OWN_SUMS})
        for name, interface in stats.interfaces.items():
            interfaces[name] = dataclasses.asdict(interface)
        if info.admission is not None:
            _add_admission(admission, info.admission().as_dict())
        if not device or stats.queue_cnt:
            device = _device_part(stats)
    return {
        "listeners": [
            {
                "address": list(address[:2]),
                "io": info.io.value,
                "interface": info.interface,
                "reason": info.reason,
                "engine": None if info.engine is None else info.engine.value,
                "engine_reason": info.engine_reason,
            }
            for address, info in listeners
        ],
        "admission": admission,
        "lanes": lanes,
        "drops": drops,
        "interfaces": interfaces,
        **sums,
        **device,
    }


def try_write(path: Path | None, transports: Sequence[asyncio.BaseTransport]) -> None:
    """Write the counters, if anywhere; what goes wrong is logged.

    They matter less than what is being served.
    """
    if path is None or not transports:
        return
    try:
        write(path, transports)
    except OSError as error:
        logger.error("the counters cannot be written to %s: %s", path, error.strerror)  # noqa: TRY400


@contextmanager
def on_signal(
    path: Path | None, transports: Sequence[asyncio.BaseTransport]
) -> Iterator[None]:
    """Write the counters whenever SIGUSR1 asks for it, if anywhere."""
    if path is None:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, try_write, path, transports)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


def write(path: Path, transports: Sequence[asyncio.BaseTransport]) -> None:
    """Write the counters of *transports* to *path*.

    Raises:
        OSError: the folder does not exist or is not writable.
    """
    listeners = [
        (transport.get_extra_info("sockname"), transport.get_extra_info("quicxdp"))
        for transport in transports
    ]
    text = json.dumps(collect(listeners), indent=2) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # Made anew: where others may write, as in /tmp, no link of theirs is followed.
    temporary.unlink(missing_ok=True)
    with temporary.open("x", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
