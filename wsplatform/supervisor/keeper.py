"""Keeps one process running: starts it again when it has ended, later each time."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import Final, Protocol

from loguru import logger

from wsplatform.core.restarts import Restarts
from wsplatform.errors import PlatformError
from wsplatform.net.tasks import Tasks
from wsplatform.supervisor.run import Post, Rank, Run, describe

_FINAL: Final = "superseded"
"""Another process has the id: one that is started again would take it back, and so on for ever."""


_WELL: Final = (0, -signal.SIGTERM)
"""How a process ends that is asked to, the latter when it was not yet able to listen to that."""


class Owner(Protocol):
    def changed(self) -> None:
        """A rank may be another."""

    def hopeless(self, error: PlatformError) -> None:
        """No process of these restarts can be expected to run; `error`: why the last of them has ended."""


class Keeper:
    """`restarts`: the account of this process and those like it. `parent`: the supervisor's process id."""

    def __init__(self, post: Post, restarts: Restarts, parent: int, tasks: Tasks, owner: Owner) -> None:
        self.name = post.name
        self._post = post
        self._restarts = restarts
        self._parent = parent
        self._tasks = tasks
        self._owner = owner
        self._run: Run | None = None
        self._making: asyncio.Task[PlatformError | None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """0: there is no process."""
        return 0 if self._run is None else self._run.pid

    def rank(self, now: float) -> Rank:
        return Rank.NOTHING if self._run is None else self._run.rank(now)

    async def start(self) -> PlatformError | None:
        """The first time. Returns when it listens, or why it does not."""
        self._restarts.began(self.name, _now())
        self._making = self._tasks.start(self._make(), name=f"make {self.name}")
        # A start that is given up waits for this in `stop`: asyncio would forget the process before its end is known
        error = await asyncio.shield(self._making)
        if error is not None or self._run is None:
            return error
        try:
            await self._run.listening()
        except PlatformError as failure:
            return failure
        return None

    def keep(self) -> None:
        """From now on it is started again when it ends."""
        self._keeping = self._tasks.start(self._keep(), name=f"keep {self.name}")

    async def stop(self, seconds: float) -> bool:
        """Ask it to end, make it end after `seconds`, and leave it so; whether it ended well. Idempotent."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        if self._making is not None:
            await asyncio.wait([self._making])
        if self._run is None:
            return True
        self._run.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                return await self._run.ended() in _WELL
        except TimeoutError:
            logger.warning("{} does not end: killed", self.name)
            self._run.signal(signal.SIGKILL)
            await self._run.ended()
            return False

    def kill(self) -> None:
        if self._run is not None:
            self._run.signal(signal.SIGKILL)

    async def _make(self) -> PlatformError | None:
        try:
            self._run = await Run.start(self._post, self._parent, self._tasks, self._owner.changed)
        except PlatformError as error:
            return error
        return None

    async def _keep(self) -> None:
        while True:
            assert self._run is not None
            status = await self._run.ended()
            error = self._run.error(status)
            self._owner.changed()
            wait = self._restarts.ended(self.name, _now(), random.random())  # noqa: S311 - spreads restarts
            if error.code == _FINAL:
                self._restarts.retire(self.name)
            if self._restarts.hopeless(_now()):
                self._owner.hopeless(error)
                return
            if error.code == _FINAL:
                logger.error("{} is not started again: {}", self.name, error)
                return
            logger.warning("{} has ended ({}): started again in {:.1f} s", self.name, describe(status), wait)
            await asyncio.sleep(wait)
            await self._again()

    async def _again(self) -> None:
        error = await self.start()
        if error is None:
            logger.info("{} runs again (process {})", self.name, self.pid)
        else:
            logger.error("{} does not start: {}", self.name, error)


def _now() -> float:
    return asyncio.get_running_loop().time()
