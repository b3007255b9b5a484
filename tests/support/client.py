"""A small client of the Centrifuge protocol in JSON, for tests that look closer than an SDK lets them."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any, Self

import aiohttp


class Refused(Exception):
    """An error reply."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code = error["code"]


class Client:
    """`async with Client(http, "http://127.0.0.1:8000") as client`: connected; publications are kept by channel."""

    def __init__(self, http: aiohttp.ClientSession, server: str, token: str = "", name: str = "") -> None:
        self.publications: dict[str, list[Any]] = defaultdict(list)
        self.pushes: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.id = ""
        self._http = http
        self._url = server.replace("http", "ws", 1) + "/connection/websocket"
        self._connect = {"token": token, "name": name}
        self._next = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self.socket: aiohttp.ClientWebSocketResponse | None = None

    async def __aenter__(self) -> Self:
        self.socket = await self._http.ws_connect(self._url, max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        self.id = (await self.call("connect", self._connect))["client"]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.socket is not None
        assert self._reader is not None
        await self.socket.close()
        await self._reader

    async def call(self, method: str, params: dict[str, Any], timeout: float = 10.0) -> dict[str, Any]:
        """The result of a command. Raises Refused for an error reply, ConnectionError when the connection ends."""
        assert self.socket is not None
        self._next += 1
        reply = self._waiting[self._next] = asyncio.get_running_loop().create_future()
        await self.socket.send_str(json.dumps({"id": self._next, method: params}))
        return await asyncio.wait_for(reply, timeout)

    async def subscribe(self, channel: str, **params: Any) -> dict[str, Any]:
        return await self.call("subscribe", {"channel": channel, **params})

    async def publish(self, channel: str, data: Any) -> None:
        await self.call("publish", {"channel": channel, "data": data})

    async def _read(self) -> None:
        assert self.socket is not None
        async for message in self.socket:
            for line in message.data.split("\n"):
                await self._handle(json.loads(line))
        self.close_code = self.socket.close_code
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(ConnectionError(f"closed with {self.close_code}"))
                reply.exception()

    async def _handle(self, message: dict[str, Any]) -> None:
        assert self.socket is not None
        if not message:
            await self.socket.send_str("{}")
        elif "push" in message:
            push = message["push"]
            if "pub" in push:
                self.publications[push["channel"]].append(push["pub"]["data"])
            else:
                self.pushes.append(push)
        else:
            reply = self._waiting.pop(message["id"])
            if reply.done():
                return
            if "error" in message:
                reply.set_exception(Refused(message["error"]))
            else:
                reply.set_result(next((value for key, value in message.items() if key != "id"), {}))
