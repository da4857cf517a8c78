# ruff: noqa: SLF001  (reaching into aioquic is what this package is for)
"""EnginePair: aioquic asks its CryptoPair to open and seal packets; here it asks C.

`decrypt_packet` is the way up: it returns the frames that C left over, and aioquic's own
code after it (connection IDs, paths, errors, idle timer) runs as ever.  `encrypt_packet`
is the way down for packets that aioquic builds: close, path probes, coalesced ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aioquic.quic.crypto import (  # type: ignore[attr-defined]  # re-exported
    CryptoError,
    KeyUnavailableError,
)

if TYPE_CHECKING:
    from aioquic.quic.crypto import CryptoContext, CryptoPair
    from aioquic.tls import CipherSuite

    from .receiving import ReceivingConnection

# One byte behind the frames that are left tells aioquic whether the whole packet only
# probed; handling either frame does nothing (RFC 9000 section 9.1).
_PADDING: Final = b"\x00"
_PING: Final = b"\x01"


class EngineContext:
    """Stands for `CryptoPair.send` and `.recv`."""

    def __init__(
        self,
        connection: ReceivingConnection,
        epoch: int,
        original: CryptoContext,
        *,
        sending: bool,
    ) -> None:
        self._connection = connection
        self._epoch = epoch
        self._sending = sending
        self._original = original  # it knows how to log key events

    def is_valid(self) -> bool:
        """Tell whether there are keys."""
        return self._connection.conn.has_keys(self._epoch, sending=self._sending)

    def setup(self, *, cipher_suite: CipherSuite, secret: bytes, version: int) -> None:
        """Hand the keys of a traffic secret to C."""
        conn = self._connection.conn
        if not conn.closed:
            conn.set_secret(
                self._epoch,
                sending=self._sending,
                cipher_suite=int(cipher_suite),
                version=version,
                secret=secret,
            )
        self.updated("tls")

    def teardown(self) -> None:
        """Forget the keys."""
        self._connection.conn.teardown(self._epoch, sending=self._sending)
        self._original._teardown_cb("tls")

    def updated(self, trigger: str) -> None:
        """Log that there are new keys."""
        self._original._setup_cb(trigger)

    @property
    def key_phase(self) -> int:
        """The key phase bit."""
        return self._connection.conn.key_phase(sending=self._sending)


class EnginePair:
    """Stands for the CryptoPair of 1-RTT or 0-RTT packets."""

    aead_tag_size = 16

    def __init__(
        self, connection: ReceivingConnection, epoch: int, original: CryptoPair
    ) -> None:
        self._connection = connection
        self._epoch = epoch
        self.send = EngineContext(connection, epoch, original.send, sending=True)
        self.recv = EngineContext(connection, epoch, original.recv, sending=False)

    def decrypt_packet(
        self,
        packet: bytes,
        encrypted_offset: int,
        expected_packet_number: int,  # noqa: ARG002  (C keeps that itself)
    ) -> tuple[bytes, bytes, int]:
        """Return header, what aioquic has to handle, and packet number of a packet."""
        opened = self._connection.opened(self._epoch, packet, encrypted_offset)
        if opened is None:
            raise KeyUnavailableError("Decryption key is not available")
        if opened.undecryptable:
            raise CryptoError("Payload decryption failed")
        if opened.error is not None:
            self._connection.close_for(opened.error)
            raise CryptoError("A frame was not allowed")
        filler = _PADDING if opened.probing else _PING
        return opened.header, opened.frames + filler, opened.number

    def encrypt_packet(
        self,
        plain_header: bytes,
        plain_payload: bytes,
        packet_number: int,  # noqa: ARG002  (C gives it another)
    ) -> bytes:
        """Seal a packet under the engine's next packet number."""
        return self._connection.conn.seal_foreign(plain_header, plain_payload)

    def update_key(self) -> None:
        """Begin a new key phase, now or as soon as RFC 9001 section 6.1 allows."""
        self._connection.begin_key_update()

    def teardown(self) -> None:
        """Forget all keys."""
        self.recv.teardown()
        self.send.teardown()

    @property
    def key_phase(self) -> int:
        """The key phase bit of the next packet."""
        return self.send.key_phase
