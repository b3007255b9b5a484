"""The client role: what is dialled, who is believed, and how it ends."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve, unix_serve

from tests.support.wait import eventually
from tests.support.websocket import LIMITS, Recorder, Server, echo, frame, self_signed
from wsplatform.net.connect import ConnectRefused, connect
from wsplatform.net.sweep import Sweep
from wsplatform.net.upgrade import Refuse
from wsplatform.wire.rfc6455 import TEXT, accept_key, encode_frame

SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n"


@pytest.fixture
async def sweep() -> AsyncIterator[Sweep]:
    sweep = Sweep(0.02)
    sweep.start(asyncio.get_running_loop())
    yield sweep
    sweep.stop()
    assert not len(sweep)


@asynccontextmanager
async def scripted(answer: str | None, rest: bytes = b"") -> AsyncIterator[int]:
    """A server that answers each request with `answer`, {} standing for the right accept key; None: with silence."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        if answer is None:
            await reader.read()
        else:
            writer.write(answer.format(accept_key(key)).encode() + rest)
            await writer.drain()
            if "101" not in answer:
                writer.write_eof()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_messages_both_ways_and_a_close_from_here(server: Server, sweep: Sweep) -> None:
    server.reply = echo
    handler = Recorder()
    url = f"ws://127.0.0.1:{server.port}/ws?x=%20y"
    connection = await connect(url, handler, LIMITS, sweep=sweep, headers=[("X-Node", "n1")])
    assert handler.connection is connection
    assert server.requests[0].query == "x=%20y"
    assert server.requests[0].headers["x-node"] == "n1"
    assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"
    for payload in (b"", b"small", "ümläut".encode(), b"x" * 300_000):
        connection.send_text(payload)
        connection.send_binary(payload)
    await eventually(lambda: len(handler.told) >= 9)
    received = [entry for entry in handler.told if entry[0] in ("text", "binary")]
    assert received == [(n, p) for p in (b"", b"small", "ümläut".encode(), b"x" * 300_000) for n in ("text", "binary")]
    connection.ping(b"hi")
    await eventually(lambda: ("pong", b"hi") in handler.told)
    connection.close(3000, "enough")
    await eventually(lambda: handler.end == (3000, "enough"))
    await eventually(lambda: server.handlers[0].end == (3000, "enough") and not server.connections)
    assert handler.ends == 1


async def test_a_close_from_there(server: Server, sweep: Sweep) -> None:
    handler = Recorder()
    await connect(f"ws://127.0.0.1:{server.port}/ws", handler, LIMITS, sweep=sweep)
    remote = server.handlers[0].connection
    assert remote is not None
    remote.send_text(b"last words")
    remote.close(1001, "shutdown")
    await eventually(lambda: handler.end == (1001, "shutdown"))
    assert handler.texts() == [b"last words"]


async def test_the_server_of_websockets(sweep: Sweep) -> None:
    async def serve_one(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    handler = Recorder()
    async with serve(serve_one, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = await connect(f"ws://localhost:{port}/", handler, LIMITS, sweep=sweep)
        connection.send_text(b"x" * 200_000)
        await eventually(handler.texts)
        assert handler.texts() == [b"x" * 200_000]
        connection.close(1000)
        await eventually(lambda: handler.end == (1000, ""))


async def test_a_server_of_this_host_at_a_unix_socket(tmp_path: Path, sweep: Sweep) -> None:
    async def serve_one(connection: ServerConnection) -> None:
        assert connection.request is not None
        await connection.send(connection.request.headers["Host"] + connection.request.path)

    handler = Recorder()
    path = tmp_path / "s.sock"
    async with unix_serve(serve_one, str(path)):
        connection = await connect("wss://n1:8000/mesh", handler, LIMITS, sweep=sweep, unix=path)
        await eventually(lambda: handler.texts() == [b"n1:8000/mesh"])
        assert connection.remote == str(path)
        await eventually(lambda: handler.end == (1000, ""))
    for gone in (path, tmp_path / "never"):
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            await connect("ws://n1:8000/mesh", Recorder(), LIMITS, sweep=sweep, unix=gone)


async def test_encrypted_and_only_to_whom_is_trusted(tmp_path: Path, sweep: Sweep) -> None:
    server_context, client_context = self_signed(tmp_path)
    async with Server(server_context) as server:
        server.reply = echo
        handler = Recorder()
        url = f"wss://localhost:{server.port}/ws"
        connection = await connect(url, handler, LIMITS, sweep=sweep, ssl=client_context)
        assert connection.fileno == -1
        connection.send_text(b"secret")
        await eventually(lambda: handler.texts() == [b"secret"])
        connection.close(1000)
        await eventually(lambda: handler.end == (1000, ""))
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(url, Recorder(), LIMITS, sweep=sweep)
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(f"wss://127.0.0.1:{server.port}/ws", Recorder(), LIMITS, sweep=sweep, ssl=client_context)


async def test_a_refusal_is_told_with_status_and_body(server: Server, sweep: Sweep) -> None:
    server.refuse = Refuse(503, "draining", "Connect to another node.")
    handler = Recorder()
    with pytest.raises(ConnectRefused) as refused:
        await connect(f"ws://127.0.0.1:{server.port}/ws", handler, LIMITS, sweep=sweep)
    assert refused.value.status == 503
    assert json.loads(refused.value.body)["error"]["code"] == "draining"
    assert handler.told == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, id="a page"),
        pytest.param("SSH-2.0-OpenSSH\r\n\r\n", 0, id="no HTTP"),
        pytest.param("", 0, id="nothing"),
        pytest.param("HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\n\r\n", 302, id="redirection"),
        pytest.param("HTTP/1.1 404 Not Found\r\nX: " + "x" * 20_000, 404, id="endless head"),
        pytest.param(SWITCH.replace("{}", "wrong") + "\r\n", 101, id="accept key"),
        pytest.param(SWITCH.replace("Upgrade: websocket", "Upgrade: h2c") + "\r\n", 101, id="another upgrade"),
        pytest.param(SWITCH.replace("Connection: Upgrade\r\n", "") + "\r\n", 101, id="no connection header"),
        pytest.param(SWITCH + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 101, id="extension"),
        pytest.param(SWITCH + "Sec-WebSocket-Protocol: chat\r\n\r\n", 101, id="subprotocol"),
    ],
)
async def test_another_answer_is_no_websocket(sweep: Sweep, answer: str, status: int) -> None:
    handler = Recorder()
    async with scripted(answer) as port:
        with pytest.raises(ConnectRefused) as refused:
            await connect(f"ws://127.0.0.1:{port}/", handler, LIMITS, sweep=sweep)
    assert refused.value.status == status
    assert handler.told == []


async def test_frames_that_come_with_the_answer_are_read(sweep: Sweep) -> None:
    handler = Recorder()
    async with scripted(SWITCH + "\r\n", encode_frame(TEXT, b"welcome") + encode_frame(TEXT, b"x" * 200)) as port:
        connection = await connect(f"ws://127.0.0.1:{port}/", handler, LIMITS, sweep=sweep)
        await eventually(lambda: handler.texts() == [b"welcome", b"x" * 200])
        connection.abort()
        await eventually(lambda: handler.end)


async def test_a_server_that_masks_is_answered_with_1002(sweep: Sweep) -> None:
    handler = Recorder()
    async with scripted(SWITCH + "\r\n", frame(TEXT, b"masked")) as port:
        await connect(f"ws://127.0.0.1:{port}/", handler, LIMITS, sweep=sweep)
        await eventually(lambda: handler.end)
    assert handler.end is not None
    assert handler.end[0] == 1002
    assert handler.texts() == []


async def test_silence_ends_after_the_timeout(sweep: Sweep) -> None:
    async with scripted(None) as port:
        with pytest.raises(TimeoutError):
            await connect(f"ws://127.0.0.1:{port}/", Recorder(), LIMITS, sweep=sweep, timeout=0.1)


async def test_nobody_there_is_an_os_error(sweep: Sweep) -> None:
    listener = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await connect(f"ws://127.0.0.1:{port}/", Recorder(), LIMITS, sweep=sweep)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://localhost/", []),
        ("ws:///path", []),
        ("ws://user:secret@localhost/", []),
        ("ws://localhost/#part", []),
        ("ws://localhost/a b", []),
        ("ws://localhost:99999/", []),
        ("ws://localhost/", [("X", "a\r\nInjected: yes")]),
        ("ws://localhost/", [("X Y", "a")]),
        ("ws://localhost/", [("X", "ü")]),
    ],
)
async def test_an_address_or_header_that_cannot_be_used(sweep: Sweep, url: str, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence differs
        await connect(url, Recorder(), LIMITS, sweep=sweep, headers=headers)
    assert "secret" not in str(error.value)


async def test_a_certificate_is_not_for_a_plain_address(sweep: Sweep) -> None:
    with pytest.raises(ValueError, match="wss"):
        await connect("ws://localhost/", Recorder(), LIMITS, sweep=sweep, ssl=ssl.create_default_context())
