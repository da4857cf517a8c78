"""Addresses to listen on, and what to say when they cannot be had."""

from __future__ import annotations

import errno
import os
import socket

from .errors import ConfigError


def addresses(host: str) -> list[str]:
    """Return all addresses of a host, which may be a name.

    Waits for the resolver: a loop would ask it in a thread, and as long as privileges may
    be given up there must be none.

    Raises:
        ConfigError: it has none.
    """
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"--host {host} is neither an address nor a name: {said}"
        ) from None
    # A zone, as in fe80::1%eth0, is not part of what getaddrinfo writes.
    zone = host.partition("%")[2]
    found = [
        str(info[4][0]).partition("%")[0] + (f"%{zone}" if zone else "") for info in infos
    ]
    return list(dict.fromkeys(found))


def bind(
    host: str, port: int, kind: socket.SocketKind = socket.SOCK_DGRAM
) -> socket.socket:
    """Return a socket bound to one address.

    Raises:
        OSError: it cannot be bound.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=kind, flags=socket.AI_NUMERICHOST
    )[0]
    sock = socket.socket(family, kind)
    try:
        if kind is socket.SOCK_STREAM and os.name == "posix":
            # Connections of the last run that linger do not hinder this one.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def failure(host: str, port: int, error: OSError, transport: str = "UDP") -> str:
    """Say why an address cannot be listened on, and what to do."""
    where = f"{transport} port {port} on {host}"
    if error.errno == errno.EADDRINUSE:
        table = "-ulpn" if transport == "UDP" else "-tlpn"
        command = f"ss {table} sport = :{port}"
        return f"{where} is taken; see `{command}`, or choose another --port"
    if error.errno == errno.EACCES:
        return (
            f"{where} is not permitted: ports below 1024 need root or "
            f"CAP_NET_BIND_SERVICE; choose another --port"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; see `ip -brief address`"
    detail = error.strerror or str(error) or os.strerror(error.errno or 0)
    return f"cannot serve on {where}: {detail}"


def may_do_without(host: str, error: OSError) -> bool:
    """Tell whether this is ::1 on a machine without IPv6."""
    return ":" in host and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
