"""A process of the platform, as `wsplatform serve --role all` runs it, that answers questions about itself.

    python -m benchmarks.probes.node PORT

Each line of standard input is a question, answered with a line of JSON:

    objects   how many objects the garbage collector has to look at
    collect   seconds of CPU that a full collection takes
    watch     begin to time every turn of the event loop
    longest   the longest since, in seconds of CPU, and how many
    tasks     how many tasks the event loop has
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time

import uvloop

from wsplatform import logs
from wsplatform.app import collect_seldom, serve
from wsplatform.resources import folder
from wsplatform.settings_load import load


class Turns:
    """Times the turns of a loop: a callback that comes in each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._on = False
        self._last = self._longest = 0.0
        self._count = 0

    def start(self) -> None:
        self._on = True
        self._longest, self._count, self._last = 0.0, 0, time.thread_time()
        self._loop.call_soon(self._turn)

    def stop(self) -> dict[str, float]:
        self._on = False
        return {"longest": self._longest, "turns": self._count}

    def _turn(self) -> None:
        now = time.thread_time()
        self._longest = max(self._longest, now - self._last)
        self._count += 1
        self._last = now
        if self._on:
            self._loop.call_soon(self._turn)


def _collect() -> dict[str, float]:
    before = time.thread_time()
    gc.collect()
    return {"seconds": time.thread_time() - before}


def _answer(turns: Turns, loop: asyncio.AbstractEventLoop) -> None:
    for question in os.read(sys.stdin.fileno(), 4096).decode().split():
        answer: dict[str, float] = {}
        if question == "objects":
            answer = {"tracked": len(gc.get_objects()), "frozen": gc.get_freeze_count()}
        elif question == "collect":
            answer = _collect()
        elif question == "watch":
            turns.start()
        elif question == "longest":
            answer = turns.stop()
        elif question == "tasks":
            answer = {"tasks": len(asyncio.all_tasks(loop))}
        print(json.dumps(answer), flush=True)


async def _main(port: str) -> None:
    settings = load("development", folder("config"), environ=os.environ, flags={"node.port": port})
    logs.set_up(settings.log, "probe")
    loop = asyncio.get_running_loop()
    turns = Turns(loop)
    loop.add_reader(sys.stdin.fileno(), _answer, turns, loop)
    await serve(settings, role="all", stop=asyncio.Event(), ready=lambda _: collect_seldom())


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
