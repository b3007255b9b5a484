"""The clients of `wsplatform bench`: they come, come back when their connection is lost, and go."""

from __future__ import annotations

import asyncio
import random
import time
from ssl import create_default_context

from wsplatform.cli.bench_book import Book, Plan
from wsplatform.cli.bench_client import Client, World
from wsplatform.core.backoff import Backoff
from wsplatform.core.pace import Pace
from wsplatform.core.tokens import Claims, sign
from wsplatform.errors import PlatformError
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks

AT_ONCE = 100
"""Connections that are being made at the same time."""

SHORTEST_WAIT, LONGEST_WAIT = 0.5, 5.0
LEAVE_SECONDS = 3.0
_POLL_SECONDS = 0.02
_TOKEN_SECONDS = 24 * 3600


class Crowd:
    """members: of each channel, the clients that have come so far, in order."""

    def __init__(self, plan: Plan, book: Book, epoch: int) -> None:
        tls = create_default_context() if any(url.startswith("https:") for url in plan.servers) else None
        self._sweep = Sweep()
        world = World(book, epoch, self._sweep, tls, self._left)
        self._plan = plan
        self._book = book
        self._tasks = Tasks()
        self._clients = [
            Client(world, plan.server_of(number), plan.channels_of(number), _token(plan, number))
            for number in range(plan.clients)
        ]
        self._leaving = False
        self.members: dict[str, list[Client]] = {channel: [] for channel in plan.channels}

    async def first(self) -> None:
        """One client on each server. Raises PlatformError when one cannot join: then none could."""
        self._sweep.start(asyncio.get_running_loop())
        for server in range(len(self._plan.servers)):
            number = next((number for number, one in enumerate(self._clients) if one.server == server), None)
            if number is not None:
                await self._clients[number].join(self._plan.servers[server])
                self._enter(number)

    async def others(self) -> None:
        """All that are left, as fast as `connect_rate` allows; those that cannot join are counted by cause."""
        numbers = [number for number, client in enumerate(self._clients) if not client.joined]
        pace = Pace(self._plan.connect_rate, len(numbers) / self._plan.connect_rate if self._plan.connect_rate else 0)
        free = asyncio.Semaphore(AT_ONCE)
        start = time.monotonic()
        under_way = []
        for place, number in enumerate(numbers):
            if pace.total:
                await asyncio.sleep(max(start + pace.moment(place) - time.monotonic(), 0))
            await free.acquire()
            task = self._tasks.start(self._join(number), name="join")
            task.add_done_callback(lambda _: free.release())
            under_way.append(task)
        await asyncio.gather(*under_way)

    async def leave(self) -> None:
        """All hang up; returns when all are gone."""
        self._leaving = True
        await self._tasks.close()
        for client in self._clients:
            client.leave()
        for _ in range(round(LEAVE_SECONDS / _POLL_SECONDS)):
            if not self._sweep:  # each connection is a member as long as it lives
                break
            await asyncio.sleep(_POLL_SECONDS)
        for client in self._clients:
            client.cut()
        await asyncio.sleep(0)
        self._sweep.stop()

    async def _join(self, number: int) -> None:
        client = self._clients[number]
        try:
            await client.join(self._plan.servers[client.server])
        except PlatformError as error:
            self._book.failed[error.code] += 1
        else:
            self._enter(number)

    def _enter(self, number: int) -> None:
        self._book.made += 1
        client = self._clients[number]
        for channel in self._plan.channels_of(number):
            self.members[channel].append(client)

    def _left(self, client: Client, code: int) -> None:
        if self._leaving:
            return
        self._book.disconnects[code] += 1
        if not (3500 <= code < 4000 or 4500 <= code < 5000):
            self._tasks.start(self._come_back(client), name="come back")

    async def _come_back(self, client: Client) -> None:
        """As SDKs do, until it has worked; each time to the next server."""
        backoff = Backoff(SHORTEST_WAIT, LONGEST_WAIT)
        while True:
            await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 - only spreads clients
            try:
                await client.join(self._plan.servers[client.server])
            except PlatformError as error:
                self._book.reconnect_failures[error.code] += 1
                client.server = (client.server + 1) % len(self._plan.servers)
            else:
                self._book.reconnects += 1
                return


def _token(plan: Plan, number: int) -> str:
    if not plan.token_secret:
        return plan.token
    return sign(Claims(f"bench-{number + 1}", time.time() + _TOKEN_SECONDS), plan.token_secret)
