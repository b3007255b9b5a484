"""Messages from one process to another: over the platform's mesh, its transport alone, or a bare stream.

    python -m benchmarks.probes.forward mesh|transport|stream receive
    python -m benchmarks.probes.forward mesh|transport|stream send PORT MESSAGES BATCH SIZE

The receiver prints its port. After MESSAGES, of which BATCH are sent in one turn of the loop, each side prints the
seconds of CPU that they took. What is under way is bounded by acknowledgements, the same for both.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

import uvloop

from wsplatform.model import Instance
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.node.link import Links, link_limits
from wsplatform.settings import ClusterTable
from wsplatform.testing.node_face import NodeFace
from wsplatform.transports.base import Peer, TransportContext
from wsplatform.transports.websocket import WebSocketTransport
from wsplatform.wire.link import Lane

_ACKNOWLEDGE = 5000
_UNDER_WAY = 4 * _ACKNOWLEDGE
_HEAD = 4
_PATIENCE = 60.0
_DIALS, _LISTENS = Instance("dials", "1"), Instance("listens", "1")


class Carrier(Protocol):
    """send: one message, before the end of this turn."""

    @property
    def send(self) -> Callable[[bytes], object]: ...


class Stream(asyncio.Protocol):
    """Length and message, again and again; what is sent in one turn leaves in one write."""

    def __init__(self, received: Callable[[bytes], None], connected: Callable[[Carrier], None]) -> None:
        self._received = received
        self._connected = connected
        self._transport: asyncio.Transport
        self._rest = b""
        self._pending: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's look like one, and are none
        self._connected(self)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at, end, received = 0, len(data), self._received
        while end - at >= _HEAD:
            stop = at + _HEAD + int.from_bytes(data[at : at + _HEAD], "big")
            if stop > end:
                break
            received(data[at + _HEAD : stop])
            at = stop
        self._rest = data[at:]

    def send(self, message: bytes) -> None:
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append(len(message).to_bytes(_HEAD, "big"))
        self._pending.append(message)

    def _flush(self) -> None:
        self._transport.write(b"".join(self._pending))
        self._pending.clear()


class Wire:
    """transports.base.TransportEvents of the platform's default transport, between two nodes."""

    def __init__(self, received: Callable[[bytes], None], connected: Callable[[Carrier], None]) -> None:
        self._received = received
        self._connected = connected
        self.send: Callable[[bytes], bool]
        self._sweep = Sweep(0.25)
        self._settings = ClusterTable(secrets=("a cluster secret of the benchmark",))
        self._transport = WebSocketTransport(TransportContext(self._settings, Tasks(), self._sweep))

    def up(self, peer: Peer) -> None:
        self.send = partial(self._transport.send, peer.id)
        self._connected(self)

    def received(self, peer_id: str, envelope: bytes) -> None:
        self._received(envelope)

    def down(self, peer: Peer, why: str) -> None:
        print(f"disconnected: {why}", file=sys.stderr)

    async def listen(self) -> int:
        self._sweep.start(asyncio.get_running_loop())
        face = NodeFace(self._transport.acceptors(), self._sweep)
        await face.open()
        await self._join(Peer(_LISTENS, face.url), Peer(_DIALS))
        return face.port

    async def dial(self, port: int) -> None:
        self._sweep.start(asyncio.get_running_loop())
        await self._join(Peer(_DIALS), Peer(_LISTENS, f"ws://127.0.0.1:{port}"))

    async def _join(self, local: Peer, other: Peer) -> None:
        await self._transport.start(local, self)
        self._transport.set_peers(frozenset({other}))


class Mesh(Wire):
    """node.link.LinkEvents: the same with a link on it, as between any two nodes. A member of the sweep, every time."""

    deadline = 0.0

    def __init__(self, received: Callable[[bytes], None], connected: Callable[[Carrier], None]) -> None:
        super().__init__(received, connected)
        self._links = Links(self._transport, self, link_limits(self._settings))

    def expired(self, now: float) -> None:
        self._links.tick(now)

    async def _join(self, local: Peer, other: Peer) -> None:
        await self._links.start(local)
        self._links.set_peers(frozenset({other}))
        self._sweep.add(self)

    def connected(self, peer_id: str) -> None:
        self.send = partial(self._links.send, peer_id, Lane.PUBLICATIONS)
        self._connected(self)

    def received(self, peer_id: str, envelopes: list[bytes]) -> None:  # type: ignore[override]
        for envelope in envelopes:
            self._received(envelope)

    def disconnected(self, peer_id: str, why: str) -> None:
        print(f"disconnected: {why}", file=sys.stderr)

    def left(self, peer_id: str) -> None: ...
    def gap(self, peer_id: str, lane: Lane, count: int) -> None: ...
    def lost(self, peer_id: str, lane: Lane, cause: str, count: int) -> None: ...
    def malformed(self, peer_id: str, error: Exception) -> None: ...


class Receiver:
    """Acknowledges; prints what the messages between the first and one that is marked took."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self._carrier: Carrier
        self._count = 0
        self._began = 0.0

    def connected(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def received(self, message: bytes) -> None:
        if not self._count:
            self._began = time.process_time()
        self._count += 1
        if self._count % _ACKNOWLEDGE == 0:
            self._carrier.send(b"%d" % self._count)
        if message == b"end":
            print(json.dumps({"cpu": time.process_time() - self._began}), flush=True)
            self.done.set()


class Sender:
    """`messages` of `size` bytes, `batch` in each turn of the loop."""

    def __init__(self, messages: int, batch: int, size: int) -> None:
        self.done = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._left = messages
        self._batch = batch
        self._message = b"x" * size
        self._sent = self._acknowledged = 0
        self._waiting = False
        self._carrier: Carrier
        self._began = 0.0

    def connected(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._began = time.process_time()
        self._loop.call_soon(self._turn)

    def received(self, message: bytes) -> None:
        self._acknowledged = int(message)
        if self._waiting:
            self._waiting = False
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if self._sent - self._acknowledged > _UNDER_WAY:
            self._waiting = True
            return
        send, message = self._carrier.send, self._message
        for _ in range(self._batch):
            send(message)
        self._sent += self._batch
        if self._sent < self._left:
            self._loop.call_soon(self._turn)
        else:
            self._carrier.send(b"end")
            print(json.dumps({"cpu": time.process_time() - self._began}), flush=True)
            self.done.set()


_PLATFORM = {"mesh": Mesh, "transport": Wire}


async def _receive(kind: str) -> None:
    receiver = Receiver()
    if kind in _PLATFORM:
        port = await _PLATFORM[kind](receiver.received, receiver.connected).listen()
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Stream(receiver.received, receiver.connected), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port}), flush=True)
    await receiver.done.wait()


async def _send(kind: str, port: int, sender: Sender) -> None:
    if kind in _PLATFORM:
        await _PLATFORM[kind](sender.received, sender.connected).dial(port)
    else:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: Stream(sender.received, sender.connected), "127.0.0.1", port)
    await sender.done.wait()
    await asyncio.sleep(1.0)  # until the receiver has all of it


async def _main(kind: str, role: str, *numbers: str) -> None:
    async with asyncio.timeout(_PATIENCE):
        if role == "receive":
            await _receive(kind)
        else:
            port, messages, batch, size = map(int, numbers)
            await _send(kind, port, Sender(messages, batch, size))


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
