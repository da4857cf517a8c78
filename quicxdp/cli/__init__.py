"""The command line: `quicxdp` and `python -m quicxdp`."""

from __future__ import annotations

import argparse
import sys

from quicxdp import __version__
from quicxdp.errors import QuicxdpError

from . import bench, cert, doctor, fetch, serve
from .exits import CommandError, ExitCode, sentence
from .help import CommandParser, Formatter

_DESCRIPTION = """\
QUIC and HTTP/3 over batched UDP sockets and AF_XDP.
"""
_EPILOG = """\
examples:
  quicxdp cert && quicxdp serve .
  quicxdp fetch --cacert certs/dev/ca.pem https://localhost:4433/README.md
  quicxdp doctor --interface eth0
  quicxdp bench throughput

exit status: 0 done; 1 failed; 2 wrong usage; 3 could not start.  `fetch` has more, those
of curl: see `quicxdp fetch --help`.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="quicxdp",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action="version", version=f"quicxdp {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for command in (serve, fetch, cert, doctor, bench):
        command.add_parser(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    options = make_parser().parse_args(arguments)
    run = options.run
    try:
        return int(run(options))
    except CommandError as error:
        print(f"quicxdp: {error}", file=sys.stderr)
        return int(error.exit_code)
    except QuicxdpError as error:
        print(f"quicxdp: {sentence(error)}", file=sys.stderr)
        return ExitCode.FAILURE
    except KeyboardInterrupt:
        return 130  # as a shell reports a process ended by SIGINT
    except BrokenPipeError:
        # Whoever read our output has seen enough.  Standard output is made harmless, or
        # the interpreter would complain when it flushes it at exit.
        sys.stdout = None
        return ExitCode.FAILURE
