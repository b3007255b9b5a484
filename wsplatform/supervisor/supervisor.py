"""Runs a host's workers, and the registry where the role asks for one, as processes of their own.

The supervisor serves nobody itself: it holds the sockets, so that a worker can end and come back behind them, starts
what ends, and ends everything in order. None of its processes survives it (die_with_parent.py).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec
from loguru import logger

from wsplatform.core.restarts import Restarts
from wsplatform.errors import PlatformError
from wsplatform.folders import temporary_folder
from wsplatform.net.host import address_of, near_address_of
from wsplatform.net.listen import bind, bind_group
from wsplatform.net.tasks import Tasks
from wsplatform.settings import Settings
from wsplatform.settings_load import check_production
from wsplatform.supervisor import settings as settings_of
from wsplatform.supervisor.door import Door
from wsplatform.supervisor.keeper import Keeper
from wsplatform.supervisor.run import Post, Rank

LOOK_SECONDS: Final = 1.0
"""How often it is looked for workers that have fallen silent."""

_STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Worker:
    node_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class Started:
    """What runs, once all of it listens. registry_pid: None where the registry is elsewhere."""

    role: Literal["all", "node"]
    node_id: str
    url: str
    registry_url: str
    workers: tuple[Worker, ...]
    registry_pid: int | None


class Supervisor:
    """`settings`: with node.id set. Role all: the registry has a process of its own, which no worker's end concerns."""

    def __init__(self, settings: Settings, role: Literal["all", "node"]) -> None:
        self._settings = settings
        self._role: Literal["all", "node"] = role
        self._tasks = Tasks()
        self._door: Door | None = None
        self._registry: Keeper | None = None
        self._workers: list[Keeper] = []
        self._silent: set[str] = set()
        self._hopeless: asyncio.Future[PlatformError] = asyncio.get_running_loop().create_future()
        self.ended_well = True
        """Whether each process ended by itself when it was asked to."""

    async def run(self, started: Callable[[Started], None]) -> None:
        """Run until cancelled, then end everything in order; `started` is called when all listen.

        Raises SettingsError and StartError when that cannot be reached; later, when all workers end again and again,
        the error of the one that was the last to end.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._tasks.close)
            info = self._open(stack)
            stack.push_async_callback(self._stop)
            await self._start([] if self._registry is None else [self._registry])
            await self._start(self._workers)
            for keeper in self._keepers:
                keeper.keep()
            self._tasks.start(self._watch(), name="watch workers")
            logger.info("{} workers listen on {}", len(self._workers), info.url)
            started(self._with_processes(info))
            raise await self._hopeless

    def kill(self) -> None:
        """End all processes at once. `run` ends when it is cancelled as well."""
        for keeper in self._keepers:
            keeper.kill()

    # keeper.Owner

    def changed(self) -> None:
        if self._door is not None:
            now = asyncio.get_running_loop().time()
            self._door.point([keeper.rank(now) for keeper in self._workers])

    def hopeless(self, error: PlatformError) -> None:
        if not self._hopeless.done():
            self._hopeless.set_result(error)

    # Inside

    @property
    def _keepers(self) -> list[Keeper]:
        return self._workers if self._registry is None else [self._registry, *self._workers]

    def _open(self, stack: AsyncExitStack) -> Started:
        """Check the settings, listen, and make the keepers. Raises SettingsError and StartError."""
        settings, node = self._settings, self._settings.node
        settings_of.check(settings)
        check_production(settings, node=True, registry=self._role == "all")
        door = Door([stack.enter_context(each) for each in bind_group(node.host, node.port, node.workers)])
        registry_url = settings.registry.url
        if self._role == "all":
            listener = stack.enter_context(bind(node.host, settings.registry.port))
            settings, registry_url = self._with_registry(listener)
        folder = stack.enter_context(temporary_folder(len(f"{node.id}-{node.workers}.sock")))
        restarts = Restarts(f"{node.id}-{number}" for number in range(1, node.workers + 1))
        for number, clients in enumerate(door.sockets, 1):
            own = settings_of.worker(settings, number)
            self._workers.append(self._keeper(Post(own.node.id, "node", own, clients, folder), restarts))
        self._door = door
        url = node.url or address_of("http", node.host, door.sockets[0], settings.registry.url)
        return Started(self._role, node.id, url, registry_url, (), None)

    def _with_registry(self, listener: socket.socket) -> tuple[Settings, str]:
        """The settings of nodes that use the registry at `listener`, and its address for others."""
        settings, host = self._settings, self._settings.node.host
        own = settings_of.registry(settings)
        restarts = Restarts([own.node.id], forever=True)
        self._registry = self._keeper(Post(own.node.id, "registry", own, listener), restarts)
        near = msgspec.structs.replace(settings.registry, url=near_address_of("http", host, listener))
        return msgspec.structs.replace(settings, registry=near), address_of("http", host, listener)

    def _keeper(self, post: Post, restarts: Restarts) -> Keeper:
        return Keeper(post, restarts, os.getpid(), self._tasks, self)

    async def _start(self, keepers: Sequence[Keeper]) -> None:
        """All at the same time; raises the error of the first that does not listen."""
        starting = [self._tasks.start(keeper.start(), name=f"start {keeper.name}") for keeper in keepers]
        try:
            for next_one in asyncio.as_completed(starting):
                error = await next_one
                if error is not None:
                    raise error
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.changed()
            now = asyncio.get_running_loop().time()
            silent = {keeper.name for keeper in self._keepers if keeper.rank(now) is Rank.SILENT}
            for name in silent - self._silent:
                logger.warning("{} has fallen silent: new connections go to the others", name)
            self._silent = silent

    async def _stop(self) -> None:
        """The workers first, all at once, so that clients hear of it; then the registry, to which they say goodbye."""
        settings = self._settings
        seconds = settings.node.drain_seconds + settings.client.close_seconds + 2 * settings.registry.timeout_seconds
        ended = await asyncio.gather(*(worker.stop(seconds + _STOP_SECONDS) for worker in self._workers))
        if self._registry is not None:
            ended.append(await self._registry.stop(_STOP_SECONDS))
        self.ended_well = all(ended)

    def _with_processes(self, info: Started) -> Started:
        workers = tuple(Worker(worker.name, worker.pid) for worker in self._workers)
        return replace(info, workers=workers, registry_pid=self._registry.pid if self._registry else None)
