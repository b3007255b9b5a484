"""One websocket between two nodes: mutual challenge, sealed batches of envelopes, a heartbeat.

    dialler                                     acceptor
    hello                                    →
                                             ←  challenge
    proof                                    →
                                             ←  a sealed empty batch: the dialler's instance is in the acceptor's view
    sealed batches                          ↔   sealed batches

All are binary messages. Formats: core/handshake.py, wire/cluster.py. Every sealed batch is encrypted and carries a
counter without gaps; so the dialler does not mask it (NO_KEY in wire/rfc6455.py). It is sealed on TLS too: that costs
less than TLS does, and nothing is to be had by talking a side out of TLS, or by ending it on the way.

Each side sends an empty batch in every heartbeat interval. Unlike a ping, that asks nothing of the other direction: an
answer would have to wait behind all that queues there, and a slow peer would be taken for a dead one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from wsplatform.core.handshake import (
    MAX_MESSAGE_BYTES,
    SEAL_BYTES,
    Initiator,
    Opener,
    PeerIdentity,
    RefusedError,
    Responder,
    Sealer,
    SessionKeys,
    refusal,
)
from wsplatform.core.silence import Silence
from wsplatform.errors import HandshakeError
from wsplatform.model import Instance
from wsplatform.net.websocket import ConnectionLimits, WebSocketConnection
from wsplatform.wire.cluster import ENVELOPE_OVERHEAD, EnvelopeError, decode_batch, encode_batch, split
from wsplatform.wire.rfc6455 import BINARY, NO_KEY, encode_frame

BATCH_BYTES: Final = 262_144
"""Envelopes that leave together make messages of about this size; a larger envelope makes one of its own."""

HANDSHAKE_SECONDS: Final = 5.0
WAITING_SECONDS: Final = 10.0
"""How long a proved peer may wait to appear in the view."""

_CONTEXT: Final = b"mesh"
_BATCH_OVERHEAD: Final = SEAL_BYTES + 2 * ENVELOPE_OVERHEAD
_CLOSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class End:
    """Why a connection ends: a close code of the range that RFC 6455 leaves to applications, and a word with it."""

    code: int
    reason: str


GOING_AWAY = End(1001, "going_away")
MALFORMED = End(4100, "malformed")
REFUSED = End(4101, "refused")
TOO_SLOW = End(4102, "handshake_timeout")
UNKNOWN_INSTANCE = End(4103, "unknown_instance")
REPLACED = End(4104, "replaced")
DUPLICATE = End(4105, "duplicate")
BAD_SEAL = End(4106, "bad_seal")
SILENT = End(4107, "silent")


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all connections of a transport. Sizes in bytes, times in seconds."""

    outbox: int
    envelope: int
    heartbeat: float
    dead: float

    @property
    def strangers(self) -> ConnectionLimits:
        """Until the other side has proved itself."""
        return ConnectionLimits(
            MAX_MESSAGE_BYTES, 4 * MAX_MESSAGE_BYTES, _CLOSE_SECONDS, (REFUSED.code, REFUSED.reason)
        )

    @property
    def peers(self) -> ConnectionLimits:
        """The mesh connection itself keeps to `outbox`; the websocket's own limit is only above it."""
        message = max(self.envelope, BATCH_BYTES) + _BATCH_OVERHEAD
        return ConnectionLimits(message, 2 * (self.outbox + message), _CLOSE_SECONDS)


class Owner(Protocol):
    """Whom a connection tells. None of these is called after `ended`."""

    def opened(self, connection: MeshConnection) -> None: ...
    def proved(self, connection: MeshConnection) -> None:
        """An accepted peer has proved who it is: `welcome`, `end` or keep waiting."""
        ...

    def up(self, connection: MeshConnection) -> None: ...
    def received(self, connection: MeshConnection, envelopes: list[bytes]) -> None:
        """A batch. Nothing of it counts from the moment on at which the connection has `ended`."""
        ...

    def written(self, connection: MeshConnection) -> None:
        """Something was sent for the first time since the last `flush`."""
        ...

    def ended(self, connection: MeshConnection, end: End, error: HandshakeError | None) -> None:
        """Once; `error` when it was the handshake that failed."""
        ...

    def closed(self, connection: MeshConnection) -> None:
        """The connection is gone."""
        ...


class MeshConnection:
    """A net.websocket.Handler. `up` from the end of the handshake, and the acceptor's welcome, to the end."""

    _mask: bytes | None = None  # of sealed batches

    def __init__(self, owner: Owner, terms: Terms, remote: str = "") -> None:
        self.up = self.was_up = False
        self.ended = False
        self.peer_left = False
        self.remote = remote
        self._owner = owner
        self._terms = terms
        self._connection: WebSocketConnection | None = None
        self._peer: PeerIdentity | None = None
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._room = 0  # at least so many bytes may be pending
        self._largest = terms.envelope
        self._silence: Silence | None = None  # from the moment that it is up

    @property
    def peer(self) -> Instance | None:
        """Who the other side has proved to be."""
        return None if self._peer is None else self._peer.instance

    def send(self, envelope: bytes) -> bool:
        """Queue for the end of this turn. False: too large, too much is waiting, or not up."""
        size = self._pending_bytes + len(envelope)
        if (size > self._room and not self._makes_room(size)) or len(envelope) > self._largest:
            return False
        if not self._pending:
            if not self.up or self._connection is None or not self._connection.open:
                return False
            self._owner.written(self)
        self._pending.append(envelope)
        self._pending_bytes = size
        return True

    def flush(self) -> None:
        """Write what was sent in this turn."""
        pending, size = self._pending, self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        if not pending or self.ended or self._connection is None:
            return
        whole = size + ENVELOPE_OVERHEAD * (len(pending) + 1) <= BATCH_BYTES
        for batch in (pending,) if whole else split(pending, BATCH_BYTES):
            self._send_sealed(batch)
        self._room = self._terms.outbox - self._connection.buffered

    def end(self, end: End, error: HandshakeError | None = None) -> None:
        """Leave. Idempotent; the owner is told before this returns."""
        if self.ended:
            return
        if end is GOING_AWAY:
            self.flush()
        self._stop(end, error)
        if self._connection is None:
            return
        if end is SILENT:
            self._connection.abort()
        else:
            self._connection.close(end.code, end.reason)

    def cut(self) -> None:
        """Leave without a word."""
        self._stop(GOING_AWAY, None)
        if self._connection is not None:
            self._connection.abort()

    # What the connection tells

    def opened(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self.remote = self.remote or connection.remote
        if self.ended:
            connection.abort()
            return
        connection.deadline = _now() + HANDSHAKE_SECONDS
        self._owner.opened(self)

    def text(self, payload: bytes) -> None:
        self.end(MALFORMED)

    def binary(self, payload: bytes) -> None:
        if self.ended:
            return
        self._note()
        try:
            if self._opener is None:
                self._shake(payload)
            else:
                self._open(self._opener.open(payload, _CONTEXT))
        except EnvelopeError:
            self.end(MALFORMED)
        except HandshakeError as error:
            self._refuse(error)

    def pong(self, payload: bytes) -> None:
        self._note()

    def writable(self, ready: bool) -> None:
        pass

    def expired(self, now: float) -> None:
        if not self.up:
            self.end(UNKNOWN_INSTANCE if self._opener is not None else TOO_SLOW)
            return
        if self._silence is not None and self._silence.look(now):
            self.end(SILENT)
            return
        self._send_sealed([])
        self._set_deadline(now)

    def closed(self, code: int, reason: str) -> None:
        self.peer_left = code == GOING_AWAY.code
        self._stop(End(code, reason), None)
        self._owner.closed(self)

    # For the two kinds

    def _shake(self, message: bytes) -> None:
        raise NotImplementedError

    def _first(self, envelopes: list[bytes]) -> None:
        """The first sealed batch, while not up."""
        raise NotImplementedError

    def _prove(self, peer: PeerIdentity, keys: SessionKeys) -> None:
        if peer.role != "node":
            raise HandshakeError("wrong_role", "What answered is not a node's mesh: correct cluster.url of that node.")
        assert self._connection is not None
        self._peer = peer
        self._sealer = Sealer(keys.send)
        self._opener = Opener(keys.receive, contiguous=True)
        self._connection.set_limits(self._terms.peers)
        self._connection.deadline = _now() + WAITING_SECONDS

    def _go_up(self) -> None:
        self.up = self.was_up = True
        now = _now()
        self._silence = Silence(self._terms.heartbeat, self._terms.dead, now)
        self._room = self._terms.outbox
        self._set_deadline(now)
        self._owner.up(self)

    def _write(self, message: bytes) -> None:
        assert self._connection is not None
        self._connection.send_binary(message)

    def _send_sealed(self, envelopes: list[bytes]) -> None:
        assert self._sealer is not None
        assert self._connection is not None
        sealed = self._sealer.seal(encode_batch(envelopes), _CONTEXT)
        self._connection.send_frame(encode_frame(BINARY, sealed, mask=self._mask))

    # Inside

    def _makes_room(self, size: int) -> bool:
        """Look again how much has left meanwhile."""
        if self.up and self._connection is not None:
            self._room = self._terms.outbox - self._connection.buffered
        return size <= self._room

    def _open(self, batch: bytes) -> None:
        envelopes = decode_batch(batch)
        if len(batch) > BATCH_BYTES and len(envelopes) > 1:
            raise EnvelopeError  # a turn of the loop is not to take long because of one message
        if self.up:
            self._owner.received(self, envelopes)
        else:
            self._first(envelopes)

    def _note(self) -> None:
        if self._silence is not None:
            self._silence.heard()

    def _refuse(self, error: HandshakeError) -> None:
        if self._opener is not None:
            self.end(BAD_SEAL, error)
            return
        if not isinstance(error, RefusedError):
            self._write(refusal(error))
        self.end(REFUSED, error)

    def _stop(self, end: End, error: HandshakeError | None) -> None:
        if self.ended:
            return
        self.ended = True
        self._pending.clear()
        self._pending_bytes = self._room = 0
        self._owner.ended(self, end, error)
        self.up = False

    def _set_deadline(self, now: float) -> None:
        assert self._connection is not None
        # Below the interval, so that a sweep which comes once in each interval finds it passed every time.
        self._connection.deadline = now + 0.75 * self._terms.heartbeat


class DialledConnection(MeshConnection):
    """The side that connected to an address, to reach whom the initiator wants. `done`: set when it has ended."""

    _mask = NO_KEY

    def __init__(self, owner: Owner, terms: Terms, initiator: Initiator, address: str) -> None:
        super().__init__(owner, terms, address)
        self.done = asyncio.Event()
        self._initiator = initiator

    def opened(self, connection: WebSocketConnection) -> None:
        super().opened(connection)
        if not self.ended:
            self._write(self._initiator.hello())

    def _shake(self, message: bytes) -> None:
        proof = self._initiator.challenged(message)
        self._prove(self._initiator.peer, self._initiator.keys)
        self._write(proof)

    def _first(self, envelopes: list[bytes]) -> None:
        if envelopes:
            raise EnvelopeError
        self._go_up()

    def _stop(self, end: End, error: HandshakeError | None) -> None:
        super()._stop(end, error)
        self.done.set()


class AcceptedConnection(MeshConnection):
    """The side that was connected to."""

    def __init__(self, owner: Owner, terms: Terms, responder: Responder) -> None:
        super().__init__(owner, terms)
        self._responder = responder
        self._challenged = False

    def welcome(self) -> None:
        """The peer's instance is in the view."""
        self._send_sealed([])
        self._go_up()

    def _shake(self, message: bytes) -> None:
        if not self._challenged:
            self._write(self._responder.challenge(message))
            self._challenged = True
            return
        self._responder.accept(message)
        self._prove(self._responder.peer, self._responder.keys)
        self._owner.proved(self)

    def _first(self, envelopes: list[bytes]) -> None:
        raise EnvelopeError  # nothing may come before the welcome


def _now() -> float:
    return asyncio.get_running_loop().time()
