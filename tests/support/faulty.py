"""A server that speaks enough of both protocols for `wsplatform bench`, and does wrong what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Self

from aiohttp import WSMsgType, web

_VANISHED = {"error": "vanished"}
_FAULTS = {"drop", "twice", "swap", "refuse", "vanish", "hang_up", "unsubscribe", "noise"}


class Faulty:
    """`async with Faulty({5: "drop", …}) as server`: what becomes of the 5th publication of the run.

    drop: accepted, and delivered to nobody. twice: delivered so. swap: delivered after the next one. refuse: error 100.
    vanish: delivered, and never answered (HTTP: hung up). hang_up: the connection of the first subscriber is
    closed with `close_code` instead. unsubscribe: the first subscriber gets code 2500 instead. noise: delivered amid
    other publications, in one message.

    greeting: what is answered to connect, if not a proper answer.
    accepted: publications that were answered so. delivered: how often those were sent to a subscriber, repetitions not
    counted.
    """

    def __init__(
        self,
        faults: Mapping[int, str] | None = None,
        *,
        close_code: int = 3000,
        ping: float = 25,
        greeting: str | None = None,
    ) -> None:
        self.url = ""
        self.accepted = 0
        self.delivered = 0
        self.connects: list[dict[str, Any]] = []
        self.pongs = 0
        self._faults = faults or {}
        self._close_code = close_code
        self._ping = ping
        self._greeting = greeting
        self._published = 0
        self._sockets: list[web.WebSocketResponse] = []
        self._held: list[str] = []
        app = web.Application()
        app.router.add_get("/connection/websocket", self._serve)
        app.router.add_post("/api/{method}", self._api)
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def say(self, text: str) -> None:
        for socket in list(self._sockets):
            await socket.send_str(text)

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            for line in message.data.split("\n"):
                await self._command(socket, json.loads(line))
        if socket in self._sockets:
            self._sockets.remove(socket)
        return socket

    async def _command(self, socket: web.WebSocketResponse, command: dict[str, Any]) -> None:
        if not command:
            self.pongs += 1
            return
        method = next(name for name in command if name != "id")
        result: dict[str, Any] = {method: {}}
        if method == "connect":
            self.connects.append(command["connect"])
            if self._greeting is not None:
                await socket.send_str(self._greeting)
                return
            result = {"connect": {"client": "c", "version": "0", "ping": self._ping, "pong": True}}
        elif method == "subscribe":
            self._sockets.append(socket)
        elif method == "publish":
            result = await self._publish(command["publish"]) or result
            if result == _VANISHED:
                return
        await socket.send_str(json.dumps({"id": command["id"], **result}))

    async def _api(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.match_info["method"] == "publish":
            answer = await self._publish(body) or {"result": {}}
        else:
            commands = [command["publish"] for command in body["commands"]]
            answer = {"replies": [await self._publish(command) or {"publish": {}} for command in commands]}
        if answer == _VANISHED or _VANISHED in answer.get("replies", ()):
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(answer)

    async def _publish(self, command: dict[str, Any]) -> dict[str, Any] | None:
        """The error, if it is refused."""
        if command["data"][0] == "trial":
            return None
        self._published += 1
        fault = self._faults.get(self._published, "")
        assert not fault or fault in _FAULTS
        if fault == "refuse":
            return {"error": {"code": 111, "message": "too many requests"}}
        first = self._sockets[0] if self._sockets else None
        if first is not None and fault == "hang_up":
            self._sockets.remove(first)
            asyncio.get_running_loop().create_task(first.close(code=self._close_code))
        elif first is not None and fault == "unsubscribe":
            self._sockets.remove(first)
            push = {"channel": command["channel"], "unsubscribe": {"code": 2500, "reason": "again"}}
            await first.send_str(json.dumps({"push": push}))
        await self._deliver(_push(command["channel"], command["data"]), fault)
        if fault == "vanish":
            return _VANISHED
        self.accepted += 1
        if fault != "drop":
            self.delivered += len(self._sockets)
        return None

    async def _deliver(self, text: str, fault: str) -> None:
        if fault == "swap":
            self._held.append(text)
        elif fault == "noise":
            strangers = [_push("bench", {"a": [1]}), _push("bench", "x"), _push("bench", ["other", 0, 1, 2])]
            await self.say("\n".join([*strangers, text, _push("other", None)]))
        elif fault != "drop":
            for _ in range(1 + (fault == "twice")):
                await self.say(text)
            for held in self._held:
                await self.say(held)
            self._held.clear()


def _push(channel: str, data: Any) -> str:
    return json.dumps({"push": {"channel": channel, "pub": {"data": data}}})
