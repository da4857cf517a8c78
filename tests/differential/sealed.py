"""Opens what a side has sent, with its keys from the key log, and notes the numbers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from aioquic import tls
from aioquic.buffer import Buffer  # type: ignore[attr-defined]  # it is public
from aioquic.quic.crypto import (  # type: ignore[attr-defined]  # re-exported
    CryptoContext,
    CryptoError,
    apply_key_phase,
    next_key_phase,
)
from aioquic.quic.packet import QuicPacketType, pull_quic_header

if TYPE_CHECKING:
    from collections.abc import Iterable

ZERO_RTT: Final = "CLIENT_EARLY_TRAFFIC_SECRET"
ONE_RTT: Final = {
    "client": "CLIENT_TRAFFIC_SECRET_0",
    "server": "SERVER_TRAFFIC_SECRET_0",
}


def keys(secret: bytes, version: int) -> CryptoContext:
    """Return what opens packets that were sealed with a traffic secret."""
    context = CryptoContext()
    context.setup(
        cipher_suite=(
            tls.CipherSuite.AES_256_GCM_SHA384
            if len(secret) == hashlib.sha384().digest_size
            else tls.CipherSuite.AES_128_GCM_SHA256
        ),
        secret=secret,
        version=version,
    )
    return context


class Sealed:
    """The 0-RTT and 1-RTT packets that a side has sealed.

    Attributes:
        pairs: the (secret, packet number) of each; a pair that comes twice means that an
            AEAD nonce was used twice, which gives AES-GCM away (RFC 9001 section 5.3).
        repeated: those that came twice.
        ways: how packets were sealed: as "0-RTT" or "1-RTT", "coalesced" with others, in
            a "later phase", and as which type of frame the first of each is.
    """

    def __init__(self, side: str, key_log: str, version: int) -> None:
        self.pairs: set[tuple[bytes, int]] = set()
        self.repeated: list[tuple[bytes, int]] = []
        self.ways: set[str | int] = set()
        self._next_number = 0
        # Two for 0-RTT after a Retry, which is answered with another ClientHello.
        self._keys: dict[QuicPacketType, list[CryptoContext]] = {}
        labels = {
            ZERO_RTT: QuicPacketType.ZERO_RTT,
            ONE_RTT[side]: QuicPacketType.ONE_RTT,
        }
        for label, _, secret in (line.split() for line in key_log.splitlines()):
            if (kind := labels.get(label)) is not None:
                context = keys(bytes.fromhex(secret), version)
                self._keys.setdefault(kind, []).append(context)

    def take(self, datagrams: Iterable[bytes], *, cid_len_bytes: int) -> None:
        """Note the packets of *datagrams*, in the order in which they were sent."""
        for data in datagrams:
            buf = Buffer(data=data)
            while not buf.eof() and data[buf.tell()]:
                start = buf.tell()
                header = pull_quic_header(buf, host_cid_length=cid_len_bytes)
                offset = buf.tell() - start
                end = start + header.packet_length
                if (contexts := self._keys.get(header.packet_type)) is not None:
                    self._take_packet(contexts, data[start:end], offset)
                    is_early = header.packet_type == QuicPacketType.ZERO_RTT
                    self.ways.add("0-RTT" if is_early else "1-RTT")
                    self.ways |= {"coalesced"} if start else set()
                buf.seek(end)

    def _take_packet(
        self, contexts: list[CryptoContext], packet: bytes, offset: int
    ) -> None:
        for context in contexts:
            try:
                opened = context.decrypt_packet(packet, offset, self._next_number)
            except CryptoError:
                continue
            break
        else:
            raise AssertionError("a packet that none of the keys opens")
        _, payload, number, is_next_phase = opened
        self.ways.add(payload[0])
        if is_next_phase:
            self.ways.add("later phase")
            apply_key_phase(context, next_key_phase(context), trigger="test")
        assert context.secret is not None
        pair = (context.secret, number)
        if pair in self.pairs:
            self.repeated.append(pair)
        self.pairs.add(pair)
        self._next_number = max(self._next_number, number + 1)
