"""What `quicxdp serve` needs before it can listen, and what it says if it lacks it."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from . import certificate, static_files
from .cert import CA_NAME, CERTIFICATE_NAME, DIRECTORY, KEY_NAME
from .exits import StartError, sentence
from .static_files import FileRoot

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from .certificate import ServerCertificate

# Descriptors besides those of files being sent: sockets, rings, folders of a walk, logs.
_OTHER_FILES = 160
_FILES_WANTED = 16384


def load_certificate(options: argparse.Namespace) -> ServerCertificate:
    """Load what --certfile and --keyfile name, or what `quicxdp cert` has made."""
    if options.certfile is None:
        if options.keyfile is not None:
            options.usage_error("--keyfile needs --certfile")
        options.certfile = DIRECTORY / CERTIFICATE_NAME
        options.keyfile = DIRECTORY / KEY_NAME
    return certificate.load(options.certfile, options.keyfile, certificate.utc_now())


def find_ca(certfile: Path, loaded: ServerCertificate) -> Path | None:
    """Find the file by which clients come to trust the certificate, if there is one."""
    candidate = certfile.with_name(CA_NAME)
    try:
        authority = x509.load_pem_x509_certificate(candidate.read_bytes())
        loaded.leaf.verify_directly_issued_by(authority)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return certfile if loaded.leaf.issuer == loaded.leaf.subject else None
    return candidate


def open_root(directory: Path) -> FileRoot:
    """Open the folder to serve.  If another takes its place, this one stays served."""
    if not static_files.is_supported():
        raise StartError(
            "serving files needs openat and O_NOFOLLOW, which this system does not have; "
            "serve works on Linux, macOS and the BSDs"
        )
    try:
        return FileRoot(directory)
    except NotADirectoryError:
        raise StartError(
            f"{directory} is not a folder; name the folder to serve"
        ) from None
    except FileNotFoundError:
        raise StartError(f"there is no folder {directory}") from None
    except OSError as error:
        raise StartError(
            f"the folder {directory} cannot be opened: {error.strerror}"
        ) from None


def raise_file_limit() -> int:
    """Allow as many open files as the hard limit permits.

    Returns:
        How many of them may be files that are being sent.
    """
    import resource  # noqa: PLC0415  (not on Windows, where serve ends before this)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = (
        _FILES_WANTED if hard == resource.RLIM_INFINITY else min(_FILES_WANTED, hard)
    )
    if soft < ceiling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
        soft = ceiling
    return max(soft - _OTHER_FILES, _OTHER_FILES)


def bind_failure(host: str, port: int, error: OSError) -> str:
    """Say why an address cannot be listened on, and what to do."""
    where = f"UDP port {port} on {host}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is taken; see `ss -ulpn sport = :{port}`, or choose another --port"
        )
    if error.errno == errno.EACCES:
        return (
            f"{where} is not permitted: ports below 1024 need root or "
            f"CAP_NET_BIND_SERVICE; choose another --port"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; see `ip -brief address`"
    detail = error.strerror or str(error) or os.strerror(error.errno or 0)
    return f"cannot serve on {where}: {detail}"


def addresses(host: str) -> list[str]:
    """Return all addresses of a --host, which may be a name.

    Waits for the resolver: a loop would ask it in a thread, and as long as privileges may
    be given up there must be none.

    Raises:
        StartError: it has none.
    """
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        raise StartError(
            f"--host {host} is neither an address nor a name: {sentence(error)}"
        ) from None
    # A zone, as in fe80::1%eth0, is not part of what getaddrinfo writes.
    zone = host.partition("%")[2]
    found = [
        str(info[4][0]).partition("%")[0] + (f"%{zone}" if zone else "") for info in infos
    ]
    return list(dict.fromkeys(found))


def bind(host: str, port: int) -> socket.socket:
    """Return a UDP socket bound to one address.

    Raises:
        OSError: it cannot be bound.
    """
    family, kind, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
    )[0]
    sock = socket.socket(family, kind)
    try:
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
