"""A process of the local cluster: started so that it cannot outlive this one, heard, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from wsplatform.die_with_parent import command
from wsplatform.errors import StartError
from wsplatform.net.tasks import Tasks
from wsplatform.supervisor.run import describe

START_SECONDS = 30.0
_CHUNK = 65_536
_LONGEST_LINE = 1_048_576


class Child:
    """`wsplatform serve` with `arguments`. What it writes to standard error goes to `say`, a line at a time."""

    def __init__(self, name: str, say: Callable[[str], None], tasks: Tasks) -> None:
        self.name = name
        self._say = say
        self._tasks = tasks
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
        """Returns what the process says of itself once it listens: url, node_id, … Raises StartError."""
        program = [sys.executable, "-m", "wsplatform", "serve", "--json", *arguments]
        self._process = await asyncio.create_subprocess_exec(
            # Not SIGTERM: a drain of a cluster that has lost its terminal helps nobody.
            *command(signal.SIGKILL, program),
            env=environment,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # the terminal's Ctrl-C is for the parent, which stops things in order
        )
        self._tasks.start(self._listen(), name=f"log of {self.name}")
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await self._process.stdout.readline()
        except TimeoutError as error:
            raise StartError("start_timeout", f"{self.name} did not start within {START_SECONDS:.0f} s.") from error
        if not line:
            status = await self.ended()
            raise StartError(
                "start_failed", f"{self.name} did not start ({describe(status)}): its lines above say why."
            )
        info: dict[str, Any] = msgspec.json.decode(line)
        return info

    async def ended(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, seconds: float) -> None:
        """Ask it to end, make it end after `seconds`. Idempotent."""
        if self._process is None or self._process.returncode is not None:
            return
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            self._say(f"{self.name} does not end: killed")
            self.signal(signal.SIGKILL)
            await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        # Not Process.send_signal, which looks whether it has ended: asyncio would then not hear with which status
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in _lines(self._process.stderr):
            self._say(line)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    rest = b""
    while chunk := await stream.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
        if len(rest) > _LONGEST_LINE:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")
