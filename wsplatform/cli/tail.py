"""A client of the Centrifuge protocol in JSON that follows channels.

Source: centrifugal.dev, docs/transports/client_protocol.md and docs/server/codes.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from wsplatform.cli.http import command_error, unreachable, wrong_place
from wsplatform.core.backoff import Backoff
from wsplatform.errors import PlatformError

SHORTEST_WAIT, LONGEST_WAIT = 0.5, 20.0
REPLY_SECONDS = 10.0
PING_GRACE = 10.0
MAX_FRAME = 64 * 1024 * 1024
_CONNECT = 1

Show = Callable[[str, dict[str, msgspec.Raw]], bool]


class _Lost(Exception):
    """The connection ended in a way that a new one may mend."""


class _Push(msgspec.Struct, gc=False):
    channel: str = ""
    pub: dict[str, msgspec.Raw] | None = None
    unsubscribe: dict[str, Any] | None = None


class _Message(msgspec.Struct, gc=False):
    id: int = 0
    error: dict[str, Any] | None = None
    connect: dict[str, Any] | None = None
    push: _Push | None = None


class Tail:
    """Follows `channels` until `show(channel, publication)` returns False.

    A publication is a dict of raw JSON: data, and info and tags where there are any. `note` is told what becomes of the
    connection. The first connection must succeed; when a later one does not, it is tried again for ever, as SDKs do.
    """

    def __init__(
        self, url: str, channels: tuple[str, ...], token: str, show: Show, note: Callable[[str], None]
    ) -> None:
        self._url = url
        self._channels = dict(enumerate(channels, start=_CONNECT + 1))  # id of the subscribe command -> channel
        self._token = token
        self._show = show
        self._note = note
        self._backoff = Backoff(SHORTEST_WAIT, LONGEST_WAIT)
        self._was_connected = False
        self._silence: float | None = REPLY_SECONDS  # how long the server may say nothing

    async def run(self) -> None:
        """Returns when `show` wants no more. Raises PlatformError when the server will not have this client."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, connect=5)) as http:
            while True:
                try:
                    return await self._follow(http)
                except _Lost as lost:
                    self._note(f"connection lost ({lost}); trying again")
                await asyncio.sleep(self._backoff.next(random.random()))  # noqa: S311 - only spreads clients

    async def _follow(self, http: aiohttp.ClientSession) -> None:
        async with await self._open(http) as socket:
            self._silence = REPLY_SECONDS
            try:
                await self._send(socket, {"id": _CONNECT, "connect": {"token": self._token, "name": "wsplatform"}})
                while True:
                    for line in (await self._receive(socket)).split("\n"):
                        if not await self._handle(socket, _decode(line)):
                            return
            except ConnectionError as error:
                raise _Lost("it broke") from error

    async def _open(self, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        url = self._url.replace("http", "ws", 1) + "/connection/websocket"
        try:
            return await http.ws_connect(url, max_msg_size=MAX_FRAME)
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (404, 405):
                raise wrong_place(self._url, "node") from error
            raise self._loss(f"status {error.status}", "refused") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if not self._was_connected:
                raise unreachable(self._url, error) from error
            raise _Lost("no answer") from error

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        try:
            message = await socket.receive(self._silence)
        except TimeoutError as error:
            raise self._loss("the server is silent", "no_answer") from error
        if message.type is aiohttp.WSMsgType.TEXT:
            return str(message.data)
        code = socket.close_code or 1006
        reason = str(message.extra or "") if message.type is aiohttp.WSMsgType.CLOSE else ""
        if 3500 <= code < 4000 or 4500 <= code < 5000 or code == 1009:
            raise PlatformError(
                "disconnected", f"The server ended the connection: {reason or 'no reason given'} ({code})."
            )
        raise self._loss(f"{reason} {code}".strip(), "disconnected")

    async def _handle(self, socket: aiohttp.ClientWebSocketResponse, message: _Message) -> bool:
        """False: `show` wants no more."""
        if message.push is not None:
            return await self._pushed(socket, message.push)
        if message.error is not None:
            error = command_error(message.error)
            if error.temporary:
                raise self._loss(error.message, error.code)
            raise error
        if message.id == _CONNECT:
            await self._connected(socket, message.connect or {})
        elif message.id in self._channels:
            self._note(f"subscribed to {self._channels[message.id]}")
        elif not message.id:
            await socket.send_str("{}")  # the server's ping
        return True

    async def _connected(self, socket: aiohttp.ClientWebSocketResponse, result: dict[str, Any]) -> None:
        self._was_connected = True
        self._backoff.reset()
        ping = result.get("ping", 0)
        self._silence = ping + PING_GRACE if ping else None
        await self._subscribe(socket, self._channels)

    async def _pushed(self, socket: aiohttp.ClientWebSocketResponse, push: _Push) -> bool:
        ids = {number: channel for number, channel in self._channels.items() if channel == push.channel}
        if push.pub is not None and ids:
            return self._show(push.channel, push.pub)
        if push.unsubscribe is not None and ids:
            code, reason = push.unsubscribe.get("code", 0), push.unsubscribe.get("reason", "")
            if code < 2500:
                raise PlatformError(
                    "unsubscribed", f"The server ended the subscription to {push.channel}: {reason} ({code})."
                )
            await self._subscribe(socket, ids)
        return True

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse, channels: dict[int, str]) -> None:
        await self._send(socket, *({"id": number, "subscribe": {"channel": name}} for number, name in channels.items()))

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, *commands: dict[str, Any]) -> None:
        await socket.send_str("\n".join(msgspec.json.encode(command).decode() for command in commands))

    def _loss(self, why: str, code: str) -> Exception:
        """What a broken connection means: nothing bad once there was one."""
        return (
            _Lost(why)
            if self._was_connected
            else PlatformError(code, f"{self._url} did not let this client in: {why}.")
        )


def _decode(line: str) -> _Message:
    try:
        return msgspec.json.decode(line, type=_Message)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PlatformError(
            "malformed_reply", "The server sent what is not the Centrifuge protocol in JSON."
        ) from error
