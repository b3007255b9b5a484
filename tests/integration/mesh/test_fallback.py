"""A way between two nodes on which HTTP passes and websockets do not: the traffic changes over, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

import pytest

from tests.integration.mesh.conftest import Mesh, MeshNode
from tests.support.middlebox import Middlebox
from tests.support.wait import eventually
from wsplatform.core import carriers
from wsplatform.testing.transport_nodes import SETTINGS
from wsplatform.transports.base import Peer


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carriers, "OPEN_SECONDS", 0.5)


@dataclass
class Pair:
    """b is reached by way of the box. `sent`: how many each has published."""

    a: MeshNode
    b: MeshNode
    box: Middlebox
    sent: int = 0

    @property
    def carrier(self) -> set[str]:
        """As both sides see it."""
        return {self.a.relay.links()[0].transport or "", self.b.relay.links()[0].transport or ""}

    async def talk(self) -> None:
        for number in count():
            self.a.publish("of a", number)
            self.b.publish("of b", number)
            self.sent = number + 1
            await asyncio.sleep(0.005)

    def whole(self) -> bool:
        """All that was published has arrived on the other side, once and in order."""
        expected = list(range(self.sent))
        return self.a.numbers("of b") == self.b.numbers("of a") == expected

    async def passes(self, within: float = 5.0) -> None:
        """What is published from now on arrives."""
        begin = self.sent
        await eventually(
            lambda: self.a.numbers("of b")[-1:] > [begin] and self.b.numbers("of a")[-1:] > [begin], within=within
        )


@asynccontextmanager
async def talking(mesh: Mesh, mode: str = "pass") -> AsyncIterator[Pair]:
    a, b = await mesh.add("a"), await mesh.add("b")
    assert b.node.face is not None
    box = Middlebox(b.node.face.port)
    pair = Pair(a, b, box)
    async with box.listening():
        if mode == "refuse":
            box.refuse()
        a.relay.set_peers(frozenset({a.node.peer, Peer(b.node.peer.instance, box.url)}))
        b.relay.set_peers(frozenset({a.node.peer, b.node.peer}))
        await eventually(lambda: a.relay.settled and b.relay.settled)
        for node, channel in ((a, "of b"), (b, "of a")):
            done = asyncio.Event()
            if not node.relay.want(channel, done.set):
                await asyncio.wait_for(done.wait(), 5)
        task = asyncio.get_running_loop().create_task(pair.talk())
        try:
            yield pair
        finally:
            task.cancel()
        await eventually(pair.whole)
        for node in (a, b):
            await node.node.stop()
        mesh.nodes.clear()
        assert not a.node.faults + b.node.faults


@pytest.mark.parametrize("how", ["refuse", "swallow"])
async def test_traffic_changes_to_http_and_back_and_nothing_is_missing_doubled_or_out_of_order(
    fallback_mesh: Mesh, how: str
) -> None:
    async with talking(fallback_mesh) as pair:
        await pair.passes()
        assert pair.carrier == {"websocket"}
        assert not pair.box.requests
        if how == "refuse":
            pair.box.refuse()
        else:
            pair.box.mode = "swallow"
        await eventually(lambda: pair.carrier == {"http"}, within=SETTINGS.dead_seconds + 2)
        await pair.passes()
        tried = pair.box.upgrades
        await eventually(lambda: pair.box.upgrades > tried, within=10)
        assert pair.carrier == {"http"}
        pair.box.mode = "pass"
        await eventually(lambda: pair.carrier == {"websocket"}, within=15)
        await pair.passes()
        await asyncio.sleep(0.3)
        assert pair.carrier == {"websocket"}


async def test_a_websocket_that_could_never_be_opened_is_done_without(fallback_mesh: Mesh) -> None:
    async with talking(fallback_mesh, "refuse") as pair:
        await pair.passes()
        assert pair.carrier == {"http"}
        pair.box.mode = "pass"
        await eventually(lambda: pair.carrier == {"websocket"}, within=15)
        await pair.passes()


async def test_the_second_carrier_is_not_connected_while_the_first_one_works(fallback_mesh: Mesh) -> None:
    async with talking(fallback_mesh) as pair:
        await asyncio.sleep(1.0)
        assert pair.carrier == {"websocket"}
        assert (pair.box.upgrades, pair.box.requests) == (1, 0)
        pair.b.node.face.cut()  # type: ignore[union-attr]  # a connection that breaks is there again at once
        await eventually(lambda: pair.box.upgrades == 2)
        await pair.passes()
        assert (pair.carrier, pair.box.requests) == ({"websocket"}, 0)
