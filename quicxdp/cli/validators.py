"""Validators and conditional requests (RFC 9110 sections 8.8 and 13).

A validator says which version of a file this is.  `precondition` decides, in the order of
section 13.2.2, whether a request is answered with the file, with 304 or with 412;
`range_applies` decides If-Range.  All input comes from the network: a field that makes no
sense counts as "does not match", which costs a transfer and is never wrong.
"""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A file that changed this recently may change again without its time stamp changing:
# kernel time stamps tick every 4 ms or so, those of ext3 and HFS+ once a second, FAT's
# every two.  Until then its tag must be weak (RFC 9110 section 8.8.1).
_SETTLED_NS = 2_000_000_000
_NS_PER_S = 1_000_000_000

_MONTHS = (
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun",
    b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
)  # fmt: skip
_MONTH_NUMBER = {name: number for number, name in enumerate(_MONTHS, start=1)}
_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")

# The three forms that a recipient must accept (section 5.6.7).
_TIME = rb"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)"
_MONTH = rb"(?P<mon>[A-Z][a-z][a-z])"
_DATE_FORMS = (
    re.compile(
        rb"[A-Z][a-z]{2}, (?P<d>\d\d) " + _MONTH + rb" (?P<y>\d{4}) " + _TIME + rb" GMT"
    ),
    re.compile(
        rb"[A-Z][a-z]{5,8}, (?P<d>\d\d)-" + _MONTH + rb"-(?P<y>\d\d) " + _TIME + rb" GMT"
    ),
    re.compile(
        rb"[A-Z][a-z]{2} " + _MONTH + rb" (?P<d>[ \d]\d) " + _TIME + rb" (?P<y>\d{4})"
    ),
)
_CENTURY = 100
_RFC850_FUTURE_YEARS = 50

# entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE (section 8.8.3)
_ENTITY_TAG = rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAG = re.compile(_ENTITY_TAG)
_TAG_LIST = re.compile(
    rb"[ \t,]*" + _ENTITY_TAG + rb"(?:[ \t]*,[ \t,]*" + _ENTITY_TAG + rb")*[ \t,]*"
)


class Verdict(Enum):
    """What the conditions of a request ask for."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"
    FAILED = "precondition failed"


@dataclass(frozen=True, slots=True)
class Validators:
    """Which version of a file this is."""

    etag: bytes
    last_modified_s: int

    @property
    def is_strong(self) -> bool:
        """Whether equal tags promise equal bytes, as ranges need."""
        return not self.etag.startswith(b"W/")


def of_file(*, size_bytes: int, mtime_ns: int, ctime_ns: int, now_ns: int) -> Validators:
    """Make the validators of a file.

    The change time is part of the tag because, unlike the modification time, nobody can
    set it: a copy that preserves times still gets a new tag.
    """
    opaque = b'"%x-%x-%x"' % (size_bytes, mtime_ns, ctime_ns)
    settled = now_ns - max(mtime_ns, ctime_ns) >= _SETTLED_NS
    return Validators(
        etag=opaque if settled else b"W/" + opaque,
        # "... MUST NOT generate a Last-Modified date that is later than the server's time
        # of message origination (Date)" (section 8.8.2.1).
        last_modified_s=min(mtime_ns, now_ns) // _NS_PER_S,
    )


def format_date(time_s: int) -> bytes:
    """Write a time as IMF-fixdate (section 5.6.7)."""
    t = time.gmtime(time_s)
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[t.tm_wday], t.tm_mday, _MONTHS[t.tm_mon - 1], t.tm_year,
        t.tm_hour, t.tm_min, t.tm_sec,
    )  # fmt: skip


def parse_date_untrusted(field: bytes, now_s: int) -> int | None:
    """Read an HTTP-date in any of its three forms; None if it is none."""
    match = next(
        (m for form in _DATE_FORMS if (m := form.fullmatch(field.strip()))), None
    )
    if match is None or (month := _MONTH_NUMBER.get(match["mon"])) is None:
        return None
    year = int(match["y"])
    if len(match["y"]) == 2:  # noqa: PLR2004  (the two digits of RFC 850)
        this_year = time.gmtime(now_s).tm_year
        year += this_year // _CENTURY * _CENTURY
        if year > this_year + _RFC850_FUTURE_YEARS:
            year -= _CENTURY
    second = min(int(match["s"]), 59)  # a leap second is the second before it
    try:
        moment = datetime(  # noqa: DTZ001  (timegm below takes it as UTC)
            year, month, int(match["d"]), int(match["h"]), int(match["m"]), second
        )
    except ValueError:
        return None
    return calendar.timegm(moment.timetuple())


def _matches_untrusted(field: bytes, etag: bytes, *, strong: bool) -> bool:
    """Compare *etag* with a list of tags or "*" (section 8.8.3.2)."""
    if field.strip() == b"*":
        return True
    if _TAG_LIST.fullmatch(field) is None:
        return False
    tags: list[bytes] = _TAG.findall(field)
    if strong:
        return not etag.startswith(b"W/") and etag in tags
    return etag.removeprefix(b"W/") in {tag.removeprefix(b"W/") for tag in tags}


def precondition(
    fields: Mapping[bytes, bytes], validators: Validators, *, now_s: int
) -> Verdict:
    """Evaluate the conditions of a GET or HEAD request in the order of section 13.2.2."""
    modified_s = validators.last_modified_s
    if (field := fields.get(b"if-match")) is not None:
        if not _matches_untrusted(field, validators.etag, strong=True):
            return Verdict.FAILED
    elif (field := fields.get(b"if-unmodified-since")) is not None:
        since_s = parse_date_untrusted(field, now_s)
        if since_s is not None and modified_s > since_s:
            return Verdict.FAILED
    if (field := fields.get(b"if-none-match")) is not None:
        if _matches_untrusted(field, validators.etag, strong=False):
            return Verdict.NOT_MODIFIED
    elif (field := fields.get(b"if-modified-since")) is not None:
        since_s = parse_date_untrusted(field, now_s)
        if since_s is not None and modified_s <= since_s:
            return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def range_applies(
    fields: Mapping[bytes, bytes], validators: Validators, *, now_s: int
) -> bool:
    """Whether a Range field counts, given If-Range (section 13.1.5).

    Both kinds of If-Range need a strong validator: joining bytes of two versions would
    give the client a file that never existed.
    """
    field = fields.get(b"if-range")
    if field is None:
        return True
    field = field.strip()
    if _TAG.fullmatch(field):
        return validators.is_strong and field == validators.etag
    # A date is a strong validator once the file has settled, and must match exactly.
    return (
        validators.is_strong
        and parse_date_untrusted(field, now_s) == validators.last_modified_s
    )
