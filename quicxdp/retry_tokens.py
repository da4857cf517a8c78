"""Retry tokens: aioquic's, with a key that C may share, and each good for one connection.

RFC 9000 section 8.1.4: whoever sees a token must not be able to use it again and again.
"""

from __future__ import annotations

import enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from aioquic.quic.retry import TOKEN_LIFETIME, QuicRetryTokenHandler
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from .addresses import Address

KEY_BYTES: Final = 16
LIFETIME_S: Final = TOKEN_LIFETIME
# A token's nonce is in front and tells tokens apart.
_NONCE_BYTES: Final = 12
# Each stands for a connection, and they count for half a minute.
_USED_MAX: Final = 65_536
_MAPPED: Final = "::ffff:"


class TokenState(enum.Enum):
    """What a token is worth."""

    VALID = "valid"
    FOREIGN = "not ours, or damaged"
    ADDRESS = "of another address, or for another connection ID"
    EXPIRED = "too old"
    REPLAYED = "used before"


_REPLAYED: Final = "Token was used before."
# What validate_token says of them, aioquic's and ours; the rest is about the address.
_STATE_OF_ERROR: Final = {
    _REPLAYED: TokenState.REPLAYED,
    "Token is invalid.": TokenState.FOREIGN,
    "Token has expired.": TokenState.EXPIRED,
}


class RetryTokens(QuicRetryTokenHandler):
    """Makes and checks tokens for aioquic's server."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._aead = AESGCM(key)
        self._used: dict[bytes, None] = {}

    def create_token(self, *, address: Address, **rest: Any) -> bytes:  # noqa: ANN401
        """Return a token; arguments as aioquic's."""
        return super().create_token(address=_plain(address), **rest)

    def validate_token(
        self,
        *,
        address: Address,
        token: bytes,
        **rest: Any,  # noqa: ANN401
    ) -> bytes:
        """Return the client's first destination connection ID; arguments as aioquic's.

        Raises:
            ValueError: the token is not valid.
        """
        cid = super().validate_token(address=_plain(address), token=token, **rest)
        if token[:_NONCE_BYTES] in self._used:
            raise ValueError(_REPLAYED)
        return cid

    def state(
        self, address: Address, cid: bytes, token: bytes, now_s: float
    ) -> TokenState:
        """Return what *token* is worth, sent from *address* to the ID *cid*."""
        try:
            self.validate_token(
                address=address, destination_cid=cid, token=token, now=now_s
            )
        except ValueError as error:
            return _STATE_OF_ERROR.get(str(error), TokenState.ADDRESS)
        return TokenState.VALID

    def use(self, token: bytes) -> None:
        """Note that *token* has opened a connection."""
        if len(self._used) >= _USED_MAX:
            for nonce in list(islice(self._used, _USED_MAX // 2)):
                del self._used[nonce]
        self._used[token[:_NONCE_BYTES]] = None


def _plain(address: Address) -> Address:
    # C knows an IPv4 peer of a dual-stack socket as what it is.
    host: str = address[0]
    if host.startswith(_MAPPED) and "." in host:
        return (host[len(_MAPPED) :], *address[1:])
    return (host.partition("%")[0], *address[1:])
