"""A node on an event loop of its own, in a thread: it can stand still while the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread
from typing import Any, TypeVar

from wsplatform.testing.transport_nodes import TransportNode

T = TypeVar("T")


class Apart:
    """While it stands still, its sockets stay open and nobody reads or writes them: as in a process that got SIGSTOP.

    Of `node`, only what has been received and told may be looked at from outside; everything else is for `call`.
    """

    def __init__(self, node: TransportNode, loop_factory: Callable[[], Any] | None) -> None:
        self.node = node
        self._loop_factory = loop_factory
        self._goes_on = Event()
        self._ready: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop
        self._leave: asyncio.Event

    async def start(self) -> None:
        self._goes_on.set()
        Thread(target=self._run, name=f"node {self.node.id}", daemon=True).start()
        await asyncio.wrap_future(self._ready)

    async def stop(self) -> None:
        self.thaw()
        self._loop.call_soon_threadsafe(self._leave.set)
        await asyncio.wrap_future(self._ended)

    async def call(self, function: Callable[[], T]) -> T:
        """Carry it out on the node's own loop."""

        async def run() -> T:
            return function()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._loop))

    def freeze(self) -> None:
        self._goes_on.clear()
        self._loop.call_soon_threadsafe(self._goes_on.wait)

    def thaw(self) -> None:
        self._goes_on.set()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for this thread
            for future in (self._ready, self._ended):
                if not future.done():
                    future.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        await self.node.start()
        self._ready.set_result(None)
        await self._leave.wait()
        await self.node.stop()
