"""`quicxdp cert`: a certificate authority and a server certificate for development."""

from __future__ import annotations

import argparse
import ipaddress
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from quicxdp import private_file
from quicxdp.certificate import spki_hash, utc_now

from .exits import CommandError, ExitCode

DIRECTORY = Path("certs/dev")
CA_NAME = "ca.pem"
CERTIFICATE_NAME = "cert.pem"
KEY_NAME = "key.pem"

DEFAULT_NAMES = ("localhost", "127.0.0.1", "::1")
# Chromium takes a certificate by its hash (WebTransport's serverCertificateHashes) only
# if it is ECDSA and lives no longer than 14 days.
_LIFETIME = timedelta(days=10)
# Clocks of virtual machines on one host differ by minutes.
_SLACK = timedelta(minutes=10)

_DESCRIPTION = """\
Make a certificate for development: an own certificate authority and, signed by it, an
ECDSA P-256 certificate for localhost, 127.0.0.1 and ::1, valid for ten days.

Three files are written to --dir: ca.pem for clients (--cacert), cert.pem and key.pem for
`quicxdp serve`.  The authority's own key is thrown away, so nobody can sign with it.
"""
_EPILOG = """\
examples:
  quicxdp cert                             into certs/dev, for this machine
  quicxdp cert --name web.test --name 10.0.0.1
  quicxdp cert --force                     again, once the ten days are over

exit status: 0 made; 1 files exist (--force) or cannot be written; 2 wrong usage
"""


@dataclass(frozen=True, slots=True)
class Issued:
    """PEM texts, ready to be written."""

    ca: bytes
    certificate: bytes
    key: bytes
    leaf: x509.Certificate


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options to the command line."""
    parser = commands.add_parser(
        "cert",
        help="make a certificate for development",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        type=_name,
        metavar="HOST",
        help="another DNS name or IP address that the certificate is for; repeatable",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=DIRECTORY,
        metavar="DIR",
        help="folder to write to (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=run)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    try:
        ascii_name = text.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no host name: {error}") from None
    if not ascii_name or any(c in ascii_name for c in "/: @"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a host name nor an address"
        )
    return x509.DNSName(ascii_name)


def issue(names: list[x509.GeneralName], now: datetime) -> Issued:
    """Make an authority and a certificate; the authority's key never leaves this."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _subject("quicxdp development CA, not for production")
    begin, end = now - _SLACK, now + _LIFETIME
    ca = (
        x509.CertificateBuilder(ca_name, ca_name, ca_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(_key_identifier(ca_key), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        x509.CertificateBuilder(ca_name, _subject(str(names[0].value)), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_key_identifier(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Issued(
        ca=ca.public_bytes(pem),
        certificate=leaf.public_bytes(pem),
        key=key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        leaf=leaf,
    )


def write(issued: Issued, directory: Path, *, force: bool) -> None:
    """Write the three files, all or none as far as can be told before.

    Raises:
        CommandError: a file exists and *force* is not given, or the folder is not
        writable.
    """
    files = {
        CA_NAME: issued.ca,
        CERTIFICATE_NAME: issued.certificate,
        KEY_NAME: issued.key,
    }
    existing = [name for name in files if os.path.lexists(directory / name)]
    if existing and not force:
        raise CommandError(
            f"{directory} holds {', '.join(existing)} already; --force replaces them"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # Each is written beside its place and moved there: a server that starts meanwhile
        # finds the old file or the new one, and never a half.
        for name, data in files.items():
            temporary = directory / f".{name}.{os.getpid()}"
            with os.fdopen(private_file.create(temporary), "wb") as file:
                file.write(data)
            if name != KEY_NAME:
                temporary.chmod(0o644)
            temporary.replace(directory / name)
    except OSError as error:
        raise CommandError(f"cannot write to {directory}: {error}") from None


def run(options: argparse.Namespace) -> int:
    """Make the certificate and say how clients come to trust it."""
    defaults = [name for name in map(_name, DEFAULT_NAMES) if name not in options.name]
    issued = issue([*defaults, *options.name], utc_now())
    write(issued, options.dir, force=options.force)
    names = ", ".join(str(name.value) for name in [*defaults, *options.name])
    print(f"certificate for {names}")
    print(f"  valid until {issued.leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    print(f"  {options.dir / CERTIFICATE_NAME}, {options.dir / KEY_NAME} (mode 0600)")
    print(f"  {options.dir / CA_NAME} for clients: --cacert")
    print(f"  SPKI SHA-256 {spki_hash(issued.leaf)}")
    print("Chromium takes it with (and the port of your server):")
    print("  " + " ".join(chromium_flags(spki_hash(issued.leaf), "localhost", 4433)))
    return ExitCode.OK


def chromium_flags(spki: str, host: str, port: int) -> list[str]:
    """Return the options with which Chromium speaks HTTP/3 to a development server."""
    return [
        f"--origin-to-force-quic-on={host}:{port}",
        f"--ignore-certificate-errors-spki-list={spki}",
    ]


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _key_identifier(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
