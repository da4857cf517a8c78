#!/usr/bin/env python3
"""Write the seeds of fuzz_connection: short plays of two connections.

Run it from anywhere; it overwrites the files that it names in fuzz_connection/ beside
itself.  fuzz_connection.c says what the bytes mean.
"""

import random
from pathlib import Path
from typing import Final

OUT: Final = Path(__file__).parent / "fuzz_connection"
CLIENT: Final = 0
SERVER: Final = 1

# The first byte.
HONEST: Final = 0
HOSTILE: Final = 1
ZERO_RTT: Final = 2
NO_HANDSHAKE: Final = 4
REMEMBERS: Final = 8

# An operation's byte is the side and, from bit 1 on, one of these.
WRITE, RESET, STOP, CONSUME, DATAGRAM, UPDATE, LIMIT, CONTROL, FOREIGN, TIME = (
    0,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
)
HANDSHAKE, AGAIN, LOSE, MAKE_UP, EXCHANGE, FRAMES, MOVE = 11, 12, 13, 14, 15, 16, 17

# fuzz_frames.h: how many forms it has, and a number's byte for each edge.
FORM_CNT: Final = 33
EDGES: Final = range(128, 128 + 3 * 21)
REJECT: Final = 6  # a step of HANDSHAKE


def op(side: int, what: int, *arguments: int) -> bytes:
    """Return one operation."""
    return bytes([side | what << 1, *arguments])


def write(
    side: int, stream: int, size: int, *, fin: bool = False, held: bool = True
) -> bytes:
    """Return a write of *size* bytes."""
    return op(side, WRITE, stream, size >> 8, size & 255, fin | held << 1)


def exchange(rounds: int = 1) -> bytes:
    """Return *rounds* in which both sides send and what they sent arrives."""
    return b"".join(
        op(CLIENT, EXCHANGE, 0) + op(SERVER, EXCHANGE, 0) + op(CLIENT, TIME, 0)
        for _ in range(rounds)
    )


def made_up(side: int, *frames: int, first: int = 0x43, keys: int = 0) -> bytes:
    """Return a packet to *side* that holds *frames*."""
    size = len(frames) | keys << 12
    jump = (1, 0, 0) if first & 3 == 3 else (1,)  # noqa: PLR2004
    return op(side, MAKE_UP, size >> 8, size & 255, first, *jump, *frames)


def play(mode: int, *operations: bytes, options: tuple[int, int] = (0, 0)) -> bytes:
    """Return a whole input."""
    return bytes([mode, *options]) + b"".join(operations)


def honest() -> dict[str, bytes]:
    """Return plays without hostile packets."""
    talk = write(CLIENT, 0, 1500, fin=True) + write(SERVER, 1, 2000) + exchange(6)
    handshake = b"".join(
        op(side, HANDSHAKE, step) for step in range(4) for side in (CLIENT, SERVER)
    )
    return {
        "talk": play(HONEST, talk),
        "talk_cubic_manual": play(
            HONEST, talk, op(SERVER, CONSUME, 0, 5, 0), exchange(3), options=(3, 3)
        ),
        "small_windows": play(HONEST, *[talk] * 3, options=(12, 12)),
        "answers": play(
            HONEST,
            *(
                write(CLIENT, 4 * i, 100, fin=True)
                + exchange(2)
                + write(SERVER, 4 * i, 900, fin=True)
                + exchange(2)
                for i in range(4)
            ),
        ),
        "resets": play(
            HONEST,
            talk,
            op(SERVER, RESET, 1, 9),
            op(SERVER, STOP, 0, 8),
            exchange(4),
        ),
        "datagrams": play(
            HONEST, *(op(CLIENT, DATAGRAM, size, 0) for size in range(5)), exchange(3)
        ),
        "updates": play(
            HONEST,
            *(talk + op(side, UPDATE) + talk for side in (CLIENT, SERVER, CLIENT)),
        ),
        "losses": play(
            HONEST,
            *(talk + op(CLIENT, LOSE) + op(CLIENT, TIME, 99) for _ in range(6)),
        ),
        "duplicates": play(HONEST, *(talk + op(CLIENT, AGAIN, 0) for _ in range(4))),
        "budget": play(
            HONEST,
            op(SERVER, LIMIT, 1, 4, 0),
            talk,
            op(SERVER, LIMIT, 3),
            exchange(4),
        ),
        "control": play(
            HONEST,
            *(op(SERVER, CONTROL, 1 | flags, 7) for flags in (0, 2, 6, 14)),
            exchange(4),
        ),
        "foreign": play(
            HONEST,
            write(CLIENT, 0, 500),
            op(CLIENT, FOREIGN, 1, 0, 7),
            exchange(2),
            op(CLIENT, FOREIGN, 1, 0, 3),
            op(CLIENT, FOREIGN, 1, 0, 12),
            exchange(2),
        ),
        "late_keys": play(
            NO_HANDSHAKE, write(CLIENT, 0, 500), exchange(), handshake, talk
        ),
        "zero_rtt": play(
            ZERO_RTT | NO_HANDSHAKE, write(CLIENT, 0, 500), exchange(2), handshake, talk
        ),
        "zero_rtt_lost": play(
            ZERO_RTT | NO_HANDSHAKE,
            write(CLIENT, 0, 500),
            op(CLIENT, EXCHANGE, 0),
            op(CLIENT, LOSE),
            op(CLIENT, HANDSHAKE, 5),
            handshake,
            talk,
        ),
        "zero_rtt_rejected": play(
            ZERO_RTT | NO_HANDSHAKE | REMEMBERS,
            write(CLIENT, 0, 1900, fin=True),
            write(CLIENT, 4, 1900),
            op(CLIENT, EXCHANGE, 0),
            op(CLIENT, RESET, 4, 9),
            op(CLIENT, EXCHANGE, 0),
            write(CLIENT, 8, 100),
            op(CLIENT, HANDSHAKE, REJECT),
            write(CLIENT, 2, 10),
            handshake,
            exchange(6),
            options=(12, 12),
        ),
        "moves": play(
            HONEST,
            *(talk + op(CLIENT, MOVE, how) + exchange() for how in range(10, 20)),
        ),
        "new_path": play(HONEST, talk, op(CLIENT, HANDSHAKE, 4), talk),
    }


def hostile() -> dict[str, bytes]:
    """Return plays with packets that a peer with keys made up."""
    frames: dict[str, tuple[int, ...]] = {
        "padding": (0, 0, 0),
        "ping": (1,),
        "ack": (2, 0, 0, 0, 0),
        "ack_ranges": (2, 5, 0, 1, 0, 1, 1),
        "ack_ecn": (3, 0, 0, 0, 0, 1, 0, 1),
        "ack_unsent": (2, 0x7F, 0xFF, 0, 0, 0),
        "reset": (4, 0, 1, 10),
        "stop": (5, 1, 1),
        "crypto": (6, 0, 2, 7, 7),
        "new_token": (7, 2, 7, 7),
        "stream": (0x0E, 0, 0, 4, 1, 2, 3, 4),
        "stream_hole": (0x0E, 0, 9, 4, 1, 2, 3, 4, 0x0E, 0, 0, 9, *range(9)),
        "stream_fin": (0x0B, 4, 1, 7),
        "stream_rest": (0x08, 8, 1, 2, 3),
        "stream_far": (0x0C, 0, 0xFF, 255, 255, 255, 255, 255, 255, 255, 1),
        "max_data": (0x10, 0x80, 1, 0, 0),
        "max_stream_data": (0x11, 1, 0x80, 1, 0, 0),
        "max_streams": (0x12, 0x41, 0, 0x13, 0x41, 0),
        "blocked": (0x14, 1, 0x15, 0, 1, 0x16, 1, 0x17, 1),
        "connection_id": (0x18, 2, 0, 4, *range(4), *range(16), 0x19, 0),
        "path": (0x1A, *range(8), 0x1B, *range(8)),
        "close": (0x1C, 1, 0, 1, 120, 0x1D, 1, 0, 0x1E),
        "datagrams": (0x31, 2, 7, 7, 0x31, 0, 0x30, 5),
    }
    before = write(SERVER, 1, 800) + exchange(2)
    plays = {
        name: play(HOSTILE, before, made_up(SERVER, *content), exchange(2))
        for name, content in frames.items()
    }
    plays["all"] = play(
        HOSTILE, before, *(made_up(SERVER, *content) for content in frames.values())
    )
    plays["update"] = play(
        HOSTILE,
        before,
        made_up(SERVER, 1, first=0x47, keys=1),
        exchange(),
        made_up(SERVER, 1, first=0x43, keys=2),
        exchange(),
    )
    plays["update_twice"] = play(
        HOSTILE,
        made_up(SERVER, 1, first=0x47, keys=1),
        made_up(SERVER, 1, first=0x43, keys=2),
    )
    for form in range(FORM_CNT):
        plays[f"form_{form}"] = play(
            HOSTILE,
            before,
            op(SERVER, FRAMES, 0, form, 0, 1, 3, 7, 3, 1),
            op(SERVER, FRAMES, 0, form, 8, 3, 0, 0, 9, 9),
            exchange(),
            options=(form, form),
        )
    for edge in EDGES:
        # Data, a reset, credit and an ACK, all there.
        plays[f"edge_{edge}"] = play(
            HOSTILE,
            before,
            write(CLIENT, 0, 500),
            exchange(2),
            *(
                op(SERVER, FRAMES, 0, *frame)
                for frame in (
                    (14, 0, edge, 1, 5),
                    (15, 4, edge, 2, 5),
                    (4, 8, 1, edge),
                    (17, 1, edge),
                    (2, edge, 0, 2, 0, 0, 1, 1, 2),
                )
            ),
            exchange(2),
        )
    plays["at_the_limits"] = play(
        HOSTILE,
        *(op(SERVER, FRAMES, 0, form, 200 + form % 50) for form in (10, 4, 5, 17, 21)),
    )
    plays["reserved"] = play(HOSTILE, made_up(SERVER, 1, first=0x5B))
    plays["zero_rtt_made_up"] = play(
        HOSTILE | ZERO_RTT, made_up(SERVER, 0x0A, 0, 1, 5, first=0xD3)
    )
    return plays


def random_plays() -> dict[str, bytes]:
    """Return long plays by chance."""
    rng = random.Random(4)  # noqa: S311
    return {
        f"random_{i}": bytes([i % 2, rng.randrange(128), rng.randrange(128)])
        + b"".join(
            op(rng.randrange(2), rng.choice((WRITE, EXCHANGE, EXCHANGE, TIME, AGAIN)))
            + rng.randbytes(rng.randrange(5))
            for _ in range(200)
        )
        for i in range(6)
    }


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for name, content in {**honest(), **hostile(), **random_plays()}.items():
        (OUT / name).write_bytes(content)
