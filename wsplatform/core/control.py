"""The control session: how a node asks the registry over anything that carries one request and one reply.

    node                                                        registry
    hello                                                    →
                                                             ←   opening(session id, challenge)
    call(session id, proof, sealed payload)                  →
                                                             ←   sealed outcome
    call(session id, "", sealed payload)                     →   …

The handshake and the seal are those of core/handshake.py. The requests of one session follow one another, so their
counter only grows; a gap is a request that was lost. A reply is sealed for its very request (by a digest of it), so
that none can be held back and used later. What the registry decides (superseded, not registered) is said under seal
only; what can be said to anybody (unknown session, refused) has no effect on a node but another try.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec

from wsplatform.core.guests import Guests
from wsplatform.core.handshake import Identity, Initiator, Opener, PeerIdentity, Responder, Sealer
from wsplatform.errors import HandshakeError, RequestError
from wsplatform.model import Instance

MAX_CALL_BYTES: Final = 262_144
"""Room for what a node tells of each of some hundred peers."""

CALL_OVERHEAD: Final = 4096
"""What goes around the payload of a call, at the most: session, proof, seal."""

MAX_REPLY_BYTES: Final = 33_554_432
"""Rules and keys of the whole cluster come in one reply."""

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_S = TypeVar("_S", bound=msgspec.Struct)
_encoder = msgspec.msgpack.Encoder()


class Opening(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The registry's answer to a hello."""

    session: _Id
    challenge: bytes


class Call(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A request; `proof` is sent until the first reply has come."""

    session: _Id
    proof: bytes
    sealed: bytes


class Outcome(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a sealed reply holds: `result` (msgpack), or an error with its HTTP status if `code` is not empty."""

    result: bytes = b""
    status: int = 200
    code: str = ""
    message: str = ""
    temporary: bool = False


class ControlSession:
    """The node's side, after the handshake. For requests one after the other."""

    def __init__(self, initiator: Initiator, opening: bytes) -> None:
        """Raises HandshakeError: what the initiator finds, or `wrong_role`: no registry answered.

        After an error, refuse() makes the call that tells the registry.
        """
        self.id, challenge = _opening(opening)
        self._proof = initiator.challenged(challenge)
        if initiator.peer.role != "registry":
            raise HandshakeError("wrong_role", "A node answered instead of the registry: correct registry.url.")
        self._sealer = Sealer(initiator.keys.send)
        self._opener = Opener(initiator.keys.receive)
        self._asked = b""

    def ask(self, method: str, payload: bytes) -> bytes:
        """The body of a request."""
        self._asked = self._sealer.seal(payload, _asks(method))
        return _encoder.encode(Call(self.id, self._proof, self._asked))

    def answered(self, method: str, reply: bytes) -> Outcome:
        """The outcome of the last request. Raises HandshakeError if the reply is not the registry's, and to it."""
        outcome = _decode(self._opener.open(reply, _answers(method, self._asked)), Outcome)
        self._proof = b""
        return outcome


def refuse(opening: bytes, refusal: bytes) -> bytes:
    """The body of the call that tells the registry that it was refused (handshake.refusal), or b"" if there is none."""
    try:
        return _encoder.encode(Call(_opening(opening)[0], refusal, b""))
    except HandshakeError:
        return b""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many sessions the registry remembers and for how long (s). An opening is one whose proof has not come."""

    openings: int = 256
    opening_seconds: float = 10.0
    sessions: int = 4096
    session_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Received:
    """A request that was the peer's, and the way to reply to it."""

    peer: PeerIdentity
    payload: bytes
    seal: Callable[[Outcome], bytes]


@dataclass(frozen=True, slots=True)
class _Session:
    peer: PeerIdentity
    opener: Opener
    sealer: Sealer
    until: float


class ControlSessions:
    """The registry's side: all sessions. When there are too many, openings give way to openings, sessions to sessions.

    So strangers, who get no further than openings, cannot push out a node's session; nor its opening, from elsewhere
    (core/guests.py). Of sessions the longest unused goes first. The node whose session is gone is told so
    (unknown_session) and opens another one.
    """

    def __init__(self, local: Identity, limits: SessionLimits) -> None:
        self._local = local
        self._limits = limits
        self._openings: dict[str, tuple[Responder, float]] = {}
        self._guests: Guests[str] = Guests(limits.openings)
        self._sessions: dict[str, _Session] = {}
        self._of_instance: dict[Instance, str] = {}

    def __len__(self) -> int:
        return len(self._openings) + len(self._sessions)

    def open(self, hello: bytes, session: str, nonce: bytes, address: str, now: float) -> bytes:
        """The opening for a hello from `address`. `session` and `nonce` are fresh chance. Raises HandshakeError."""
        responder = Responder(self._local, nonce)
        challenge = responder.challenge(hello)
        gone = self._guests.add(session, address)
        if gone is not None:
            del self._openings[gone]
        self._openings[session] = (responder, now + self._limits.opening_seconds)
        return _encoder.encode(Opening(session, challenge))

    def receive(self, method: str, body: bytes, now: float) -> Received:
        """Check a request. Raises RequestError (401) `unknown_session`, HandshakeError if it is not a node's."""
        call = _decode(body, Call)
        session = self._sessions.get(call.session) or self._confirm(call, now)
        if now >= session.until:
            self._forget(call.session)
            raise _unknown_session()
        payload = session.opener.open(call.sealed, _asks(method))
        self._sessions[call.session] = self._sessions.pop(call.session)  # used last, to be forgotten last

        def seal(outcome: Outcome) -> bytes:
            return session.sealer.seal(_encoder.encode(outcome), _answers(method, call.sealed))

        return Received(session.peer, payload, seal)

    def _confirm(self, call: Call, now: float) -> _Session:
        """A session from an opening and its proof."""
        responder, until = self._openings.get(call.session, (None, 0.0))
        if responder is None or now >= until:
            raise _unknown_session()
        if not call.proof:
            raise HandshakeError("malformed", "The first call of a session came without its proof.")
        del self._openings[call.session]
        self._guests.discard(call.session)
        responder.accept(call.proof)
        keys = responder.keys
        session = _Session(responder.peer, Opener(keys.receive), Sealer(keys.send), now + self._limits.session_seconds)
        self._forget(self._of_instance.get(session.peer.instance, ""))
        if len(self._sessions) >= self._limits.sessions:
            self._forget(next(iter(self._sessions)))
        self._sessions[call.session] = session
        self._of_instance[session.peer.instance] = call.session
        return session

    def _forget(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            del self._of_instance[session.peer.instance]


def _opening(message: bytes) -> tuple[str, bytes]:
    opening = _decode(message, Opening)
    return opening.session, opening.challenge


def _asks(method: str) -> bytes:
    return b"ask " + method.encode()


def _answers(method: str, asked: bytes) -> bytes:
    return b"answer " + method.encode() + b" " + hashlib.sha256(asked).digest()


def _unknown_session() -> RequestError:
    return RequestError(
        401, "unknown_session", "This session is not known (any more): begin another one.", temporary=True
    )


def _decode(message: bytes, kind: type[_S]) -> _S:
    try:
        return msgspec.msgpack.decode(message, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: a string that is not UTF-8
        raise HandshakeError(
            "malformed", "What arrived is not of this protocol: make sure that only nodes use this address."
        ) from error
