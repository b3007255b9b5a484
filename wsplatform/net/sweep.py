"""The one timer for all deadlines of a process."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from loguru import logger

_AT_ONCE = 200  # members told in one turn of the loop; a storm of deadlines must not hold up everybody else


class Member(Protocol):
    """Something with a deadline: a moment of `loop.time()`, `math.inf` for none."""

    deadline: float

    def expired(self, now: float) -> None:
        """The deadline has passed. Without a new one this is called again at the next sweep."""
        ...


class Sweep:
    """Every `interval` seconds calls `expired(now)` on each member whose deadline has passed.

    A timer per connection would cost more memory and time than the connection's other state together. So a deadline is
    kept to within one interval, never early.
    """

    def __init__(self, interval: float = 1.0) -> None:
        self._interval = interval
        self._members: set[Member] = set()
        self._due: deque[Member] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is None:
            self._loop = loop
            self._timer = loop.call_later(self._interval, self._turn)

    def stop(self) -> None:
        """Idempotent. Members stay, and go on when it is started again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop = None
        self._due.clear()

    def add(self, member: Member) -> None:
        self._members.add(member)

    def discard(self, member: Member) -> None:
        self._members.discard(member)

    def __len__(self) -> int:
        return len(self._members)

    def _turn(self) -> None:
        now = self._now()
        self._due.extend(member for member in self._members if member.deadline <= now)
        self._tell()

    def _tell(self) -> None:
        now = self._now()
        for _ in range(min(_AT_ONCE, len(self._due))):
            if not self._due:  # stopped by a member
                break
            member = self._due.popleft()
            # It may have left, or got a later deadline, by what another member did just now.
            if member in self._members and member.deadline <= now:
                _expire(member, now)
        self._schedule()

    def _schedule(self) -> None:
        if self._loop is None:
            return
        if self._due:
            self._timer = self._loop.call_soon(self._tell)
        else:
            self._timer = self._loop.call_later(self._interval, self._turn)

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()


def _expire(member: Member, now: float) -> None:
    try:
        member.expired(now)
    except Exception as error:  # noqa: BLE001 - one member's failure is logged and must not stop everybody's timer
        logger.opt(exception=error).error("a deadline of {} could not be kept", type(member).__name__)
