"""Answers of the admin API that do not end: server-sent events, for as long as the reader stays and may read.

Format: HTML Living Standard, 9.2 (html.spec.whatwg.org/multipage/server-sent-events.html).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sanic import HTTPResponse, Request

from wsplatform.errors import RequestError
from wsplatform.web.admin.gate import Caller, Gate

MAX_STREAMS: Final = 100
MAX_WAITING: Final = 8_388_608
"""Bytes that may wait for one reader; most are shared with the other readers."""

KEEPALIVE_SECONDS: Final = 10.0
STALL_SECONDS: Final = 30.0
"""A reader that takes nothing of what was written to it for so long does not read any more."""

MEDIA: Final = "text/event-stream"
_CHECK_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05
"""How often it is looked whether a slow reader has caught up."""

_KEEPALIVE: Final = b":\n\n"
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


def event(name: str, data: object) -> bytes:
    """`data` as JSON, encoded for any number of streams."""
    lines = msgspec.json.encode(data).replace(b"\r", b"\n").split(b"\n")  # JSON that came from elsewhere may have some
    return b"event: " + name.encode() + b"".join(b"\ndata: " + line for line in lines) + b"\n\n"


class Outbox:
    """What waits for one reader. One that is too slow is cut off."""

    def __init__(self, cut: Callable[[], None]) -> None:
        self.ended = False
        self._cut = cut
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()

    def send(self, chunk: bytes) -> None:
        """What `event` made. Of no effect after the end."""
        if self.ended:
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._wake.set()
        if self._size > MAX_WAITING:
            self._chunks.clear()
            self.end()
            self._cut()

    @property
    def waiting(self) -> int:
        """Bytes that were not taken yet."""
        return self._size

    def end(self) -> None:
        """Nothing follows what waits."""
        self.ended = True
        self._wake.set()

    async def wait(self, seconds: float) -> None:
        """Until something waits, or it has ended, or `seconds` have gone by."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def take(self) -> bytes:
        """The next chunk; empty: there is none."""
        chunk = self._chunks.popleft() if self._chunks else b""
        self._size -= len(chunk)
        if not self._chunks and not self.ended:
            self._wake.clear()
        return chunk


Feed = Callable[[Outbox], Coroutine[Any, Any, Callable[[], None]]]
"""Begins to send to an outbox; what it returns ends that, without delay. May raise RequestError."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a handler answers with in place of a response."""

    feed: Feed


class Streams:
    """All that are open. Each ends with the key or session that it was asked for with."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._open: set[Outbox] = set()
        self._closed = False

    async def serve(self, request: Request[Any, Any], caller: Caller, stream: Stream) -> HTTPResponse | None:
        """Raises RequestError 503 when there are too many, and what the feed raises."""
        if request.method == "HEAD":
            return HTTPResponse(headers=_HEADERS, content_type=MEDIA)
        if self._closed or len(self._open) >= MAX_STREAMS:
            raise RequestError(503, "too_many_streams", "As many streams are open as may be: close some.")
        transport: Any = request.transport  # of asyncio or uvloop; Sanic's type for it knows no abort
        outbox = Outbox(transport.abort)
        self._open.add(outbox)
        try:
            stop = await stream.feed(outbox)
            try:
                await self._write(request, caller, outbox)
            finally:
                # Nothing may be awaited here: a task that Sanic has cancelled may be cancelled once more.
                stop()
        finally:
            self._open.discard(outbox)
        return None

    def close(self) -> None:
        """End all, and let none begin."""
        self._closed = True
        for outbox in self._open:
            outbox.end()

    def __len__(self) -> int:
        return len(self._open)

    async def _write(self, request: Request[Any, Any], caller: Caller, outbox: Outbox) -> None:
        response = await request.respond(headers=dict(_HEADERS), content_type=MEDIA)
        assert isinstance(response, HTTPResponse)
        loop = asyncio.get_running_loop()
        quiet = loop.time() + KEEPALIVE_SECONDS
        while await self._taken(request.transport, caller) and self._gate.holds(caller):
            chunk = outbox.take()
            if not chunk and outbox.ended:
                break
            if not chunk and loop.time() >= quiet:
                chunk = _KEEPALIVE
            if chunk:
                await response.send(chunk)
                quiet = loop.time() + KEEPALIVE_SECONDS
            else:
                await outbox.wait(_CHECK_SECONDS)
        await response.eof()  # type: ignore[no-untyped-call]

    async def _taken(self, transport: Any, caller: Caller) -> bool:
        """Wait until the reader has taken what was written to it.

        False: it does not read any more, or must not, and its connection is ended. Sanic would wait for it for ever.
        """
        loop = asyncio.get_running_loop()
        left, deadline = transport.get_write_buffer_size(), loop.time() + STALL_SECONDS
        while left:
            await asyncio.sleep(_LOOK_SECONDS)
            before, left = left, transport.get_write_buffer_size()
            if left < before:
                deadline = loop.time() + STALL_SECONDS
            if left and (loop.time() >= deadline or not self._gate.holds(caller)):
                transport.abort()
                return False
        return True
