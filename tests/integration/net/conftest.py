"""Everything on sockets is tested on both event loops: they differ in when a write blocks and how a transport ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop
from loguru import logger

from tests.support.websocket import Server


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A listener without Sanic: websockets at /ws, one `Recorder` each."""
    async with Server() as running:
        yield running


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What was logged so far, one entry a record, stacks included."""
    lines: list[str] = []
    sink = logger.add(lines.append, diagnose=False)  # type: ignore[arg-type]
    yield lines
    logger.remove(sink)
