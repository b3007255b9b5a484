"""The default transport: one websocket between each two nodes, on the path /cluster/mesh of the node face.

Of two nodes the one with the lower id dials, unless the other has no address; a peer on the same host is dialled on its
unix socket. An accepted peer is told `up` only when `set_peers` has named its instance; until then it waits, for a
bounded time and in bounded number. A second connection of an instance that dials replaces the first: whoever dials has
one at a time, and has given the first one up.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from loguru import logger

from wsplatform.core.guests import Guests
from wsplatform.core.handshake import NONCE_BYTES, Identity, Initiator, Responder
from wsplatform.core.throttle import Throttle
from wsplatform.errors import HandshakeError, StartError
from wsplatform.model import Instance
from wsplatform.net.connect import connect
from wsplatform.net.listen import socket_path
from wsplatform.net.tls import explain
from wsplatform.net.upgrade import Accept, Acceptor, Refuse, UpgradeRequest
from wsplatform.transports import websocket_wire as wire
from wsplatform.transports.base import Peer, TransportContext, TransportEvents
from wsplatform.transports.dialling import Attempt, Dialling
from wsplatform.transports.websocket_wire import AcceptedConnection, DialledConnection, End, MeshConnection, Terms

PATH: Final = "/cluster/mesh"
MAX_STRANGERS: Final = 128
"""Handshakes under way; one more, and one is ended (core/guests.py)."""

MAX_WAITING: Final = 64

_LOG_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 2.0

_WORDS: Final = {
    wire.MALFORMED.code: "what came is no message of this protocol",
    wire.REFUSED.code: "the handshake was refused",
    wire.TOO_SLOW.code: "the handshake took too long",
    wire.UNKNOWN_INSTANCE.code: "the instance is not in the view",
    wire.REPLACED.code: "the peer has connected again",
    wire.DUPLICATE.code: "there is a connection already, or the other side has to dial",
    wire.BAD_SEAL.code: "a message was changed on its way",
    wire.SILENT.code: "nothing was heard of the peer",
    wire.GOING_AWAY.code: "the other side has stopped",
    1006: "the connection was lost",
    1009: "a message was too large",
}


def create(context: TransportContext) -> WebSocketTransport:
    return WebSocketTransport(context)


class WebSocketTransport:
    """transports.base.Transport, Inbound and Described. `chance`: from 0 to 1, for the jitter between two tries."""

    def __init__(self, context: TransportContext, chance: Callable[[], float] = random.random) -> None:
        settings = context.settings
        self._context = context
        self._dialling = Dialling(context.tasks, "mesh dialler", self._connect, chance)
        self._terms = Terms(
            outbox=settings.outbox_bytes,
            envelope=settings.max_envelope_bytes,
            heartbeat=settings.ping_seconds,
            dead=settings.dead_seconds,
        )
        self._throttle = Throttle(_LOG_SECONDS)
        self._identity: Identity | None = None
        self._events: TransportEvents | None = None  # None: not started, or stopped
        self._up: dict[str, MeshConnection] = {}
        self._waiting: dict[Instance, AcceptedConnection] = {}
        self._strangers: Guests[MeshConnection] = Guests(MAX_STRANGERS)
        self._open: set[MeshConnection] = set()
        self._written: list[MeshConnection] = []
        self._all_closed = asyncio.Event()

    # Transport

    async def start(self, local: Peer, events: TransportEvents) -> None:
        settings = self._context.settings
        if not settings.secrets:
            raise StartError("no_cluster_secret", "Set cluster.secrets: without one, no node can prove who it is.")
        self._dialling.begin(local)
        self._identity = Identity(settings.name, "node", local.instance, settings.secrets)
        self._events = events

    async def stop(self) -> None:
        for connection in tuple(self._open):
            connection.end(wire.GOING_AWAY)
        self._events = None
        await self._dialling.stop()
        if self._open:
            self._all_closed.clear()
            try:
                await asyncio.wait_for(self._all_closed.wait(), _STOP_SECONDS)
            except TimeoutError:
                for connection in tuple(self._open):
                    connection.cut()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        if self._events is None:
            return
        self._dialling.set_peers(peers, self._drop)
        for instance in [instance for instance in self._waiting if self._dialling.named(instance) is not None]:
            self.proved(self._waiting.pop(instance))

    def send(self, peer_id: str, envelope: bytes) -> bool:
        connection = self._up.get(peer_id)
        return connection is not None and connection.send(envelope)

    def carrier(self, peer_id: str) -> str:
        """Described: "websocket", or "unix" when it is one on a unix socket."""
        connection = self._up.get(peer_id)
        return "" if connection is None else "websocket" if _is_address(connection.remote) else "unix"

    # Inbound

    def acceptors(self) -> Mapping[str, Acceptor]:
        return {PATH: self}

    def accept(self, request: UpgradeRequest) -> Accept | Refuse:
        if self._identity is None or self._events is None:
            return Refuse(503, "not_ready", "This node is not part of a mesh right now. Try again later.")
        responder = Responder(self._identity, secrets.token_bytes(NONCE_BYTES))
        return Accept(AcceptedConnection(self, self._terms, responder), self._terms.strangers)

    # What connections tell

    def opened(self, connection: MeshConnection) -> None:
        self._open.add(connection)
        if self._events is None:
            connection.end(wire.GOING_AWAY)
        elif isinstance(connection, AcceptedConnection):
            gone = self._strangers.add(connection, connection.remote)
            if gone is not None:
                gone.end(wire.TOO_SLOW)

    def proved(self, connection: MeshConnection) -> None:
        self._strangers.discard(connection)
        instance = connection.peer
        assert isinstance(connection, AcceptedConnection)
        assert instance is not None
        peer = self._dialling.named(instance)
        if instance.node_id == self._dialling.local.id:
            logger.warning(
                "Refused {} at {}: it has this node's id; give each node its own", instance, connection.remote
            )
            connection.end(wire.DUPLICATE)
        elif peer is not None:
            if self._dialling.dials(peer):
                connection.end(wire.DUPLICATE)
            else:
                self._replace(self._up.get(peer.id))
                connection.welcome()
        else:
            self._replace(self._waiting.get(instance))
            if len(self._waiting) >= MAX_WAITING:
                connection.end(wire.UNKNOWN_INSTANCE)
            else:
                self._waiting[instance] = connection

    def up(self, connection: MeshConnection) -> None:
        assert connection.peer is not None
        peer = self._dialling.named(connection.peer)
        if peer is None or self._events is None:
            connection.end(wire.UNKNOWN_INSTANCE)
            return
        self._up[peer.id] = connection
        self._events.up(peer)

    def received(self, connection: MeshConnection, envelopes: list[bytes]) -> None:
        assert connection.peer is not None
        assert self._events is not None
        received, peer_id = self._events.received, connection.peer.node_id
        for envelope in envelopes:
            received(peer_id, envelope)
            if connection.ended:
                return

    def written(self, connection: MeshConnection) -> None:
        if not self._written:
            asyncio.get_running_loop().call_soon(self._flush)
        self._written.append(connection)

    def ended(self, connection: MeshConnection, end: End, error: HandshakeError | None) -> None:
        self._strangers.discard(connection)
        instance = connection.peer
        if instance is not None and self._waiting.get(instance) is connection:
            del self._waiting[instance]
        if instance is not None and self._up.get(instance.node_id) is connection:
            del self._up[instance.node_id]
            peer = self._dialling.named(instance)
            if self._events is not None and peer is not None:
                self._events.down(peer, _reason(end, error))
        elif end is not wire.GOING_AWAY:
            self._log(connection, end, error)

    def closed(self, connection: MeshConnection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()

    # Inside

    def _drop(self, peer: Peer) -> None:
        if peer.id in self._up:
            self._up[peer.id].end(wire.UNKNOWN_INSTANCE)

    async def _connect(self, peer: Peer) -> Attempt:
        """One connection, until it ends."""
        assert self._identity is not None
        initiator = Initiator(self._identity, secrets.token_bytes(NONCE_BYTES), peer.instance)
        near = self._neighbour(peer)
        where = peer.address if near is None else str(near)
        connection = DialledConnection(self, self._terms, initiator, where)
        tls = self._context.tls if peer.address.startswith("wss:") else None
        try:
            url, limits = peer.address + PATH, self._terms.strangers
            await connect(url, connection, limits, sweep=self._context.sweep, ssl=tls, unix=near)
            await connection.done.wait()
        except (OSError, ValueError) as error:
            why = explain(error) or str(error) or "nothing has answered in time"
            self._warn(f"{peer.id} {why}", f"Cannot connect to node {peer.id} at {where}: {why}")
        finally:
            connection.end(wire.GOING_AWAY)
        return Attempt(connection.was_up, connection.peer_left)

    def _neighbour(self, peer: Peer) -> Path | None:
        """The unix socket of a peer on this host. The handshake proves that it is the peer who listens there."""
        folder = self._context.neighbours
        path = None if folder is None else socket_path(folder, peer.id)
        return path if path is not None and path.exists() else None

    def _replace(self, old: MeshConnection | None) -> None:
        if old is not None:
            old.end(wire.REPLACED)

    def _flush(self) -> None:
        written, self._written = self._written, []
        for connection in written:
            connection.flush()

    def _log(self, connection: MeshConnection, end: End, error: HandshakeError | None) -> None:
        """A connection that never was up has ended: for the operator to know why, however often it is tried."""
        who = str(connection.peer or connection.remote)
        code = error.code if error is not None else str(end.code)
        self._warn(f"{who} {code}", f"A mesh connection with {who} failed: {_reason(end, error)}")

    def _warn(self, key: str, line: str) -> None:
        held = self._throttle.allow(key, asyncio.get_running_loop().time())
        if held is not None:
            logger.warning("{}{}", line, f" ({held} more like this)" if held else "")


def _is_address(remote: str) -> bool:
    """Of TCP; what a unix socket has is a path for who dials, and nothing for who is dialled."""
    return bool(remote) and not remote.startswith("/")


def _reason(end: End, error: HandshakeError | None) -> str:
    if error is not None:
        return str(error)
    if end is wire.GOING_AWAY:
        return "this node has stopped"
    return _WORDS.get(end.code, f"closed with code {end.code}")
