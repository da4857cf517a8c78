"""URLs, and the options that send a request elsewhere than its URL says."""

from __future__ import annotations

import argparse
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from .exits import CommandError, FetchExit
from .options import port_number

_DEFAULT_PORT = 443
# What a target may hold unescaped; quote() escapes the rest, such as blanks and umlauts.
_SAFE = "/~!$&'()*+,;=:@%?|^`{}[]\"<>"
_HOST = re.compile(r"[0-9a-z._-]{1,253}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Url:
    """An https URL, taken apart."""

    text: str
    host: str  # a DNS name in ASCII, or an IP address without brackets
    port: int
    target: str  # path and query

    @property
    def authority(self) -> str:
        """What stands in ":authority": the port only if it is not the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT else f"{host}:{self.port}"

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address."""
        return _literal(self.host) is not None

    @property
    def file_name(self) -> str:
        """The last part of the path, under which -O saves; may be empty."""
        return self.target.partition("?")[0].rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Reroute:
    """--resolve and --connect-to: connect to *to_host* for *host*; None matches all."""

    host: str | None
    port: int | None
    to_host: str | None
    to_port: int | None

    def apply(self, host: str, port: int) -> tuple[str, int] | None:
        """Return where to connect instead, or None if this is about another server."""
        if self.host not in (None, host) or self.port not in (None, port):
            return None
        return self.to_host or host, self.to_port or port


def parse(text: str) -> Url:
    """Take a URL apart; without a scheme it is https.

    Raises:
        CommandError: it is not one that HTTP/3 can fetch.
    """

    def bad(why: str) -> CommandError:
        return CommandError(f"{text!r}: {why}", FetchExit.BAD_URL)

    try:
        parts = urlsplit(text if "://" in text else "https://" + text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise bad(f"not a URL: {error}") from None
    if parts.scheme != "https":
        raise bad(f"the scheme {parts.scheme!r} has no HTTP/3; use https")
    if parts.username is not None:
        raise bad(
            "a user name in a URL ends up in logs; use -H 'Authorization: Basic ...'"
        )
    if not host or port == 0:
        raise bad("there is no host" if not host else "port 0 cannot be reached")
    try:
        host = _ascii_host(host)
    except UnicodeError as error:
        raise bad(f"no host name: {error}") from None
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE)
    return Url(text, host, port or _DEFAULT_PORT, target)


def _ascii_host(host: str) -> str:
    """Return a host name as DNS has it; addresses stay what they are.

    Raises:
        UnicodeError: it is neither.
    """
    if _literal(host) is not None:
        return host
    ascii_host = host.encode("idna").decode("ascii")
    if _HOST.fullmatch(ascii_host) is None:
        raise UnicodeError("a letter, digit, dot or hyphen was expected")
    return ascii_host


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _split(text: str, cnt: int) -> list[str]:
    """Split at colons, but not inside brackets."""
    fields = re.findall(r"(?:^|:)(\[[^\]]*\]|[^:\[\]]*)(?=:|$)", text)
    if len(fields) != cnt or len(":".join(fields)) != len(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} should be {cnt} fields with colons between them, IPv6 in brackets"
        )
    return [field.strip("[]") for field in fields]


def connect_to(text: str) -> Reroute:
    """Read --connect-to HOST1:PORT1:HOST2:PORT2 for argparse; empty fields match all."""
    host, port, to_host, to_port = _split(text, 4)
    return Reroute(
        host.lower() or None,
        port_number(port) if port else None,
        to_host or None,
        port_number(to_port) if to_port else None,
    )


def resolve(text: str) -> Reroute:
    """Read --resolve HOST:PORT:ADDRESS for argparse."""
    if text.count(":") > 2 and "[" not in text:  # noqa: PLR2004  (curl wants no brackets)
        host, port, address = text.split(":", 2)
    else:
        host, port, address = _split(text, 3)
    if _literal(address) is None:
        raise argparse.ArgumentTypeError(f"{address!r} is not an IP address")
    return Reroute(
        None if host == "*" else host.lower(), port_number(port), address, None
    )
