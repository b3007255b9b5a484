"""TCP connections that can be cut, frozen or deafened, between a program and its server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self


class TcpProxy:
    """`async with TcpProxy(port) as proxy`: listens on `proxy.port`, connects to `port`, both on loopback."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._deaf = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.thaw()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Every connection, without a word."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def freeze(self) -> None:
        """Nothing passes any more; connections stay."""
        self._flowing.clear()

    def deafen(self) -> None:
        """What the program says arrives; what the server answers is lost, until `thaw`. Connections stay."""
        self._deaf = True

    def thaw(self) -> None:
        self._deaf = False
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(back)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, back))
                    both.create_task(self._pump(there, writer, answers=True))
            finally:
                back.transport.abort()
                self._writers.discard(back)
        except* OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        while data := await reader.read(65_536):
            if answers and self._deaf:
                continue
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


class ProxyThread:
    """`with ProxyThread() as proxies`: proxies on an event loop of their own, for tests that close theirs."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._proxies: list[TcpProxy] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._proxies:
            asyncio.run_coroutine_threadsafe(proxy.__aexit__(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self, port: int) -> TcpProxy:
        """In front of `port`."""
        proxy = TcpProxy(port)
        self._proxies.append(proxy)
        return asyncio.run_coroutine_threadsafe(proxy.__aenter__(), self._loop).result(10)

    def cut(self, proxy: TcpProxy) -> None:
        self._loop.call_soon_threadsafe(proxy.cut)
