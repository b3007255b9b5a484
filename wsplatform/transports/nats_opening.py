"""How a conversation of two instances begins: core/handshake.py, in messages that may be lost or forged.

Of two nodes the one with the lower id calls. What was said is said again until the other side goes on; the same
hello gets the same challenge. Nothing that comes from a stranger ends a call: it goes on until its time is over.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from wsplatform.core.backoff import Backoff
from wsplatform.core.handshake import NONCE_BYTES, Identity, Initiator, PeerIdentity, Responder, SessionKeys
from wsplatform.errors import HandshakeError
from wsplatform.model import Instance
from wsplatform.transports.base import Peer

HANDSHAKE_SECONDS: Final = 5.0

_FIRST_WAIT: Final = 0.1


def address(instance: Instance) -> str:
    """Two tokens of a subject: nothing in them has a meaning to NATS."""
    return f"{_token(instance.node_id)}.{_token(instance.incarnation)}"


def prefix(cluster: str) -> str:
    """What the subjects of a cluster begin with."""
    return f"wsplatform.{_token(cluster)}"


def _token(text: str) -> str:
    return quote(text, safe="").replace(".", "%2E")


@dataclass(frozen=True, slots=True)
class Subjects:
    """The two subjects of a conversation: `<prefix>.<receiver>.<sender>.<number>`, each instance two tokens."""

    inbox: str
    outbox: str

    @staticmethod
    def of(cluster: str, local: Instance, peer: Instance, number: str) -> Subjects:
        here, there = address(local), address(peer)
        return Subjects(f"{prefix(cluster)}.{here}.{there}.{number}", f"{prefix(cluster)}.{there}.{here}.{number}")


class Call:
    """To `peer`. `message` is to be said whenever `due`."""

    def __init__(self, identity: Identity, peer: Peer, now: float, heartbeat: float) -> None:
        self.peer = peer
        self.subjects = Subjects.of(identity.cluster, identity.instance, peer.instance, secrets.token_hex(8))
        self._initiator = Initiator(identity, secrets.token_bytes(NONCE_BYTES))
        self.message = self._initiator.hello()
        self.answered = False
        self._backoff = Backoff(min(_FIRST_WAIT, heartbeat), heartbeat)
        self._ends = now + HANDSHAKE_SECONDS
        self._again_at = now

    def over(self, now: float) -> bool:
        return now >= self._ends

    def due(self, now: float, chance: float) -> bool:
        """Whether to say `message` now; the next time is later."""
        if now < self._again_at:
            return False
        self._again_at = now + self._backoff.next(chance)
        return True

    def challenged(self, challenge: bytes) -> SessionKeys:
        """The keys; `message` is the proof from now on. Raises HandshakeError when that is no challenge of the peer."""
        proof = self._initiator.challenged(challenge)
        _require(self._initiator.peer, self.peer)
        self.message = proof
        self.answered = True
        return self._initiator.keys


class Answer:
    """To a peer's hello. `message` is to be said whenever that comes. Raises HandshakeError when it is none."""

    def __init__(self, identity: Identity, peer: Peer, hello: bytes, now: float) -> None:
        self.peer = peer
        self.hello = hello
        self._responder = Responder(identity, secrets.token_bytes(NONCE_BYTES))
        self.message = self._responder.challenge(hello)
        self._ends = now + HANDSHAKE_SECONDS

    def over(self, now: float) -> bool:
        return now >= self._ends

    def accept(self, proof: bytes) -> SessionKeys:
        """The keys. Raises HandshakeError when it is no proof of the peer; then the answer is of no more use."""
        self._responder.accept(proof)
        _require(self._responder.peer, self.peer)
        return self._responder.keys


def _require(proved: PeerIdentity, peer: Peer) -> None:
    if proved != PeerIdentity("node", peer.instance):
        raise HandshakeError("wrong_peer", "Another instance than the one that was called has answered.")
