"""When the steps of a fetch happened: for people, for programs, and for -w."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(r"%(?:%|\{([a-z_]+)\})|\\([nrt\\])")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Timing:
    """One transfer; times in seconds since it began, names those of curl's -w.

    Where a connection was used again, looking up and connecting took no time.
    """

    url: str
    http_code: int
    remote_ip: str
    remote_port: int
    io: str
    time_namelookup: float
    time_appconnect: float
    time_starttransfer: float
    time_total: float
    size_download: int
    size_upload: int

    @property
    def speed_download(self) -> float:
        """Bytes per second over the whole transfer."""
        return self.size_download / self.time_total if self.time_total > 0 else 0.0

    def as_dict(self) -> dict[str, str | int | float]:
        """Return the variables of -w by name."""
        return {
            "url": self.url,
            "http_code": self.http_code,
            "http_version": "3",
            "remote_ip": self.remote_ip,
            "remote_port": self.remote_port,
            "io": self.io,
            "time_namelookup": round(self.time_namelookup, 6),
            "time_appconnect": round(self.time_appconnect, 6),
            "time_starttransfer": round(self.time_starttransfer, 6),
            "time_total": round(self.time_total, 6),
            "size_download": self.size_download,
            "size_upload": self.size_upload,
            "speed_download": round(self.speed_download),
        }

    def as_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(self.as_dict())

    def as_text(self) -> str:
        """Return the summary that --timing prints."""
        steps = [
            ("name looked up", self.time_namelookup),
            ("handshake done", self.time_appconnect),
            ("first byte", self.time_starttransfer),
            ("total", self.time_total),
        ]
        lines = [f"  {name:<15}{seconds * 1000:>11.3f} ms" for name, seconds in steps]
        rate = f"{format_rate(self.speed_download)}, {self.size_download} bytes"
        lines.append(f"  {'throughput':<15}{rate:>14}")
        head = f"{self.url}: {self.http_code} from {self.remote_ip} over {self.io}"
        return "\n".join([head, *lines])


def format_rate(bytes_per_s: float) -> str:
    """Write a throughput in bits, as networks count."""
    value = bytes_per_s * 8
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if value < 1000:  # noqa: PLR2004
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} Gbit/s"


def unknown_variables(form: str) -> set[str]:
    """Return the variables of a -w format that do not exist."""
    known: Mapping[str, object] = Timing("", 0, "", 0, "", 0, 0, 0, 0, 0, 0).as_dict()
    return {name for name, _ in _VARIABLE.findall(form) if name} - {*known, "json"}


def write_out(form: str, timing: Timing) -> str:
    """Fill in a -w format: %{name}, %{json}, %%, \\n, \\r, \\t."""  # noqa: D301
    values = timing.as_dict()

    def replace(match: re.Match[str]) -> str:
        name, escape = match.groups()
        if escape:
            return _ESCAPES[escape]
        if name is None:
            return "%"
        if name == "json":
            return timing.as_json()
        value = values[name]
        return f"{value:.6f}" if isinstance(value, float) else str(value)

    return _VARIABLE.sub(replace, form)
