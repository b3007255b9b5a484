"""`wsplatform cluster` as a user starts it."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import signal
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.support.cli import clean_environment, program
from tests.support.marked import MARK, marked_processes
from tests.support.wait import eventually


class LocalCluster:
    """`async with LocalCluster("--nodes", "2") as cluster`: ready, or, without JSON, begun.

    mark: the value of a variable that all its processes inherit, by which they are known.
    temporary: the folder that it has for its temporary files; short, for HAProxy's sockets are in it.
    """

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None, json_: bool = True) -> None:
        self.temporary = Path(tempfile.mkdtemp(prefix="t-"))
        self.info: dict[str, Any] = {}
        self.mark = secrets.token_hex(16)
        self._json = json_
        self._arguments = ["cluster", "--port", "0", *(["--json"] if json_ else []), *arguments]
        self._env = {**(env or {}), "TMPDIR": str(self.temporary), MARK: self.mark}
        self._process: Process | None = None
        self._errors: list[bytes] = []
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; does not wait."""
        command = program(*self._arguments)
        self._process = await asyncio.create_subprocess_exec(
            *command, env=clean_environment(self._env), stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        self._reader = asyncio.get_running_loop().create_task(self._read_errors())

    async def ready(self) -> None:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 40)
        assert line, self.errors
        self.info = json.loads(line)

    async def text(self) -> str:
        """What a cluster without --json has printed, once all of it is there."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readuntil(b"/examples/chat/\n"), 40)).decode()

    async def end(self, number: signal.Signals = signal.SIGINT, within: float = 15.0) -> int:
        """Send the signal to the one process that the user started; its exit status."""
        self.process.send_signal(number)
        return await self.ended(within)

    async def ended(self, within: float = 15.0) -> int:
        status = await asyncio.wait_for(self.process.wait(), within)
        assert self._reader is not None
        await self._reader
        return status

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    @property
    def errors(self) -> str:
        """Standard error so far."""
        return b"".join(self._errors).decode()

    def processes(self) -> dict[int, str]:
        """Process id -> command line of all that the cluster is made of, itself included."""
        return marked_processes(self.mark)

    async def gone(self, within: float = 5.0) -> None:
        await eventually(lambda: not self.processes(), within=within, why=f"left: {self.processes()}")

    async def __aenter__(self) -> Self:
        await self.start()
        try:
            if self._json:
                await self.ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            await self.end(signal.SIGKILL)
        await self.gone()
        shutil.rmtree(self.temporary, ignore_errors=True)

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(65536):
            self._errors.append(chunk)
