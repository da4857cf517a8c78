"""How urgent an answer is: RFC 9218.

`priority_untrusted` reads the two parameters out of the Structured Fields dictionary (RFC
9651) that the `priority` field and PRIORITY_UPDATE frames carry.  What cannot be
parsed says nothing, as RFC 9218 section 5 wants it, so nothing here fails.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# Longer than any that means something; the rest of the field is somebody's experiment.
_VALUE_BYTES_MAX: Final = 256
_URGENCY_MAX: Final = 7

# RFC 9651 section 4.2: bare items (an inner list is none that we know), parameters.
_KEY = rb"[a-z*][a-z0-9_.*-]*"
_ITEM = (
    rb"(?:-?[0-9]{1,15}(?:\.[0-9]{1,3})?"  # integer or decimal
    rb'|"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'  # string
    rb"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"  # token
    rb"|:[A-Za-z0-9+/=]*:"  # bytes
    rb"|\?[01])"  # boolean
)
_PARAMETERS = rb"(?:;\x20*" + _KEY + rb"(?:=" + _ITEM + rb")?)*"
_MEMBER = re.compile(rb"(" + _KEY + rb")(?:=(" + _ITEM + rb"))?" + _PARAMETERS)
_COMMA = re.compile(rb"[\x20\t]*,[\x20\t]*")


class Priority(NamedTuple):
    """RFC 9218 section 4.

    Attributes:
        urgency: from 0, the most urgent, to 7.
        incremental: whether parts of the answer are of use, so that answers of the same
            urgency should share the connection and not follow each other.
    """

    urgency: int = 3
    incremental: bool = False


DEFAULT: Final = Priority()


@lru_cache(maxsize=256)  # browsers send a handful of values
def priority_untrusted(value: bytes) -> Priority:
    """Return what *value* says; the default for what it leaves out or gets wrong."""
    value = value.strip(b" ")
    if len(value) > _VALUE_BYTES_MAX:
        return DEFAULT
    urgency, incremental, at = 3, False, 0
    while at < len(value):
        if (member := _MEMBER.match(value, at)) is None:
            return DEFAULT
        key, item = member.groups()
        if key == b"u":
            urgency = _urgency(item)
        elif key == b"i":
            incremental = item in (None, b"?1")
        at = member.end()
        if at == len(value):
            break
        comma = _COMMA.match(value, at)
        if comma is None or comma.end() == len(value):
            return DEFAULT
        at = comma.end()
    return Priority(urgency, incremental)


def _urgency(item: bytes | None) -> int:
    # RFC 9218 section 4: out of range or of another type is as if it were not there.
    if item is not None and item.isdigit() and int(item) <= _URGENCY_MAX:
        return int(item)
    return DEFAULT.urgency


def priority_of(fields: Iterable[tuple[bytes, bytes]]) -> Priority:
    """Return the priority that a request's *fields* ask for."""
    values = [value for name, value in fields if name == b"priority"]
    return priority_untrusted(b", ".join(values)) if values else DEFAULT
