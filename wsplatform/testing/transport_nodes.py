"""Nodes that are nothing but a transport, and remember what it tells them: for tests of transports."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
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


SEND_SECONDS: Final = 0.5
"""A call of send() that takes longer has waited for something."""


class Listener:
    """transports.base.TransportEvents. Holds the transport to the order of events that the port promises."""

    def __init__(self) -> None:
        self.ups: dict[str, int] = defaultdict(int)
        self.downs: dict[str, int] = defaultdict(int)
        self.envelopes: dict[str, list[bytes]] = defaultdict(list)
        self.faults: list[str] = []
        self.stopped = False
        self.sending = False
        self.named: frozenset[Peer] | None = None  # None: not told
        self.on_up: Callable[[Peer], None] = lambda _: None
        self.on_received: Callable[[str, bytes], None] = lambda _, __: None
        self.on_down: Callable[[Peer], None] = lambda _: None
        self._up: dict[str, Peer] = {}
        self.thread = 0  # of the event loop

    @property
    def up_now(self) -> set[str]:
        return set(self._up)

    def up(self, peer: Peer) -> None:
        self._told(f"up({peer.id})")
        self.require(peer.id not in self._up, f"up({peer.id}) twice")
        self.require(self.named is None or peer in self.named, f"up({peer.id}) of an instance that is not named")
        self._up[peer.id] = peer
        self.ups[peer.id] += 1
        self.on_up(peer)

    def received(self, peer_id: str, envelope: bytes) -> None:
        self._told(f"received({peer_id})")
        self.require(peer_id in self._up, f"received({peer_id}) of a peer that is not up")
        self.require(type(envelope) is bytes, f"received({peer_id}) something that is not bytes")
        self.envelopes[peer_id].append(envelope)
        self.on_received(peer_id, envelope)

    def down(self, peer: Peer, why: str) -> None:
        self._told(f"down({peer.id})")
        self.require(self._up.get(peer.id) == peer, f"down({peer.id}) of an instance that is not up")
        self.require(bool(why), f"down({peer.id}) without a reason")
        self._up.pop(peer.id, None)
        self.downs[peer.id] += 1
        self.on_down(peer)

    def require(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)

    def _told(self, event: str) -> None:
        self.require(not self.stopped, f"{event} after stop")
        self.require(not self.sending, f"{event} inside send()")
        self.require(threading.get_ident() == self.thread, f"{event} from another thread")


class TransportNode:
    """A transport with what it needs around it. It may be started again after a stop, as a new incarnation."""

    def __init__(self, node_id: str, factory: Factory, settings: ClusterTable = SETTINGS, address: str = "") -> None:
        self.id = node_id
        self.settings = settings
        self.listener = Listener()
        self.past: list[Listener] = []
        self.transport: Transport
        self.sweep = Sweep(interval=settings.ping_seconds / 4)
        self.tasks = Tasks()
        self.face: NodeFace | None = None
        self.peer = Peer(Instance(node_id, secrets.token_hex(8)), address)
        self._address = address
        self._factory = factory

    async def start(self) -> None:
        self.sweep.start(asyncio.get_running_loop())
        self.tasks = Tasks()
        self.listener.thread = threading.get_ident()
        self.transport = self._factory(TransportContext(self.settings, self.tasks, self.sweep))
        await self._listen()
        address = self._address if self.face is None else self.face.url
        self.peer = Peer(Instance(self.id, secrets.token_hex(8)), address)
        await self.transport.start(self.peer, self.listener)

    async def stop(self) -> None:
        await self.transport.stop()
        self.listener.stopped = True
        self.listener.require(await self._tasks_end(), f"{len(self.tasks)} tasks go on after stop()")
        self.past.append(self.listener)
        self.listener = Listener()
        if self.face is not None:
            await self.face.close()
        await self.tasks.close()
        self.sweep.stop()

    def set_peers(self, peers: Iterable[Peer]) -> None:
        self.listener.named = frozenset(peers)
        self.transport.set_peers(self.listener.named)

    def send(self, peer: TransportNode, envelope: bytes) -> bool:
        listener, began = self.listener, time.perf_counter()
        listener.sending = True
        try:
            accepted = self.transport.send(peer.id, envelope)
            listener.require(type(accepted) is bool, f"send() has returned {type(accepted).__name__}, not a bool")
            return accepted
        finally:
            listener.sending = False
            listener.require(time.perf_counter() - began < SEND_SECONDS, "send() has waited")

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

    async def _tasks_end(self) -> bool:
        """A task that was cancelled needs another turn or two."""
        for _ in range(20):
            if not len(self.tasks):
                return True
            await asyncio.sleep(0.005)
        return False


def introduce(*nodes: TransportNode, others: Iterable[Peer] = ()) -> None:
    """Give each node the view that all of these, and `others`, are in."""
    peers = frozenset({*(node.peer for node in nodes), *others})
    for node in nodes:
        node.set_peers(peers)
