"""Run the load generator: `python -m quicxdp.loadgen MODE HOST PORT [options]`.

Prints one JSON object.  With `--stdin` in place of everything else it takes lines and
answers with lines of JSON, until its input ends:

    MODE HOST PORT [options]   the connections are made, then {"ready": true}
    go                         the run begins; {"progress": ...}, as often as --progress
                               says, and its report when it is over
    stop                       the run ends now; its report says what was done

A failure is {"error": ..., "kind": ..., "partial": ...}, where `partial` is the report of
what was done until then, or null.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shlex
import sys
from typing import TYPE_CHECKING, Any

from quicxdp.errors import QuicxdpError

from .failures import LoadError
from .load import Run, prepared
from .plan import PlanError, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def say(answer: dict[str, Any]) -> None:
    """Print an answer."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def once(words: list[str]) -> None:
    """Run what *words* describe."""
    async with prepared(parse(words)) as run:
        say(await run.run())


async def lines() -> None:
    """Run what the lines of stdin describe, until its end."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        try:
            async with prepared(parse(shlex.split(line.decode()))) as run:
                say({"ready": True})
                if not await reader.readline():
                    return
                # Before the connections are closed: that is no part of the run.
                say(await _run(run, reader))
        except LoadError as error:
            say({"error": str(error), "kind": error.kind.value, "partial": error.partial})
        except (QuicxdpError, OSError) as error:
            say({"error": str(error), "kind": "local", "partial": None})


async def _run(run: Run, reader: asyncio.StreamReader) -> dict[str, Any]:
    """Run, with an eye on stdin."""
    run.on_progress = lambda told: say({"progress": told})
    async with _watched(run, reader):
        return await run.run()


@contextlib.asynccontextmanager
async def _watched(run: Run, reader: asyncio.StreamReader) -> AsyncIterator[None]:
    """Stop the run at the next line, or when whoever wanted it has gone."""

    async def watch() -> None:
        await reader.readline()
        run.stop()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def main(words: list[str]) -> int:
    """Do what the command line says."""
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(lines() if words == ["--stdin"] else once(words))
    except PlanError as error:
        sys.stderr.write(f"loadgen: {error}\n")
        return 2
    except (LoadError, QuicxdpError, OSError) as error:
        sys.stderr.write(f"loadgen: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
