"""The one place where tasks are made."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from loguru import logger

T = TypeVar("T")


class Tasks:
    """Makes tasks, keeps a reference to each, logs one that fails by its name, cancels all at close.

    The event loop itself holds tasks weakly: one that nobody else refers to can vanish half-way.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    def start(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run `coro` in a task. Whoever awaits the task gets its exception as well.

        Raises:
            RuntimeError: after `close`; the coroutine is closed unrun.
        """
        if self._closed:
            coro.close()
            raise RuntimeError(f"task {name} was started after close")
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel all and wait until each has ended (but for the one that calls this). Idempotent."""
        self._closed = True
        waiting = self._running - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._running)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            logger.opt(exception=error).error("task {} failed", task.get_name())
