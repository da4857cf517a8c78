"""The private names of aioquic that the shim for streams stands on."""

from __future__ import annotations

import inspect

from aioquic.h3.connection import H3Connection, H3Stream, Setting
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.stream import QuicStreamReceiver, QuicStreamSender

from quicxdp import aioquic_shim_streams as shim

CLIENT = QuicConnection(configuration=QuicConfiguration(is_client=True))


def test_the_names_used_are_there() -> None:
    """An aioquic that has renamed one fails here, and not in a server under load."""
    used = {
        CLIENT: (
            *("_streams", "_close_event", "_state", "_loss"),
            "_on_max_stream_data_delivery",
        ),
        CLIENT._loss: ("_rtt_initialized", "_rtt_smoothed"),
        QuicStreamSender(0, writable=True): (
            *("highest_offset", "is_finished", "_buffer_start", "_buffer_stop"),
            *("_buffer_fin", "_reset_error_code"),
        ),
        QuicStreamReceiver(0, readable=True): (
            "starting_offset",
            "is_finished",
            "_final_size",
        ),
        H3Stream(0): ("buffer", "receiving_ended", "content_length", "is_ended"),
        H3Connection(CLIENT): (
            *(
                "_decoder",
                "_stream",
                "_is_done",
                "_max_push_id",
                "_local_control_stream_id",
            ),
            *(
                "_init_connection",
                "_get_local_settings",
                "_check_content_length",
                "_quic",
            ),
        ),
    }

    for owner, names in used.items():
        assert [name for name in names if not hasattr(owner, name)] == [], owner


def test_the_methods_replaced_are_called_as_we_expect() -> None:
    """Replacing a method is only as good as the call that reaches it."""
    parameters = inspect.signature(QuicConnection._write_stream_limits).parameters
    source = inspect.getsource(QuicConnection._write_application)

    assert list(parameters) == ["self", "builder", "space", "stream"]
    assert (
        "self._write_stream_limits(builder=builder, space=space, stream=stream)" in source
    )


def test_streams_that_do_not_exist_hold_nothing() -> None:
    """aioquic forgets a stream as soon as both its sides have ended."""
    assert shim.unsent_bytes(CLIENT, 400) == 0
    assert shim.unacknowledged_bytes(CLIENT, 400) == 0
    assert not shim.can_send(CLIENT, 400)
    assert not shim.can_receive(CLIENT, 400)


def test_what_was_written_and_not_sent_is_counted() -> None:
    """The pump goes by it."""
    quic = QuicConnection(configuration=QuicConfiguration(is_client=True))
    quic.send_stream_data(0, bytes(1000))

    assert shim.unsent_bytes(quic, 0) == 1000
    assert shim.unacknowledged_bytes(quic, 0) == 1000
    assert shim.can_send(quic, 0)
    quic.reset_stream(0, 0)
    assert not shim.can_send(quic, 0)


def test_an_ending_is_known_before_aioquic_tells_of_it() -> None:
    """Its event comes three probe timeouts later."""
    quic = QuicConnection(configuration=QuicConfiguration(is_client=True))
    assert shim.ending(quic) is None

    quic.connect(("127.0.0.1", 1), now=0.0)
    quic.close(error_code=0x100, reason_phrase="bye")
    quic.datagrams_to_send(now=0.0)

    ending = shim.ending(quic)
    assert ending is not None
    assert ending.is_ours
    assert ending.event.reason_phrase == "bye"


def test_clients_permit_no_push_and_nobody_offers_a_dynamic_table() -> None:
    """What is not offered cannot be used against us."""
    quic = QuicConnection(configuration=QuicConfiguration(is_client=True))
    connection = shim.BoundedH3Connection(quic, field_section_bytes_max=1000)

    settings = connection.sent_settings
    assert settings is not None
    assert settings[Setting.QPACK_MAX_TABLE_CAPACITY] == 0
    assert settings[Setting.QPACK_BLOCKED_STREAMS] == 0
    assert Setting.ENABLE_CONNECT_PROTOCOL not in settings
    assert connection._max_push_id is None
