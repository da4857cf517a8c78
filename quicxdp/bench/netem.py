"""What is to happen to packets on their way: `loss=1%,delay=25ms,rate=100mbit`.

The simulated NIC can do all of it, on virtual time; a kernel what its queueing
disciplines can: netem all of it, where it is built in, and tbf the rate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quicxdp.errors import ConfigError

from . import namespaces

if TYPE_CHECKING:
    from collections.abc import Mapping

_MS_PER: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_BITS_PER: Final = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_PPM_PER_PERCENT: Final = 10_000
_NUMBER: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(%|[a-z]+)")
_RATE_MIN_BITS: Final = 8000
_DELAY_MAX_MS: Final = 60_000
# What tbf lets pass at once, and how long packets may wait for it.
_TBF: Final = ("burst", "64kb", "latency", "50ms")


@dataclass(frozen=True, slots=True)
class Shape:
    """What happens to packets, each way.

    Attributes:
        loss_ppm: of packets lost, per million.
        delay_ms: of each packet.
        rate_bits: per second; 0: no limit.
        text: as it was asked for.
    """

    loss_ppm: int
    delay_ms: float
    rate_bits: int
    text: str

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read what --netem says.

        Raises:
            ConfigError: it makes no sense.
        """
        values = {"loss": 0.0, "delay": 0.0, "rate": 0.0}
        units: dict[str, Mapping[str, float]] = {
            "loss": {"%": _PPM_PER_PERCENT},
            "delay": _MS_PER,
            "rate": _BITS_PER,
        }
        for part in text.split(","):
            key, _, value = part.strip().partition("=")
            match = _NUMBER.fullmatch(value)
            if key not in values or match is None or match[2] not in units[key]:
                raise ConfigError(
                    f"netem {part!r} is not understood; give loss=1%, delay=25ms, "
                    f"rate=100mbit, or several with commas between"
                )
            values[key] = float(match[1]) * units[key][match[2]]
        shape = cls(round(values["loss"]), values["delay"], round(values["rate"]), text)
        if shape.loss_ppm >= 100 * _PPM_PER_PERCENT:
            raise ConfigError("netem: with all packets lost there is nothing to measure")
        if 0 < shape.rate_bits < _RATE_MIN_BITS or shape.delay_ms > _DELAY_MAX_MS:
            raise ConfigError(
                "netem: at least 8 kbit per second, at most a minute's delay"
            )
        return shape

    def apply(self, interface: str) -> str:
        """Have the kernel do it to what leaves by *interface*; say what does it.

        Raises:
            OSError: it cannot.
        """
        words = ["tc", "qdisc", "add", "dev", interface, "root"]
        rate = ("rate", f"{self.rate_bits}bit") if self.rate_bits else ()
        if not self.loss_ppm and not self.delay_ms and rate:
            namespaces.command(*words, "tbf", *rate, *_TBF)
            return "tbf of the kernel"
        loss = ("loss", f"{self.loss_ppm / _PPM_PER_PERCENT}%") if self.loss_ppm else ()
        delay = ("delay", f"{self.delay_ms}ms") if self.delay_ms else ()
        try:
            namespaces.command(*words, "netem", *loss, *delay, *rate)
        except OSError as error:
            raise OSError(
                error.errno,
                f"this kernel cannot do it (sch_netem: {error.strerror}); with a rate "
                f"alone it may, and --netem-by sim can",
            ) from None
        return "netem of the kernel"
