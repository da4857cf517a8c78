"""What an interface of Windows is: a name that C will look up.

XDP for Windows takes an adapter's index, or its alias ("Ethernet 2"); Python's socket
module knows the first and not the second, so that whether it exists is C's to say.
"""

from __future__ import annotations

from .device import Device, DeviceKind


def inspect(interface: str) -> Device:
    """Return what *interface* is, by its name."""
    loopback = interface.casefold().startswith("loopback") or interface == "1"
    kind = DeviceKind.LOOPBACK if loopback else DeviceKind.NIC
    return Device(interface, kind, "")
