"""How `wsplatform bench` publishes: as backends do, or as clients do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from wsplatform.cli.bench_book import Book, Plan
from wsplatform.cli.bench_client import Client, Sending
from wsplatform.cli.http import Caller, command_error
from wsplatform.cli.options import Server
from wsplatform.core.numbered import Numbered, encode
from wsplatform.errors import PlatformError
from wsplatform.net.tasks import Tasks

BATCH = 500
"""Commands in one request; the server API takes 1,000."""

BATCH_BYTES = 2 << 20
"""Of data in one request; the server API takes 8 MiB."""

WINDOW = 1000
"""Publications of one client that may be without an answer."""

_NOBODY_KNOWS = frozenset({"unreachable", "timeout", "http_502", "http_504"})
"""Codes of requests that may have been carried out."""


class Due(NamedTuple):
    """A publication that is to be sent now. at: microseconds since the beginning; its latency counts from there."""

    channel: str
    publisher: int
    at: int


class Publisher(Protocol):
    """`put` some, `flush`; `idle` again when each was answered for, or given up. All of that is in the book."""

    @property
    def idle(self) -> bool: ...
    async def try_out(self) -> None:
        """Publish something that belongs to no run, when the first clients are there. Raises PlatformError."""
        ...

    def put(self, due: Due) -> None: ...
    def flush(self) -> None: ...
    def give_up(self) -> None:
        """Enter what is left as unsent or unanswered; nothing may be put any more."""
        ...


@dataclass(frozen=True, slots=True)
class Writer:
    """Numbers publications in the order in which they are sent."""

    plan: Plan
    book: Book

    def write(self, due: Due) -> Sending:
        stream = self.book.streams[due.channel][due.publisher]
        number = stream.send()
        data = encode(Numbered(self.plan.run, due.publisher, number, due.at), self.plan.size)
        return Sending(due.channel, data, stream, number)

    def trial(self) -> tuple[str, bytes]:
        """Channel and data of a publication that belongs to no run."""
        return self.plan.channels[0], encode(Numbered("trial", 0, 0, 0), self.plan.size)


class ClientPublisher:
    """Clients publish on channels that they are subscribed to. `members`: the clients of each channel."""

    def __init__(self, writer: Writer, members: Mapping[str, Sequence[Client]]) -> None:
        self._writer = writer
        self._members = members
        self._outgoing: dict[Client, list[Due]] = {}
        self._used: set[Client] = set()

    @property
    def idle(self) -> bool:
        return not any(client.pending for client in self._used)

    async def try_out(self) -> None:
        channel, data = self._writer.trial()
        await self._members[channel][0].try_out(channel, data)

    def put(self, due: Due) -> None:
        members = self._members[due.channel]
        client = members[due.publisher % len(members)] if members else None
        if client is None or not client.joined:
            self._writer.book.unsent["publisher_away"] += 1
        elif client.pending + len(self._outgoing.get(client, ())) >= WINDOW:
            self._writer.book.unsent["publisher_behind"] += 1
        else:
            self._outgoing.setdefault(client, []).append(due)

    def flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, {}
        self._used.update(outgoing)
        for client, dues in outgoing.items():
            client.publish([self._writer.write(due) for due in dues])

    def give_up(self) -> None:
        for client in self._used:
            client.give_up()


class ApiPublisher:
    """One lane for each server: a request at a time, with everything that has become due meanwhile.

    Only so is it known in which order publications were accepted: that of the requests, and of the commands in one.
    """

    def __init__(self, writer: Writer, tasks: Tasks) -> None:
        plan = writer.plan
        self._lanes = [_Lane(writer, Server(url, plan.key)) for url in plan.servers]
        for lane in self._lanes:
            tasks.start(lane.run(), name="publish")

    async def try_out(self) -> None:
        for lane in self._lanes:
            await lane.try_out()

    @property
    def idle(self) -> bool:
        return all(lane.idle for lane in self._lanes)

    def put(self, due: Due) -> None:
        self._lanes[due.publisher].queue.append(due)

    def flush(self) -> None:
        for lane in self._lanes:
            lane.wake()

    def give_up(self) -> None:
        for lane in self._lanes:
            lane.give_up()


class _Lane:
    def __init__(self, writer: Writer, server: Server) -> None:
        self.queue: deque[Due] = deque()
        self._writer = writer
        self._server = server
        self._under_way: list[Sending] = []
        self._more = asyncio.Event()

    @property
    def idle(self) -> bool:
        return not self.queue and not self._under_way

    def wake(self) -> None:
        if self.queue:
            self._more.set()

    async def try_out(self) -> None:
        channel, data = self._writer.trial()
        async with Caller(self._server, "node") as caller:
            answer = await caller.ask("POST", "/api/publish", {"channel": channel, "data": msgspec.Raw(data)})
        if not isinstance(answer, dict) or "result" not in answer:
            raise _refusal(answer)

    async def run(self) -> None:
        async with Caller(self._server, "node") as caller:
            while True:
                await self._more.wait()
                self._more.clear()
                while self.queue:
                    await self._send(caller)

    def give_up(self) -> None:
        book = self._writer.book
        if self.queue:
            book.unsent["publisher_behind"] += len(self.queue)
            self.queue.clear()
        if self._under_way:
            book.unanswered["no_answer"] += len(self._under_way)
            self._under_way = []

    async def _send(self, caller: Caller) -> None:
        count = min(len(self.queue), BATCH, max(BATCH_BYTES // self._writer.plan.size, 1))
        sending = self._under_way = [self._writer.write(self.queue.popleft()) for _ in range(count)]
        commands = [{"channel": one.channel, "data": msgspec.Raw(one.data)} for one in sending]
        try:
            if count == 1:
                answers = [await caller.ask("POST", "/api/publish", commands[0])]
            else:
                body = {"commands": [{"publish": command} for command in commands]}
                answers = _replies(await caller.ask("POST", "/api/batch", body), count)
        except PlatformError as error:
            answers = None
            failure = error.code
        if self._under_way is not sending:
            return  # given up meanwhile
        self._under_way = []
        book = self._writer.book
        if answers is None:
            counter = book.unanswered if failure in _NOBODY_KNOWS else book.refused
            counter[failure] += count
            return
        for one, answer in zip(sending, answers, strict=True):
            if isinstance(answer, dict) and "error" not in answer:
                book.accept(one.stream, one.number)
            else:
                book.refused[_refusal(answer).code] += 1


def _replies(answer: Any, count: int) -> list[Any]:
    """What a batch brought; raises PlatformError when it was refused as a whole."""
    replies = answer.get("replies") if isinstance(answer, dict) else None
    if not isinstance(replies, list) or len(replies) != count:
        raise _refusal(answer)
    return replies


def _refusal(answer: Any) -> PlatformError:
    return command_error(answer.get("error") if isinstance(answer, dict) else None)
