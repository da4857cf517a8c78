"""Who may send to an endpoint: blocks of addresses that are allowed or denied.

The most specific block decides.  An address in no block may pass, unless some block is
allowed: who lists friends means nobody else, of either family.  C checks this before
anything else is done with a datagram, on either lane (native/src/datapath/acl.c), and
counts what it drops as "denied".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

Network: TypeAlias = IPv4Network | IPv6Network

# struct qx_source_rule: ip, family, prefix_bits, allow, zero.
_RULE: Final = struct.Struct("=16sBBBx")
RULE_BYTES: Final = _RULE.size
_RULE_CNT_MAX: Final = 4096  # QX_SOURCE_RULES_MAX


@dataclass(frozen=True, slots=True)
class SourceRules:
    """Blocks of source addresses; empty: everybody may send."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> SourceRules:
        """Read blocks as they are written: "192.0.2.0/24", "2001:db8::1".

        Raises:
            ConfigError: one is no block, is both allowed and denied, or there are too
                many.
        """
        rules = cls(tuple(map(_block, allow)), tuple(map(_block, deny)))
        if both := set(rules.allow) & set(rules.deny):
            raise ConfigError(f"{min(map(str, both))} is both allowed and denied")
        if len(rules.allow) + len(rules.deny) > _RULE_CNT_MAX:
            raise ConfigError(
                f"more than {_RULE_CNT_MAX} blocks of source addresses are allowed and "
                f"denied; join some"
            )
        return rules

    def __bool__(self) -> bool:
        return bool(self.allow or self.deny)

    def packed(self) -> bytes:
        """Return an array of struct qx_source_rule."""
        return b"".join(
            _RULE.pack(
                block.network_address.packed, block.version, block.prefixlen, allowed
            )
            for blocks, allowed in ((self.allow, True), (self.deny, False))
            for block in blocks
        )


EVERYBODY: Final = SourceRules()


def _block(text: str) -> Network:
    try:
        block = ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no block of addresses ({error}); write 192.0.2.0/24, "
            f"2001:db8::/32 or one address"
        ) from None
    if isinstance(block, IPv6Network):
        if block.network_address.ipv4_mapped is not None:
            raise ConfigError(f"{text!r} is IPv4 in IPv6 form; write it as IPv4")
        if block.network_address.scope_id is not None:
            raise ConfigError(
                f"{text!r} names an interface, and blocks hold for all of them; leave "
                f"out what begins with %"
            )
    return block
