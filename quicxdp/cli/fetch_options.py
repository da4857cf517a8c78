"""The options of `quicxdp fetch`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from . import capture_file, logs, url
from .options import LOOPS, add_engine_option, add_family_options, add_io_options, seconds
from .private_file import new_file
from .request_options import DataOption

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONNECT_TIMEOUT_S = 10.0

_DESCRIPTION = """\
Fetch https URLs over HTTP/3.  Options that curl has too mean the same.
"""
_EPILOG = """\
examples:
  quicxdp fetch https://cloudflare-quic.com/
  quicxdp fetch --cacert certs/dev/ca.pem -O https://localhost:4433/big.iso
  quicxdp fetch -I --insecure https://127.0.0.1:4433/
  quicxdp fetch -d name=value https://localhost:4433/form --cacert certs/dev/ca.pem
  quicxdp fetch --timing -o /dev/null https://localhost:4433/1000000 --insecure
  quicxdp fetch --connect-to example.org:443:127.0.0.1:4433 https://example.org/

-w knows url, http_code, http_version, remote_ip, remote_port, io, time_namelookup,
time_appconnect, time_starttransfer, time_total, size_download, size_upload,
speed_download (bytes per second) and json (all of them).

exit status, where curl has the same number for it:
   0 done                                   28 timeout, or the server fell silent
   1 another failure                        45 the lane or interface cannot be used
   2 wrong usage                            56 the connection broke
   3 not a URL, or could not start          60 the certificate is not trusted
   6 the name has no address                77 the --cacert file cannot be used
   7 cannot connect                         95 the server broke HTTP/3 or reset the stream
  18 the body broke off                     96 the TLS handshake failed
  22 the server answered 400 or more (-f)  130 ended by Ctrl-C, 143 by SIGTERM
  23 the output cannot be written
  26 a file to send cannot be read
"""


class _DataAction(argparse.Action):
    """Collect -d and its relatives in the order given."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        option = DataOption(
            text=str(values),
            is_binary=option_string in ("--data-binary", "--data-raw"),
            may_name_file=option_string != "--data-raw",
        )
        namespace.data = [*namespace.data, option]


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add the command's options to the command line; the command adds `run`."""
    parser = commands.add_parser(
        "fetch",
        help="fetch a URL over HTTP/3",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("urls", nargs="+", metavar="URL", help="what to fetch")
    _add_output_options(parser.add_argument_group("output"))
    _add_request_options(parser.add_argument_group("request"))
    _add_connection_options(parser.add_argument_group("connection"))
    add_io_options(parser)
    add_engine_option(parser)
    add("--loop", choices=LOOPS, default="auto", help="event loop (default: %(default)s)")
    add(
        "--log-level",
        type=logs.LogLevel,
        choices=list(logs.LogLevel),
        default=logs.LogLevel.WARNING,
        metavar="LEVEL",
        help="debug, info, warning or error (default: warning)",
    )
    parser.set_defaults(data=[], usage_error=parser.error)
    return parser


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="FILE",
        help="write the body there, - is standard output; once per URL",
    )
    add(
        "-O",
        "--remote-name",
        action="store_true",
        help="write bodies to files named as in the URL, in this folder",
    )
    add("-i", "--include", action="store_true", help="write the response's fields too")
    add("-I", "--head", action="store_true", help="ask for the fields only (HEAD)")
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="tell what happens, on standard error",
    )
    add(
        "-f",
        "--fail",
        action="store_true",
        help="take a status of 400 or more for a failure (22), and write no body",
    )
    add("--no-progress", action="store_true", help="never show a progress bar")
    add(
        "--timing", action="store_true", help="print a summary of times to standard error"
    )
    add(
        "-w",
        "--write-out",
        metavar="FORMAT",
        help="print this to standard output afterwards, such as "
        "'%%{http_code} %%{time_total}\\n'",
    )
    add("--json", action="store_true", help="print the times as JSON: -w '%%{json}\\n'")


def _add_request_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "-X", "--request", metavar="METHOD", help="method (default: GET, or POST with -d)"
    )
    add(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="LINE",
        help="another field, 'Name: value'; 'Name:' leaves one out; repeatable",
    )
    add(
        "-d",
        "--data",
        "--data-binary",
        "--data-raw",
        action=_DataAction,
        dest="data",
        metavar="DATA",
        help="send this body; @FILE reads a file, @- standard input; -d drops line ends, "
        "--data-binary sends as is, --data-raw takes @ for itself; repeatable, joined "
        "by &",
    )
    add(
        "-r", "--range", metavar="RANGE", help="ask for these bytes, such as 0-99 or -500"
    )


def _add_connection_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "-k",
        "--insecure",
        action="store_true",
        help="do not check the server's certificate: anybody could answer",
    )
    add(
        "--cacert",
        type=Path,
        metavar="FILE",
        help="trust these authorities (PEM) instead of the usual ones",
    )
    add(
        "--connect-to",
        type=url.connect_to,
        action="append",
        default=[],
        dest="reroutes",
        metavar="HOST1:PORT1:HOST2:PORT2",
        help="connect to HOST2:PORT2 for HOST1:PORT1; empty fields match or keep all",
    )
    add(
        "--resolve",
        type=url.resolve,
        action="append",
        default=[],
        dest="reroutes",
        metavar="HOST:PORT:ADDRESS",
        help="take ADDRESS for HOST:PORT without looking it up",
    )
    add_family_options(group)
    add(
        "-m",
        "--timeout",
        "--max-time",
        type=seconds,
        metavar="SECONDS",
        help="how long a URL may take in all (default: for ever)",
    )
    add(
        "--connect-timeout",
        type=seconds,
        default=_CONNECT_TIMEOUT_S,
        metavar="SECONDS",
        help="how long connecting may take (default: %(default)g)",
    )
    add(
        "--secrets-log",
        type=new_file,
        metavar="FILE",
        help="write TLS secrets for Wireshark to this new file ({time} and {pid} in its "
        "name are replaced)",
    )
    capture_file.add_options(group)
