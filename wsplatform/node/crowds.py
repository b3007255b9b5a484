"""Which channels have the most subscribers here, found a slice of channels at a time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Final

from wsplatform.node.subscriptions import Subscriptions

SLICE: Final = 2000
"""Channels looked at in one turn of the loop: some half a millisecond."""

PAUSE: Final = 0.01
"""Seconds between two slices."""

REST: Final = 10
"""The rest after a walk is at least so many times as long as the walk."""


class Crowds:
    """`top`: channels and their subscribers, most first, as they were found by the last walk over all channels."""

    def __init__(self, subscriptions: Subscriptions, limit: int) -> None:
        self.top: tuple[tuple[str, int], ...] = ()
        self._subscriptions = subscriptions
        self._limit = limit
        self._names: Iterator[str] = iter(())
        self._found: list[tuple[int, str]] = []
        self._began = self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Begin a walk, unless one is under way or was, for long, until just now."""
        now = asyncio.get_running_loop().time()
        if self._timer is None and now >= self._next:
            self._began = now
            self._names = iter(self._subscriptions.names())
            self._found = []
            self._go_on()

    def stop(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        if self._slice() == SLICE:
            self._timer = loop.call_later(PAUSE, self._go_on)
            return
        self._timer = None
        now = loop.time()
        self._next = now + REST * (now - self._began)
        self.top = tuple((name, count) for count, name in sorted(self._found, reverse=True))
        self._names, self._found = iter(()), []

    def _slice(self) -> int:
        """How many were looked at."""
        subscribers, found, limit = self._subscriptions.subscribers, self._found, self._limit
        seen = 0
        for name in islice(self._names, SLICE):
            seen += 1
            count = subscribers(name)
            if len(found) < limit:
                heapq.heappush(found, (count, name))
            elif count > found[0][0]:
                heapq.heapreplace(found, (count, name))
        return seen
