"""What a network interface is, as far as the choice of a lane cares."""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from importlib import import_module


class DeviceKind(enum.Enum):
    """What an interface is, as far as the choice of a lane cares."""

    LOOPBACK = "loopback"
    SOFTWARE = "software device"
    NIC = "network card"


@dataclass(frozen=True, slots=True)
class Device:
    """An interface of this network namespace."""

    name: str
    kind: DeviceKind
    driver: str  # "" where there is none


def inspect(interface: str) -> Device:
    """Return what *interface* is.

    Raises:
        DatapathError: ENODEV, there is none of that name in this network namespace.
    """
    # Not at the top: each needs what only its platform has.
    module = "device_windows" if sys.platform == "win32" else "device_linux"
    device: Device = import_module(f".{module}", __package__).inspect(interface)
    return device
