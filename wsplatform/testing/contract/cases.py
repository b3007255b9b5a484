"""What the cases run on: an event loop for each, nodes that are stopped at its end, and what must not have happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from wsplatform.settings import ClusterTable
from wsplatform.testing.contract.apart import Apart
from wsplatform.testing.transport_nodes import SETTINGS, TransportNode, introduce
from wsplatform.testing.wait import eventually
from wsplatform.transports.base import Transport, TransportContext

CASE_SECONDS = 50.0
PROBE = b"probe "
_Self = TypeVar("_Self", bound="Contract")


def case(method: Callable[[_Self], Awaitable[None]]) -> Callable[[_Self], None]:
    """Run in a new event loop, with nodes that are stopped at the end and must not have seen a fault."""

    @wraps(method)
    def run(self: _Self) -> None:
        with asyncio.Runner(loop_factory=type(self).loop_factory) as runner:
            runner.run(_bounded(self, method))

    del run.__wrapped__  # pytest would take the case for a coroutine
    return run


async def _bounded(contract: _Self, method: Callable[[_Self], Awaitable[None]]) -> None:
    contract.nodes = []
    unhandled: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(_words(context)))
    try:
        async with asyncio.timeout(CASE_SECONDS):
            await method(contract)
    finally:
        for node in contract.nodes:
            await node.stop()
    faults = [f"{node.id}: {fault}" for node in contract.nodes for fault in node.faults]
    assert not faults, faults
    assert not unhandled, unhandled
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks outlive stop(): {left}"


def _words(context: dict[str, Any]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"


class Contract:
    """What an author overrides: `create`, and where it applies the others."""

    loop_factory: ClassVar[Callable[[], Any] | None] = None
    patience: ClassVar[float] = 10.0
    """Seconds in which what has to happen must have happened."""
    nodes: list[TransportNode]

    def create(self, context: TransportContext) -> Transport:
        raise NotImplementedError

    def settings(self) -> ClusterTable:
        """Small bounds and short times, so that cases end soon."""
        return SETTINGS

    def address(self, node_id: str) -> str:
        """Where the others reach this node: for a transport without the ability Inbound that dials addresses."""
        return ""

    def cut(self, left: TransportNode, right: TransportNode) -> None:
        """Break what connects these two. Here: every connection to the listener of either."""
        for node in (left, right):
            if node.face is not None:
                node.face.cut()

    def heal(self, left: TransportNode, right: TransportNode) -> None:
        """Undo `cut`, where it lasts."""

    def open_files(self) -> int:
        """Descriptors of this process, without those that `create` opened for the test's own sake (Linux)."""
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    # For the cases

    async def node(self, node_id: str) -> TransportNode:
        node = TransportNode(node_id, self.create, self.settings(), self.address(node_id))
        self.nodes.append(node)
        await node.start()
        return node

    async def pair(self) -> tuple[TransportNode, TransportNode]:
        """Two nodes that are up for each other."""
        a, b = await self.node("a"), await self.node("b")
        await self.meet(a, b)
        return a, b

    async def trio(self) -> tuple[TransportNode, TransportNode, TransportNode]:
        a, b, c = await self.node("a"), await self.node("b"), await self.node("c")
        await self.meet(a, b, c)
        return a, b, c

    async def meet(self, *nodes: TransportNode) -> None:
        """Give all of them the same view, and wait until each is up for each."""
        introduce(*nodes)
        await self.eventually(lambda: all_up(*nodes))

    @asynccontextmanager
    async def apart(self, node_id: str) -> AsyncIterator[Apart]:
        """A node on an event loop of its own."""
        node = TransportNode(node_id, self.create, self.settings(), self.address(node_id))
        apart = Apart(node, type(self).loop_factory)
        await apart.start()
        try:
            yield apart
        finally:
            await apart.stop()
        assert not node.faults, [f"{node.id}: {fault}" for fault in node.faults]

    async def meet_apart(self, apart: Apart, *nodes: TransportNode) -> None:
        """`meet`, one of the nodes being apart."""
        introduce(*nodes, others=(apart.node.peer,))
        peers = frozenset(node.peer for node in (*nodes, apart.node))
        await apart.call(lambda: apart.node.set_peers(peers))
        await self.eventually(lambda: all_up(apart.node, *nodes))

    async def eventually(self, condition: Callable[[], object]) -> None:
        await eventually(condition, self.patience)

    async def passes(self, sender: TransportNode, receiver: TransportNode) -> None:
        """Wait until something arrives that is sent from now on. As the link above does, ask again: after a fault of

        the network a carrier may lose what it has accepted.
        """
        numbers = count()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience
        first = len(receiver.got(sender))
        while not any(envelope.startswith(PROBE) for envelope in receiver.got(sender)[first:]):
            assert loop.time() < deadline, f"nothing passes from {sender.id} to {receiver.id}"
            sender.send(receiver, PROBE + b"%d" % next(numbers))
            await asyncio.sleep(0.02)


def all_up(*nodes: TransportNode) -> bool:
    return all(node.sees(*(other for other in nodes if other is not node)) for node in nodes)


def without_probes(envelopes: list[bytes]) -> list[bytes]:
    return [envelope for envelope in envelopes if not envelope.startswith(PROBE)]


def difference(got: list[bytes], sent: list[bytes]) -> str | None:
    """Where they differ first; None: nowhere.

    In an assertion instead of the lists themselves, of which pytest would look for the shortest description of all
    differences: with CI in the environment, for hours.
    """
    for number, (left, right) in enumerate(zip(got, sent, strict=False)):
        if left != right:
            return f"number {number} is {_short(left)} instead of {_short(right)}"
    return None if len(got) == len(sent) else f"{len(got)} envelopes instead of {len(sent)}"


def _short(envelope: bytes) -> str:
    return f"{envelope[:40]!r} ({len(envelope)} bytes)"


def must(accepted: bool) -> None:
    assert accepted
