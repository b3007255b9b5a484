"""Against other people's clients and servers, compressed, encrypted, and two hundred times over."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from loguru import logger
from websockets.asyncio.client import connect as websockets_connect

from tests.support.wait import eventually
from tests.support.websocket import Raw, Recorder, Server, close, echo, self_signed, text
from wsplatform.net.websocket import ConnectionLimits, WebSocketConnection
from wsplatform.wire.rfc6455 import TEXT

MESSAGES: list[str | bytes] = ["", "short", "ümläut €", "long " * 5000, b"", b"\x00\xff" * 10, os.urandom(100_000)]


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return self_signed(tmp_path)


@pytest.mark.parametrize("deflate", [False, True])
async def test_the_client_of_websockets(server: Server, deflate: bool) -> None:
    server.reply, server.deflate = echo, deflate
    compression = "deflate" if deflate else None
    async with websockets_connect(f"ws://127.0.0.1:{server.port}/ws", compression=compression, max_size=None) as client:
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
        await client.send(iter(["in ", "three ", "parts"]))
        assert await client.recv() == "in three parts"
        await (await client.ping(b"ping"))
        connection = server.handlers[0].connection
        assert connection is not None
        assert connection.deflate is deflate
    assert client.close_code == 1000
    await eventually(lambda: server.handlers[0].end == (1000, ""))


@pytest.mark.parametrize("deflate", [0, 15])
async def test_the_client_of_aiohttp(server: Server, deflate: int) -> None:
    server.reply, server.deflate = echo, True
    url = f"http://127.0.0.1:{server.port}/ws"
    async with aiohttp.ClientSession() as http, http.ws_connect(url, compress=deflate) as client:
        for message in MESSAGES:
            await (client.send_str(message) if isinstance(message, str) else client.send_bytes(message))
            assert (await client.receive()).data == message
        connection = server.handlers[0].connection
        assert connection is not None
        assert connection.deflate is bool(deflate)
        connection.close(1001, "shutdown")
        last = await client.receive()
        assert (last.type, last.data, last.extra) == (aiohttp.WSMsgType.CLOSE, 1001, "shutdown")
    await eventually(lambda: server.handlers[0].end == (1001, "shutdown"))


async def test_a_subprotocol_is_chosen(server: Server) -> None:
    server.subprotocol = "two"
    url = f"ws://127.0.0.1:{server.port}/ws"
    async with websockets_connect(
        url, subprotocols=[websockets.Subprotocol("one"), websockets.Subprotocol("two")]
    ) as c:
        assert c.subprotocol == "two"
        assert server.requests[0].subprotocols == ("one", "two")
        assert server.requests[0].remote == "127.0.0.1"


async def test_encrypted(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with Server(contexts[0]) as server:
        server.reply = echo
        url = f"wss://localhost:{server.port}/ws"
        async with websockets_connect(url, ssl=contexts[1], max_size=None) as client:
            connection = server.handlers[0].connection
            assert connection is not None
            assert connection.fileno == -1
            for message in [*MESSAGES, os.urandom(900_000), "again"]:
                await client.send(message)
                assert await client.recv() == message
        await eventually(lambda: server.handlers[0].end == (1000, "") and not server.connections)


async def test_encrypted_a_client_that_never_reads_is_cut(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with Server(contexts[0]) as server:
        client = await server.dial(contexts[1])
        await client.upgrade("/ws")
        connection = server.handlers[0].connection
        assert connection is not None
        peak = 0
        while connection.open:
            connection.send_binary(bytes(10_000))
            peak = max(peak, connection.buffered)
            await asyncio.sleep(0)
        assert peak <= server.limits.max_outbox + 20_000
        assert ("writable", False) in server.handlers[0].told
        await eventually(lambda: server.handlers[0].end == (3008, "slow") and not server.connections)


async def test_encrypted_a_broken_protocol_is_answered(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with Server(contexts[0]) as server:
        client = await server.dial(contexts[1])
        await client.upgrade("/ws")
        client.send(text("before"), text(b"\xff"), text("after"))
        assert (await client.close_frame())[0] == 1007
        await eventually(lambda: server.handlers[0].end and not server.connections)
        assert server.handlers[0].texts() == [b"before"]


async def test_two_hundred_connections_leave_nothing_behind(server: Server) -> None:
    def reply(connection: WebSocketConnection, name: str, payload: Any) -> None:
        echo(connection, name, payload)
        if payload == b"fail":
            raise LookupError("handler bug")

    server.reply = reply
    server.limits = ConnectionLimits(max_message=100_000, max_outbox=100_000, close_timeout=0.2)
    await one_life(server, 0)
    await eventually(lambda: not server.connections)
    gc.collect()
    descriptors, tasks = open_descriptors(), len(asyncio.all_tasks())
    gc.disable()
    logger.disable("wsplatform.net")  # the stacks that it formats are cycles of its own
    try:
        for start in range(0, 200, 50):
            await asyncio.gather(*(one_life(server, start + number) for number in range(50)))
        await eventually(lambda: not server.connections and not len(server.sweep))
        assert len(server.handlers) == 201
        assert all(handler.ends == 1 for handler in server.handlers)
        server.handlers.clear()
        server.clients.clear()
        # Without the collector: whatever is left is held by somebody, or by itself.
        await eventually(
            lambda: not [thing for thing in gc.get_objects() if type(thing) in (WebSocketConnection, Recorder)]
        )
    finally:
        logger.enable("wsplatform.net")
        gc.enable()
    await eventually(lambda: open_descriptors() <= descriptors)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def one_life(server: Server, number: int) -> None:
    """One of six ways to end."""
    client = await server.client()
    client.send(text("hello"))
    assert await client.next() == (TEXT, b"hello")
    match number % 6:
        case 0:
            client.send(close())
            await client.rest()
        case 1:
            client.send(text(b"\xff"))
            await client.close_frame()
        case 2:
            client.send(text("fail"))
            await client.close_frame()
        case 3:
            client.send(text("half a frame")[:5])
            await client.writer.drain()
        case 4:
            await eventually(lambda: flood(server, client))
        case 5:
            client.writer.write_eof()
            await client.rest()
    await client.hang_up()


def flood(server: Server, client: Raw) -> bool:
    """Echoes that are not read; true when the server has had enough."""
    with contextlib.suppress(RuntimeError):
        client.send(*(text(b"x" * 10_000) for _ in range(20)))
    return client.writer.transport.get_write_buffer_size() > 300_000 or client.writer.is_closing()
