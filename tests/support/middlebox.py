"""What stands between two nodes and does not care for websockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

_REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Middlebox:
    """In front of a port of the loopback interface; listens on `port`.

    mode: `pass`; `refuse`: a request to upgrade is answered with 403, websockets that are open are cut; `swallow`:
    nothing of a websocket passes any more, and nobody is told. HTTP requests pass always.
    upgrades, requests: connections that began with one, or with something else.
    """

    def __init__(self, target: int) -> None:
        self.mode: Literal["pass", "refuse", "swallow"] = "pass"
        self.port = 0
        self.upgrades = 0
        self.requests = 0
        self._target = target
        self._websockets: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def refuse(self) -> None:
        self.mode = "refuse"
        for writer in tuple(self._websockets):
            writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._websockets.discard(writer)
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        websocket = b"upgrade: websocket" in head.lower()
        self.upgrades += websocket
        self.requests += not websocket
        if websocket and self.mode == "refuse":
            writer.write(_REFUSAL)
            await writer.drain()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        if websocket:
            self._websockets.add(writer)
        back.write(b"" if websocket and self.mode == "swallow" else head)
        pumps = [
            asyncio.ensure_future(self._pump(*ends, websocket=websocket)) for ends in ((reader, back), (there, writer))
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            back.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, websocket: bool) -> None:
        while data := await reader.read(65_536):
            if not (websocket and self.mode == "swallow"):
                writer.write(data)
                await writer.drain()
