"""The transport `nats`: instances that find each other by their subjects on a NATS server.

    caller                                               answerer
    hello, again until it is answered             →
                                                  ←      challenge
    proof, again until there is an answer         →      up
    up                                            ←      a sealed sign of life
    sealed pieces of parcels, signs of life       ↔      sealed pieces of parcels, signs of life

What a subject says of its sender is only where to look: an instance that the view does not name is not heard, and who
it is shows by the handshake and the seal of each message. A message that does not open is somebody else's, and ignored.

There is no connection to a peer that could break: it is down when it has said bye, has been silent for
cluster.dead_seconds, or when this node's own connection to the server is lost.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final

from loguru import logger

from wsplatform.core.backoff import Backoff
from wsplatform.core.handshake import Identity, RefusedError, refusal
from wsplatform.core.throttle import Throttle
from wsplatform.errors import HandshakeError, StartError
from wsplatform.transports.base import Peer, TransportContext, TransportEvents
from wsplatform.transports.nats_connection import Access, NatsConnection, NatsUnavailable, make_tls
from wsplatform.transports.nats_conversation import Conversation, Terms
from wsplatform.transports.nats_opening import Answer, Call, Subjects, address, prefix
from wsplatform.wire.cluster import EnvelopeError
from wsplatform.wire.parcels import ParcelError

MAX_ANSWERS: Final = 256
"""Handshakes of callers under way; one more, and the oldest is forgotten."""

MAX_NOTES: Final = 4096
"""Messages of handshakes, and last words, that may wait to be published; one more is dropped."""

_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 3.0
_LOG_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 2.0

_WORDS: Final = {
    "stopped": "the other side has stopped",
    "disconnected": "the other side has lost its connection to NATS",
    "unknown_instance": "the instance is not in the view",
    "other_view": "this instance is not in the view of the other side",
    "replaced": "the peer has called again",
    "silent": "nothing was heard of the peer",
    "malformed": "what came is no message of this protocol",
}
_SAID: Final = {"unknown_instance": "other_view"}
"""What a peer's word means from this side, where that differs."""


class NatsTransport:
    """transports.base.Transport; a member of the sweep. `chance`: from 0 to 1, for the jitter between two tries."""

    deadline = 0.0

    def __init__(self, context: TransportContext, chance: Callable[[], float] = random.random) -> None:
        settings = context.settings
        self._context = context
        self._chance = chance
        self._terms = Terms(
            outbox=settings.outbox_bytes,
            envelope=settings.max_envelope_bytes,
            heartbeat=settings.ping_seconds,
            dead=settings.dead_seconds,
        )
        self._throttle = Throttle(_LOG_SECONDS)
        self._identity: Identity | None = None
        self._events: TransportEvents | None = None  # None: not started, or stopped
        self._connection: NatsConnection | None = None  # None: not connected
        self._task: asyncio.Task[None] | None = None
        self._peers: dict[str, Peer] = {}
        self._addresses: dict[str, Peer] = {}
        self._calls: dict[str, Call] = {}
        self._answers: dict[str, Answer] = {}  # by inbox, oldest first
        self._talks: dict[str, Conversation] = {}  # by inbox
        self._up: dict[str, Conversation] = {}
        self._leaving: set[Conversation] = set()
        self._notes: deque[tuple[str, bytes]] = deque()
        self._ready: dict[Conversation, None] = {}
        self._wake = asyncio.Event()
        self._left_all = asyncio.Event()

    # Transport

    async def start(self, local: Peer, events: TransportEvents) -> None:
        settings = self._context.settings
        if not settings.secrets:
            raise StartError("no_cluster_secret", "Set cluster.secrets: without one, no node can prove who it is.")
        try:
            tls = make_tls(self._context.nats)
        except OSError as error:
            raise StartError("nats_ca_file", f"nats.ca_file cannot be used: {error.strerror or error}") from error
        self._identity = Identity(settings.name, "node", local.instance, settings.secrets)
        self._events = events
        access = Access(self._context.nats, tls, str(local.instance), self._terms.heartbeat, self._terms.dead)
        self._task = self._context.tasks.start(self._stay_connected(access), name="NATS connection")
        self._context.sweep.add(self)

    async def stop(self) -> None:
        if self._events is None:
            return
        for talk in tuple(self._up.values()):
            talk.leave("stopped")
            self._leaving.add(talk)
            self._write_soon(talk)
            self._tell_down(talk, "this node has stopped")
        self._events = None
        self._peers = {}
        self._context.sweep.discard(self)
        if self._leaving:
            try:
                await asyncio.wait_for(self._left_all.wait(), _STOP_SECONDS)
            except TimeoutError:
                logger.warning("Stopped before all was sent: NATS or a peer does not read")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def set_peers(self, peers: frozenset[Peer]) -> None:
        identity = self._identity
        if identity is None or self._events is None:
            return
        named = {peer.id: peer for peer in peers if peer.id != identity.instance.node_id}
        old, self._peers = self._peers, named
        self._addresses = {address(peer.instance): peer for peer in named.values()}
        for peer in old.values():
            if self._named(peer) is None:
                self._hang_up(peer)
                if peer.id in self._up:
                    self._end(self._up[peer.id], "unknown_instance")
        for peer in named.values():
            if peer.id not in self._calls and peer.id not in self._up:
                self._call(peer)

    def send(self, peer_id: str, envelope: bytes) -> bool:
        talk = self._up.get(peer_id)
        if talk is None or not talk.send(envelope):
            return False
        self._write_soon(talk)
        return True

    # The connection

    async def _stay_connected(self, access: Access) -> None:
        """Looks at `_running` after each step: nats-py, and wait_for() of Python 3.11, can swallow the cancelling."""
        backoff = Backoff(_FIRST_WAIT, _LONGEST_WAIT)
        while self._running():
            connection = NatsConnection(access, self._context.tasks, self._warn)
            try:
                await connection.open(f"{self._own_prefix()}.*.*.*", self._received)
                if self._running():
                    backoff.reset()
                    await self._use(connection)
            except NatsUnavailable as error:
                self._warn("connect", f"{error}. Until then it carries nothing between nodes")
            finally:
                await connection.close()
            if self._running():
                await asyncio.sleep(backoff.next(self._chance()))

    def _running(self) -> bool:
        return self._events is not None

    async def _use(self, connection: NatsConnection) -> None:
        """Until it is lost."""
        logger.info("Connected to NATS")
        self._connection = connection
        for peer in self._peers.values():
            self._call(peer)
        self._wake = asyncio.Event()
        self._wake.set()
        writer = self._context.tasks.start(self._write(connection, self._wake), name="NATS writer")
        try:
            await connection.lost.wait()
            self._warn("lost", f"The connection to NATS is lost: {connection.why}")
        finally:
            self._connection = None
            self._wake.set()  # nats-py swallows the cancelling of a publish that waits
            writer.cancel()
            self._disconnected(connection.why or "this node has stopped")
            await asyncio.wait({writer}, timeout=_STOP_SECONDS)

    def _disconnected(self, why: str) -> None:
        """What the peers would hear now, they hear when there is a connection again."""
        self._calls.clear()
        self._answers.clear()
        self._notes.clear()
        self._ready.clear()
        for talk in tuple(self._leaving):
            self._gone(talk)
        for talk in tuple(self._up.values()):
            self._notes.append((talk.subject, talk.bye("disconnected")))
            self._tell_down(talk, f"no connection to NATS: {why}")
        self._talks.clear()

    async def _write(self, connection: NatsConnection, wake: asyncio.Event) -> None:
        """Publish what waits, when woken: notes first, then one message of each conversation in turn."""
        while self._connection is connection:
            await wake.wait()
            wake.clear()
            while self._connection is connection and (self._notes or self._ready):
                await self._write_round(connection)

    async def _write_round(self, connection: NatsConnection) -> None:
        while self._notes:
            await connection.publish(*self._notes.popleft())
        for talk in tuple(self._ready):
            message = talk.next()
            if message is not None:
                await connection.publish(talk.subject, message)
            elif talk.ended:
                self._gone(talk)
            else:
                self._ready.pop(talk, None)

    def _gone(self, talk: Conversation) -> None:
        """Nothing is said any more, in either direction."""
        self._talks.pop(talk.inbox, None)
        self._ready.pop(talk, None)
        self._leaving.discard(talk)
        if not self._leaving:
            self._left_all.set()

    def _write_soon(self, talk: Conversation) -> None:
        self._ready[talk] = None
        self._wake.set()

    def _note(self, subject: str, message: bytes) -> None:
        if self._connection is not None and len(self._notes) < MAX_NOTES:
            self._notes.append((subject, message))
            self._wake.set()

    # The sweep

    def expired(self, now: float) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.look(now)
        for call in tuple(self._calls.values()):
            if call.over(now):
                self._hang_up(call.peer)
                self._call(call.peer)
            elif call.due(now, self._chance()):
                self._note(call.subjects.outbox, call.message)
        for inbox in [inbox for inbox, answer in self._answers.items() if answer.over(now)]:
            del self._answers[inbox]
        for talk in tuple(self._up.values()):
            if not talk.look(now):
                self._end(talk, "silent")
            elif talk.due:
                self._write_soon(talk)

    # What comes

    def _received(self, inbox: str, message: bytes) -> None:
        talk = self._talks.get(inbox)
        if talk is None:
            self._greeted(inbox, message)
            return
        try:
            envelopes = talk.open(message)
        except HandshakeError:
            if talk.up and message != talk.echo:
                self._warn(f"forged {talk.peer.id}", f"A message that is not of node {talk.peer.id} came in its name")
            return
        except (ParcelError, EnvelopeError):
            self._end(talk, "malformed")
            return
        if talk.left:
            self._left(talk)
        elif self._events is None or talk.up or self._went_up(talk):
            self._deliver(talk, envelopes)
            if talk.due:
                self._write_soon(talk)

    def _deliver(self, talk: Conversation, envelopes: list[bytes]) -> None:
        for envelope in envelopes:
            if self._events is None or not talk.up:
                return
            self._events.received(talk.peer.id, envelope)

    def _greeted(self, inbox: str, message: bytes) -> None:
        """On a subject that has no conversation yet."""
        who, _, number = inbox.removeprefix(f"{self._own_prefix()}.").rpartition(".")
        peer = self._addresses.get(who)
        if peer is None or self._events is None:
            return
        try:
            if self._calls_out(peer):
                self._challenged(peer, inbox, message)
            else:
                self._asked(peer, number, inbox, message)
        except HandshakeError as error:
            self._refuse(peer, number, error)

    def _challenged(self, peer: Peer, inbox: str, message: bytes) -> None:
        call = self._calls.get(peer.id)
        if call is None or call.subjects.inbox != inbox or call.answered:
            return
        keys = call.challenged(message)
        self._talks[inbox] = Conversation(peer, self._terms, keys, call.subjects, message)
        self._note(call.subjects.outbox, call.message)

    def _asked(self, peer: Peer, number: str, inbox: str, message: bytes) -> None:
        assert self._identity is not None
        subjects = Subjects.of(self._identity.cluster, self._identity.instance, peer.instance, number)
        answer = self._answers.get(inbox)
        if answer is None:
            answer = Answer(self._identity, peer, message, _now())
            if len(self._answers) >= MAX_ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[inbox] = answer
        if message == answer.hello:
            self._note(subjects.outbox, answer.message)
            return
        del self._answers[inbox]
        keys = answer.accept(message)
        if peer.id in self._up:
            self._end(self._up[peer.id], "replaced")
        talk = self._talks[inbox] = Conversation(peer, self._terms, keys, subjects, message)
        self._went_up(talk)

    def _refuse(self, peer: Peer, number: str, error: HandshakeError) -> None:
        """Anybody may have sent what was no handshake; the rest is for both sides to know."""
        assert self._identity is not None
        if error.code == "malformed":
            return
        self._warn(f"{peer.id} {error.code}", f"A handshake with node {peer.id} failed: {error}")
        if not isinstance(error, RefusedError):
            subjects = Subjects.of(self._identity.cluster, self._identity.instance, peer.instance, number)
            self._note(subjects.outbox, refusal(error))

    # Peers

    def _call(self, peer: Peer) -> None:
        """Begin, if that is this node's part."""
        if self._connection is None or not self._calls_out(peer):
            return
        assert self._identity is not None
        now = _now()
        call = self._calls[peer.id] = Call(self._identity, peer, now, self._terms.heartbeat)
        if call.due(now, self._chance()):
            self._note(call.subjects.outbox, call.message)

    def _hang_up(self, peer: Peer) -> None:
        """End a call that has come to nothing."""
        call = self._calls.pop(peer.id, None)
        if call is not None:
            self._talks.pop(call.subjects.inbox, None)

    def _calls_out(self, peer: Peer) -> bool:
        assert self._identity is not None
        return self._identity.instance.node_id < peer.id

    def _named(self, peer: Peer) -> Peer | None:
        """The peer of the view that is this very instance."""
        named = self._peers.get(peer.id)
        return named if named is not None and named.instance == peer.instance else None

    def _went_up(self, talk: Conversation) -> bool:
        if self._connection is None or self._events is None or self._named(talk.peer) is None:
            self._talks.pop(talk.inbox, None)
            return False
        self._calls.pop(talk.peer.id, None)
        talk.begin(_now(), self._connection.max_payload)
        self._up[talk.peer.id] = talk
        self._write_soon(talk)
        self._events.up(talk.peer)
        return talk.up

    def _end(self, talk: Conversation, code: str) -> None:
        """Leave a peer, or a peer that has not come up."""
        self._gone(talk)
        self._note(talk.subject, talk.bye(code))
        self._tell_down(talk, _WORDS[code])
        if code != "replaced" and self._named(talk.peer) is not None:
            self._call(talk.peer)

    def _left(self, talk: Conversation) -> None:
        """The peer has said bye."""
        self._gone(talk)
        talk.up, talk.ended = False, True
        self._tell_down(talk, _WORDS.get(_SAID.get(talk.left, talk.left), "the other side has ended it"))
        if self._named(talk.peer) is not None:
            self._call(talk.peer)

    def _tell_down(self, talk: Conversation, why: str) -> None:
        if self._up.get(talk.peer.id) is talk:
            del self._up[talk.peer.id]
            if self._events is not None:
                self._events.down(talk.peer, why)

    def _own_prefix(self) -> str:
        assert self._identity is not None
        return f"{prefix(self._identity.cluster)}.{address(self._identity.instance)}"

    def _warn(self, key: str, line: str) -> None:
        held = self._throttle.allow(key, _now())
        if held is not None:
            logger.warning("{}{}", line, f" ({held} more like this)" if held else "")


def _now() -> float:
    return asyncio.get_running_loop().time()
