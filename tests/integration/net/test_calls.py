"""POST endpoints of a transport: under Sanic as in a node, and on the listener that tests of transports use."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO

import aiohttp
import pytest

from tests.support.wait import eventually
from wsplatform.errors import HandshakeError, RequestError
from wsplatform.net.sweep import Sweep
from wsplatform.testing.node_face import NodeFace
from wsplatform.transports.base import Call, CallHandler, Reply
from wsplatform.web.calls import calls_blueprint
from wsplatform.web.server import WebServer, make_app
from wsplatform.web.upgrade import HeadLimits, protocol_factory


@dataclass
class Endpoints:
    cancelled: int = 0
    waiting: int = 0
    seen: list[Call] = field(default_factory=list)

    def calls(self) -> dict[str, CallHandler]:
        return {
            "/cluster/echo": self.echo,
            "/cluster/wait": self.wait,
            "/cluster/refuse": self.refuse,
            "/cluster/unproved": self.unproved,
            "/cluster/fail": self.fail,
            "/cluster/unread": self.unread,
        }

    async def echo(self, call: Call) -> Reply:
        self.seen.append(call)
        return Reply(await call.read(3_000_000))

    async def wait(self, call: Call) -> Reply:
        self.waiting += 1
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Reply()

    async def refuse(self, call: Call) -> Reply:
        raise RequestError(409, "not_now", "Not now: try again.")

    async def unproved(self, call: Call) -> Reply:
        raise HandshakeError("wrong_secret", "No secret is known to both.")

    async def fail(self, call: Call) -> Reply:
        raise ZeroDivisionError

    async def unread(self, call: Call) -> Reply:
        return Reply(b"early")


Serve = Callable[[Endpoints, Sweep], Awaitable[tuple[str, Callable[[], Awaitable[None]]]]]


async def as_a_node(endpoints: Endpoints, sweep: Sweep) -> tuple[str, Callable[[], Awaitable[None]]]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = make_app("calls", [calls_blueprint(endpoints.calls())], 1_000_000)
    server = WebServer(app, listener, protocol_factory({}, sweep, HeadLimits(16_384, 5.0)))
    await server.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", server.stop


async def as_in_tests(endpoints: Endpoints, sweep: Sweep) -> tuple[str, Callable[[], Awaitable[None]]]:
    face = NodeFace({}, sweep)
    face.calls = endpoints.calls()
    await face.open()
    return face.url.replace("ws:", "http:"), face.close


@pytest.fixture(params=[as_a_node, as_in_tests])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Endpoints, str]]:
    endpoints, sweep = Endpoints(), Sweep(0.05)
    sweep.start(asyncio.get_running_loop())
    url, stop = await request.param(endpoints, sweep)
    yield endpoints, url
    await stop()
    sweep.stop()


async def test_a_call_is_answered_and_the_connection_is_kept(served: tuple[Endpoints, str]) -> None:
    endpoints, url = served
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as client:
        for body in (b"", b"x", bytes(2_900_000)):
            async with client.post(f"{url}/cluster/echo?a=b%20c", data=BytesIO(body)) as reply:
                assert (reply.status, await reply.read()) == (200, body)
                assert reply.headers.get("Connection") != "close"
    assert [(call.path, call.query, call.remote) for call in endpoints.seen] == [
        ("/cluster/echo", "a=b%20c", "127.0.0.1")
    ] * 3


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("echo", bytes(3_000_001), 413, "too_large"),
        ("refuse", b"", 409, "not_now"),
        ("refuse", bytes(200_000), 409, "not_now"),
        ("unproved", b"", 400, "wrong_secret"),
        ("fail", b"", 500, "internal"),
        ("missing", b"", 404, "not_found"),
    ],
)
async def test_what_is_refused_has_a_code(
    served: tuple[Endpoints, str], path: str, body: bytes, status: int, code: str
) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{served[1]}/cluster/{path}", data=BytesIO(body)) as reply,
    ):
        assert reply.status == status
        error = (await reply.json())["error"]
        assert error["code"] == code
        assert error["message"]


async def test_a_body_that_nobody_reads_does_no_harm(served: tuple[Endpoints, str]) -> None:
    async with aiohttp.ClientSession() as client:
        for _ in range(3):
            async with client.post(f"{served[1]}/cluster/unread", data=bytes(100_000)) as reply:
                assert await reply.read() == b"early"


async def test_the_handler_is_cancelled_when_its_caller_leaves(served: tuple[Endpoints, str]) -> None:
    endpoints, url = served
    async with aiohttp.ClientSession() as client:
        asking = asyncio.get_running_loop().create_task(client.post(f"{url}/cluster/wait", data=b""))
        await eventually(lambda: endpoints.waiting)
        asking.cancel()
        await eventually(lambda: endpoints.cancelled == 1)
