"""Pictures of what was measured, by matplotlib (an extra): SVG or PNG by the name."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from quicxdp.errors import UnavailableError
from quicxdp.loadgen.report import merged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

_WIDTH_INCHES: Final = 9.0
_PANEL_INCHES: Final = 3.4
_BAR_INCHES: Final = 0.32
_NINES: Final = (0, 90, 99, 99.9, 99.99)
_NS_PER_MS: Final = 1e6


def check() -> None:
    """Find out early whether there will be pictures.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415  (an extra, and slow to import)
    except ImportError:
        raise UnavailableError(
            "pictures need matplotlib; install it by pip install 'quicxdp[plot]'"
        ) from None
    mpl.use("Agg")
    # The same document gives the same file, and text that can be searched.
    mpl.rcParams.update({"svg.hashsalt": "quicxdp", "svg.fonttype": "none"})


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Draw a document of `quicxdp bench`: its rate over time, its latencies.

    Raises:
        UnavailableError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    check()
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (rate, latency) = plt.subplots(
        2, figsize=(_WIDTH_INCHES, 2 * _PANEL_INCHES), layout="constrained"
    )
    figure.suptitle(
        f"{document['benchmark']}: {document['machine']['cpu']}, "
        f"kernel {document['machine']['kernel']}"
    )
    _draw_rate(rate, document)
    _draw_latency(latency, document)
    _save(figure, path)


def draw_bars(
    panels: Sequence[tuple[str, Sequence[tuple[str, float, float]]]],
    path: Path,
    *,
    title: str,
) -> None:
    """Draw bars side by side.

    Args:
        panels: for each a title and its bars: name, value, half of the spread.
        path: the file.
        title: of all.

    Raises:
        UnavailableError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    check()
    from matplotlib import pyplot as plt  # noqa: PLC0415

    most = max((len(bars) for _, bars in panels), default=1)
    height = 1.2 + _BAR_INCHES * most
    figure, axes = plt.subplots(
        len(panels),
        figsize=(_WIDTH_INCHES, height * len(panels)),
        layout="constrained",
        squeeze=False,
    )
    figure.suptitle(title)
    for axis, (name, bars) in zip(axes[:, 0], panels, strict=True):
        names = [bar[0] for bar in bars]
        values = [bar[1] for bar in bars]
        colours = ["C0" if each.startswith("quicxdp") else "C7" for each in names]
        drawn = axis.barh(names, values, xerr=[bar[2] for bar in bars], color=colours)
        axis.bar_label(drawn, [f" {value:,.4g}" for value in values], padding=4)
        axis.margins(x=0.15)
        axis.invert_yaxis()
        axis.set_title(name, loc="left", fontsize="medium")
    _save(figure, path)


def _draw_rate(axes: Axes, document: Mapping[str, Any]) -> None:
    is_bytes = document["benchmark"] == "throughput"
    for number, run in enumerate(document["runs"], start=1):
        points = [(0.0, 0, 0), *(tuple(each) for each in run["samples"])]
        times, rates = [], []
        for before, after in itertools.pairwise(points):
            span = after[0] - before[0]
            grown = (after[2] - before[2]) * 8 / 1e6 if is_bytes else after[1] - before[1]
            times.append(after[0])
            rates.append(grown / span if span else 0.0)
        axes.plot(times, rates, label=f"run {number}")
    axes.set_xlabel("seconds")
    axes.set_ylabel("Mbit/s" if is_bytes else "answers per second")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")


def _draw_latency(axes: Axes, document: Mapping[str, Any]) -> None:
    times = merged(run["histogram"] for run in document["runs"])
    # As HDR histograms are drawn: each nine takes the same room.
    shares = [
        100 - (100 - low) * 10 ** (-step / 10)
        for low, high in zip(_NINES, (*_NINES[1:], None), strict=True)
        if high is not None
        for step in range(10)
    ]
    axes.plot(
        [1 / (1 - share / 100) for share in shares],
        [times.get_value_at_percentile(share) / _NS_PER_MS for share in shares],
    )
    axes.set_xscale("log")
    axes.set_xticks([1 / (1 - nine / 100) for nine in _NINES])
    axes.set_xticklabels([f"{nine:g} %" for nine in _NINES])
    axes.set_xlabel("share of requests")
    axes.set_ylabel("milliseconds")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401  (matplotlib's Figure)
    from matplotlib import pyplot as plt  # noqa: PLC0415

    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    finally:
        plt.close(figure)
