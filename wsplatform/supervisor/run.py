"""One run of a process that the supervisor has started, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Literal

import msgspec
from loguru import logger

from wsplatform.errors import PlatformError, StartError
from wsplatform.net.tasks import Tasks
from wsplatform.settings import Settings
from wsplatform.supervisor.messages import Failed, Listening, Order, Pulse, Report

START_SECONDS: Final = 60.0
SILENT_SECONDS: Final = 3.0
"""A process that was not heard of for so long hangs, or is stopped: it answers nobody."""


class Rank(IntEnum):
    """How much can be expected of a process at the moment."""

    NOTHING = 0
    SILENT = 1
    ANSWERS = 2
    READY = 3


@dataclass(frozen=True, slots=True)
class Post:
    """What is to be run, under a name. `folder`: of the nodes' unix sockets; None for a registry."""

    name: str
    role: Literal["node", "registry"]
    settings: Settings
    clients: socket.socket
    folder: Path | None = None

    def order(self, parent: int) -> Order:
        return Order(
            role=self.role,
            settings=self.settings,
            parent=parent,
            clients=self.clients.fileno(),
            folder=str(self.folder or ""),
        )


class Run:
    """`changed` is called when `rank` may be another."""

    def __init__(self, name: str, process: Process, changed: Callable[[], None]) -> None:
        self.name = name
        self.pid = process.pid
        self.failure: Failed | None = None
        self._process = process
        self._changed = changed
        self._told = asyncio.Event()  # that it listens, or that it will not
        self._finished = asyncio.Event()  # there is nothing more to read
        self._listening: Listening | None = None
        self._ready = False
        self._heard = 0.0

    @classmethod
    async def start(cls, post: Post, parent: int, tasks: Tasks, changed: Callable[[], None]) -> Run:
        """Raises StartError `worker_failed` when there can be no process more."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "wsplatform.supervisor.worker", post.name),
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=[post.clients.fileno()],
                start_new_session=True,  # the terminal's Ctrl-C is for the supervisor, which ends things in order
            )
        except OSError as error:
            raise StartError("worker_failed", f"{post.name} cannot be started ({error.strerror}).") from error
        run = cls(post.name, process, changed)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(post.order(parent)))
        process.stdin.close()
        tasks.start(run._listen(), name=f"reports of {post.name}")
        return run

    def rank(self, now: float) -> Rank:
        if self._process.returncode is not None or self._listening is None:
            return Rank.NOTHING
        if now - self._heard > SILENT_SECONDS:
            return Rank.SILENT
        return Rank.READY if self._ready else Rank.ANSWERS

    async def listening(self) -> Listening:
        """Raises the PlatformError for which it does not, StartError `worker_failed` or `start_timeout`."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._told.wait()
        except TimeoutError as error:
            self.signal(signal.SIGKILL)
            raise StartError("start_timeout", f"{self.name} did not start within {START_SECONDS:.0f} s.") from error
        if self._listening is None:
            raise self.error(await self.ended())
        return self._listening

    async def ended(self) -> int:
        """Wait for its end, and for its last word; the exit status, negative for a signal."""
        status = await self._process.wait()
        await self._finished.wait()
        return status

    def error(self, status: int) -> PlatformError:
        """Why it has ended."""
        if self.failure is not None:
            return PlatformError(self.failure.code, self.failure.message)
        return StartError("worker_failed", f"{self.name} has ended ({describe(status)}): its lines above say why.")

    def signal(self, number: signal.Signals) -> None:
        # Not Process.send_signal, which looks whether it has ended: asyncio would then not hear with which status
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                self._take(msgspec.json.decode(line, type=Report))
            except msgspec.DecodeError:
                logger.warning("{} reports what cannot be read", self.name)
        self._told.set()
        self._finished.set()

    def _take(self, report: Report) -> None:
        self._heard = asyncio.get_running_loop().time()
        match report:
            case Listening():
                self._listening = report
                self._told.set()
            case Pulse(ready):
                self._ready = ready
            case Failed():
                self.failure = report
        self._changed()


def describe(status: int) -> str:
    """An exit status for people."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
