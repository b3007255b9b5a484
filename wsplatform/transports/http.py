"""A transport over plain HTTP requests, for where websockets cannot pass: /cluster/http/… on the node face.

Of two nodes the one with the lower id dials, unless the other has no address: it posts what it has, and holds one
request open for what the other side has (transports/http_exchange.py). An accepted peer is told `up` only when
`set_peers` has named its instance; until then it waits, for a bounded time and in bounded number. A second exchange of
an instance that dials replaces the first: whoever dials has one at a time, and has given the first one up.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from loguru import logger

from wsplatform.core.guests import Guests
from wsplatform.core.handshake import (
    MAX_MESSAGE_BYTES,
    NONCE_BYTES,
    Identity,
    Initiator,
    RefusedError,
    Responder,
    refusal,
)
from wsplatform.core.throttle import Throttle
from wsplatform.errors import HandshakeError, RequestError, StartError
from wsplatform.model import Instance
from wsplatform.transports import http_exchange as exchanges
from wsplatform.transports.base import Call, CallHandler, Peer, Reply, TransportContext, TransportEvents
from wsplatform.transports.dialling import Attempt, Dialling
from wsplatform.transports.http_answer import AcceptedExchange
from wsplatform.transports.http_dial import DialledExchange, Target
from wsplatform.transports.http_exchange import ID_BYTES, PATH, Exchange, Terms

MAX_STRANGERS: Final = 128
"""Handshakes under way; one more, and one is ended (core/guests.py)."""

MAX_WAITING: Final = 64

_LOG_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 2.0


def create(context: TransportContext) -> HttpTransport:
    return HttpTransport(context)


class HttpTransport:
    """transports.base.Transport, Answering and Described. `chance`: from 0 to 1, for the jitter between two tries."""

    def __init__(self, context: TransportContext, chance: Callable[[], float] = random.random) -> None:
        settings = context.settings
        self._context = context
        self._dialling = Dialling(context.tasks, "HTTP dialler", self._connect, chance)
        self._terms = Terms(
            outbox=settings.outbox_bytes,
            envelope=settings.max_envelope_bytes,
            heartbeat=settings.ping_seconds,
            dead=settings.dead_seconds,
        )
        self._throttle = Throttle(_LOG_SECONDS)
        self._identity: Identity | None = None
        self._events: TransportEvents | None = None  # None: not started, or stopped
        self._up: dict[str, Exchange] = {}
        self._accepted: dict[bytes, AcceptedExchange] = {}  # by id, oldest first
        self._strangers: Guests[Exchange] = Guests(MAX_STRANGERS)
        self._dialled: set[DialledExchange] = set()

    # Transport

    async def start(self, local: Peer, events: TransportEvents) -> None:
        settings = self._context.settings
        if not settings.secrets:
            raise StartError("no_cluster_secret", "Set cluster.secrets: without one, no node can prove who it is.")
        self._dialling.begin(local)
        self._identity = Identity(settings.name, "node", local.instance, settings.secrets)
        self._events = events

    async def stop(self) -> None:
        accepted = list(self._accepted.values())
        for exchange in (*self._dialled, *accepted):
            exchange.leave()
        self._events = None
        self._dialling.finish()
        waiting = [exchange.drained.wait() for exchange in accepted]
        waiting += [exchange.over.wait() for exchange in self._dialled]
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*waiting)
        except TimeoutError:
            pass
        await self._dialling.stop()
        self._accepted.clear()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        if self._events is None:
            return
        self._dialling.set_peers(peers, self._drop)
        for exchange in self._waiting():
            peer = None if exchange.peer is None else self._dialling.named(exchange.peer)
            if peer is not None:
                self._let_in(exchange, peer)

    def send(self, peer_id: str, envelope: bytes) -> bool:
        exchange = self._up.get(peer_id)
        return exchange is not None and exchange.send(envelope)

    def carrier(self, peer_id: str) -> str:
        """Described."""
        return "http" if peer_id in self._up else ""

    # Answering

    def calls(self) -> Mapping[str, CallHandler]:
        return {
            f"{PATH}/open": self._open,
            f"{PATH}/prove": self._prove,
            f"{PATH}/push": self._push,
            f"{PATH}/pull": self._pull,
        }

    async def _open(self, call: Call) -> Reply:
        hello = await call.read(MAX_MESSAGE_BYTES)
        if self._identity is None or self._events is None:
            raise RequestError(503, "not_ready", "This node is not part of a mesh right now. Try again later.")
        responder = Responder(self._identity, secrets.token_bytes(NONCE_BYTES))
        try:
            challenge = responder.challenge(hello)
        except HandshakeError as error:
            return self._refuse(call, error)
        exchange = AcceptedExchange(self, self._terms, call.remote, responder)
        exchange_id = secrets.token_bytes(ID_BYTES)
        self._accepted[exchange_id] = exchange
        self._context.sweep.add(exchange)
        gone = self._strangers.add(exchange, call.remote)
        if gone is not None:
            gone.end(exchanges.TOO_SLOW)
        return Reply(exchange_id + challenge)

    async def _prove(self, call: Call) -> Reply:
        exchange = self._find(call)
        proof = await call.read(MAX_MESSAGE_BYTES)
        if exchange.peer is not None or exchange.ended:
            raise _unknown_exchange()
        try:
            exchange.prove(proof)
        except HandshakeError as error:
            exchange.end(exchanges.REFUSED, str(error))
            return Reply(b"" if isinstance(error, RefusedError) else refusal(error), 403)
        self._proved(exchange)
        return exchange.proved()

    async def _push(self, call: Call) -> Reply:
        return await self._find(call, proved=True).push(call)

    async def _pull(self, call: Call) -> Reply:
        return await self._find(call, proved=True).pull(call)

    def _find(self, call: Call, *, proved: bool = False) -> AcceptedExchange:
        """Who is meant. Before a body is read: what nobody has asked for is not held."""
        try:
            exchange = self._accepted[bytes.fromhex(call.query)]
        except (KeyError, ValueError):
            raise _unknown_exchange() from None
        if (exchange.peer is not None) is not proved:
            raise _unknown_exchange()
        return exchange

    # What exchanges tell

    def up(self, exchange: Exchange) -> None:
        assert exchange.peer is not None
        peer = self._dialling.named(exchange.peer)
        if peer is None or self._events is None:
            exchange.end(exchanges.UNKNOWN_INSTANCE)
            return
        self._up[peer.id] = exchange
        self._events.up(peer)

    def received(self, exchange: Exchange, envelope: bytes) -> None:
        assert exchange.peer is not None
        assert self._events is not None
        self._events.received(exchange.peer.node_id, envelope)

    def ended(self, exchange: Exchange, reason: str, why: str) -> None:
        self._context.sweep.discard(exchange)
        self._strangers.discard(exchange)
        if not exchange.leaving:
            self._forget(exchange)
        instance = exchange.peer
        if instance is not None and self._up.get(instance.node_id) is exchange:
            del self._up[instance.node_id]
            peer = self._dialling.named(instance)
            if self._events is not None and peer is not None:
                self._events.down(peer, why)
        elif reason != exchanges.GOING_AWAY:
            who = str(instance or exchange.remote)
            self._warn(f"{who} {reason} {why}", f"An HTTP exchange with {who} failed: {why}")

    # Inside

    def _proved(self, exchange: AcceptedExchange) -> None:
        self._strangers.discard(exchange)
        instance = exchange.peer
        assert instance is not None
        peer = self._dialling.named(instance)
        if instance.node_id == self._dialling.local.id:
            logger.warning("Refused {} at {}: it has this node's id; give each node its own", instance, exchange.remote)
            exchange.end(exchanges.DUPLICATE)
        elif peer is not None:
            self._let_in(exchange, peer)
        else:
            self._replace_others(exchange)
            if len(self._waiting()) > MAX_WAITING:
                exchange.end(exchanges.UNKNOWN_INSTANCE)

    def _let_in(self, exchange: AcceptedExchange, peer: Peer) -> None:
        """The view names its instance."""
        if self._dialling.dials(peer):
            exchange.end(exchanges.DUPLICATE)
        else:
            self._replace_others(exchange)
            exchange.welcome()

    def _replace_others(self, exchange: AcceptedExchange) -> None:
        assert exchange.peer is not None
        for other in self._of(exchange.peer):
            if other is not exchange:
                other.end(exchanges.REPLACED)

    def _of(self, instance: Instance) -> list[Exchange]:
        return [exchange for exchange in (*self._accepted.values(), *self._dialled) if exchange.peer == instance]

    def _waiting(self) -> list[AcceptedExchange]:
        """Those that have proved who they are, and are not in the view."""
        return [exchange for exchange in self._accepted.values() if exchange.waits]

    def _forget(self, exchange: Exchange) -> None:
        for exchange_id, accepted in self._accepted.items():
            if accepted is exchange:
                del self._accepted[exchange_id]
                return

    def _drop(self, peer: Peer) -> None:
        for exchange in self._of(peer.instance):
            exchange.end(exchanges.UNKNOWN_INSTANCE)

    async def _connect(self, peer: Peer) -> Attempt:
        """One exchange, until it ends."""
        assert self._identity is not None
        target = Target(peer.instance, _http_url(peer.address), self._context.tls)
        initiator = Initiator(self._identity, secrets.token_bytes(NONCE_BYTES))
        exchange = DialledExchange(self, self._terms, initiator, target, self._context.tasks)
        self._dialled.add(exchange)
        self._context.sweep.add(exchange)
        try:
            await exchange.run()
        finally:
            self._dialled.discard(exchange)
        return Attempt(exchange.was_up, exchange.reason == exchanges.PEER_LEFT)

    def _refuse(self, call: Call, error: HandshakeError) -> Reply:
        self._warn(f"{call.remote} {error.code}", f"An HTTP exchange with {call.remote} failed: {error}")
        return Reply(refusal(error), 403)

    def _warn(self, key: str, line: str) -> None:
        held = self._throttle.allow(key, asyncio.get_running_loop().time())
        if held is not None:
            logger.warning("{}{}", line, f" ({held} more like this)" if held else "")


def _http_url(address: str) -> str:
    """http:// for ws://, https:// for wss://."""
    return address.replace("ws", "http", 1) if address.startswith("ws") else address


def _unknown_exchange() -> RequestError:
    return RequestError(404, "unknown_exchange", "Nothing is known of this exchange (any more): begin another one.")
