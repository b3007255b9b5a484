"""What every transport has to keep to (transports/base.py), as tests. An author proves a transport with one class:

    class TestMine(TransportContract):
        def create(self, context: TransportContext) -> Transport:
            return mine.create(context)

The cases are plain methods, which pytest finds; each runs an event loop of its own. Transports with the ability Inbound
get a listener on a loopback port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ClassVar, TypeVar

from wsplatform.settings import ClusterTable
from wsplatform.testing.transport_nodes import SETTINGS, TransportNode, introduce
from wsplatform.testing.wait import eventually
from wsplatform.transports.base import Transport, TransportContext

CASE_SECONDS = 50.0
_Self = TypeVar("_Self", bound="TransportContract")


def _case(method: Callable[[_Self], Awaitable[None]]) -> Callable[[_Self], None]:
    """Run in a new event loop, with nodes that are stopped at the end and must not have seen a fault."""

    @wraps(method)
    def run(self: _Self) -> None:
        with asyncio.Runner(loop_factory=type(self).loop_factory) as runner:
            runner.run(_bounded(self, method))

    del run.__wrapped__  # pytest would take the case for a coroutine
    return run


async def _bounded(contract: _Self, method: Callable[[_Self], Awaitable[None]]) -> None:
    contract.nodes = []
    try:
        async with asyncio.timeout(CASE_SECONDS):
            await method(contract)
    finally:
        for node in contract.nodes:
            await node.stop()
    faults = [f"{node.id}: {fault}" for node in contract.nodes for fault in node.faults]
    assert not faults, faults
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks outlive stop(): {left}"


class TransportContract:
    """Override `create`, and where it applies `cut` and `heal`."""

    loop_factory: ClassVar[Callable[[], Any] | None] = None
    patience: ClassVar[float] = 10.0
    """Seconds in which what has to happen must have happened."""
    nodes: list[TransportNode]

    def create(self, context: TransportContext) -> Transport:
        raise NotImplementedError

    def settings(self) -> ClusterTable:
        """Small bounds and short times, so that cases end soon."""
        return SETTINGS

    def cut(self, left: TransportNode, right: TransportNode) -> None:
        """Break what connects these two. Here: every connection to the listener of either."""
        for node in (left, right):
            if node.face is not None:
                node.face.cut()

    def heal(self, left: TransportNode, right: TransportNode) -> None:
        """Undo `cut`, where it lasts."""

    async def node(self, node_id: str) -> TransportNode:
        node = TransportNode(node_id, self.create, self.settings())
        self.nodes.append(node)
        await node.start()
        return node

    async def eventually(self, condition: Callable[[], object]) -> None:
        await eventually(condition, self.patience)

    async def pair(self) -> tuple[TransportNode, TransportNode]:
        """Two nodes that are up for each other."""
        a, b = await self.node("a"), await self.node("b")
        introduce(a, b)
        await self.eventually(lambda: a.sees(b) and b.sees(a))
        return a, b

    # Who is up

    @_case
    async def test_two_nodes_that_name_each_other_are_up_for_each_other(self) -> None:
        a, b = await self.pair()
        assert (a.listener.ups, b.listener.ups) == ({"b": 1}, {"a": 1})

    @_case
    async def test_a_node_is_not_up_for_one_that_has_not_named_it(self) -> None:
        a, b, c = await self.node("a"), await self.node("b"), await self.node("c")
        a.transport.set_peers(frozenset({a.peer, b.peer, c.peer}))
        introduce(b, c)
        await self.eventually(lambda: b.sees(c) and c.sees(b))
        await asyncio.sleep(3 * self.settings().ping_seconds)
        assert a.sees()
        assert b.sees(c)
        assert c.sees(b)
        introduce(a, b, c)
        await self.eventually(lambda: a.sees(b, c) and b.sees(a, c) and c.sees(a, b))

    @_case
    async def test_naming_the_same_peers_again_changes_nothing(self) -> None:
        a, b = await self.pair()
        for _ in range(3):
            introduce(a, b)
            await asyncio.sleep(0.02)
        assert a.listener.ups == {"b": 1}
        assert not a.listener.downs
        assert not b.listener.downs

    @_case
    async def test_a_peer_that_is_not_named_any_more_is_dropped_and_comes_back_when_it_is(self) -> None:
        a, b = await self.pair()
        introduce(a)
        await self.eventually(lambda: a.sees() and b.sees())
        assert not a.send(b, b"x")
        introduce(a, b)
        await self.eventually(lambda: a.sees(b) and b.sees(a))
        assert a.send(b, b"again")
        await self.eventually(lambda: b.got(a) == [b"again"])

    @_case
    async def test_a_peer_that_is_not_there_disturbs_nobody(self) -> None:
        a, b, gone = await self.node("a"), await self.node("b"), await self.node("gone")
        await gone.stop()
        introduce_all = frozenset({a.peer, b.peer, gone.peer})
        a.transport.set_peers(introduce_all)
        b.transport.set_peers(introduce_all)
        await self.eventually(lambda: a.sees(b) and b.sees(a))
        assert not a.send(gone, b"x")
        assert a.send(b, b"y")
        await self.eventually(lambda: b.got(a) == [b"y"])

    @_case
    async def test_a_stopped_peer_is_down_and_its_next_incarnation_comes_up(self) -> None:
        a, b = await self.pair()
        for stays, goes in ((a, b), (b, a)):
            await self._restart(stays, goes)

    async def _restart(self, stays: TransportNode, goes: TransportNode) -> None:
        await goes.stop()
        await self.eventually(stays.sees)
        assert not stays.send(goes, b"x")
        await goes.start()
        introduce(stays, goes)
        await self.eventually(lambda: stays.sees(goes) and goes.sees(stays))
        assert stays.send(goes, b"new")
        assert goes.send(stays, b"back")
        await self.eventually(lambda: goes.got(stays)[-1:] == [b"new"] and stays.got(goes)[-1:] == [b"back"])

    @_case
    async def test_an_old_incarnation_gives_way_to_the_one_that_the_view_names(self) -> None:
        a, old = await self.pair()
        new = await self.node("b")
        introduce(a, new)
        await self.eventually(lambda: a.sees(new) and new.sees(a) and old.sees())
        assert a.listener.downs == {"b": 1}
        assert a.send(new, b"x")
        await self.eventually(lambda: new.got(a) == [b"x"])
        assert old.got(a) == []

    @_case
    async def test_a_broken_connection_is_told_and_comes_back(self) -> None:
        a, b = await self.pair()
        self.cut(a, b)
        await self.eventually(lambda: a.listener.downs["b"] == 1 and b.listener.downs["a"] == 1)
        self.heal(a, b)
        await self.eventually(lambda: a.sees(b) and b.sees(a))
        assert a.send(b, b"x")
        assert b.send(a, b"y")
        await self.eventually(lambda: b.got(a) == [b"x"] and a.got(b) == [b"y"])

    # What arrives

    @_case
    async def test_envelopes_arrive_in_the_order_of_sending(self) -> None:
        a, b = await self.pair()
        sent = [b"%d" % number for number in range(3000)]
        for number, envelope in enumerate(sent):
            assert a.send(b, envelope)
            assert b.send(a, envelope)
            if number % 100 == 99:
                await asyncio.sleep(0)
        await self.eventually(lambda: len(b.got(a)) >= 3000 and len(a.got(b)) >= 3000)
        assert b.got(a) == sent
        assert a.got(b) == sent

    @_case
    async def test_envelopes_arrive_whole_whatever_their_size_and_content(self) -> None:
        a, b = await self.pair()
        pattern = bytes(range(256)) * 8192
        sizes = (1, 2, 125, 126, 127, 65_535, 65_536, 262_143, 262_144, 262_145, 500_000, 3, 2_097_152)
        for size in sizes:
            assert a.send(b, pattern[:size])
        await self.eventually(lambda: len(b.got(a)) == len(sizes))
        assert [len(envelope) for envelope in b.got(a)] == list(sizes)
        assert all(envelope == pattern[: len(envelope)] for envelope in b.got(a))

    @_case
    async def test_an_envelope_that_is_too_large_is_refused_and_disturbs_nothing(self) -> None:
        a, b = await self.pair()
        assert not a.send(b, bytes(self.settings().max_envelope_bytes + 1))
        assert a.send(b, b"next")
        await self.eventually(lambda: b.got(a) == [b"next"])
        assert not a.listener.downs

    @_case
    async def test_nothing_comes_to_the_sender_or_to_a_third(self) -> None:
        a, b, c = await self.node("a"), await self.node("b"), await self.node("c")
        introduce(a, b, c)
        await self.eventually(lambda: a.sees(b, c) and b.sees(a, c) and c.sees(a, b))
        assert not a.send(a, b"to myself")
        assert a.send(b, b"to b")
        assert a.send(c, b"to c")
        await self.eventually(lambda: b.got(a) and c.got(a))
        await asyncio.sleep(0.05)
        assert (b.listener.envelopes, c.listener.envelopes) == ({"a": [b"to b"]}, {"a": [b"to c"]})
        assert not any(a.listener.envelopes.values())

    @_case
    async def test_an_unknown_peer_is_refused(self) -> None:
        a, _ = await self.pair()
        assert not a.transport.send("nobody", b"x")

    @_case
    async def test_too_much_is_refused_at_once_and_what_was_accepted_arrives(self) -> None:
        a, b = await self.pair()
        bound = self.settings().outbox_bytes
        sent: list[bytes] = []
        for _ in range(2):
            before = len(sent)
            while a.send(b, b"%010d" % len(sent) + bytes(9_990)):
                sent.append(b"%010d" % len(sent))
                assert (len(sent) - before) * 10_000 <= 4 * bound, "nothing bounds what waits for a peer"
            assert len(sent) > before
            await self.eventually(lambda: len(b.got(a)) == len(sent))
        assert [envelope[:10] for envelope in b.got(a)] == sent

    @_case
    async def test_a_full_queue_for_one_peer_is_no_matter_to_the_others(self) -> None:
        a, b, c = await self.node("a"), await self.node("b"), await self.node("c")
        introduce(a, b, c)
        await self.eventually(lambda: a.sees(b, c))
        while a.send(b, bytes(100_000)):
            pass
        assert a.send(c, b"x")
        await self.eventually(lambda: c.got(a) == [b"x"])

    @_case
    async def test_events_may_send(self) -> None:
        a, b = await self.node("a"), await self.node("b")
        a.listener.on_up = lambda peer: _must(a.send(b, b"0"))
        b.listener.on_received = lambda peer_id, envelope: _must(b.send(a, envelope))
        a.listener.on_received = lambda peer_id, envelope: _must(a.send(b, b"%d" % (int(envelope) + 1)))
        introduce(a, b)
        await self.eventually(lambda: len(a.got(b)) > 500)
        a.listener.on_received = lambda peer_id, envelope: None
        assert a.got(b)[:500] == [b"%d" % number for number in range(500)]

    @_case
    async def test_many_nodes_talk_all_to_all(self) -> None:
        nodes = [await self.node(f"n{number}") for number in range(8)]
        introduce(*nodes)
        await self.eventually(lambda: all(node.sees(*(set(nodes) - {node})) for node in nodes))
        for number in range(50):
            for node in nodes:
                for other in nodes:
                    if other is not node:
                        assert node.send(other, b"%s %d" % (node.id.encode(), number))
            await asyncio.sleep(0)
        pairs = [(node, other) for node in nodes for other in nodes if node is not other]
        await self.eventually(lambda: all(len(node.got(other)) >= 50 for node, other in pairs))
        for node, other in pairs:
            assert node.got(other) == [b"%s %d" % (other.id.encode(), number) for number in range(50)]

    @_case
    async def test_over_breaks_nothing_comes_twice_or_out_of_order(self) -> None:
        a, b = await self.pair()
        accepted = 0
        for number in range(1500):
            accepted += a.send(b, b"%d" % number)
            if number % 250 == 125:
                self.cut(a, b)
            if number % 250 == 200:
                self.heal(a, b)
            if number % 10 == 0:
                await asyncio.sleep(0.002)
        self.heal(a, b)
        await self.eventually(lambda: a.send(b, b"1500"))
        await self.eventually(lambda: b"1500" in b.got(a))
        got = [int(envelope) for envelope in b.got(a)]
        assert got == sorted(set(got))
        assert len(got) <= accepted + 1

    # The end

    @_case
    async def test_stop_tells_down_and_then_nothing(self) -> None:
        a, b = await self.pair()
        b.listener.on_received = lambda peer_id, envelope: _must(b.send(a, envelope) or True)
        for _ in range(200):
            a.send(b, b"x")
        listener = a.listener
        await a.stop()
        assert listener.downs == {"b": 1}
        assert not a.send(b, b"late")
        a.transport.set_peers(frozenset({b.peer}))
        await self.eventually(b.sees)
        await asyncio.sleep(0.05)
        assert not a.faults

    @_case
    async def test_stop_may_be_called_again_and_without_a_start(self) -> None:
        a, b = await self.pair()
        await asyncio.gather(a.transport.stop(), a.transport.stop())
        await a.transport.stop()
        never = self.create(TransportContext(self.settings(), a.tasks, a.sweep))
        assert not never.send("a", b"x")
        await never.stop()
        await self.eventually(b.sees)

    @_case
    async def test_stopping_one_is_no_matter_to_the_others(self) -> None:
        a, b, c = await self.node("a"), await self.node("b"), await self.node("c")
        introduce(a, b, c)
        await self.eventually(lambda: a.sees(b, c) and b.sees(a, c) and c.sees(a, b))
        await b.stop()
        await self.eventually(lambda: a.sees(c) and c.sees(a))
        assert a.send(c, b"x")
        await self.eventually(lambda: c.got(a) == [b"x"])
        assert not a.listener.downs["c"]


def _must(accepted: bool) -> None:
    assert accepted
