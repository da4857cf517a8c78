"""What a request is answered with: the bench endpoint, a file, a folder, or a refusal.

`Responder` joins the pure planning of static.py with the opening of static_files.py.  It
knows nothing of HTTP/3; h3_server.py sends what comes out.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from . import listing, static
from .request import Refused, Request, Target, parse_path_untrusted
from .static import Plan
from .static_files import FileRoot, OpenFile, OpenFolder

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

# The most that /N answers and that a POST may send: a tebibyte.
BENCH_BYTES_MAX = 1 << 40
_BENCH_PATH = re.compile(rb"/([0-9]{1,13})")
_HASH_PATH = b"/sha256"
_LISTING_CSP = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A plan and the open file that its slices lie in, which the receiver closes."""

    plan: Plan
    fd: int | None = None


@dataclass(frozen=True, slots=True)
class SlowAnswer:
    """An answer that takes blocking work first: run *finish* in a thread."""

    finish: Callable[[], Answer]


@dataclass(frozen=True, slots=True)
class CountBody:
    """The answer is the length of the request's body, or its hash, once it has ended."""

    hashes: bool = False


class Responder:
    """Answers requests for the files below one folder."""

    def __init__(
        self,
        root: FileRoot | None,
        *,
        with_listing: bool = False,
        with_bench: bool = False,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Serve *root*, if any, and the bench endpoint, if asked for."""
        self._root = root
        self._with_listing = with_listing
        self._with_bench = with_bench
        self._now_ns = now_ns

    def answer(self, request: Request) -> Answer | SlowAnswer | CountBody:
        """Decide about one request; refusals are answers too."""
        try:
            if self._with_bench and (bench := self._answer_bench(request)) is not None:
                return bench
            if (plan := static.plan_method(request.method)) is not None:
                return Answer(plan)
            return self._answer_file(request, parse_path_untrusted(request.path))
        except Refused as refused:
            if refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                # The cause says it all; where it was raised is of no interest.
                cause = refused.__cause__
                logger.error("%s %s", refused.sentence, cause)  # noqa: TRY400
            return Answer(refusal(request.method, refused))

    def _answer_bench(self, request: Request) -> Answer | CountBody | None:
        if request.method == b"POST":
            if (request.content_length or 0) > BENCH_BYTES_MAX:
                raise Refused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too long."
                )
            return CountBody(hashes=request.path == _HASH_PATH)
        match = _BENCH_PATH.fullmatch(request.path)
        if match is None or request.method not in (b"GET", b"HEAD"):
            return None
        if (size_bytes := int(match[1])) > BENCH_BYTES_MAX:
            raise Refused(HTTPStatus.NOT_FOUND, f"At most {BENCH_BYTES_MAX} bytes.")
        body = (
            (static.Zeros(size_bytes),) if size_bytes and request.method == b"GET" else ()
        )
        fields = (
            (b"content-type", b"application/octet-stream"),
            (b"content-length", b"%d" % size_bytes),
        )
        return Answer(Plan(HTTPStatus.OK, fields, body))

    def _answer_file(self, request: Request, target: Target) -> Answer | SlowAnswer:
        if self._root is None:
            raise Refused(HTTPStatus.NOT_FOUND, "This server serves no files.")
        opened = self._root.open_untrusted(target)
        if isinstance(opened, OpenFile):
            return self._answer_open_file(request, opened)
        if not target.is_directory:
            os.close(opened.fd)
            return Answer(static.plan_redirect(request.method, target))
        if not self._with_listing:
            os.close(opened.fd)
            raise Refused(HTTPStatus.FORBIDDEN, "This folder has no index.")
        return SlowAnswer(lambda: _list(request, target, opened))

    def _answer_open_file(self, request: Request, opened: OpenFile) -> Answer:
        try:
            plan = static.plan_file(
                request.method,
                request.fields,
                opened.facts,
                now_ns=self._now_ns(),
                # 128 random bits occur in no file that was not made to hold them.
                boundary=lambda: secrets.token_hex(16).encode(),
            )
        except BaseException:
            os.close(opened.fd)
            raise
        if any(isinstance(part, static.FileSlice) for part in plan.parts):
            return Answer(plan, opened.fd)
        os.close(opened.fd)
        return Answer(plan)


def refusal(method: bytes, refused: Refused) -> Plan:
    """Answer with what a `Refused` says."""
    extra = (
        [(b"retry-after", b"1")]
        if refused.status == HTTPStatus.SERVICE_UNAVAILABLE
        else []
    )
    return static.plan_refusal(method, refused.status, refused.sentence, *extra)


def count_answer(told: str) -> Plan:
    """Answer a POST to the bench endpoint."""
    content = f"{told}\n".encode()
    return static.plan_content(
        b"POST", HTTPStatus.OK, content, (b"content-type", b"text/plain")
    )


def _list(request: Request, target: Target, folder: OpenFolder) -> Answer:
    """List a folder; in a thread, because reading a big one takes a while."""
    try:
        content = listing.render(target.raw_path, listing.read_directory(folder.fd))
    except OSError as error:
        logger.error("listing %s failed: %s", target.raw_path, error)  # noqa: TRY400
        refused = Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "The folder cannot be read.")
        return Answer(refusal(request.method, refused))
    finally:
        os.close(folder.fd)
    plan = static.plan_content(
        request.method,
        HTTPStatus.OK,
        content,
        (b"content-type", b"text/html; charset=utf-8"),
        _LISTING_CSP,
    )
    return Answer(plan)
