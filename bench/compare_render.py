"""Tables, pictures and the README's figures, out of compare.json."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from quicxdp.bench import plot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# Test, figure, title: the columns of the table.
COLUMNS = (
    ("down", "mbit_per_s", "down, Mbit/s"),
    ("down", "server_cpu_s_per_gb", "CPU s per GB"),
    ("up", "mbit_per_s", "up, Mbit/s"),
    ("up", "server_cpu_s_per_gb", "CPU s per GB"),
    ("requests", "requests_per_s", "requests/s"),
    ("requests", "server_cpu_us_per_request", "CPU µs"),
    ("handshakes", "handshakes_per_s", "handshakes/s"),
    ("handshakes", "server_cpu_us_per_handshake", "CPU µs"),
    ("requests", "server_pss_mib", "MiB"),
)
# Of the README: those that one looks for first.
README_COLUMNS = (0, 1, 3, 4, 5, 6)
README_ROWS = (
    "quicxdp serve",
    "quicxdp socket",
    "aioquic, ",
    "hypercorn, ",
    "qh3, ",
    "peregrine",
    "caddy",
)
PANELS = (
    (
        "down",
        "server_cpu_s_per_gb",
        "download: server CPU seconds per GB (less is better)",
    ),
    ("up", "server_cpu_s_per_gb", "upload: server CPU seconds per GB (less is better)"),
    ("requests", "requests_per_s", "requests of 1 KiB per second (more is better)"),
    ("handshakes", "handshakes_per_s", "handshakes per second (more is better)"),
)
BEGIN, END = "<!-- compare: generated -->", "<!-- compare: end -->"
KINDS = ("kernel", "cryptography", "our C", "Python", "libc", "program")
EXPLANATION = """\
## What the columns mean

Each server has core 0 to itself, the client core 1; over the loopback of a namespace of
their own at MTU 1500, ours also over veth, since AF_XDP needs an interface: compare
those two rows with each other. The client is `python -m quicxdp.loadgen`. *down* and
*up* are bodies of 10 MB one after the other on one connection; *requests* are GETs of 1
KiB, 8 connections with 32 at a time; *handshakes* are connections with one small GET
each, 8 at a time, without resumption. CPU is user and system time of the server's
processes. ± is half of the spread over the runs. **†** marks rates at which the client
was the busy one: there the server could do more, and only its CPU time counts.

On loopback, batches sent with UDP_SEGMENT reach a receiver with UDP_GRO without ever
being cut into packets, which no network card does: it flatters every server that uses
them, ours included. AF_XDP gains nothing on virtual links; it pays on network cards,
and for receiving. Zero-copy AF_XDP and real network cards were not measured: this
machine has none.
"""


def render(results: Path, output: Path, readme: Path | None) -> None:
    """Write compare.md and compare.svg into *output*, and the figures of *readme*.

    Raises:
        OSError: a file cannot be read or written.
    """
    told = json.loads(results.read_text(encoding="utf-8"))
    path = output / "compare.md"
    path.write_text("\n".join(page(told)) + "\n", encoding="utf-8")
    if panels := _panels(told["peers"]):
        plot.draw_bars(panels, output / "compare.svg", title=_machine(told))
    if readme is not None:
        text = readme.read_text(encoding="utf-8")
        block = "\n".join([BEGIN, *short_table(told), END])
        pattern = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
        changed, cnt = re.subn(pattern, lambda _: block, text, flags=re.DOTALL)
        if cnt != 1:
            raise OSError(f"{readme} has no place for the figures ({BEGIN} ... {END})")
        readme.write_text(changed, encoding="utf-8")


def page(told: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines of compare.md."""
    yield "# Side by side"
    yield ""
    yield f"Written by `{told['command']}` on {told['date']}; do not edit."
    yield ""
    of_runs = f"medians of {told['runs']} runs of {told['seconds']:g} s each"
    yield f"{_machine(told)}; {of_runs}."
    load = told["machine"]["load_before"]
    if load > 1:
        yield f"**Others were busy on this machine before (load average {load:g}).**"
    yield from (f"**Not kept: {rule}.**" for rule in told["broken_rules"])
    yield from _partial(told)
    yield ""
    yield from _table(told["peers"], range(len(COLUMNS)), list(told["peers"]))
    yield ""
    if _panels(told["peers"]):
        yield "![the same as bars](compare.svg)"
        yield ""
    yield EXPLANATION
    yield "## Where the server's time goes, and what bounds each row"
    yield ""
    yield from _breakdowns(told)
    yield ""
    yield "## A second client"
    yield ""
    yield "One download of 10 MB with gtlsclient (ngtcp2), start of the client included."
    yield ""
    yield from _second_client(told["peers"])
    yield ""
    yield "## What was not measured"
    yield ""
    for name, why in told["missing"].items():
        yield f"- {name}: {why}"
    for name, peer in told["peers"].items():
        tests = peer["tests"].items()
        for why in dict.fromkeys(of["error"] for _, of in tests if "error" in of):
            which = ", ".join(test for test, of in tests if of.get("error") == why)
            yield f"- {name}, {which}: {why}"


def short_table(told: Mapping[str, Any]) -> Iterator[str]:
    """Return the table of the README."""
    rows = [name for name in told["peers"] if name.startswith(README_ROWS)]
    yield from _table(told["peers"], README_COLUMNS, rows)
    yield ""
    yield from _partial(told)
    yield (
        f"`make compare` on {told['date']}, {_machine(told)}; † where the client was "
        f"the limit. All servers, spreads and what bounds them: "
        f"[side by side](docs/performance/compare.md)."
    )


def _partial(told: Mapping[str, Any]) -> Iterator[str]:
    """Say which servers have not had all their rounds, if the run was ended early."""
    wanted = told["runs"]
    rounds = {name: peer["rounds"] for name, peer in told["peers"].items()}
    short = [f"{name} ({cnt})" for name, cnt in rounds.items() if cnt < wanted]
    if short:
        names = ", ".join(short)
        yield f"**Partial, ended early: of {wanted} rounds some had fewer: {names}.**"


def _machine(told: Mapping[str, Any]) -> str:
    of = told["machine"]
    return (
        f"{of['cpu']}, {of['cores']} cores, kernel {of['kernel']}, Python {of['python']},"
        f" {of['openssl']}, git {of['git']}"
    )


def _table(
    peers: Mapping[str, Any], columns: Sequence[int], names: Sequence[str]
) -> Iterator[str]:
    chosen = [COLUMNS[index] for index in columns]
    yield "| server | version | " + " | ".join(title for _, _, title in chosen) + " |"
    yield "|---|---|" + "---:|" * len(chosen)
    for name in names:
        peer = peers[name]
        cells = [_cell(peer["tests"].get(test, {}), key) for test, key, _ in chosen]
        shown = f"**{name}**" if name == "quicxdp socket" else name
        version = f"{peer['version']}; {peer['stack']}"
        yield f"| {shown} | {version} | " + " | ".join(cells) + " |"


def _cell(of: Mapping[str, Any], key: str) -> str:
    if key not in of.get("figures", {}):
        return "-"
    figure = of["figures"][key]
    is_rate = key.endswith("per_s")
    mark = "†" if is_rate and of.get("client_was_limit") else ""
    return f"{number(figure['median'])}{mark} ±{figure['spread'] * 50:.0f} %"


def number(value: float) -> str:
    """Return three significant digits, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _panels(peers: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, float, float]]]]:
    return [
        (title, bars)
        for test, figure, title in PANELS
        if (bars := _bars(peers, test, figure))
    ]


def _bars(
    peers: Mapping[str, Any], test: str, key: str
) -> list[tuple[str, float, float]]:
    out = []
    for name, peer in peers.items():
        figure = peer["tests"].get(test, {}).get("figures", {}).get(key)
        if figure is not None:
            half = figure["spread"] * figure["median"] / 2
            out.append((name, figure["median"], half))
    return out


def _breakdowns(told: Mapping[str, Any]) -> Iterator[str]:
    if told["no_breakdown"]:
        yield f"Not sampled: {told['no_breakdown']}."
        return
    yield "| server | load | " + " | ".join(KINDS) + " | bounded by |"
    yield "|---|---|" + "---:|" * len(KINDS) + "---|"
    for name, peer in told["peers"].items():
        for test, of in peer["tests"].items():
            shares = of.get("breakdown")
            if not shares:
                continue
            cells = [f"{shares[kind]:.0%}" if kind in shares else "" for kind in KINDS]
            yield f"| {name} | {test} | " + " | ".join(cells) + f" | {_bound(of)} |"
    yield ""
    yield (
        "Samples of the CPU's clock by the object that the code is of. *program* is a "
        "server's own binary, its cryptography included where that is linked in."
    )


def _bound(of: Mapping[str, Any]) -> str:
    if of["client_was_limit"]:
        return "the client"
    busy = of["figures"]["server_cpu_share"]["median"]
    shares = sorted(of["breakdown"].items(), key=lambda each: -each[1])
    if busy < 0.8:
        return f"waiting (busy {busy:.0%})"
    return " and ".join(kind for kind, share in shares[:2] if share >= 0.2)


def _second_client(peers: Mapping[str, Any]) -> Iterator[str]:
    yield "| server | Mbit/s | server CPU s per GB |"
    yield "|---|---:|---:|"
    for name, peer in peers.items():
        of = peer["tests"].get("gtlsclient", {})
        cells = [_cell(of, key) for key in ("mbit_per_s", "server_cpu_s_per_gb")]
        yield f"| {name} | " + " | ".join(cells) + " |"
