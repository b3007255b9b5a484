"""A listener for the endpoints of transports, without the rest of a node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.net.upgrade import Acceptor, Refuse, answer, refusal, request_path
from wsplatform.net.websocket import Side
from wsplatform.testing.call_face import MAX_HEAD, serve_calls
from wsplatform.testing.wait import eventually
from wsplatform.transports.base import Answering, CallHandler, Inbound, Transport


class NodeFace:
    """Serves `acceptors` and `calls` on a port of the loopback interface, the same one each time it is opened."""

    def __init__(self, acceptors: Mapping[str, Acceptor], sweep: Sweep) -> None:
        self.acceptors = acceptors
        self.calls: Mapping[str, CallHandler] = {}
        self.sweep = sweep
        self.tasks = Tasks()
        self.connections: set[Any] = set()
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def serve(self, transport: Transport) -> bool:
        """Serve the endpoints of this transport, instead of others. False: it has none."""
        self.acceptors = transport.acceptors() if isinstance(transport, Inbound) else {}
        self.calls = transport.calls() if isinstance(transport, Answering) else {}
        return isinstance(transport, Inbound | Answering)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Head(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop to listen and cut what is connected. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        await eventually(lambda: not self.connections and not len(self.tasks))

    def cut(self) -> None:
        """Cut every connection as a failing network does: without a word."""
        for connection in tuple(self.connections):
            connection.abort()


class _Head(asyncio.Protocol):
    """A connection up to the end of its request's head."""

    def __init__(self, face: NodeFace) -> None:
        self._face = face
        self._transport: asyncio.Transport
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's look like one, and are none
        self._face.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._face.connections.discard(self)

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, complete, rest = self._buffer.partition(b"\r\n\r\n")
        if complete:
            self._answer(head + complete, rest)
        elif len(self._buffer) > MAX_HEAD:
            self._transport.abort()

    def _answer(self, head: bytes, rest: bytes) -> None:
        if head.startswith(b"POST "):
            self._face.connections.discard(self)
            _Calls(self._face).take_over(self._transport, head + rest)
            return
        acceptor = self._face.acceptors.get(request_path(head) or "")
        side = Side(self._face.sweep, roster=self._face.connections)
        missing = Refuse(404, "not_found", "No endpoint is here.")
        decision = missing if acceptor is None else answer(head, "127.0.0.1", acceptor, side)
        if isinstance(decision, Refuse):
            self._transport.write(refusal(decision))
            self._transport.close()
            return
        response, connection = decision
        self._face.connections.discard(self)
        connection.take_over(self._transport, response, rest)


class _Calls(asyncio.StreamReaderProtocol):
    """A connection from its first POST on."""

    def __init__(self, face: NodeFace) -> None:
        self._face = face
        self._reader = asyncio.StreamReader()
        self._serving: asyncio.Task[None]
        super().__init__(self._reader)

    def take_over(self, transport: asyncio.Transport, received: bytes) -> None:
        self._calls_transport = transport
        self._face.connections.add(self)
        transport.set_protocol(self)
        self.connection_made(transport)
        self._reader.feed_data(received)
        writer = asyncio.StreamWriter(transport, self, self._reader, asyncio.get_running_loop())
        self._serving = self._face.tasks.start(serve_calls(self._face.calls, self._reader, writer), name="calls")

    def connection_lost(self, exc: Exception | None) -> None:
        self._face.connections.discard(self)
        super().connection_lost(exc)
        self._serving.cancel()

    def eof_received(self) -> bool:
        return False  # who has closed one direction is gone, as under Sanic

    def abort(self) -> None:
        self._calls_transport.abort()
