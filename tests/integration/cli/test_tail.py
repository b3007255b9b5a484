"""`wsplatform subscribe` against a server that misbehaves on command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import WSCloseCode, web

from wsplatform.cli import tail
from wsplatform.cli.tail import Tail
from wsplatform.errors import PlatformError

Script = Callable[["Connection"], Any]


class Connection:
    """The server's side of one connection."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self.commands: list[dict[str, Any]] = []

    async def command(self) -> dict[str, Any]:
        while not self.commands:
            self.commands += [json.loads(line) for line in (await self._socket.receive_str(timeout=5)).split("\n")]
        return self.commands.pop(0)

    async def say(self, *messages: object) -> None:
        await self._socket.send_str("\n".join(json.dumps(message) for message in messages))

    async def raw(self, text: str) -> None:
        await self._socket.send_str(text)

    async def welcome(self, *channels: str, **result: Any) -> None:
        """Answer connect, and the subscribe of each channel."""
        connect = await self.command()
        await self.say({"id": connect["id"], "connect": {"client": "c", "version": "0", **result}})
        for channel in channels:
            command = await self.command()
            assert command["subscribe"] == {"channel": channel}
            await self.say({"id": command["id"], "subscribe": {}})

    async def publish(self, channel: str, *data: object) -> None:
        await self.say(*({"push": {"channel": channel, "pub": {"data": item}}} for item in data))

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.close(code=code, message=reason.encode())


class Server:
    def __init__(self, scripts: list[Script]) -> None:
        self._scripts = scripts
        self.url = ""
        self._runner = web.AppRunner(self._app())

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/connection/websocket", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self._scripts.pop(0)(Connection(socket))
        return socket

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()


class Seen:
    """What a Tail shows, up to `limit` publications."""

    def __init__(self, limit: int = 1) -> None:
        self.publications: list[tuple[str, Any]] = []
        self.notes: list[str] = []
        self._limit = limit

    def show(self, channel: str, publication: dict[str, msgspec.Raw]) -> bool:
        self.publications.append((channel, json.loads(msgspec.json.encode(publication))))
        return len(self.publications) < self._limit


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "SHORTEST_WAIT", 0.01)
    monkeypatch.setattr(tail, "LONGEST_WAIT", 0.02)
    monkeypatch.setattr(tail, "PING_GRACE", 0.2)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    servers: list[Server] = []

    async def start(*scripts: Script) -> Server:
        server = Server(list(scripts))
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


async def follow(server: Server, seen: Seen, *channels: str, token: str = "") -> None:
    async with asyncio.timeout(10):
        await Tail(server.url, channels or ("news",), token, seen.show, seen.notes.append).run()


async def test_shows_publications_of_its_channels_until_it_has_enough(serve: Any) -> None:
    async def script(connection: Connection) -> None:
        await connection.welcome("news", "chat")
        await connection.publish("other", 0)
        await connection.publish("news", {"a": 1}, "two")
        await connection.say({"push": {"channel": "chat", "join": {"info": {}}}})
        await connection.publish("chat", 3, 4)

    seen = Seen(3)
    await follow(await serve(script), seen, "news", "chat")
    assert seen.publications == [("news", {"data": {"a": 1}}), ("news", {"data": "two"}), ("chat", {"data": 3})]
    assert seen.notes == ["subscribed to news", "subscribed to chat"]


async def test_sends_its_token_and_answers_pings(serve: Any) -> None:
    async def script(connection: Connection) -> None:
        connect = await connection.command()
        assert connect["connect"]["token"] == "jwt"
        await connection.say(
            {"id": connect["id"], "connect": {"client": "c", "version": "0", "ping": 25, "pong": True}}
        )
        await connection.command()
        await connection.say({})
        assert await connection.command() == {}
        await connection.publish("news", "pong seen")

    seen = Seen()
    await follow(await serve(script), seen, token="jwt")
    assert seen.publications == [("news", {"data": "pong seen"})]


@pytest.mark.parametrize("code", [1001, 1006, 1011, 3000, 3001, 3005, 3012, 4000])
async def test_comes_back_after_a_loss(serve: Any, code: int) -> None:
    async def first(connection: Connection) -> None:
        await connection.welcome("news")
        await connection.publish("news", 1)
        await connection.close(code if code != 1006 else WSCloseCode.GOING_AWAY)

    async def second(connection: Connection) -> None:
        await connection.welcome("news")
        await connection.publish("news", 2)

    seen = Seen(2)
    await follow(await serve(first, second), seen)
    assert [data["data"] for _, data in seen.publications] == [1, 2]
    assert [note for note in seen.notes if "lost" in note]


@pytest.mark.parametrize("code", [3500, 3501, 3999, 4500, 4999, 1009])
async def test_does_not_come_back_when_it_is_told_so(serve: Any, code: int) -> None:
    async def script(connection: Connection) -> None:
        await connection.welcome("news")
        await connection.close(code, "go away")

    with pytest.raises(PlatformError, match=f"go away.*{code}") as caught:
        await follow(await serve(script), Seen())
    assert caught.value.code == "disconnected"


async def test_comes_back_when_the_server_falls_silent(serve: Any) -> None:
    async def silent(connection: Connection) -> None:
        await connection.welcome("news", ping=0.1)
        await asyncio.sleep(2)

    async def second(connection: Connection) -> None:
        await connection.welcome("news", ping=0.1)
        await connection.publish("news", 2)

    seen = Seen()
    await follow(await serve(silent, second), seen)
    assert "connection lost (the server is silent); trying again" in seen.notes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 102, "message": "unknown channel"}, "unknown_channel"),
        ({"code": 103, "message": "permission denied"}, "permission_denied"),
        ({"code": 999, "message": "new"}, "error_999"),
        ({"code": 100, "message": "internal", "temporary": True}, "internal"),
    ],
)
async def test_a_refused_connection_ends_with_the_servers_code(serve: Any, error: dict[str, Any], code: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.say({"id": (await connection.command())["id"], "error": error})

    with pytest.raises(PlatformError) as caught:
        await follow(await serve(script), Seen())
    assert caught.value.code == code


async def test_a_refused_subscription_is_final_unless_temporary(serve: Any) -> None:
    async def temporary(connection: Connection) -> None:
        await connection.welcome()
        number = (await connection.command())["id"]
        await connection.say({"id": number, "error": {"code": 100, "message": "internal", "temporary": True}})
        await connection.close(3000)

    async def final(connection: Connection) -> None:
        await connection.welcome()
        number = (await connection.command())["id"]
        await connection.say({"id": number, "error": {"code": 102, "message": "unknown channel"}})

    with pytest.raises(PlatformError) as caught:
        await follow(await serve(temporary, final), Seen())
    assert caught.value.code == "unknown_channel"


async def test_subscribes_again_when_the_server_wants_that(serve: Any) -> None:
    async def script(connection: Connection) -> None:
        await connection.welcome("news", "chat")
        unsubscribe = {"code": 2500, "reason": "insufficient state"}
        await connection.say({"push": {"channel": "chat", "unsubscribe": unsubscribe}})
        command = await connection.command()
        assert command["subscribe"] == {"channel": "chat"}
        await connection.say({"id": command["id"], "subscribe": {}})
        await connection.publish("chat", 1)

    seen = Seen()
    await follow(await serve(script), seen, "news", "chat")
    assert seen.publications == [("chat", {"data": 1})]


async def test_an_unsubscription_for_good_is_an_error(serve: Any) -> None:
    async def script(connection: Connection) -> None:
        await connection.welcome("news")
        await connection.say({"push": {"channel": "news", "unsubscribe": {"code": 2000, "reason": "rule gone"}}})

    with pytest.raises(PlatformError, match=r"news: rule gone \(2000\)") as caught:
        await follow(await serve(script), Seen())
    assert caught.value.code == "unsubscribed"


@pytest.mark.parametrize("text", ["[1]", "nonsense", '{"push": 1}', '{"id": "x"}', "[" * 100_000, ""])
async def test_a_reply_that_is_no_centrifuge_is_an_error(serve: Any, text: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.command()
        await connection.raw(text)

    with pytest.raises(PlatformError) as caught:
        await follow(await serve(script), Seen())
    assert caught.value.code == "malformed_reply"


async def test_a_server_without_the_client_face_is_named() -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    seen = Seen()
    with pytest.raises(PlatformError, match="address of a node or of the load balancer") as caught:
        await Tail(url, ("news",), "", seen.show, seen.notes.append).run()
    assert caught.value.code == "wrong_server"
    await runner.cleanup()
