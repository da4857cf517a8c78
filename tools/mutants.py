#!/usr/bin/env python3
"""Break the engine on purpose, bug by bug; the differential tests must notice.

    tools/mutants.py [NAME ...]

Each bug is seeded into a copy of the sources, which is built and tested there.  Ends with
an error if one is not caught, or if the text that it replaces is no longer in the source.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
COPIED: Final = ("quicxdp", "native", "tests", "tools", "pyproject.toml", "README.md")
TESTS: Final = "tests/differential"


@dataclass(frozen=True)
class Mutant:
    """A bug: in *file* of native/src/quic, *right* becomes *wrong*; *test* sees it."""

    file: str
    right: str
    wrong: str
    test: str


MUTANTS: Final[dict[str, Mutant]] = {
    "a nonce is used twice": Mutant(
        "control.c",
        "err = sent_reserve(&c->recovery.sent, pn);",
        "err = 0; *pn = c->recovery.sent.next;",
        "test_keys.py",
    ),
    "the amplification limit is not counted": Mutant(
        "packetize.c", "c->budget_bytes -= len;", ";", "test_handshake.py"
    ),
    "duplicates are handled again": Mutant(
        "ack.c",
        "return pn < a->floor || ranges_contain(&a->received, pn);",
        "return pn < a->floor;",
        "test_transfer.py",
    ),
    "lost control frames count as acknowledged": Mutant(
        "connection.c",
        "acked ? QX_EV_CONTROL_ACKED : QX_EV_CONTROL_LOST)->value",
        "QX_EV_CONTROL_ACKED)->value",
        "test_handshake.py",
    ),
    "key updates of version 1 have another label": Mutant(
        "protect_keys.c", '"tls13 quic ku"', '"tls13 quic kv"', "test_keys.py"
    ),
    "a generation of keys left out is not looked for": Mutant(
        "keys.c",
        "protect_expect_skip(c->keys[QX_EPOCH_ONE_RTT][0]);",
        ";",
        "test_keys.py",
    ),
    "connection flow control is not checked": Mutant(
        "streams_recv.c",
        "return flow_received(&st->recv.flow, more) && flow_received(&s->flow, more);",
        "return flow_received(&st->recv.flow, more);",
        "test_frame_scripts.py",
    ),
    "streams beyond the limit have the wrong error": Mutant(
        "streams_recv.c",
        "return ours ? STREAM_ERR_STATE : STREAM_ERR_LIMIT;",
        "return STREAM_ERR_STATE;",
        "test_frame_scripts.py",
    ),
    "the final size may grow": Mutant(
        "recv_stream.c",
        "if (end > s->final_size || (fin && end != s->final_size))",
        "if (fin && end < s->final_size)",
        "test_frame_scripts.py",
    ),
    "overlapping data is put in the wrong place": Mutant(
        "recv_stream.c", "data += s->ready - off;", ";", "test_frame_scripts.py"
    ),
    "a lost end of a stream is not sent again": Mutant(
        "send_stream.c",
        "if (fin && !s->fin_acked)",
        "if (fin && s->fin_acked)",
        "test_transfer.py",
    ),
    "early data is not sent again": Mutant(
        "zero_rtt.c",
        "recovery_lose_zero_rtt(&c->recovery, now_ns);",
        "(void)now_ns;",
        "test_handshake.py",
    ),
    "rejected early data keeps to the limits of the ticket": Mutant(
        "zero_rtt.c", "streams_begin_again(&c->streams);", ";", "test_handshake.py"
    ),
    "a reset drops its error code": Mutant(
        "frames_in.c", "ev->value = reset;", "ev->value = 0;", "test_transfer.py"
    ),
    "frames that are left are not passed up": Mutant(
        "receive.c",
        "pass_up(c, p, o->pn, largest_before, flags, o->header_len_bytes, payload,\n"
        "\t\tf.left_bytes);",
        "pass_up(c, p, o->pn, largest_before, flags, o->header_len_bytes, payload,\n"
        "\t\t0);",
        "test_close.py",
    ),
}


def build(tree: Path) -> None:
    """Build the extension of a tree."""
    subprocess.run(
        [sys.executable, "quicxdp/_native_build.py"],
        cwd=tree,
        check=True,
        capture_output=True,
        text=True,
    )


def is_caught(tree: Path, mutant: Mutant) -> bool:
    """Tell whether a mutant's tests fail."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
            f"{TESTS}/{mutant.test}",
        ],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 1 and " failed" in done.stdout


def main() -> int:
    """Try all mutants, or those that are named."""
    names = sys.argv[1:] or list(MUTANTS)
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("*.so", "build*", "__pycache__")
                shutil.copytree(source, tree / name, ignore=ignored)
            else:
                shutil.copy(source, tree / name)
        build(tree)
        for name in names:
            mutant = MUTANTS[name]
            path = tree / "native" / "src" / "quic" / mutant.file
            text = path.read_text(encoding="utf-8")
            if text.count(mutant.right) != 1:
                raise SystemExit(f"{mutant.file} has not once: {mutant.right}")
            path.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")
            build(tree)
            caught = is_caught(tree, mutant)
            print(f"{'caught' if caught else 'ALIVE '}  {name}", flush=True)
            if not caught:
                survivors.append(name)
            path.write_text(text, encoding="utf-8")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
