"""Tasks are kept, named, logged when they fail and all ended at close."""

from __future__ import annotations

import asyncio
import gc

import pytest
from loguru import logger

from tests.support.wait import eventually
from wsplatform.net.tasks import Tasks


async def test_the_result_is_that_of_the_coroutine() -> None:
    async def work() -> int:
        return 7

    tasks = Tasks()
    task = tasks.start(work(), name="work")
    assert task.get_name() == "work"
    assert await task == 7
    assert len(tasks) == 0


async def test_a_task_nobody_waits_for_is_not_collected() -> None:
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, future.set_result, None)
        await future
        done.set()

    tasks = Tasks()
    tasks.start(work(), name="work")
    gc.collect()
    await asyncio.wait_for(done.wait(), 5)


async def test_a_failure_is_logged_by_name() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    lines: list[str] = []
    sink = logger.add(lines.append, diagnose=False)  # type: ignore[arg-type]
    tasks = Tasks()
    tasks.start(fail(), name="search")
    await eventually(lambda: lines)
    logger.remove(sink)
    assert "task search failed" in lines[0]
    assert "Traceback" in lines[0]


async def test_close_ends_all_and_waits_for_them() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    tasks = Tasks()
    tasks.start(work("a"), name="a")
    tasks.start(work("b"), name="b")
    await asyncio.sleep(0)
    await tasks.close()
    assert sorted(ended) == ["a", "b"]
    await tasks.close()
    with pytest.raises(RuntimeError, match="late"):
        tasks.start(work("late"), name="late")


async def test_a_task_may_close_the_tasks_it_is_one_of() -> None:
    tasks = Tasks()
    other = tasks.start(asyncio.Event().wait(), name="other")
    await asyncio.wait_for(tasks.start(tasks.close(), name="closer"), 5)
    assert other.cancelled()
