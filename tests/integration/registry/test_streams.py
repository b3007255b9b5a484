"""Server-sent events of the admin API: from a feed to a reader, and every way in which that can end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.integration.registry.support import running
from tests.support.wait import eventually
from wsplatform.net.listen import bind
from wsplatform.net.sweep import Sweep
from wsplatform.registry.service import Registry
from wsplatform.web.admin.gate import Gate
from wsplatform.web.admin.routes import Call, Reply, Route, blueprint
from wsplatform.web.admin.streams import MAX_STREAMS, MEDIA, Outbox, Stream, event
from wsplatform.web.proxies import Proxies
from wsplatform.web.server import WebServer, make_app
from wsplatform.web.upgrade import HeadLimits, protocol_factory

ADMIN = "a" * 40
NUMBERS = itertools.count()
LARGE = event("large", "x" * 800_000)


@dataclass
class Feeds:
    """What the route's handler attaches readers to."""

    boxes: set[Outbox] = field(default_factory=set)

    async def begin(self, outbox: Outbox) -> Callable[[], None]:
        self.boxes.add(outbox)
        outbox.send(event("hello", {"readers": len(self.boxes)}))
        return lambda: self.boxes.discard(outbox)

    async def watch(self, call: Call[None, None]) -> Stream:
        return Stream(self.begin)

    def tell(self, chunk: bytes) -> None:
        for box in tuple(self.boxes):
            box.send(chunk)


@dataclass
class Served:
    port: int
    feeds: Feeds
    registry: Registry
    server: WebServer

    @contextlib.asynccontextmanager
    async def reader(
        self, key: str = ADMIN, method: str = "GET", limit: int = 2**16
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        writer.write(f"{method} /admin/v1/watch HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode())
        try:
            yield reader, writer
        finally:
            writer.close()


@pytest.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    feeds = Feeds()
    seconds = getattr(request, "param", 60.0)
    sweep = Sweep(0.05)
    sweep.start(asyncio.get_running_loop())
    async with running() as registry:
        replies = {200: Reply("As it happens.", str, MEDIA)}
        route = Route("GET", "/watch", "watch", feeds.watch, "Watch", replies)
        app = make_app(
            f"streams-{next(NUMBERS)}",
            [blueprint([route], Gate(registry.configuration, registry.logins, Proxies()))],
            1_000_000,
        )
        with bind("127.0.0.1", 0) as listener:
            protocol = protocol_factory({}, sweep, HeadLimits(16_384, 5.0, seconds))
            server = WebServer(app, listener, protocol)
            await server.start()
            yield Served(listener.getsockname()[1], feeds, registry, server)
            await server.stop()
    sweep.stop()


async def head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:] if line)


async def chunk(reader: asyncio.StreamReader, seconds: float = 5) -> bytes:
    """One chunk of a chunked body; empty at its end."""
    size = int((await asyncio.wait_for(reader.readline(), seconds)).strip(), 16)
    content = await asyncio.wait_for(reader.readexactly(size + 2), seconds)
    return content[:-2]


async def test_a_reader_gets_what_is_sent_until_it_goes(served: Served) -> None:
    async with served.reader() as (reader, _):
        status, headers = await head(reader)
        assert (status, headers["content-type"].partition(";")[0]) == (200, MEDIA)
        assert headers["cache-control"] == "no-store"
        assert await chunk(reader) == b'event: hello\ndata: {"readers":1}\n\n'
        served.feeds.tell(event("news", [1, 2]))
        assert await chunk(reader) == b"event: news\ndata: [1,2]\n\n"
    await eventually(lambda: not served.feeds.boxes)


def test_data_with_line_ends_stays_one_event() -> None:
    raw = msgspec.Raw(b'{\r\n"a":\r1}')
    assert event("x", {"data": raw}) == b'event: x\ndata: {"data":{\ndata: \ndata: "a":\ndata: 1}}\n\n'


async def test_it_ends_with_its_key(served: Served) -> None:
    text, record = await served.registry.configuration.create_key("short", ("admin",))
    async with served.reader(text) as (reader, _):
        await head(reader)
        await chunk(reader)
        await served.registry.configuration.revoke_key(record.id)
        assert await chunk(reader) == b""
        assert not served.feeds.boxes
    async with served.reader(text) as (reader, _):
        assert (await head(reader))[0] == 401


async def test_at_shutdown_all_end_in_order_and_at_once(served: Served) -> None:
    async with served.reader() as (reader, _):
        await head(reader)
        await chunk(reader)
        served.feeds.tell(event("last", 1))
        async with asyncio.timeout(1):
            await served.server.stop(grace=5.0)
        assert await chunk(reader) == b"event: last\ndata: 1\n\n"
        assert await chunk(reader) == b""
        assert not served.feeds.boxes


async def test_a_quiet_one_says_that_it_lives(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsplatform.web.admin.streams.KEEPALIVE_SECONDS", 0.1)
    monkeypatch.setattr("wsplatform.web.admin.streams._CHECK_SECONDS", 0.05)
    async with served.reader() as (reader, _):
        await head(reader)
        await chunk(reader)
        assert [await chunk(reader) for _ in range(3)] == [b":\n\n"] * 3


@pytest.mark.parametrize("served", [0.2], indirect=True)
async def test_one_that_gets_on_outlives_the_time_for_an_answer(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsplatform.web.admin.streams.KEEPALIVE_SECONDS", 0.1)
    monkeypatch.setattr("wsplatform.web.admin.streams._CHECK_SECONDS", 0.05)
    async with served.reader() as (reader, _):
        await head(reader)
        for _ in range(15):
            assert await chunk(reader)


async def test_a_reader_that_is_too_slow_is_cut_off_and_harms_nobody(served: Served) -> None:
    async with served.reader() as (slow, _), served.reader(limit=2**22) as (quick, _):
        for reader in (slow, quick):
            await head(reader)
            await chunk(reader)
        large = event("large", "x" * 1_000_000)
        for _ in range(40):
            served.feeds.tell(large)
            if served.feeds.boxes:
                assert await chunk(quick) == large
        await eventually(lambda: len(served.feeds.boxes) == 1)
        served.feeds.tell(event("small", 1))
        assert await chunk(quick) == b"event: small\ndata: 1\n\n"


async def stuck(served: Served, stack: contextlib.AsyncExitStack, key: str = ADMIN) -> None:
    """A reader that does not read any more, with less waiting for it than it is cut off for."""
    before = set(served.feeds.boxes)
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    silent.connect(("127.0.0.1", served.port))
    stack.callback(silent.close)
    silent.sendall(f"GET /admin/v1/watch HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode())
    await eventually(lambda: len(served.feeds.boxes) > len(before))
    (box,) = served.feeds.boxes - before
    for _ in range(8):  # more than what the kernel takes
        box.send(LARGE)
    await eventually(lambda: box.waiting)
    assert box in served.feeds.boxes


async def test_one_whose_reader_does_not_read_ends_with_its_key_all_the_same(served: Served) -> None:
    text, record = await served.registry.configuration.create_key("short", ("admin",))
    async with contextlib.AsyncExitStack() as stack:
        await stuck(served, stack, text)
        await served.registry.configuration.revoke_key(record.id)
        await eventually(lambda: not served.feeds.boxes, within=5)


async def test_those_who_do_not_read_leave_room_for_others_after_a_while(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsplatform.web.admin.streams.STALL_SECONDS", 3.0)
    monkeypatch.setattr("wsplatform.web.admin.streams.MAX_STREAMS", 4)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            await stuck(served, stack)
        async with served.reader() as (reader, _):
            assert (await head(reader))[0] == 503
        await eventually(lambda: not served.feeds.boxes, within=20)
        async with served.reader() as (reader, _):
            assert (await head(reader))[0] == 200


async def test_at_shutdown_one_whose_reader_does_not_read_is_not_waited_for(served: Served) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stuck(served, stack)
        async with asyncio.timeout(5):
            await served.server.stop(grace=1.0)
        await eventually(lambda: not served.feeds.boxes)


async def test_there_are_only_so_many(served: Served) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_STREAMS):
            reader, _writer = await stack.enter_async_context(served.reader())
            assert (await head(reader))[0] == 200
        async with served.reader() as (reader, _):
            assert (await head(reader))[0] == 503
    await eventually(lambda: not served.feeds.boxes)
    async with served.reader() as (reader, _):
        assert (await head(reader))[0] == 200


async def test_a_head_of_it_ends(served: Served) -> None:
    async with served.reader(method="HEAD") as (reader, _):
        status, headers = await head(reader)
        assert (status, headers["content-type"].partition(";")[0]) == (200, MEDIA)
    assert not served.feeds.boxes


async def test_many_that_come_and_go_leave_nothing(served: Served) -> None:
    async def visit(number: int) -> None:
        async with served.reader() as (reader, writer):
            if number % 3:
                await head(reader)
            if number % 2:
                writer.transport.abort()

    def left() -> tuple[int, int]:
        gc.collect()
        return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))

    await visit(1)
    await eventually(lambda: not served.feeds.boxes)
    before = left()
    for round_ in range(10):
        await asyncio.gather(*(visit(round_ * 20 + number) for number in range(20)))
    await eventually(lambda: not served.feeds.boxes and left() <= before)


async def test_what_a_feed_refuses_is_an_error_like_others(sanic_client: Any) -> None:
    from wsplatform.errors import RequestError

    async def refuse(outbox: Outbox) -> Callable[[], None]:
        raise RequestError(404, "unknown_channel", "No.")

    async def handler(call: Call[None, None]) -> Stream:
        return Stream(refuse)

    async with running() as registry:
        route = Route("GET", "/watch", "watch", handler, "Watch", {200: Reply("", str, MEDIA)})
        app = make_app(
            f"streams-{next(NUMBERS)}",
            [blueprint([route], Gate(registry.configuration, registry.logins, Proxies()))],
            1_000_000,
        )
        client = await sanic_client(app, trust_env=False)
        reply = await client.get("/admin/v1/watch", headers={"X-API-Key": ADMIN})
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_channel")
