"""What `quicxdp serve` prints first: where it listens, how, and commands to try."""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cert import chromium_flags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .certificate import ServerCertificate


@dataclass(frozen=True, slots=True)
class Listener:
    """One bound address, and how its datagrams travel."""

    host: str
    port: int
    lane: str
    reason: str


def url_host(host: str) -> str:
    """Write a host as it stands in a URL: IPv6 addresses in brackets, without a zone."""
    return f"[{host.partition('%')[0]}]" if ":" in host else host


def pick_name(certificate: ServerCertificate, hosts: Sequence[str]) -> str:
    """Choose the host name for the commands: one that the certificate is for.

    A name that leads to a bound address is best; "localhost" does for loopback and for
    wildcard addresses.
    """
    addresses = [ipaddress.ip_address(host.partition("%")[0]) for host in hosts]
    names = certificate.names
    if "localhost" in names and any(a.is_loopback or a.is_unspecified for a in addresses):
        return "localhost"
    bound = {str(address) for address in addresses}
    by_address = next((name for name in names if name in bound), None)
    return by_address or next(iter(names), next(iter(bound)))


def commands(
    certificate: ServerCertificate, listeners: Sequence[Listener], ca_file: Path | None
) -> list[str]:
    """Write commands that fetch the start page with clients a reader may have."""
    name = pick_name(certificate, [listener.host for listener in listeners])
    port = listeners[0].port
    url = f"https://{url_host(name)}:{port}/"
    trust = ["--cacert", str(ca_file)] if ca_file else []
    flags = chromium_flags(certificate.spki_hash, url_host(name), port)
    return [
        shlex.join(["quicxdp", "fetch", *trust, url]),
        shlex.join(["gtlsclient", "--exit-on-all-streams-close", name, str(port), url]),
        shlex.join(["curl", "--http3-only", *trust, url]),
        # The second flag only works in a profile of its own.
        "chromium --user-data-dir=$(mktemp -d) " + shlex.join([*flags, url]),
    ]


def lines(
    *,
    version: str,
    what: str,
    listeners: Sequence[Listener],
    certificate: ServerCertificate,
    ca_file: Path | None,
) -> list[str]:
    """Write the start-up lines."""
    end = f"{certificate.leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    urls = [f"https://{url_host(item.host)}:{item.port}/" for item in listeners]
    width = max(map(len, urls))
    return [
        f"quicxdp {version} serves {what} over HTTP/3",
        *(
            f"  {url:{width}}  lane {item.lane}: {item.reason}"
            for url, item in zip(urls, listeners, strict=True)
        ),
        f"  certificate for {', '.join(certificate.names) or 'nobody'}, until {end}",
        f"  SPKI SHA-256 {certificate.spki_hash}",
        "Try:",
        *("  " + command for command in commands(certificate, listeners, ca_file)),
        "Stop with Ctrl-C.",
    ]
