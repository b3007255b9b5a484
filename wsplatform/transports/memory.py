"""A transport inside one process, for tests: instant, and broken on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import combinations

from wsplatform.settings import ClusterTable
from wsplatform.transports.base import Peer, TransportContext, TransportEvents


def create(context: TransportContext) -> MemoryTransport:
    """On a hub of its own: it reaches nobody. Transports of one `MemoryHub` reach each other."""
    return MemoryHub().create(context)


class MemoryHub:
    """What connects the transports that it creates. Two are up for each other while each has named the other."""

    def __init__(self) -> None:
        self._nodes: dict[str, MemoryTransport] = {}
        self._wires: dict[frozenset[str], _Wire] = {}
        self._cuts: set[frozenset[str]] = set()
        self._queue: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def create(self, context: TransportContext) -> MemoryTransport:
        return MemoryTransport(self, context.settings)

    def cut(self, left: str, right: str) -> None:
        """Break the connection of two nodes; what is under way between them is lost."""
        self._cuts.add(frozenset((left, right)))
        self.settle("the connection was cut")

    def heal(self, left: str, right: str) -> None:
        self._cuts.discard(frozenset((left, right)))
        self.settle()

    def enter(self, node: MemoryTransport) -> None:
        self._nodes[node.node_id] = node

    def leave(self, node: MemoryTransport) -> None:
        if self._nodes.get(node.node_id) is node:
            del self._nodes[node.node_id]
        self.settle("the other side has stopped")

    def settle(self, why: str = "the instance is not in the view") -> None:
        """Break the wires that must not be any more, make those that are missing."""
        for pair, wire in tuple(self._wires.items()):
            if not self._joined(wire.left, wire.right):
                del self._wires[pair]
                wire.broken = True
                self.later(partial(wire.left.lost, wire, why))
                self.later(partial(wire.right.lost, wire, why))
        for left, right in combinations(self._nodes.values(), 2):
            pair = frozenset((left.node_id, right.node_id))
            if pair not in self._wires and self._joined(left, right):
                wire = self._wires[pair] = _Wire(left, right)
                self.later(partial(left.found, wire, right.node_id))
                self.later(partial(right.found, wire, left.node_id))

    def later(self, step: Callable[[], None]) -> None:
        """Everything that happens, happens in one line: so each node sees it in order."""
        self._queue.append(step)
        self._schedule()

    def _joined(self, left: MemoryTransport, right: MemoryTransport) -> bool:
        present = self._nodes.get(left.node_id) is left and self._nodes.get(right.node_id) is right
        cut = frozenset((left.node_id, right.node_id)) in self._cuts
        return present and not cut and left.names(right) and right.names(left)

    def _schedule(self) -> None:
        if self._queue and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        try:
            for _ in range(len(self._queue)):
                self._queue.popleft()()
        finally:
            self._schedule()


class _Wire:
    """Between two nodes. `waiting`: bytes under way from each."""

    def __init__(self, left: MemoryTransport, right: MemoryTransport) -> None:
        self.left = left
        self.right = right
        self.broken = False
        self.waiting = {left.node_id: 0, right.node_id: 0}

    def other(self, node: MemoryTransport) -> MemoryTransport:
        return self.right if node is self.left else self.left


class MemoryTransport:
    """transports.base.Transport."""

    def __init__(self, hub: MemoryHub, settings: ClusterTable) -> None:
        self._hub = hub
        self._settings = settings
        self._local: Peer | None = None
        self._events: TransportEvents | None = None
        self._peers: dict[str, Peer] = {}
        self._up: dict[str, tuple[_Wire, Peer]] = {}

    @property
    def node_id(self) -> str:
        assert self._local is not None
        return self._local.id

    async def start(self, local: Peer, events: TransportEvents) -> None:
        self._local = local
        self._events = events
        self._hub.enter(self)

    async def stop(self) -> None:
        if self._events is None:
            return
        events, self._events = self._events, None
        up, self._up = self._up, {}
        self._hub.leave(self)
        for _, peer in up.values():
            events.down(peer, "this node has stopped")

    def set_peers(self, peers: frozenset[Peer]) -> None:
        if self._events is not None:
            self._peers = {peer.id: peer for peer in peers if peer.id != self.node_id}
            self._hub.settle()

    def send(self, peer_id: str, envelope: bytes) -> bool:
        wire, _ = self._up.get(peer_id, (None, None))
        if wire is None or wire.broken or len(envelope) > self._settings.max_envelope_bytes:
            return False
        if wire.waiting[self.node_id] + len(envelope) > self._settings.outbox_bytes:
            return False
        wire.waiting[self.node_id] += len(envelope)
        self._hub.later(partial(wire.other(self).take, wire, self.node_id, envelope))
        return True

    # What the hub tells

    def names(self, other: MemoryTransport) -> bool:
        """Whether the other one is, as this very instance, among the peers."""
        peer = self._peers.get(other.node_id)
        return peer is not None and other._local is not None and peer.instance == other._local.instance

    def found(self, wire: _Wire, peer_id: str) -> None:
        if self._events is not None and not wire.broken:
            peer = self._peers[peer_id]
            self._up[peer_id] = wire, peer
            self._events.up(peer)

    def lost(self, wire: _Wire, why: str) -> None:
        for peer_id, (mine, peer) in tuple(self._up.items()):
            if mine is wire and self._events is not None:
                del self._up[peer_id]
                self._events.down(peer, why)

    def take(self, wire: _Wire, sender: str, envelope: bytes) -> None:
        wire.waiting[sender] -= len(envelope)
        if self._events is not None and not wire.broken:
            self._events.received(sender, envelope)
