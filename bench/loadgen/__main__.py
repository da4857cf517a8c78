"""Run the load generator: `bench/loadgen MODE HOST PORT [options]`.

Prints one JSON object.  With `--stdin` in place of everything else, each line of stdin is
such a list of words: the connections are made, "ready" is printed, and at the next line
the run begins.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import quicxdp
from loadgen.endpoint import LoadError
from loadgen.load import prepared
from loadgen.plan import PlanError, parse


async def once(words: list[str]) -> None:
    """Run what *words* describe."""
    async with prepared(parse(words)) as run:
        print(json.dumps(await run.run()), flush=True)


async def lines() -> None:
    """Run what each line of stdin describes, until its end."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        async with prepared(parse(shlex.split(line))) as run:
            print('{"ready": true}', flush=True)
            await loop.run_in_executor(None, sys.stdin.readline)
            # Before the connections are closed: that is no part of the run.
            print(json.dumps(await run.run()), flush=True)


def main(words: list[str]) -> int:
    """Do what the command line says."""
    logging.disable(logging.CRITICAL)
    try:
        if words == ["--stdin"]:
            asyncio.run(lines())
        else:
            asyncio.run(once(words))
    except PlanError as error:
        print(f"loadgen: {error}", file=sys.stderr)
        return 2
    except (LoadError, quicxdp.QuicxdpError, OSError) as error:
        print(f"loadgen: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
