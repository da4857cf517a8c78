"""What `quicxdp serve` prints first: where it listens, how, and commands to try."""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cert import chromium_flags

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from pathlib import Path

    from quicxdp.certificate import ServerCertificate


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


@dataclass(frozen=True, slots=True)
class Aim:
    """How a client finds the server: a name of the certificate, and where it leads."""

    name: str
    address: str  # "": the name leads there by itself

    def resolve_option(self, port: int) -> list[str]:
        """Return what `quicxdp fetch` and curl need to find the address."""
        return ["--resolve", f"{self.name}:{port}:{self.address}"] if self.address else []


def aim(certificate: ServerCertificate, hosts: Sequence[str]) -> Aim:
    """Choose the host name for the commands: one that the certificate is for.

    "localhost" does for loopback and wildcard addresses, an address that is bound for
    itself, and any other DNS name presumably leads here.  Failing these, clients must be
    told the address.
    """
    addresses = [ipaddress.ip_address(host.partition("%")[0]) for host in hosts]
    names = certificate.names
    if "localhost" in names and any(a.is_loopback or a.is_unspecified for a in addresses):
        return Aim("localhost", "")
    bound = [str(address) for address in addresses]
    if (name := next((name for name in names if name in bound), None)) is not None:
        return Aim(name, "")
    dns_names = [name for name in names if name != "localhost" and not _is_address(name)]
    if dns_names:
        return Aim(dns_names[0].replace("*", "www"), "")
    return Aim(names[0], bound[0]) if names else Aim(bound[0], "")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def commands(
    certificate: ServerCertificate, listeners: Sequence[Listener], ca_file: Path | None
) -> list[str]:
    """Write commands that fetch the start page with clients a reader may have."""
    found = aim(certificate, [listener.host for listener in listeners])
    host, port = url_host(found.name), listeners[0].port
    url = f"https://{host}:{port}/"
    options = found.resolve_option(port)
    if ca_file:
        options += ["--cacert", str(ca_file)]
    flags = chromium_flags(certificate.spki_hash, host, port)
    if found.address:
        flags.append(f"--host-resolver-rules=MAP {host} {url_host(found.address)}")
    address = found.address or found.name
    return [
        shlex.join(["quicxdp", "fetch", *options, url]),
        shlex.join(
            ["gtlsclient", "--exit-on-all-streams-close", address, str(port), url]
        ),
        shlex.join(["curl", "--http3-only", *options, url]),
        # The second flag only works in a profile of its own.
        "chromium --user-data-dir=$(mktemp -d) " + shlex.join([*flags, url]),
    ]


def lines(
    *,
    version: str,
    what: str,
    engine: str,
    listeners: Sequence[Listener],
    certificate: ServerCertificate,
    ca_file: Path | None,
    browser_hint: bool = False,
) -> list[str]:
    """Write the start-up lines.

    Args:
        version: ours.
        what: is served.
        engine: which, and why.
        listeners: of QUIC.
        certificate: that clients are shown.
        ca_file: by which they come to trust it.
        browser_hint: say how a browser comes to use HTTP/3; TCP is served too then.
    """
    end = f"{certificate.leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    urls = [f"https://{url_host(item.host)}:{item.port}/" for item in listeners]
    width = max(map(len, urls))
    return [
        f"quicxdp {version} serves {what} over HTTP/3"
        + (", HTTP/2 and HTTP/1.1" if browser_hint else ""),
        *(
            f"  {url:{width}}  lane {item.lane}: {item.reason}"
            for url, item in zip(urls, listeners, strict=True)
        ),
        f"  engine {engine}",
        f"  certificate for {', '.join(certificate.names) or 'nobody'}, until {end}",
        f"  SPKI SHA-256 {certificate.spki_hash}",
        *(_hint(listeners[0].port, ca_file) if browser_hint else ()),
        "Try:",
        *("  " + command for command in commands(certificate, listeners, ca_file)),
        "Stop with Ctrl-C.",
    ]


def _hint(port: int, ca_file: Path | None) -> list[str]:
    needs = f"UDP port {port} open to it"
    if ca_file is not None:
        needs += ", and a certificate that it trusts: this one only with the flags below"
    return [
        f"  a browser comes by TCP and changes to HTTP/3 by Alt-Svc; it needs {needs}"
    ]


def listener(transport: asyncio.BaseTransport) -> Listener:
    """Return where an endpoint listens."""
    host, port = transport.get_extra_info("sockname")[:2]
    info = transport.get_extra_info("quicxdp")
    return Listener(host, port, info.io.value, info.reason)
