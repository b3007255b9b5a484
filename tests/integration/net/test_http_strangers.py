"""Sanic's part of the listener under requests that cannot be read, or never become whole."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty

from tests.support.wait import eventually
from tests.support.websocket import Raw, RecordingAcceptor
from wsplatform.net.listen import bind
from wsplatform.net.sweep import Sweep
from wsplatform.web.server import WebServer, make_app
from wsplatform.web.upgrade import HeadLimits, protocol_factory

_numbers = itertools.count()
POST = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"


async def read_body(request: Request) -> HTTPResponse:
    await request.receive_body()  # type: ignore[no-untyped-call]
    return empty()


async def refuse(request: Request) -> HTTPResponse:
    return empty(401)


class Site:
    def __init__(self, port: int, server: WebServer, sweep: Sweep) -> None:
        self.port = port
        self.sweep = sweep
        self._server = server

    @property
    def open(self) -> int:
        return len(self._server._server.connections)

    async def gone(self) -> None:
        await eventually(lambda: not self.open and not len(self.sweep))
        await eventually(lambda: not any("connection_task" in str(task.get_coro()) for task in asyncio.all_tasks()))


@asynccontextmanager
async def site(patience: float) -> AsyncIterator[Site]:
    blueprint = Blueprint("pages")
    blueprint.add_route(read_body, "/body", methods=["POST"], name="body", stream=True)
    blueprint.add_route(refuse, "/refused", methods=["GET", "POST"], name="refused", stream=True)
    listener, sweep = bind("127.0.0.1", 0), Sweep(0.02)
    sweep.start(asyncio.get_running_loop())
    factory = protocol_factory({"/ws": RecordingAcceptor()}, sweep, HeadLimits(4096, 5.0, patience))
    server = WebServer(make_app(f"strangers{next(_numbers)}", [blueprint], 100_000), listener, factory)
    await server.start()
    try:
        yield Site(listener.getsockname()[1], server, sweep)
    finally:
        await server.stop(0.1)
        sweep.stop()


async def drip(client: Raw) -> None:
    """A byte now and then, for as long as the server takes any."""
    while not client.writer.is_closing():
        client.send(b"x")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("target", [b"\\x", b"http://[::1/", b"x:80", b"http://"])
async def test_a_target_that_cannot_be_read_is_answered(target: bytes, logged: list[str]) -> None:
    async with site(5.0) as running:
        client = await Raw.dial(running.port)
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["error"]["code"] == "bad_request"
        assert not logged
        await client.hang_up()
        await running.gone()


@pytest.mark.parametrize("dripping", [True, False], ids=["drip", "silence"])
@pytest.mark.parametrize(
    "request_",
    [
        POST + b"\r\n",
        POST + b"Upgrade: websocket\r\n\r\n",
        POST.replace(b"/body", b"/refused") + b"\r\n",
        b"GET /refused HTTP/1.1\r\nHost: x\r\n\r\nGET /refused HTTP/1.1\r\nA: ",
    ],
    ids=["body", "upgrade", "refused", "second head"],
)
async def test_a_request_that_never_becomes_whole_ends_its_connection(request_: bytes, dripping: bool) -> None:
    async with site(0.1) as running:
        client = await Raw.dial(running.port)
        client.send(request_)
        sender = asyncio.create_task(drip(client)) if dripping else None
        await client.rest()
        await running.gone()
        if sender is not None:
            sender.cancel()
        await client.hang_up()


async def test_who_goes_on_asking_is_not_cut_off() -> None:
    async with site(0.05) as running:
        client = await Raw.dial(running.port)
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.5
        while loop.time() < end:
            client.send(POST + b"\r\n", b"x" * 1000)
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        await asyncio.sleep(0.2)  # idle for some looks of the sweep
        client.send(POST + b"\r\n", b"x" * 1000)
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        await client.hang_up()


async def test_requests_that_come_at_once_leave_the_others_a_turn_after_each() -> None:
    async with site(5.0) as running:
        client = await Raw.dial(running.port)
        client.send(b"POST /refused HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        answered = most = 0
        while answered < 500:
            new = (await client.reader.read(1 << 20)).count(b"HTTP/1.1 401 ")
            answered, most = answered + new, max(most, new)
        assert most <= 20  # a turn of the loop brings one answer, and what this test is late by
        await client.hang_up()
