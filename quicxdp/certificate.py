"""Certificates of a server: loading them with a precise word for every way to go wrong.

aioquic would find a mismatched or expired certificate only in a client's handshake, as an
error of the client; here it ends the start.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from .errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

PrivateKey = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)

# A certificate that ends sooner than this is worth a word at the start.
_SOON = timedelta(days=2)
_RSA_BITS_MIN = 2048
_FILE_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate with its chain and key, checked to belong together."""

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    @property
    def spki_hash(self) -> str:
        """The base64 SHA-256 of the public key, as Chromium's flag and HPKP write it."""
        return spki_hash(self.leaf)

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names and IP addresses that it is for."""
        try:
            extension = self.leaf.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            )
        except x509.ExtensionNotFound:
            return ()
        except ValueError:
            return ()  # an extension that cannot be parsed names nobody
        names = extension.value
        return (
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        )


def spki_hash(certificate: x509.Certificate) -> str:
    """Return the base64 SHA-256 of a certificate's SubjectPublicKeyInfo."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii")


def load(
    certfile: Path,
    keyfile: Path | None,
    now: datetime,
    *,
    password: str | None = None,
) -> ServerCertificate:
    """Load and check what a server shows to its clients.

    Args:
        certfile: PEM, the leaf first, then its chain; may hold the key too.
        keyfile: PEM; None if it is in *certfile*.
        now: the time, to tell whether the certificate is valid.
        password: of the key, if it is encrypted.

    Raises:
        ConfigError: a sentence that names the file, what is wrong with it, and a remedy.
    """
    certificate_pem = _read(certfile, "certificate")
    key_path = keyfile or certfile
    key = _parse_key(
        key_path,
        certificate_pem if keyfile is None else _read(key_path, "key"),
        password,
    )
    leaf, *chain = _parse_certificates(certfile, certificate_pem)
    if leaf.public_key() != key.public_key():
        raise ConfigError(
            f"the key in {key_path} does not belong to the certificate in {certfile}: "
            f"their public keys differ; give the pair that was made together"
        )
    _check_dates(certfile, leaf, now)
    _warn_about_mode(key_path)
    return ServerCertificate(leaf, tuple(chain), key)


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"the {what} {path} is not a regular file")
            data = file.read(_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {what} file {path}; `quicxdp cert` makes a certificate and key "
            f"for development"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"the {what} file {path} cannot be read: {error.strerror}"
        ) from None
    if len(data) > _FILE_BYTES_MAX:
        raise ConfigError(
            f"the {what} file {path} is longer than 1 MiB; is it the right one?"
        )
    return data


def _parse_certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(
            f"{path} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----): "
            f"{error}"
        ) from None


def _parse_key(path: Path, pem: bytes, password: str | None) -> PrivateKey:
    secret = None if password is None else password.encode()
    try:
        key = serialization.load_pem_private_key(pem, password=secret)
    except TypeError:
        raise ConfigError(
            f"the key in {path} is not encrypted, but a password is given; leave it out"
            if secret is not None
            else f"the key in {path} is encrypted; give its password, or decrypt it into "
            f"a file that only the server can read: openssl pkey -in {path} -out key.pem"
        ) from None
    except ValueError as error:
        if secret is not None:
            raise ConfigError(
                f"the key in {path} cannot be decrypted with the password that is given"
            ) from None
        raise ConfigError(
            f"{path} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----): "
            f"{str(error).splitlines()[0]}"
        ) from None
    match key:
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1() | ec.SECP384R1()):
            return key
        case rsa.RSAPrivateKey() if key.key_size >= _RSA_BITS_MIN:
            return key
        case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
            return key
    raise ConfigError(
        f"the key in {path} is of a kind that TLS 1.3 clients or this server do not "
        f"take; use ECDSA on P-256 or P-384, RSA of at least {_RSA_BITS_MIN} bits, or "
        f"Ed25519"
    )


def _check_dates(path: Path, leaf: x509.Certificate, now: datetime) -> None:
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now < begin:
        raise ConfigError(
            f"the certificate in {path} is not valid before {begin:%Y-%m-%d %H:%M} UTC; "
            f"is this machine's clock right?"
        )
    if now >= end:
        raise ConfigError(
            f"the certificate in {path} has expired on {end:%Y-%m-%d %H:%M} UTC; renew "
            f"it (`quicxdp cert --force` for one made by `quicxdp cert`)"
        )
    if end - now < _SOON:
        logger.warning(
            "the certificate in %s expires on %s UTC", path, f"{end:%Y-%m-%d %H:%M}"
        )


def _warn_about_mode(path: Path) -> None:
    mode = path.stat().st_mode
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning(
            "the key in %s may be read by others (mode %04o); chmod 600 %s",
            path,
            stat.S_IMODE(mode),
            path,
        )


def utc_now() -> datetime:
    """Return the time, for commands; everything below them is told it."""
    return datetime.now(UTC)
