"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(condition: Callable[[], Awaitable[T]], *, within: float = ..., why: str = ...) -> T: ...
@overload
async def eventually(condition: Callable[[], T], *, within: float = ..., why: str = ...) -> T: ...
async def eventually(condition: Callable[[], Any], *, within: float = 5.0, why: str = "") -> Any:
    """The first true value of `condition`, sync or async, asked every 10 ms. AssertionError after `within` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if loop.time() > deadline:
            raise AssertionError(why or f"not within {within} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(0.01)
