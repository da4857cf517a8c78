"""Exit statuses of the command line, and the one exception that carries one.

Every command but ``fetch`` keeps to the four of `ExitCode`.  ``fetch`` answers as curl
would where curl has an answer (`FetchExit`), so that scripts written for one read the
other; its 1, 2 and 3 mean the same as everywhere else, only more precisely.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What every command may end with."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NO_START = 3


class FetchExit(IntEnum):
    """What ``fetch`` ends with; the numbers are curl's, in its libcurl-errors page."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    BAD_URL = 3
    NO_ADDRESS = 6
    NO_CONNECTION = 7
    PARTIAL = 18
    HTTP_ERROR = 22
    WRITE_ERROR = 23
    READ_ERROR = 26
    TIMEOUT = 28
    NO_LOCAL_ADDRESS = 45
    RECEIVE_ERROR = 56
    CERTIFICATE = 60
    BAD_CA_FILE = 77
    HTTP3_ERROR = 95
    QUIC_CONNECT = 96


def sentence(error: BaseException) -> str:
    """Return what an exception says, without the number that OSError puts in front."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


class CommandError(Exception):
    """A command cannot go on: the sentence for the user and the status to end with."""

    def __init__(
        self, message: str, exit_code: ExitCode | FetchExit = ExitCode.FAILURE
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StartError(CommandError):
    """Something needed before the command could start is missing or unusable."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.NO_START)
