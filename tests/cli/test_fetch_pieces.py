"""What fetch sends, measures and prints, without network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from aioquic.quic.events import ConnectionTerminated
from hypothesis import given
from hypothesis import strategies as st

from quicxdp.aioquic_shim_streams import Ending
from quicxdp.cli import logs, timing, url
from quicxdp.cli.endings import explain
from quicxdp.cli.exits import CommandError, FetchExit
from quicxdp.cli.request_options import DataOption, Outgoing, outgoing, parse_header
from quicxdp.cli.timing import Timing

if TYPE_CHECKING:
    from pathlib import Path

URL = url.parse("https://example.org:4433/x?y")
TIMING = Timing("https://h/", 200, "::1", 443, "socket", 0.001, 0.02, 0.03, 0.5, 1000, 20)


def make(
    *data: DataOption,
    method: str | None = None,
    head: bool = False,
    header: tuple[str, ...] = (),
    byte_range: str | None = None,
) -> Outgoing:
    """Put a request together."""
    return outgoing(
        method=method,
        head=head,
        data=list(data),
        header_lines=list(header),
        byte_range=byte_range,
    )


def headers(request: Outgoing) -> dict[bytes, bytes]:
    """Return the header section of a request, whose body is then closed."""
    body = request.open_body()
    try:
        return dict(request.headers(URL, body))
    finally:
        if body is not None:
            body.close()


def text(
    value: str, *, is_binary: bool = False, may_name_file: bool = True
) -> DataOption:
    """Make a -d."""
    return DataOption(value, is_binary, may_name_file)


def test_a_plain_request_has_what_http_needs() -> None:
    """Pseudo-headers, and who asks."""
    sent = headers(make())

    assert sent[b":method"] == b"GET"
    assert sent[b":scheme"] == b"https"
    assert sent[b":authority"] == b"example.org:4433"
    assert sent[b":path"] == b"/x?y"
    assert sent[b"user-agent"].startswith(b"quicxdp/")
    assert b"content-length" not in sent


def test_data_makes_a_post_of_a_form() -> None:
    """As curl does; several are joined."""
    request = make(text("a=1"), text("b=2"))

    sent = headers(request)
    body = request.open_body()
    assert body is not None
    assert sent[b":method"] == b"POST"
    assert sent[b"content-type"] == b"application/x-www-form-urlencoded"
    assert sent[b"content-length"] == b"7"
    assert body.take() == b"a=1&b=2"


def test_files_are_sent_with_and_without_line_ends(tmp_path: Path) -> None:
    """-d @FILE drops them, --data-binary @FILE does not."""
    path = tmp_path / "form"
    path.write_bytes(b"a=1\r\nb=2\n")

    plain = make(text(f"@{path}")).open_body()
    binary = make(text(f"@{path}", is_binary=True)).open_body()
    raw = make(text("@x", is_binary=True, may_name_file=False)).open_body()

    assert plain is not None
    assert plain.take() == b"a=1b=2"
    assert raw is not None
    assert raw.take() == b"@x"
    assert binary is not None
    assert binary.remaining_bytes == 9
    binary.close()


def test_a_file_that_is_missing_is_named() -> None:
    """With curl's status for it."""
    for is_binary in (False, True):
        with pytest.raises(CommandError, match="/nope cannot be read") as caught:
            make(text("@/nope", is_binary=is_binary))
        assert caught.value.exit_code == FetchExit.READ_ERROR


def test_header_options_add_replace_and_leave_out() -> None:
    """'Name: value', 'Name;' and 'Name:', as in curl."""
    sent = headers(
        make(
            header=("X-A: 1", "User-Agent:", "X-Empty;", "Host: other"), byte_range="0-9"
        )
    )

    assert sent[b"x-a"] == b"1"
    assert sent[b"x-empty"] == b""
    assert sent[b":authority"] == b"other"
    assert sent[b"range"] == b"bytes=0-9"
    assert b"user-agent" not in sent
    assert b"host" not in sent


@pytest.mark.parametrize(
    "line",
    ["x", "", ": x", "a b: c", "a: b\r\nc: d", "a: \0", "Connection: close", "\u00fc: x"],
)
def test_what_is_no_field_of_http3_is_wrong_usage(line: str) -> None:
    """Also line ends, with which a value would become two fields."""
    with pytest.raises(CommandError) as caught:
        parse_header(line)

    assert caught.value.exit_code == FetchExit.USAGE


def test_head_and_data_contradict_each_other() -> None:
    """One asks for no body, the other sends one."""
    with pytest.raises(CommandError):
        make(text("x"), head=True)
    with pytest.raises(CommandError):
        make(method="GE T")


def test_write_out_fills_in_variables() -> None:
    """The names are curl's."""
    form = "%{http_code} %{time_total} %{size_download}%% %{remote_ip}\\n"

    assert timing.unknown_variables(form) == set()
    assert timing.write_out(form, TIMING) == "200 0.500000 1000% ::1\n"
    assert timing.unknown_variables("%{http_code}%{nope}") == {"nope"}


def test_json_has_all_variables() -> None:
    """For programs."""
    parsed = json.loads(timing.write_out("%{json}", TIMING))

    assert parsed["speed_download"] == 2000
    assert parsed["time_appconnect"] == 0.02
    assert parsed.keys() == TIMING.as_dict().keys()


def test_the_summary_is_for_people() -> None:
    """In milliseconds and bits."""
    summary = TIMING.as_text()

    assert "first byte" in summary
    assert "30.000 ms" in summary
    assert "16.0 kbit/s" in summary


@pytest.mark.parametrize(
    ("code", "frame_type", "reason", "is_ours", "exit_code", "said"),
    [
        (0x100 + 42, 6, "unable to get issuer", True, FetchExit.CERTIFICATE, "--cacert"),
        (0x100 + 45, 6, "expired", True, FetchExit.CERTIFICATE, "expired"),
        (0x100 + 42, 6, "", False, FetchExit.QUIC_CONNECT, "the server sent alert 42"),
        (0x100 + 120, 6, "", False, FetchExit.QUIC_CONNECT, "alert 120"),
        (1, 0, "Idle timeout", False, FetchExit.TIMEOUT, "fell silent"),
        (0xA, 0, "x", True, FetchExit.RECEIVE_ERROR, "broke the protocol: PROTOCOL_VIOL"),
        (
            0x10E,
            None,
            "",
            True,
            FetchExit.HTTP3_ERROR,
            "broke the protocol: H3_MESSAGE_ERROR",
        ),
        (
            0x107,
            None,
            "",
            False,
            FetchExit.HTTP3_ERROR,
            "server closed the connection: H3_",
        ),
        (0xABCDEF, None, "\x1b[2J", False, FetchExit.HTTP3_ERROR, "0xabcdef: \\x1b[2J"),
    ],
)
def test_ends_of_connections_are_explained(  # noqa: PLR0917  (a table)
    code: int,
    frame_type: int | None,
    reason: str,
    is_ours: bool,  # noqa: FBT001
    exit_code: FetchExit,
    said: str,
) -> None:
    """What happened and what to do; and no escape sequences from the server."""
    error = explain(Ending(ConnectionTerminated(code, frame_type, reason), is_ours))

    assert error.exit_code == exit_code
    assert said in str(error)


@given(st.one_of(st.text(), st.binary()))
def test_nothing_printed_moves_the_cursor(data: str | bytes) -> None:
    """Log lines and terminals belong to us."""
    assert all("\x20" <= character <= "\x7e" for character in logs.printable(data))
