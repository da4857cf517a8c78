"""Certificates: made for development, and every way in which they can be wrong."""

from __future__ import annotations

import base64
import pathlib
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from quicxdp import certificate
from quicxdp.cli import cert, main
from quicxdp.cli.exits import CommandError
from quicxdp.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = [x509.DNSName("localhost"), x509.DNSName("web.test")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a certificate as `quicxdp cert` does."""
    cert.write(cert.issue(list(NAMES), NOW), tmp_path, force=False)
    return tmp_path


def load(
    folder: Path, certificate_name: str = "cert.pem", key_name: str = "key.pem"
) -> None:
    """Load a pair as `quicxdp serve` does."""
    certificate.load(folder / certificate_name, folder / key_name, NOW)


def complaint(
    folder: Path, certificate_name: str = "cert.pem", key_name: str = "key.pem"
) -> str:
    """Return what is said about a pair that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        load(folder, certificate_name, key_name)
    return str(caught.value)


def test_what_cert_makes_can_be_served(folder: Path) -> None:
    """Names, chain, key and hash."""
    loaded = certificate.load(folder / "cert.pem", folder / "key.pem", NOW)

    assert loaded.names == ("localhost", "web.test")
    # As the handbooks of Chromium and HPKP compute it.
    steps = ["x509 -pubkey -noout", "pkey -pubin -outform der", "dgst -sha256 -binary"]
    output = (folder / "cert.pem").read_bytes()
    for step in steps:
        output = subprocess.run(
            ["openssl", *step.split()], input=output, check=True, capture_output=True
        ).stdout
    assert loaded.spki_hash == base64.b64encode(output).decode()


def test_the_authority_vouches_for_it_and_can_sign_nothing_more(folder: Path) -> None:
    """Clients trust ca.pem; whoever steals the folder cannot issue more."""
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    leaf = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())

    leaf.verify_directly_issued_by(authority)
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert key.public_key() != authority.public_key()
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "cert.pem", "key.pem"}
    # OpenSSL agrees about the extensions.
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert context.cert_store_stats()["x509_ca"] == 1


def test_chromium_takes_it_by_its_hash(folder: Path) -> None:
    """serverCertificateHashes wants ECDSA on P-256 and at most 14 days."""
    leaf = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    key = leaf.public_key()

    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < timedelta(days=14)


def test_the_key_is_for_its_owner_only(folder: Path) -> None:
    """Whatever the umask says."""
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600


def test_nothing_is_overwritten_without_force(folder: Path) -> None:
    """The key in the folder may be in use."""
    before = (folder / "key.pem").read_bytes()
    with pytest.raises(CommandError, match="--force"):
        cert.write(cert.issue(list(NAMES), NOW), folder, force=False)
    assert (folder / "key.pem").read_bytes() == before

    cert.write(cert.issue(list(NAMES), NOW), folder, force=True)

    assert (folder / "key.pem").read_bytes() != before
    load(folder)


def test_force_replaces_a_link_and_does_not_write_through_it(tmp_path: Path) -> None:
    """A key must not end up where somebody else has pointed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("keep")
    target = tmp_path / "certs"
    target.mkdir()
    (target / "key.pem").symlink_to(elsewhere)

    cert.write(cert.issue(list(NAMES), NOW), target, force=True)

    assert elsewhere.read_text() == "keep"
    assert not (target / "key.pem").is_symlink()


def test_the_command_says_what_browsers_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of all kinds, the hash, and the flags around it."""
    status = main(
        [
            "cert",
            "--dir",
            str(tmp_path),
            "--name",
            "192.0.2.1",
            "--name",
            "b\u00fccher.test",
        ]
    )

    output = capsys.readouterr().out
    assert status == 0
    assert "localhost, 127.0.0.1, ::1, 192.0.2.1, xn--bcher-kva.test" in output
    leaf = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    spki = certificate.spki_hash(leaf)
    assert f"--ignore-certificate-errors-spki-list={spki}" in output
    assert main(["cert", "--dir", str(tmp_path)]) == 1


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And why."""
    (tmp_path / "file").write_text("")

    assert main(["cert", "--dir", str(tmp_path / "file" / "certs")]) == 1
    assert "Not a directory" in capsys.readouterr().err


# ---- what can be wrong with the files of a server --------------------------------------


def test_a_missing_file_is_named_and_a_remedy_given(folder: Path) -> None:
    """The first start of everybody."""
    assert "there is no certificate file" in complaint(
        folder, certificate_name="nope.pem"
    )
    assert "quicxdp cert" in complaint(folder, certificate_name="nope.pem")
    assert "there is no key file" in complaint(folder, key_name="nope.pem")


def test_a_file_that_may_not_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything, so the kernel's refusal is put on here."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refuse)

    assert "cannot be read: Permission denied" in complaint(folder)


def test_a_folder_and_a_fifo_are_no_certificates(folder: Path) -> None:
    """A FIFO would be waited for."""
    (folder / "dir").mkdir()

    assert "cannot be read: Is a directory" in complaint(folder, certificate_name="dir")
    assert "not a regular file" in complaint(folder, certificate_name="/dev/null")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x30\x82\x01\x02" + bytes(100)])
def test_what_is_not_pem_is_said_to_be_so(folder: Path, content: bytes) -> None:
    """A DER file, a text, an empty file left by a failed download."""
    (folder / "junk").write_bytes(content)

    assert "no certificate in PEM form" in complaint(folder, certificate_name="junk")
    assert "no private key in PEM form" in complaint(folder, key_name="junk")


def test_certificate_and_key_exchanged_are_found_out(folder: Path) -> None:
    """An easy slip on a command line."""
    assert "no private key" in complaint(folder, "key.pem", "cert.pem")


def test_a_key_of_another_certificate_is_found_out(folder: Path, tmp_path: Path) -> None:
    """Otherwise every client would fail its handshake, with an error of its own."""
    other = tmp_path / "other"
    cert.write(cert.issue(list(NAMES), NOW), other, force=False)

    said = complaint(folder, key_name=str(other / "key.pem"))

    assert "does not belong to the certificate" in said


def test_an_encrypted_key_is_opened_with_its_password_and_only_so(folder: Path) -> None:
    """What is wrong with a password is said, instead of what is wrong with the PEM."""
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    (folder / "locked.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"pw"),
        )
    )

    assert "is encrypted" in complaint(folder, key_name="locked.pem")
    paths = (folder / "cert.pem", folder / "locked.pem")
    assert certificate.load(*paths, NOW, password="pw").names
    with pytest.raises(ConfigError, match="cannot be decrypted"):
        certificate.load(*paths, NOW, password="other")
    with pytest.raises(ConfigError, match="not encrypted"):
        certificate.load(folder / "cert.pem", folder / "key.pem", NOW, password="pw")


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505
    ],
    ids=["P-521", "secp256k1", "RSA-1024"],
)
def test_keys_that_no_client_would_take_are_refused(
    folder: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> None:
    """aioquic would accept them and then fail in each handshake."""
    (folder / "odd.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

    assert "of a kind that" in complaint(folder, key_name="odd.pem")


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (NOW + timedelta(days=11), "has expired on"),
        (NOW - timedelta(days=1), "not valid before"),
    ],
)
def test_dates_are_checked(folder: Path, when: datetime, said: str) -> None:
    """A development certificate of last month is the most common trouble of all."""
    with pytest.raises(ConfigError, match=said):
        certificate.load(folder / "cert.pem", folder / "key.pem", when)


def test_a_key_that_others_may_read_is_warned_about(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It works, but it should not stay so."""
    (folder / "key.pem").chmod(0o644)

    load(folder)

    assert "chmod 600" in caplog.text


def test_a_file_with_both_certificate_and_key_does(folder: Path) -> None:
    """As haproxy and others write them."""
    both = folder / "both.pem"
    both.write_bytes(
        (folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes()
    )

    assert certificate.load(both, None, NOW).names[0] == "localhost"


def test_a_chain_is_sent_along(folder: Path) -> None:
    """fullchain.pem: the leaf first."""
    chain = folder / "fullchain.pem"
    chain.write_bytes(
        (folder / "cert.pem").read_bytes() + (folder / "ca.pem").read_bytes()
    )

    loaded = certificate.load(chain, folder / "key.pem", NOW)

    assert len(loaded.chain) == 1
