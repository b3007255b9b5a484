"""One client of `wsplatform bench`: the Centrifuge protocol in JSON, on a connection that has no task of its own.

Source: centrifugal.dev, docs/transports/client_protocol.md and docs/server/codes.md.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from secrets import token_bytes
from ssl import SSLContext
from time import monotonic_ns
from typing import Any, NamedTuple

import msgspec

from wsplatform.cli.bench_book import Book
from wsplatform.cli.bench_wire import Connected, Message, decode, malformed, not_connected
from wsplatform.cli.http import command_error
from wsplatform.core.deliveries import Receipt, Stream
from wsplatform.errors import PlatformError
from wsplatform.net.connect import connect
from wsplatform.net.sweep import Sweep
from wsplatform.net.websocket import ConnectionLimits, WebSocketConnection
from wsplatform.wire.rfc6455 import NORMAL, PROTOCOL_ERROR, TEXT, encode_frame

JOIN_SECONDS = 15.0
PING_GRACE = 10.0
_LIMITS = ConnectionLimits(max_message=64 << 20, max_outbox=64 << 20, close_timeout=2.0)
_CONNECT = 1  # ids of commands: this, then one for each subscribe, then one for each publish


class Sending(NamedTuple):
    """A publication on its way out: `number` of `stream`."""

    channel: str
    data: bytes
    stream: Stream
    number: int


@dataclass(frozen=True, slots=True)
class World:
    """What all clients of a run share. epoch: nanoseconds of the monotonic clock, from which publications are timed.

    left: told of a client that had joined and whose connection has ended, with the code.
    """

    book: Book
    epoch: int
    sweep: Sweep
    tls: SSLContext | None
    left: Callable[[Client, int], None]


class Client:
    """`join`, then receives and counts until the connection ends; may `join` again. A Handler of its connection."""

    __slots__ = (
        "_awaited",
        "_channels",
        "_connection",
        "_joined",
        "_next",
        "_pending",
        "_receipts",
        "_silence",
        "_subscribing",
        "_token",
        "_world",
        "server",
    )

    def __init__(self, world: World, server: int, channels: tuple[str, ...], token: str) -> None:
        self.server = server  # which of the run's servers it is on; the owner's
        self._world = world
        self._channels = channels
        self._token = token
        self._connection: WebSocketConnection | None = None
        self._awaited: asyncio.Future[PlatformError | None] | None = None
        self._joined = False
        self._receipts: dict[str, tuple[Receipt, ...]] = {}
        self._subscribing = 0
        self._silence = math.inf
        self._next = _CONNECT + len(channels)
        self._pending: dict[int, tuple[Stream, int]] = {}

    @property
    def joined(self) -> bool:
        """Connected, and subscribed to all of its channels."""
        return self._joined

    @property
    def pending(self) -> int:
        """Publications that were not answered yet."""
        return len(self._pending)

    async def join(self, url: str) -> None:
        """Connect and subscribe. Raises PlatformError, whose code is the cause in the report."""
        awaited = self._awaited = asyncio.get_running_loop().create_future()
        address = url.replace("http", "ws", 1) + "/connection/websocket"
        world = self._world
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await connect(address, self, _LIMITS, sweep=world.sweep, ssl=world.tls, timeout=JOIN_SECONDS)
                error = await awaited
        except (OSError, ValueError) as failure:
            error = not_connected(url, failure)
        finally:
            self._awaited = None
            if not self._joined:
                self.cut()
        if error is not None:
            raise error

    async def try_out(self, channel: str, data: bytes) -> None:
        """Publish what nobody counts. Raises PlatformError when that is refused."""
        awaited = self._awaited = asyncio.get_running_loop().create_future()
        self._next += 1
        self._send({"id": self._next, "publish": {"channel": channel, "data": msgspec.Raw(data)}})
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                error = await awaited
        except TimeoutError:
            error = PlatformError("timeout", "The server did not answer a publication.")
        finally:
            self._awaited = None
        if error is not None:
            raise error

    def publish(self, items: Iterable[Sending]) -> None:
        """Only while `joined`. The answers are entered in the book."""
        assert self._connection is not None
        frames = bytearray()
        for item in items:
            self._next += 1
            self._pending[self._next] = (item.stream, item.number)
            line = b'{"id":%d,"publish":{"channel":%b,"data":%b}}'
            command = line % (self._next, msgspec.json.encode(item.channel), item.data)
            frames += encode_frame(TEXT, command, mask=token_bytes(4))
        self._connection.send_frame(bytes(frames))

    def give_up(self) -> None:
        """Wait for no more answers."""
        self._unanswered("no_answer")

    def leave(self) -> None:
        """Say goodbye; nothing is counted any more."""
        self._joined = False
        if self._connection is not None:
            self._connection.close(NORMAL)

    def cut(self) -> None:
        """The same without a word. The connection is gone in the next turn of the loop."""
        self._joined = False
        if self._connection is not None:
            self._connection.abort()

    # Handler

    def opened(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self._send({"id": _CONNECT, "connect": {"token": self._token, "name": "wsplatform bench"}})

    def text(self, payload: bytes) -> None:
        now = monotonic_ns()
        world = self._world
        try:
            messages = decode(payload)
        except PlatformError:
            self._malformed()
            return
        for message in messages:
            push = message.push
            if push is not None and push.pub is not None:
                receipts = self._receipts.get(push.channel)
                if receipts is not None:
                    world.book.take(receipts, push.pub.data, (now - world.epoch) // 1000)
            else:
                self._other(message)

    def binary(self, payload: bytes) -> None:
        self._malformed()

    def pong(self, payload: bytes) -> None:
        """None is asked for: the protocol has its own."""

    def writable(self, ready: bool) -> None:
        """The connection's own buffer is enough."""

    def expired(self, now: float) -> None:
        assert self._connection is not None
        self._connection.abort()  # the server is silent

    def closed(self, code: int, reason: str) -> None:
        self._connection = None
        self._unanswered(f"disconnected_{code}")
        for receipts in self._receipts.values():
            for receipt in receipts:
                receipt.left()
        why = f"{reason} ({code})" if reason else str(code)
        self._settle(PlatformError(f"disconnected_{code}", f"The server ended the connection: {why}."))
        if self._joined:
            self._joined = False
            self._world.left(self, code)

    # What the server says

    def _other(self, message: Message) -> None:
        if message.push is not None:
            if message.push.unsubscribe is not None:
                self._unsubscribed(message.push.channel, message.push.unsubscribe.code)
        elif message.id > _CONNECT + len(self._channels):
            self._answered(message)
        elif message.error is not None:
            self._settle(command_error(message.error))
        elif message.connect is not None:
            self._connected(message.connect)
        elif message.id:
            self._subscribed(self._channels[message.id - _CONNECT - 1])
        else:
            self._ping()

    def _connected(self, result: Connected) -> None:
        self._silence = result.ping + PING_GRACE if result.ping else math.inf
        self._set_deadline()
        self._subscribing = 0
        for channel in self._channels:
            self._subscribe(channel)

    def _subscribe(self, channel: str) -> None:
        self._subscribing += 1
        number = _CONNECT + 1 + self._channels.index(channel)
        self._send({"id": number, "subscribe": {"channel": channel}})

    def _subscribed(self, channel: str) -> None:
        self._subscribing -= 1
        for receipt in self._receipts.get(channel, ()):
            receipt.back()
        awaited = self._awaited
        if not self._subscribing and not self._joined and awaited is not None and not awaited.done():
            self._joined = True
            if not self._receipts:
                self._receipts = {name: self._world.book.subscribe(name) for name in self._channels}
            awaited.set_result(None)

    def _unsubscribed(self, channel: str, code: int) -> None:
        self._world.book.unsubscribes[code] += 1
        for receipt in self._receipts.get(channel, ()):
            receipt.left()
        if code >= 2500:
            self._subscribe(channel)

    def _answered(self, message: Message) -> None:
        error = None if message.error is None else command_error(message.error)
        sent = self._pending.pop(message.id, None)
        if sent is None:
            self._settle(error)
        elif error is None:
            self._world.book.accept(*sent)
        else:
            self._world.book.refused[error.code] += 1

    def _ping(self) -> None:
        self._set_deadline()
        self._send({})

    def _set_deadline(self) -> None:
        if self._connection is not None and self._connection.open:
            self._connection.deadline = asyncio.get_running_loop().time() + self._silence

    def _send(self, command: dict[str, Any]) -> None:
        assert self._connection is not None
        self._connection.send_text(msgspec.json.encode(command))

    def _unanswered(self, why: str) -> None:
        if self._pending:
            self._world.book.unanswered[why] += len(self._pending)
            self._pending.clear()

    def _settle(self, error: PlatformError | None) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(error)

    def _malformed(self) -> None:
        self._settle(malformed())
        assert self._connection is not None
        self._connection.close(PROTOCOL_ERROR, "not understood")
