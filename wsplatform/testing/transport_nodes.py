"""Nodes that are nothing but a transport, and remember what it tells them: for tests of transports."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from wsplatform.model import Instance
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.settings import ClusterTable
from wsplatform.testing.node_face import NodeFace
from wsplatform.transports.base import Peer, Transport, TransportContext

SETTINGS: Final = ClusterTable(
    secrets=("a cluster secret for tests only, 32+",),
    outbox_bytes=4_194_304,
    max_envelope_bytes=2_097_152,
    ping_seconds=0.2,
    dead_seconds=1.0,
)

Factory = Callable[[TransportContext], Transport]


class Listener:
    """transports.base.TransportEvents. Holds the transport to the order of events that the port promises."""

    def __init__(self) -> None:
        self.up_now: set[str] = set()
        self.ups: dict[str, int] = defaultdict(int)
        self.downs: dict[str, int] = defaultdict(int)
        self.envelopes: dict[str, list[bytes]] = defaultdict(list)
        self.faults: list[str] = []
        self.stopped = False
        self.on_up: Callable[[Peer], None] = lambda _: None
        self.on_received: Callable[[str, bytes], None] = lambda _, __: None

    def up(self, peer: Peer) -> None:
        self._require(not self.stopped, f"up({peer.id}) after stop")
        self._require(peer.id not in self.up_now, f"up({peer.id}) twice")
        self.up_now.add(peer.id)
        self.ups[peer.id] += 1
        self.on_up(peer)

    def received(self, peer_id: str, envelope: bytes) -> None:
        self._require(not self.stopped, f"received({peer_id}) after stop")
        self._require(peer_id in self.up_now, f"received({peer_id}) of a peer that is not up")
        self._require(type(envelope) is bytes, f"received({peer_id}) something that is not bytes")
        self.envelopes[peer_id].append(envelope)
        self.on_received(peer_id, envelope)

    def down(self, peer: Peer, why: str) -> None:
        self._require(not self.stopped, f"down({peer.id}) after stop")
        self._require(peer.id in self.up_now, f"down({peer.id}) of a peer that is not up")
        self._require(bool(why), f"down({peer.id}) without a reason")
        self.up_now.discard(peer.id)
        self.downs[peer.id] += 1

    def _require(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)


class TransportNode:
    """A transport with what it needs around it. It may be started again after a stop, as a new incarnation."""

    def __init__(self, node_id: str, factory: Factory, settings: ClusterTable = SETTINGS) -> None:
        self.id = node_id
        self.settings = settings
        self.listener = Listener()
        self.past: list[Listener] = []
        self.transport: Transport
        self.sweep = Sweep(interval=settings.ping_seconds / 4)
        self.tasks = Tasks()
        self.face: NodeFace | None = None
        self.peer = Peer(Instance(node_id, secrets.token_hex(8)))
        self._factory = factory

    async def start(self) -> None:
        self.sweep.start(asyncio.get_running_loop())
        self.tasks = Tasks()
        self.transport = self._factory(TransportContext(self.settings, self.tasks, self.sweep))
        await self._listen()
        address = "" if self.face is None else self.face.url
        self.peer = Peer(Instance(self.id, secrets.token_hex(8)), address)
        await self.transport.start(self.peer, self.listener)

    async def stop(self) -> None:
        await self.transport.stop()
        self.listener.stopped = True
        self.past.append(self.listener)
        self.listener = Listener()
        if self.face is not None:
            await self.face.close()
        await self.tasks.close()
        self.sweep.stop()

    def send(self, peer: TransportNode, envelope: bytes) -> bool:
        return self.transport.send(peer.id, envelope)

    def got(self, peer: TransportNode) -> list[bytes]:
        return self.listener.envelopes[peer.id]

    def sees(self, *peers: TransportNode) -> bool:
        """These peers are up, and no others."""
        return self.listener.up_now == {peer.id for peer in peers}

    @property
    def faults(self) -> list[str]:
        return [fault for listener in (*self.past, self.listener) for fault in listener.faults]

    async def _listen(self) -> None:
        face = self.face or NodeFace({}, self.sweep)
        if face.serve(self.transport):
            self.face = face
            await face.open()


def introduce(*nodes: TransportNode) -> None:
    """Give each node the view that all of these are in."""
    peers = frozenset(node.peer for node in nodes)
    for node in nodes:
        node.transport.set_peers(peers)
