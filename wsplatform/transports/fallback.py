"""Two carriers as one: whatever the first cannot carry, the second does (core/carriers.py decides, for each peer).

Around each change the owner is told down, then up: what was under way on the carrier that is left may be lost, and what
still comes on it is not passed on, so that nothing is doubled or out of order. The second carrier is given only the
peers that need it. It could take over sooner if it were connected all the time, by the tenth of a second that its
handshake takes; that is not worth two requests a second for each pair of nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from loguru import logger

from wsplatform.core.carriers import TICK, Carrier, Event, State, begin, step
from wsplatform.net.upgrade import Acceptor
from wsplatform.transports.base import (
    Answering,
    CallHandler,
    Described,
    Inbound,
    Peer,
    Transport,
    TransportContext,
    TransportEvents,
)


@dataclass(frozen=True, slots=True)
class Named:
    """A carrier, and what it is called."""

    name: str
    transport: Transport


@dataclass(slots=True, eq=False)
class _Way:
    """To one peer. told: the carrier with which it is up for the owner. last: the one before; why: why it was left."""

    peer: Peer
    state: State
    told: Carrier | None = None
    last: Carrier = Carrier.FIRST
    why: str = "it could not be opened"


class _Side:
    """transports.base.TransportEvents, of one of the two."""

    def __init__(self, owner: FallbackTransport, carrier: Carrier) -> None:
        self._owner = owner
        self._carrier = carrier

    def up(self, peer: Peer) -> None:
        self._owner.happened(peer, Event("up", self._carrier), "")

    def received(self, peer_id: str, envelope: bytes) -> None:
        self._owner.received(self._carrier, peer_id, envelope)

    def down(self, peer: Peer, why: str) -> None:
        self._owner.happened(peer, Event("down", self._carrier), why)


class FallbackTransport:
    """transports.base.Transport, Inbound, Answering and Described; each ability as far as the two carriers have it."""

    deadline = 0.0  # a member of the sweep, every time

    def __init__(self, context: TransportContext, first: Named, second: Named) -> None:
        self._sweep = context.sweep
        self._carriers = {Carrier.FIRST: first, Carrier.SECOND: second}
        self._events: TransportEvents | None = None  # None: not started, or stopped
        self._local_id = ""
        self._ways: dict[str, _Way] = {}
        self._second: frozenset[Peer] = frozenset()

    # Transport

    async def start(self, local: Peer, events: TransportEvents) -> None:
        self._local_id = local.id
        self._events = events
        try:
            for carrier, named in self._carriers.items():
                await named.transport.start(local, _Side(self, carrier))
        except BaseException:
            await self.stop()
            raise
        self._sweep.add(self)

    async def stop(self) -> None:
        self._sweep.discard(self)
        events, self._events = self._events, None
        ways, self._ways = self._ways, {}
        for way in ways.values():
            if way.told is not None and events is not None:
                events.down(way.peer, "this node has stopped")
        await asyncio.gather(*(named.transport.stop() for named in self._carriers.values()))

    def set_peers(self, peers: frozenset[Peer]) -> None:
        if self._events is None:
            return
        named = {peer.id: peer for peer in peers if peer.id != self._local_id}
        for way in [way for way in self._ways.values() if named.get(way.peer.id) != way.peer]:
            self._drop(way)
        for peer in named.values():
            if peer.id not in self._ways:
                self._ways[peer.id] = _Way(peer, begin(_now()))
        self._carriers[Carrier.FIRST].transport.set_peers(peers)
        self._share()

    def send(self, peer_id: str, envelope: bytes) -> bool:
        way = self._ways.get(peer_id)
        if way is None or way.told is None:
            return False
        return self._carriers[way.told].transport.send(peer_id, envelope)

    # The abilities

    def acceptors(self) -> Mapping[str, Acceptor]:
        acceptors: dict[str, Acceptor] = {}
        for named in self._carriers.values():
            if isinstance(named.transport, Inbound):
                acceptors |= named.transport.acceptors()
        return acceptors

    def calls(self) -> Mapping[str, CallHandler]:
        calls: dict[str, CallHandler] = {}
        for named in self._carriers.values():
            if isinstance(named.transport, Answering):
                calls |= named.transport.calls()
        return calls

    def carrier(self, peer_id: str) -> str:
        way = self._ways.get(peer_id)
        if way is None or way.told is None:
            return ""
        named = self._carriers[way.told]
        return named.transport.carrier(peer_id) if isinstance(named.transport, Described) else named.name

    # What the carriers tell

    def happened(self, peer: Peer, event: Event, why: str) -> None:
        way = self._ways.get(peer.id)
        if way is not None and way.peer.instance == peer.instance:
            self._step(way, event, why)
            self._share()

    def received(self, carrier: Carrier, peer_id: str, envelope: bytes) -> None:
        way = self._ways.get(peer_id)
        if way is None:
            return
        if way.told is not carrier:
            self._step(way, Event("heard", carrier), "")
            self._share()
        if way.told is carrier and self._events is not None:
            self._events.received(peer_id, envelope)

    # Inside

    def expired(self, now: float) -> None:
        """For the sweep."""
        for way in tuple(self._ways.values()):
            self._step(way, TICK, "")
        self._share()

    def _step(self, way: _Way, event: Event, why: str) -> None:
        way.state = step(way.state, event, _now())
        # What the owner is told may change everything once more.
        while self._events is not None and self._ways.get(way.peer.id) is way and way.told is not way.state.using:
            if way.told is None:
                way.told = way.state.using
                self._log(way)
                self._events.up(way.peer)
            else:
                way.last, way.told = way.told, None
                way.why = why or "the other one is back"
                self._events.down(way.peer, way.why)

    def _drop(self, way: _Way) -> None:
        del self._ways[way.peer.id]
        if way.told is not None and self._events is not None:
            way.told = None
            self._events.down(way.peer, "the instance is not in the view")

    def _share(self) -> None:
        """Give the second carrier the peers that need it."""
        now = _now()
        wanted = frozenset(way.peer for way in self._ways.values() if way.state.wants_second(now))
        if wanted != self._second and self._events is not None:
            self._second = wanted
            self._carriers[Carrier.SECOND].transport.set_peers(wanted)

    def _log(self, way: _Way) -> None:
        if way.told is not None and way.told is not way.last:
            left, taken = self._carriers[way.last].name, self._carriers[way.told].name
            logger.info("Traffic with node {} changes from {} to {}: {}", way.peer.id, left, taken, way.why)


def _now() -> float:
    return asyncio.get_running_loop().time()
