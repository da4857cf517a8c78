"""--pcap of the commands: the file, and where TLS secrets go."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TextIO, cast

from quicxdp.capture import MAX_BYTES_DEFAULT, Capture
from quicxdp.errors import QuicxdpError

from .exits import StartError, sentence
from .options import mebibytes
from .private_file import new_file

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add --pcap and its relatives."""
    add = parser.add_argument
    add(
        "--pcap",
        type=new_file,
        metavar="FILE",
        help="write the packets of both lanes to this new pcapng file, for Wireshark; "
        "{time} and {pid} in its name are replaced",
    )
    add(
        "--pcap-secrets",
        action="store_true",
        help="embed the TLS secrets; whoever has the file can read everything",
    )
    add(
        "--pcap-max",
        type=mebibytes,
        default=MAX_BYTES_DEFAULT,
        metavar="MIB",
        help=f"how long the file may get (default: {MAX_BYTES_DEFAULT >> 20})",
    )


def create(options: argparse.Namespace) -> Capture | None:
    """Create the file of --pcap, if it was given; whoever gets it enters or closes it.

    Raises:
        StartError: it exists, or cannot be created.
    """
    if options.pcap is None:
        if options.pcap_secrets:
            options.usage_error("--pcap-secrets needs --pcap")
        return None
    try:
        return Capture(
            options.pcap, max_bytes=options.pcap_max, with_secrets=options.pcap_secrets
        )
    except FileExistsError:
        raise StartError(
            f"the capture file {options.pcap} exists; packets are only written to a new "
            f"file: remove it, or put {{time}} or {{pid}} into its name"
        ) from None
    except (OSError, QuicxdpError) as error:
        raise StartError(
            f"the capture file {options.pcap} cannot be made: {sentence(error)}"
        ) from None


def secrets_log(*logs: object) -> TextIO | None:
    """Return what writes TLS secrets to all of *logs* that are not None."""
    files = [cast("TextIO", log) for log in logs if log is not None]
    if len(files) < 2:  # noqa: PLR2004
        return files[0] if files else None
    return cast("TextIO", _Tee(files))


class _Tee(io.TextIOBase):
    """Writes everything to several files."""

    def __init__(self, files: list[TextIO]) -> None:
        super().__init__()
        self._files = files

    def write(self, text: str, /) -> int:
        for file in self._files:
            file.write(text)
        return len(text)

    def flush(self) -> None:
        for file in self._files:
            file.flush()
