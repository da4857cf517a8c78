"""What `quicxdp serve` needs before it can listen, and what it says if it lacks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from quicxdp import certificate
from quicxdp.errors import ConfigError

from . import static_files
from .cert import CA_NAME, CERTIFICATE_NAME, DIRECTORY, KEY_NAME
from .exits import StartError
from .static_files import FileRoot

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from quicxdp.certificate import ServerCertificate

# Descriptors besides those of files being sent: sockets, rings, folders of a walk, logs.
_OTHER_FILES = 160
_FILES_WANTED = 16384


def name_certificate(options: argparse.Namespace) -> None:
    """Without --certfile, use what `quicxdp cert` has made."""
    if options.certfile is None:
        if options.keyfile is not None:
            options.usage_error("--keyfile needs --certfile")
        options.certfile = DIRECTORY / CERTIFICATE_NAME
        options.keyfile = DIRECTORY / KEY_NAME


def load_certificate(options: argparse.Namespace) -> ServerCertificate:
    """Load what --certfile and --keyfile name, or what `quicxdp cert` has made."""
    name_certificate(options)
    try:
        return certificate.load(options.certfile, options.keyfile, certificate.utc_now())
    except ConfigError as error:
        raise StartError(str(error)) from None


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
