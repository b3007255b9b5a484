"""Websockets and Sanic's HTTP on one listener: every byte goes to whom it is meant for, and every head is bounded."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sanic import HTTPResponse, Request
from sanic import json as json_response
from sanic.response import text as text_response

from tests.support.wait import eventually
from tests.support.websocket import Raw, RecordingAcceptor, close, echo, text, upgrade_head
from wsplatform.net.listen import bind
from wsplatform.net.sweep import Sweep
from wsplatform.net.upgrade import Accept, Refuse, UpgradeRequest
from wsplatform.web.server import SanicApp, WebServer, make_app
from wsplatform.web.upgrade import HeadLimits, protocol_factory
from wsplatform.wire.rfc6455 import TEXT

HEAD = HeadLimits(max_bytes=4096, timeout=0.3)
_numbers = itertools.count()


class Broken:
    def accept(self, request: UpgradeRequest) -> Accept | Refuse:
        raise LookupError("acceptor bug")


class Site(RecordingAcceptor):
    """Websockets at /ws, a broken acceptor at /broken, pages for the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.sweep = Sweep(0.02)
        self.port = 0
        self.clients: list[Raw] = []

    async def start(self) -> None:
        app = make_app(f"site{next(_numbers)}", [], 10_000_000)
        add_pages(app)
        listener = bind("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self.sweep.start(asyncio.get_running_loop())
        self._server = WebServer(app, listener, protocol_factory({"/ws": self, "/broken": Broken()}, self.sweep, HEAD))
        await self._server.start()

    async def stop(self) -> None:
        for client in self.clients:
            await client.hang_up()
        await self._server.stop(0.1)
        self.sweep.stop()

    @property
    def connections(self) -> set[Any]:
        connections: set[Any] = self._server._server.connections
        return connections

    async def dial(self) -> Raw:
        self.clients.append(await Raw.dial(self.port))
        return self.clients[-1]

    async def ask(self, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
        """The answer to a request sent in parts, with a turn of the loop after each."""
        client = await self.dial()
        for part in parts:
            client.send(part)
            await client.writer.drain()
            await asyncio.sleep(0)
        return await response(client)


def add_pages(app: SanicApp) -> None:
    @app.get("/hello")
    async def hello(request: Request) -> HTTPResponse:
        return text_response("hello")

    @app.get("/lingering")
    async def lingering(request: Request) -> None:
        answer = await request.respond(content_type="text/plain", headers={"content-length": "4"})
        assert isinstance(answer, HTTPResponse)
        await answer.send("done", end_stream=True)
        await asyncio.sleep(0.1)  # what is still to be done for it, when the client has all of it

    @app.post("/digest", stream=True)
    async def digest(request: Request) -> HTTPResponse:
        await request.receive_body()  # type: ignore[no-untyped-call]
        body = request.body
        return json_response(
            {"size": len(body), "sha": hashlib.sha256(body).hexdigest(), "path": request.raw_url.decode()}
        )


async def response(client: Raw) -> tuple[int, dict[str, str], bytes]:
    head = (await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)).decode()
    status, *fields = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    body = await client.reader.readexactly(int(headers.get("content-length", "0")))
    return int(status.split()[1]), headers, body


def error(body: bytes) -> str:
    code: str = json.loads(body)["error"]["code"]
    return code


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", *headers, "\r\n")).encode()


def post(body: bytes, *headers: str) -> bytes:
    fields = ("Host: localhost", f"Content-Length: {len(body)}", *headers, "\r\n")
    return "\r\n".join(("POST /digest?x=%20y HTTP/1.1", *fields)).encode() + body


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.start()
    yield site
    await site.stop()


async def test_an_upgrade_is_answered_and_keeps_what_follows_the_head(site: Site) -> None:
    site.reply = echo
    client = await site.dial()
    client.send(upgrade_head("/ws?a=1") + text("at once"))
    status, headers, _ = await response(client)
    assert status == 101
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert await client.next() == (TEXT, b"at once")
    assert site.requests[0].query == "a=1"
    client.send(close())
    assert await client.close_frame() == (1000, "")
    await eventually(lambda: not site.connections and not len(site.sweep))


async def test_an_upgrade_that_comes_byte_by_byte(site: Site) -> None:
    site.reply = echo
    client = await site.dial()
    for byte in upgrade_head("/ws") + text("slowly"):
        client.send(bytes([byte]))
        await client.writer.drain()
    assert (await response(client))[0] == 101
    assert await client.next() == (TEXT, b"slowly")


async def test_http_is_sanics(site: Site) -> None:
    assert (await site.ask(get("/hello")))[2] == b"hello"
    status, _, body = await site.ask(get("/nowhere"))
    assert (status, error(body)) == (404, "not_found")
    assert (await site.ask(get("/ws/else")))[0] == 404
    assert (await site.ask(get("/wsx", "Upgrade: websocket", "Connection: Upgrade")))[0] == 404


@pytest.mark.parametrize("size", [0, 10, 100_000, 400_000])
async def test_a_body_arrives_byte_for_byte(site: Site, size: int) -> None:
    body = bytes(index % 253 for index in range(size))
    whole = post(body)
    cut = len(whole) // 3
    for parts in ((whole,), (whole[:cut], whole[cut:]), (whole[:20], whole[20:90], whole[90:])):
        answer = json.loads((await site.ask(*parts))[2])
        assert answer == {"size": size, "sha": hashlib.sha256(body).hexdigest(), "path": "/digest?x=%20y"}


async def test_a_chunked_body_and_one_that_waits_for_continue(site: Site) -> None:
    head = b"POST /digest HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = json.loads((await site.ask(head + b"5\r\nhel", b"lo\r\n3\r\n\r\n\r\r\n0\r\n\r\n"))[2])
    assert answer["sha"] == hashlib.sha256(b"hello\r\n\r").hexdigest()
    client = await site.dial()
    client.send(post(b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 4"))
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"body")
    assert json.loads((await response(client))[2])["size"] == 4


async def test_requests_in_a_pipeline_are_answered_in_order(site: Site) -> None:
    client = await site.dial()
    client.send(get("/hello") + post(b"GET /ws HTTP/1.1\r\n\r\n") + get("/nowhere") + get("/hello"))
    assert (await response(client))[2] == b"hello"
    assert json.loads((await response(client))[2])["size"] == 20
    assert (await response(client))[0] == 404
    assert (await response(client))[2] == b"hello"


async def test_a_body_that_looks_like_an_upgrade_is_a_body(site: Site) -> None:
    client = await site.dial()
    body = upgrade_head("/ws")
    client.send(post(body)[: -len(body)])
    await client.writer.drain()
    await asyncio.sleep(0.05)
    client.send(body)
    assert json.loads((await response(client))[2])["sha"] == hashlib.sha256(body).hexdigest()
    assert not site.requests


async def test_an_upgrade_after_requests_on_the_same_connection(site: Site) -> None:
    site.reply = echo
    client = await site.dial()
    for _ in range(2):
        client.send(get("/hello"))
        assert (await response(client))[2] == b"hello"
    await eventually(lambda: all(c.http is not None and c.http.request is None for c in site.connections))
    tasks = len(asyncio.all_tasks())
    client.send(upgrade_head("/ws"))
    assert (await response(client))[0] == 101
    client.send(text("still here"))
    assert await client.next() == (TEXT, b"still here")
    await eventually(lambda: len(asyncio.all_tasks()) < tasks)
    assert len(site.connections) == 1
    client.send(close())
    await client.close_frame()
    await eventually(lambda: not site.connections and not len(site.sweep))


async def test_an_upgrade_as_soon_as_an_answer_is_whole(site: Site) -> None:
    site.reply = echo
    client = await site.dial()
    for _ in range(3):
        client.send(get("/lingering"))
        assert (await response(client))[0] == 200
    client.send(upgrade_head("/ws"))
    client.send(text("at once"))
    assert (await response(client))[0] == 101
    assert await client.next() == (TEXT, b"at once")


async def test_a_refused_upgrade_after_a_request_on_the_same_connection(site: Site) -> None:
    site.refuse = Refuse(503, "draining", "Connect to another node.")
    client = await site.dial()
    client.send(get("/hello"))
    await response(client)
    client.send(upgrade_head("/ws"))
    status, _, body = await response(client)
    assert (status, error(body)) == (503, "draining")
    assert await client.rest() == b""


async def test_an_upgrade_in_a_pipeline_gets_an_answer_and_an_end(site: Site) -> None:
    client = await site.dial()
    client.send(get("/hello") + upgrade_head("/ws"))
    assert (await response(client))[2] == b"hello"
    status, headers, _ = await response(client)
    assert status == 404
    assert headers["connection"] == "close"
    assert await client.rest() == b""


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        pytest.param(get("/ws"), 426, "upgrade_required", id="no upgrade"),
        pytest.param(upgrade_head("/ws").replace(b"GET", b"POST"), 405, "method_not_allowed", id="method"),
        pytest.param(upgrade_head("/ws").replace(b" 13", b" 12"), 426, "wrong_version", id="version"),
        pytest.param(upgrade_head("/ws", "Content-Length: 9") + b"too early", 400, "bad_request", id="body"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", 400, "bad_request", id="TLS on a plain port"),
        pytest.param(b"what is this\r\n\r\n", 400, "bad_request", id="no HTTP"),
        pytest.param(b"\r\n\r\n", 400, "bad_request", id="nothing"),
        pytest.param(b"GET /hello HTTP/9.9\r\n\r\n", 400, "bad_request", id="another HTTP"),
        pytest.param(get("/ws", "X: " + "x" * 5000), 431, "head_too_large", id="large"),
        pytest.param(get("/hello", "X: " + "x" * 500_000), 431, "head_too_large", id="very large"),
        pytest.param(b"GET /" + b"x" * 5000, 431, "head_too_large", id="long line"),
    ],
)
async def test_what_cannot_be_had_is_refused(site: Site, head: bytes, status: int, code: str) -> None:
    client = await site.dial()
    client.send(head)
    answer = await response(client)
    assert (answer[0], error(answer[2])) == (status, code)
    assert answer[1]["connection"] == "close"
    assert await client.rest() == b""
    await client.hang_up()
    await eventually(lambda: not site.connections and not len(site.sweep))


async def test_the_acceptor_refuses_with_its_own_words(site: Site) -> None:
    site.refuse = Refuse(403, "origin_not_allowed", "Add the page to client.allowed_origins.", (("X-More", "yes"),))
    status, headers, body = await site.ask(upgrade_head("/ws"))
    assert status == 403
    assert headers["x-more"] == "yes"
    assert json.loads(body) == {
        "error": {"code": "origin_not_allowed", "message": "Add the page to client.allowed_origins."}
    }


async def test_an_acceptor_that_raises_is_a_500_and_a_line_in_the_log(site: Site, logged: list[str]) -> None:
    status, _, body = await site.ask(upgrade_head("/broken"))
    assert (status, error(body)) == (500, "internal")
    assert "acceptor bug" not in body.decode()
    assert "Traceback" in logged[0]
    site.subprotocol = "never offered"
    assert (await site.ask(upgrade_head("/ws")))[0] == 500


async def test_a_slow_head_is_408(site: Site) -> None:
    client = await site.dial()
    began = asyncio.get_running_loop().time()
    head = upgrade_head("/ws")
    answer = asyncio.ensure_future(response(client))
    for byte in head[:-1]:
        if answer.done():
            break
        client.send(bytes([byte]))
        await asyncio.sleep(0.01)
    status, _, body = await answer
    assert (status, error(body)) == (408, "head_too_slow")
    assert asyncio.get_running_loop().time() - began < 2
    assert await client.rest() == b""


async def test_a_silent_connection_is_closed_silently(site: Site) -> None:
    client = await site.dial()
    assert await client.rest() == b""
    await eventually(lambda: not site.connections)


async def test_one_who_is_refused_and_stays_is_cut(site: Site) -> None:
    client = await site.dial()
    client.send(b"\x00")
    assert (await response(client))[0] == 400
    await eventually(lambda: len(site.connections) == 1)
    await eventually(lambda: not site.connections)


async def test_sanics_shutdown_leaves_websockets_to_the_node(site: Site) -> None:
    client = await site.dial()
    client.send(upgrade_head("/ws"))
    await response(client)
    idle, waiting = await site.dial(), await site.dial()
    idle.send(get("/hello"))
    await response(idle)
    await eventually(lambda: len(site.connections) == 3)
    for connection in tuple(site.connections):
        connection.close_if_idle()
    assert await idle.rest() == b""
    assert await waiting.rest() == b""
    client.send(text("alive"))
    await eventually(lambda: site.handlers[0].texts() == [b"alive"])
    connection = site.handlers[0].connection
    assert connection is not None
    connection.close(3001, "shutdown")
    assert await client.close_frame() == (3001, "shutdown")


async def test_a_hundred_of_each_leave_nothing_behind(site: Site) -> None:
    async def life(number: int) -> None:
        client = await site.dial()
        if number % 4:
            client.send(get("/hello"))
            await response(client)
        match number % 3:
            case 0:
                client.send(upgrade_head("/ws"))
                await response(client)
                client.send(close())
                await client.rest()
            case 1:
                client.send(b"GET /ws HT")
                await client.writer.drain()
        await client.hang_up()

    await life(1)
    await eventually(lambda: not site.connections)
    tasks = len(asyncio.all_tasks())
    for start in range(0, 200, 40):
        await asyncio.gather(*(life(start + number) for number in range(40)))
    await eventually(lambda: not site.connections and not len(site.sweep))
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
