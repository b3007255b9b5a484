"""Nodes that are a relay and a survey on a transport, in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from loguru import logger

from wsplatform.model import Publication
from wsplatform.node.relay import Relay
from wsplatform.node.survey import Survey
from wsplatform.settings import ClusterTable
from wsplatform.testing.transport_nodes import SETTINGS, Factory, TransportNode
from wsplatform.transports import http, memory, websocket
from wsplatform.transports.base import Peer, Transport, TransportContext
from wsplatform.transports.fallback import FallbackTransport, Named


class _RelayAsTransport:
    """Puts a relay between a TransportNode and its transport: the node starts and stops both."""

    def __init__(self, node: MeshNode, transport: Transport, context: TransportContext) -> None:
        self.inner = transport
        self.relay = Relay(transport, node.deliver, context.sweep, context.settings)
        self.survey = Survey(self.relay)

    async def start(self, local: Peer, events: object) -> None:
        await self.relay.start(local)

    async def stop(self) -> None:
        await self.relay.stop()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.relay.set_peers(peers)

    def send(self, peer_id: str, envelope: bytes) -> bool:
        return self.inner.send(peer_id, envelope)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)  # Inbound, if the transport has that ability


@dataclass(eq=False)
class MeshNode:
    """`got`: what was delivered, in order, as (channel, JSON)."""

    node: TransportNode = field(init=False)
    got: list[tuple[str, bytes]] = field(default_factory=list)

    def deliver(self, channel: str, publication: Publication) -> None:
        self.got.append((channel, bytes(publication.data)))

    @property
    def id(self) -> str:
        return self.node.id

    @property
    def relay(self) -> Relay:
        return self.node.transport.relay  # type: ignore[attr-defined, no-any-return]

    @property
    def survey(self) -> Survey:
        return self.node.transport.survey  # type: ignore[attr-defined, no-any-return]

    def publish(self, channel: str, data: object) -> None:
        self.relay.publish(channel, Publication(msgspec.Raw(msgspec.json.encode(data))))

    def numbers(self, channel: str) -> list[int]:
        return [msgspec.json.decode(data, type=int) for name, data in self.got if name == channel]


class Mesh:
    """`cut` and `heal` break and mend the memory transport; the websocket one mends itself."""

    def __init__(self, kind: str, settings: ClusterTable) -> None:
        self.hub = memory.MemoryHub()
        self.kind = kind
        self.settings = settings
        self.nodes: list[MeshNode] = []

    async def add(self, node_id: str, settings: ClusterTable | None = None) -> MeshNode:
        mesh_node = MeshNode()
        create: Factory = {"memory": self.hub.create, "websocket": websocket.create, "both": _both}[self.kind]
        mesh_node.node = TransportNode(
            node_id,
            lambda context: _RelayAsTransport(mesh_node, create(context), context),
            settings or self.settings,
        )
        self.nodes.append(mesh_node)
        await mesh_node.node.start()
        return mesh_node

    def set(self, **settings: Any) -> None:
        """Change settings of [cluster], for nodes that are added later."""
        self.settings = msgspec.structs.replace(self.settings, **settings)

    def introduce(self, *nodes: MeshNode) -> None:
        peers = frozenset(node.node.peer for node in nodes or self.nodes)
        for node in nodes or self.nodes:
            node.relay.set_peers(peers)

    def cut(self, left: MeshNode, right: MeshNode) -> None:
        self.hub.cut(left.id, right.id)
        for node in (left, right):
            if node.node.face is not None:
                node.node.face.cut()

    def heal(self, left: MeshNode, right: MeshNode) -> None:
        self.hub.heal(left.id, right.id)


def _both(context: TransportContext) -> Transport:
    return FallbackTransport(
        context, Named("websocket", websocket.create(context)), Named("http", http.create(context))
    )


async def _open(kind: str) -> AsyncIterator[Mesh]:
    mesh = Mesh(kind, msgspec.structs.replace(SETTINGS, interest_seconds=0.5, replay_bytes=4_194_304))
    yield mesh
    for node in mesh.nodes:
        await node.node.stop()
        assert not node.node.faults


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The messages of the log, without their time and place."""
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(sink)


@pytest.fixture(params=["memory", "websocket"])
async def mesh(request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    async for mesh in _open(request.param):
        yield mesh


@pytest.fixture
async def memory_mesh() -> AsyncIterator[Mesh]:
    """For breaks that last."""
    async for mesh in _open("memory"):
        yield mesh


@pytest.fixture
async def fallback_mesh() -> AsyncIterator[Mesh]:
    """On websockets, and HTTP where those cannot pass."""
    async for mesh in _open("both"):
        yield mesh
