"""Byte ranges of a GET request (RFC 9110 section 14).

`select_untrusted` turns the Range field of a stranger into the ranges to send.  It
never raises: a field that makes no sense is ignored, as RFC 9110 section 14.2 allows,
because an answer with the whole file is always right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# More than this many ranges, or ranges that overlap, are the mark of an attack rather
# than of a player that seeks (RFC 9110 section 17.15): such a field is ignored, or
# merged.
RANGE_CNT_MAX = 16

# Two ranges closer than a multipart header costs are cheaper as one (section 15.3.7.2).
_GAP_BYTES = 80

# Longer numbers are beyond every file; Python refuses to convert thousands of digits.
_DIGITS_MAX = 19
_BEYOND_EVERY_FILE: int = 10**19

# range-unit "=" range-set (section 14.1); the unit is a token without case.
_SPECIFIER = re.compile(rb"\s*bytes=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE_SPEC = re.compile(rb"([0-9]*)-([0-9]*)")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from *first* to *last*, both included."""

    first: int
    last: int

    @property
    def length_bytes(self) -> int:
        """How many bytes that is."""
        return self.last - self.first + 1


def _number(digits: bytes) -> int:
    significant = digits.lstrip(b"0")
    if len(significant) > _DIGITS_MAX:
        return _BEYOND_EVERY_FILE
    return int(significant or b"0")


def _resolve(spec: bytes, size_bytes: int) -> ByteRange | None:
    """Return the range that *spec* names, None if no byte of the file is in it.

    Raises:
        ValueError: it is no range.
    """
    match = _RANGE_SPEC.fullmatch(spec)
    if match is None or match.group() == b"-":
        raise ValueError(spec)
    first_digits, last_digits = match.groups()
    if not first_digits:
        # suffix-range: the last N bytes; the whole file if it is shorter (14.1.2).
        suffix_bytes = min(_number(last_digits), size_bytes)
        return (
            ByteRange(size_bytes - suffix_bytes, size_bytes - 1) if suffix_bytes else None
        )
    first = _number(first_digits)
    last = _number(last_digits) if last_digits else _BEYOND_EVERY_FILE
    if last < first:
        # "A int-range is invalid if the last-pos value is present and less than
        # first-pos."
        raise ValueError(spec)
    return ByteRange(first, min(last, size_bytes - 1)) if first < size_bytes else None


def _merge(ranges: list[ByteRange]) -> tuple[ByteRange, ...]:
    """Join ranges that overlap or nearly touch; keep the client's order if none does."""
    merged: list[ByteRange] = []
    for item in sorted(ranges, key=lambda r: r.first):
        if merged and item.first <= merged[-1].last + 1 + _GAP_BYTES:
            merged[-1] = ByteRange(merged[-1].first, max(merged[-1].last, item.last))
        else:
            merged.append(item)
    return tuple(ranges if len(merged) == len(ranges) else merged)


def select_untrusted(field: bytes, size_bytes: int) -> tuple[ByteRange, ...] | None:
    """Choose what to send of *size_bytes* bytes for the Range *field*.

    Returns:
        The ranges, inside the file, without overlap; an empty tuple if the field is valid
        but no byte of the file is in it (416); None if the field is to be ignored (200).
    """
    specifier = _SPECIFIER.fullmatch(field)
    if specifier is None:
        return None
    # Empty list elements are to be accepted (section 5.6.1.2).
    specs = [
        spec for raw in specifier.group(1).split(b",") if (spec := raw.strip(b" \t"))
    ]
    if not specs or len(specs) > RANGE_CNT_MAX:
        return None
    try:
        resolved = [_resolve(spec, size_bytes) for spec in specs]
    except ValueError:
        return None
    ranges = [item for item in resolved if item is not None]
    if size_bytes == 0 and not ranges and any(spec.startswith(b"-") for spec in specs):
        # "bytes=-5" of an empty file is satisfiable, but Content-Range cannot say so.
        return None
    return _merge(ranges)
