"""A transport of wsplatform over unix sockets in a folder.

Frames: four bytes of length (big endian), then as many bytes. The first frame of whoever has dialled is a greeting
(who I am, whom I want); an empty frame answers it. After that each frame is an envelope; an empty one is a heartbeat.
Of two nodes the one with the lower id dials.
"""

from __future__ import annotations

import asyncio
import os
import random
import stat
from functools import partial
from pathlib import Path

import msgspec

from wsplatform.core.backoff import Backoff
from wsplatform.core.silence import Silence
from wsplatform.errors import StartError
from wsplatform.model import Instance
from wsplatform.transports.base import Peer, TransportContext, TransportEvents

VARIABLE = "WSPLATFORM_UNIX_FOLDER"
CLOSE_SECONDS = 1.0
MAX_GREETING = 1024


class Greeting(msgspec.Struct, frozen=True):
    sender: Instance
    wanted: Instance


def create(context: TransportContext) -> UnixTransport:
    return UnixTransport(context, os.environ.get(VARIABLE, ""))


class UnixTransport:
    """wsplatform.transports.base.Transport."""

    def __init__(self, context: TransportContext, folder: str) -> None:
        self.context = context
        self._folder = Path(folder)
        self._local: Peer | None = None
        self._events: TransportEvents | None = None  # None: not started, or stopped
        self._server: asyncio.Server | None = None
        self._peers: dict[str, Peer] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._up: dict[str, Wire] = {}
        self._open: set[Wire] = set()

    async def start(self, local: Peer, events: TransportEvents) -> None:
        if not self._folder.is_absolute():
            raise StartError("no_folder", f"Set {VARIABLE} to the path of a folder that all nodes share.")
        path = self._path(local.instance)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._folder.stat()
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise StartError("folder_open", f"{self._folder} must belong to the user of the node, with mode 0700.")
            for left in self._folder.glob(f"{local.id}~*"):
                left.unlink(missing_ok=True)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: Wire(self, None), str(path))
        except OSError as error:
            raise StartError("folder_unusable", f"Cannot listen there, correct {VARIABLE}: {error}") from error
        self._local, self._events = local, events

    async def stop(self) -> None:
        if self._local is None or self._events is None:
            return
        self.set_peers(frozenset())
        self._events = None
        if self._server is not None:
            self._server.close()
            self._path(self._local.instance).unlink(missing_ok=True)
        for wire in tuple(self._open):
            wire.end("this node has stopped")
        closing = [wire.closed for wire in self._open]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        for wire in tuple(self._open):
            wire.abort()  # its peer does not read

    def set_peers(self, peers: frozenset[Peer]) -> None:
        if self._local is None or self._events is None:
            return
        named = {peer.id: peer for peer in peers if peer.id != self._local.id}
        for peer_id, peer in self._peers.items():
            if named.get(peer_id) != peer:
                if peer_id in self._dialling:
                    self._dialling.pop(peer_id).cancel()
                if peer_id in self._up:
                    self._up[peer_id].end("the instance is not in the view")
        self._peers = named
        for peer in named.values():
            if self._local.id < peer.id and peer.id not in self._dialling:
                self._dialling[peer.id] = self.context.tasks.start(self._dial(peer), name=f"unix: dial {peer.id}")

    def send(self, peer_id: str, envelope: bytes) -> bool:
        wire = self._up.get(peer_id)
        return wire is not None and wire.send(envelope)

    # What the wires tell

    def opened(self, wire: Wire) -> None:
        self._open.add(wire)
        self.context.sweep.add(wire)

    def greeted(self, wire: Wire, greeting: Greeting) -> None:
        """Somebody has dialled."""
        peer = self._peers.get(greeting.sender.node_id)
        wanted = self._local is not None and greeting.wanted == self._local.instance
        if peer is None or peer.instance != greeting.sender or not wanted:
            wire.end("not in the view")  # not yet, perhaps: the other side tries again
            return
        if peer.id in self._up:
            self._up[peer.id].end("the peer has connected again")
        wire.peer = peer
        wire.write(b"")
        self.welcome(wire, peer)

    def welcome(self, wire: Wire, peer: Peer) -> None:
        if self._events is not None and self._peers.get(peer.id) == peer:
            self._up[peer.id] = wire
            self._events.up(peer)

    def received(self, peer: Peer, envelope: bytes) -> None:
        if self._events is not None:
            self._events.received(peer.id, envelope)

    def ended(self, wire: Wire, why: str) -> None:
        self.context.sweep.discard(wire)
        if wire.peer is not None and self._up.get(wire.peer.id) is wire:
            del self._up[wire.peer.id]
            if self._events is not None:
                self._events.down(wire.peer, why)

    def gone(self, wire: Wire) -> None:
        self._open.discard(wire)

    # Inside

    def _path(self, instance: Instance) -> Path:
        return self._folder / f"{instance.node_id}~{instance.incarnation}"

    async def _dial(self, peer: Peer) -> None:
        """Keep one connection to this peer, for as long as the task lives."""
        assert self._local is not None
        greeting = msgspec.json.encode(Greeting(self._local.instance, peer.instance))
        backoff = Backoff(0.05, 1.0)
        while True:
            wire = None
            try:
                _, wire = await asyncio.get_running_loop().create_unix_connection(
                    partial(Wire, self, peer), str(self._path(peer.instance))
                )
                wire.write(greeting)
                await asyncio.shield(wire.closed)
            except OSError:
                pass  # not there, or not yet
            finally:
                if wire is not None:
                    wire.end("not in the view")
            if wire is not None and wire.was_up:
                backoff.reset()
            await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 - jitter


class Wire(asyncio.Protocol):
    """One connection. `peer`: whom it has dialled; None: it was accepted, and knows when it was greeted."""

    def __init__(self, owner: UnixTransport, peer: Peer | None) -> None:
        loop = asyncio.get_running_loop()
        settings = owner.context.settings
        self.peer = peer
        self.was_up = False
        self.closed: asyncio.Future[None] = loop.create_future()
        self.deadline = loop.time() + settings.ping_seconds  # for the sweep
        self._owner = owner
        self._settings = settings
        self._dialled = peer is not None
        self._ended = False
        self._silence = Silence(settings.ping_seconds, settings.dead_seconds, loop.time())
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def send(self, envelope: bytes) -> bool:
        if self._transport is None or self._ended or len(envelope) > self._settings.max_envelope_bytes:
            return False
        if self._transport.get_write_buffer_size() + len(envelope) > self._settings.outbox_bytes:
            return False
        self.write(envelope)
        return True

    def write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(len(frame).to_bytes(4, "big") + frame)

    def end(self, why: str) -> None:
        """Tell it, and close when all is written. Idempotent."""
        if not self._ended:
            self._ended = True
            self._owner.ended(self, why)
            if self._transport is not None:
                self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # of a stream
        self._owner.opened(self)
        if self._ended:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.end("the connection was lost" if exc is None else str(exc))
        self._owner.gone(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._silence.heard()
        self._buffer += data
        start = 0
        while not self._ended and len(self._buffer) - start >= 4:
            end = start + 4 + int.from_bytes(self._buffer[start : start + 4], "big")
            if end - start - 4 > (self._settings.max_envelope_bytes if self.was_up else MAX_GREETING):
                self.end("what came is no frame of this transport")
                return
            if end > len(self._buffer):
                break
            self._frame(bytes(self._buffer[start + 4 : end]))
            start = end
        del self._buffer[:start]

    # wsplatform.net.sweep.Member

    def expired(self, now: float) -> None:
        if self._silence.look(now):
            self.end("nothing was heard of the peer")
            self.abort()
        elif self.was_up:
            self.write(b"")
        self.deadline = now + 0.75 * self._settings.ping_seconds  # below it: a sweep comes once in each interval

    def _frame(self, frame: bytes) -> None:
        if self.was_up:
            if frame and self.peer is not None:
                self._owner.received(self.peer, frame)
        elif self._dialled and self.peer is not None:
            self.was_up = True
            self._owner.welcome(self, self.peer)
        else:
            self._greeted(frame)

    def _greeted(self, frame: bytes) -> None:
        try:
            greeting = msgspec.json.decode(frame, type=Greeting)
        except msgspec.MsgspecError:
            self.end("what came is no greeting")
            return
        self.was_up = True
        self._owner.greeted(self, greeting)
