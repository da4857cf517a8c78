"""What `quicxdp bench` shows: progress while it runs, a table when it is over."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    Tell: TypeAlias = Callable[[Mapping[str, float]], None]

_TITLES: Final = {
    "requests_per_s": "requests per second",
    "handshakes_per_s": "handshakes per second",
    "mbit_per_s": "Mbit/s of bodies",
    "server_cpu_share": "server: share of a core",
    "client_cpu_share": "client: share of a core",
    "machine_busy_cores": "machine: busy cores",
    "server_pss_mib": "server: memory, MiB",
    "server_pss_mib_before": "server: memory without connections, MiB",
    "server_kib_per_connection": "server: KiB per connection",
    "server_idle_cpu_ms_per_s": "server: CPU ms per second, idle",
    "lost_share": "share of packets lost",
    "spurious_losses": "packets taken for lost",
    "rtt_min_ms": "round trip at least, ms",
    "rtt_smoothed_ms": "round trip smoothed, ms",
}
_COSTS: Final = {
    "cpu_s_per_gb": "CPU seconds per GB",
    "cpu_us_per_request": "CPU µs per request",
    "cpu_us_per_handshake": "CPU µs per handshake",
}

_LANE_COSTS: Final = {
    "cpu_ns_per_datagram": "CPU ns per datagram",
    "datagrams_per_s": "datagrams per second",
    "round_trip_us": "round trip, µs",
}
# A load average beyond this is somebody else.
_IDLE_LOAD: Final = 1.0


@contextmanager
def progress(*, wanted: bool) -> Iterator[Callable[[str, float], Tell]]:
    """Give what begins a bar: for a run's name and seconds, what tells how far it is."""
    if not wanted or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _name, _seconds: lambda _told: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def begin(name: str, seconds: float) -> Tell:
            task = bars.add_task(name, total=seconds, rate="")

            def tell(told: Mapping[str, float]) -> None:
                elapsed = told["seconds"]
                bars.update(task, completed=elapsed, rate=_rates(told))

            return tell

        yield begin


def _rates(told: Mapping[str, float]) -> str:
    mbit = told["bytes"] * 8 / 1e6 / told["seconds"]
    per_s = told["requests"] / told["seconds"]
    return f"{mbit:,.1f} Mbit/s, {per_s:,.0f} answers/s"


def show(document: Mapping[str, Any]) -> None:
    """Print a document as tables."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    for line in headline(document):
        console.print(line, markup=False, soft_wrap=True)
    figures = Table("", "median", "spread", box=None, pad_edge=False)
    for column in figures.columns[1:]:
        column.justify = "right"
    for key, value in document["figures"].items():
        figures.add_row(_title(key), f"{value['median']:,.6g}", f"{value['spread']:.0%}")
    console.print(figures)
    if document.get("latency_us"):
        latency = Table(box=None, pad_edge=False)
        latency.add_column("latency, ms")
        for key in document["latency_us"]:
            latency.add_column(key, justify="right")
        latency.add_row(
            "", *(f"{us / 1000:,.3f}" for us in document["latency_us"].values())
        )
        console.print(latency)
    if document.get("lanes"):
        console.print(_lanes(document["lanes"]))
    for line in remarks(document):
        console.print(line, markup=False, soft_wrap=True)


def headline(document: Mapping[str, Any]) -> Iterator[str]:
    """Say what was measured where."""
    machine, setup, plan = document["machine"], document["setup"], document["plan"]
    git = f", git {machine['git']}" if machine["git"] else ""
    yield (
        f"{document['benchmark']}: {machine['cpu']}, {machine['cores']} cores, kernel "
        f"{machine['kernel']}, Python {machine['python']}{git}"
    )
    if plan["mode"] == "datapath":
        yield f"datagrams of {plan['size_bytes']} bytes; {plan['runs']} runs"
        return
    if setup["url"] is None:
        server = f"our server, io={setup['io']}, engine={setup['engine']}"
    else:
        server = f"{setup['url']} at {setup['address']} port {setup['port']}"
    yield f"{server}, over {setup['link']}{_netem(setup)}"
    if plan["mode"] in ("idle", "datapath"):
        return
    rate = f", {plan['rate_hz']:g} requests per second" if plan["rate_hz"] else ""
    size = "" if plan["size_bytes"] is None else f" of {plan['size_bytes']:,} bytes"
    yield (
        f"{plan['mode']}{size}, {plan['connections']} connections of {plan['streams']} "
        f"streams{rate}; {len(document['runs'])} runs of {plan['seconds']:g} s"
    )


def _netem(setup: Mapping[str, Any]) -> str:
    return f" with {setup['netem']} by {setup['netem_by']}" if setup.get("netem") else ""


def remarks(document: Mapping[str, Any]) -> Iterator[str]:
    """Say what must be known to believe the figures."""
    if document.get("client_was_limit"):
        yield (
            "note: the client was the busy one: rates and latencies are what it can do; "
            "only the server's CPU time per unit says something about the server"
        )
    if (load := document["machine"]["load_before"]) > _IDLE_LOAD:
        yield f"note: others were busy on this machine before (load average {load:g})"
    if lost := document.get("lost_packets"):
        yield f"note: {lost} packets of the client were lost"
    yield from (f"note: {rule}" for rule in document["setup"]["broken_rules"])
    if document["partial"]:
        yield f"PARTIAL: {document['error']['message']}"


def _title(key: str) -> str:
    if key in _TITLES:
        return _TITLES[key]
    who, _, cost = key.partition("_")
    over, _, of = cost.partition("_")
    if of in _LANE_COSTS:
        return f"{who} over {over}: {_LANE_COSTS[of]}"
    return f"{who}: {_COSTS.get(cost, cost)}"


def _lanes(lanes: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Table:
    table = Table("lane", "in", "out", "per call in", "out", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for who, of in lanes.items():
        for lane, told in of.items():
            table.add_row(f"{who}, {lane}", *_lane_row(told))
    return table


def _lane_row(told: Mapping[str, int]) -> Sequence[str]:
    packets = [f"{told[f'{way}_packets']:,}" for way in ("rx", "tx")]
    per_call = [
        f"{told[f'{way}_packets'] / calls:.1f}"
        if (calls := told[f"{way}_syscalls"])
        else ""
        for way in ("rx", "tx")
    ]
    return [*packets, *per_call]
