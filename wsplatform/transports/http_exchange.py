"""What lasts between two nodes over HTTP: an exchange. The one that dials calls, the other one answers.

    POST /cluster/http/open            hello                  → id, challenge
    POST /cluster/http/prove?id        proof                  → wait, or carry: the welcome
    POST /cluster/http/pull?id         one after the other    → what the other side has, as soon as it has something
    POST /cluster/http/push?id         one after the other    → that it has arrived

Formats: core/handshake.py, wire/exchange.py. What follows the proof is sealed, with a key and a counter without gaps
for each of the two rows of calls and for the answers to each. Whatever leaves the fate of a batch open (no answer, one
of somebody on the way, an unknown id) ends the exchange, and the dialler begins another one: nothing is ever said
twice. The id is no secret: it says who is meant before a body is read, the seal says who speaks.

Both rows are never silent for longer than a heartbeat. A refused seal proves nothing about the peer: the call is
refused, the exchange goes on.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from wsplatform.core.handshake import SEAL_BYTES, Opener, PeerIdentity, Sealer, SessionKeys
from wsplatform.core.silence import Silence
from wsplatform.errors import HandshakeError
from wsplatform.model import Instance
from wsplatform.wire.cluster import EnvelopeError
from wsplatform.wire.exchange import OVERHEAD, Said, decode, encode, size

PATH: Final = "/cluster/http"
ID_BYTES: Final = 16
BATCH_BYTES: Final = 1_000_000
"""Envelopes that wait together travel in bodies of up to this size; a larger envelope has one of its own."""

HANDSHAKE_SECONDS: Final = 5.0
WAITING_SECONDS: Final = 10.0
"""How long a proved peer may wait to appear in the view."""

GOING_AWAY: Final = "going_away"
MALFORMED: Final = "malformed"
REFUSED: Final = "refused"
TOO_SLOW: Final = "handshake_timeout"
UNKNOWN_INSTANCE: Final = "unknown_instance"
REPLACED: Final = "replaced"
DUPLICATE: Final = "duplicate"
BAD_SEAL: Final = "bad_seal"
SILENT: Final = "silent"
LOST: Final = "lost"
PEER_LEFT: Final = "peer_left"

WORDS: Final = {
    GOING_AWAY: "this node has stopped",
    MALFORMED: "what came is no message of this protocol",
    REFUSED: "the handshake was refused",
    TOO_SLOW: "the handshake took too long",
    UNKNOWN_INSTANCE: "the instance is not in the view",
    REPLACED: "the peer has connected again",
    DUPLICATE: "there is a connection already, or the other side has to dial",
    BAD_SEAL: "a message was changed on its way",
    SILENT: "nothing was heard of the peer",
    LOST: "a request was lost",
    PEER_LEFT: "the other side has stopped",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all exchanges of a transport. Sizes in bytes, times in seconds."""

    outbox: int
    envelope: int
    heartbeat: float
    dead: float

    @property
    def body(self) -> int:
        """The largest of a peer."""
        return max(BATCH_BYTES, size(b"") + self.envelope) + OVERHEAD + SEAL_BYTES


class Owner(Protocol):
    """Whom an exchange tells. None of these is called after `ended`."""

    def up(self, exchange: Exchange) -> None: ...
    def received(self, exchange: Exchange, envelope: bytes) -> None: ...
    def ended(self, exchange: Exchange, reason: str, why: str) -> None:
        """Once. reason: a code of this file; why: a sentence."""
        ...


class Seals:
    """Seals and opens in rows. A key is for one Sealer, and so each row has keys of its own."""

    def __init__(self, keys: SessionKeys) -> None:
        self._keys = keys
        self._rows: dict[bytes, tuple[Sealer, Opener]] = {}

    def seal(self, row: bytes, said: Said) -> bytes:
        return self._row(row)[0].seal(encode(said), row)

    def open(self, row: bytes, sealed: bytes) -> Said:
        """Raises HandshakeError for the seal, EnvelopeError for what is in it."""
        message = self._row(row)[1].open(sealed, row)
        said = decode(message)
        if len(message) > BATCH_BYTES + OVERHEAD and len(said.envelopes) > 1:
            raise EnvelopeError  # a turn of the loop is not to take long because of one message
        return said

    def _row(self, row: bytes) -> tuple[Sealer, Opener]:
        if row not in self._rows:
            keys = self._keys.branch(row)
            self._rows[row] = Sealer(keys.send), Opener(keys.receive, contiguous=True)
        return self._rows[row]


class Exchange:
    """A member of the sweep. `up` from the end of the handshake, and the acceptor's welcome, to the end."""

    def __init__(self, owner: Owner, terms: Terms, remote: str) -> None:
        self.deadline = math.inf
        self.remote = remote
        self.up = self.was_up = False
        self.ended = False
        self.reason = ""
        self._owner = owner
        self._terms = terms
        self._peer: PeerIdentity | None = None
        self._seals: Seals | None = None
        self._silence: Silence | None = None
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of all that waits, and of what is under way
        self._under_way = 0
        self._wake = asyncio.Event()
        self.leaving = False

    @property
    def peer(self) -> Instance | None:
        """Who the other side has proved to be."""
        return None if self._peer is None else self._peer.instance

    def send(self, envelope: bytes) -> bool:
        """Queue for the next request. False: too large, too much is waiting, or not up."""
        if not self.up or len(envelope) > self._terms.envelope or self._bytes + len(envelope) > self._terms.outbox:
            return False
        self._bytes += len(envelope)
        self._waiting.append(envelope)
        self._wake.set()
        return True

    def end(self, reason: str, why: str = "") -> None:
        """Leave. Idempotent; the owner is told before this returns."""
        if not self.ended:
            self._waiting.clear()
            self._stop(reason, why)

    def leave(self) -> None:
        """End, and let what waits reach the other side first. The owner is told before this returns."""
        if self.up:
            self.leaving = True
            self._stop(GOING_AWAY, "")
        else:
            self.end(GOING_AWAY)

    def expired(self, now: float) -> None:
        """For the sweep, whenever the deadline has passed."""
        # Below the heartbeat, so that a sweep which comes once in each finds it passed every time.
        self.deadline = now + 0.75 * self._terms.heartbeat
        if self._silence is not None and self._silence.look(now):
            self.end(SILENT)

    # For the two kinds

    def _prove(self, peer: PeerIdentity, keys: SessionKeys) -> None:
        if peer.role != "node":
            raise HandshakeError("wrong_role", "What answered is not a node's mesh: correct cluster.url of that node.")
        now = asyncio.get_running_loop().time()
        self._peer = peer
        self._seals = Seals(keys)
        self._silence = Silence(self._terms.heartbeat, self._terms.dead, now)
        self.deadline = now

    def _heard(self) -> None:
        if self._silence is not None:
            self._silence.heard()

    def _go_up(self) -> None:
        self.up = self.was_up = True
        self._owner.up(self)

    def _take(self) -> Said:
        """What waits and fits into one request; it counts as under way until `_arrived`."""
        batch: list[bytes] = []
        room = BATCH_BYTES
        while self._waiting and (not batch or size(self._waiting[0]) <= room):
            envelope = self._waiting.popleft()
            room -= size(envelope)
            batch.append(envelope)
            self._under_way += len(envelope)
        last = self.leaving and not self._waiting
        return Said("bye" if last else "carry", batch)

    def _arrived(self) -> None:
        self._bytes -= self._under_way
        self._under_way = 0

    def _deliver(self, said: Said) -> None:
        """What the peer has said."""
        for envelope in said.envelopes:
            if self.ended:
                return
            self._owner.received(self, envelope)
        if said.word == "bye":
            self.end(PEER_LEFT)
        elif said.word == "end":
            self.end(said.reason if said.reason in WORDS else MALFORMED)

    def _stop(self, reason: str, why: str) -> None:
        self.ended = True
        self.reason = reason
        self._wake.set()
        self._owner.ended(self, reason, why or WORDS[reason])
        self.up = False
