"""Who is up for whom."""

from __future__ import annotations

import asyncio

from wsplatform.model import Instance
from wsplatform.testing.contract.cases import Contract, all_up, case
from wsplatform.testing.transport_nodes import TransportNode, introduce
from wsplatform.transports.base import Peer

ABSENT = 300


class Presence(Contract):
    @case
    async def test_two_nodes_that_name_each_other_are_up_for_each_other(self) -> None:
        a, b = await self.pair()
        assert (a.listener.ups, b.listener.ups) == ({"b": 1}, {"a": 1})
        assert not a.listener.downs
        assert not b.listener.downs

    @case
    async def test_a_node_is_not_up_for_one_that_has_not_named_it(self) -> None:
        a, b, c = await self.node("a"), await self.node("b"), await self.node("c")
        a.set_peers({a.peer, b.peer, c.peer})
        await self.meet(b, c)
        await asyncio.sleep(3 * self.settings().ping_seconds)
        assert a.sees()
        assert b.sees(c)
        assert c.sees(b)
        await self.meet(a, b, c)

    @case
    async def test_naming_the_same_peers_again_changes_nothing(self) -> None:
        a, b = await self.pair()
        for _ in range(3):
            introduce(a, b)
            await asyncio.sleep(0.02)
        assert a.listener.ups == {"b": 1}
        assert not a.listener.downs
        assert not b.listener.downs

    @case
    async def test_a_node_is_no_peer_of_itself_whatever_the_view_says(self) -> None:
        a, b = await self.node("a"), await self.node("b")
        former = Peer(Instance("a", "former"), a.peer.address)
        a.set_peers({former, b.peer})
        b.set_peers({a.peer, b.peer})
        await self.eventually(lambda: all_up(a, b))
        assert not a.send(a, b"x")

    @case
    async def test_a_peer_that_is_not_named_any_more_is_dropped_and_comes_back_when_it_is(self) -> None:
        a, b = await self.pair()
        introduce(a)
        await self.eventually(lambda: a.sees() and b.sees())
        assert not a.send(b, b"x")
        await self.meet(a, b)
        assert a.send(b, b"again")
        await self.eventually(lambda: b.got(a) == [b"again"])

    @case
    async def test_a_peer_that_is_not_there_disturbs_nobody(self) -> None:
        a, b, gone = await self.node("a"), await self.node("b"), await self.node("gone")
        await gone.stop()
        introduce(a, b, others=(gone.peer,))
        await self.eventually(lambda: all_up(a, b))
        assert not a.send(gone, b"x")
        assert a.send(b, b"y")
        await self.eventually(lambda: b.got(a) == [b"y"])

    @case
    async def test_hundreds_of_peers_that_are_not_there_disturb_nobody(self) -> None:
        a, b, gone = await self.node("a"), await self.node("b"), await self.node("gone")
        await gone.stop()
        absent = [
            Peer(Instance(f"{side}{number}", "x"), gone.peer.address) for number in range(ABSENT) for side in "_z"
        ]
        introduce(a, b, others=absent)
        await self.eventually(lambda: all_up(a, b))
        assert not any(a.transport.send(peer.id, b"x") for peer in absent)
        await self.passes(a, b)
        async with asyncio.timeout(self.patience):
            await a.stop()

    @case
    async def test_a_stopped_peer_is_down_and_its_next_incarnation_comes_up(self) -> None:
        a, b = await self.pair()
        for stays, goes in ((a, b), (b, a)):
            await self._restart(stays, goes)

    async def _restart(self, stays: TransportNode, goes: TransportNode) -> None:
        await goes.stop()
        await self.eventually(stays.sees)
        assert not stays.send(goes, b"x")
        await goes.start()
        await self.meet(stays, goes)
        assert stays.send(goes, b"new")
        assert goes.send(stays, b"back")
        await self.eventually(lambda: goes.got(stays)[-1:] == [b"new"] and stays.got(goes)[-1:] == [b"back"])

    @case
    async def test_an_old_incarnation_gives_way_to_the_one_that_the_view_names(self) -> None:
        a, old = await self.pair()
        new = await self.node("b")
        introduce(a, new)
        await self.eventually(lambda: all_up(a, new) and old.sees())
        assert a.listener.downs == {"b": 1}
        assert a.send(new, b"x")
        await self.eventually(lambda: new.got(a) == [b"x"])
        assert old.got(a) == []

    @case
    async def test_an_instance_is_not_taken_for_another_of_the_same_id(self) -> None:
        a, b = await self.node("a"), await self.node("b")
        former = Peer(Instance("b", "former"), b.peer.address)
        a.set_peers({a.peer, former})
        b.set_peers({a.peer, b.peer})
        await asyncio.sleep(3 * self.settings().ping_seconds)
        assert a.sees()
        assert b.sees()
        assert not a.send(b, b"x")
        await self.meet(a, b)

    @case
    async def test_a_view_that_changes_all_the_time_ends_in_what_it_said_last(self) -> None:
        a, b, c = await self.trio()
        for number in range(200):
            ghosts = {Peer(Instance("ghost", str(number)), b.peer.address)} if number % 2 else set()
            former = {Peer(Instance("b", str(number)), b.peer.address)} if number % 3 == 0 else {b.peer}
            a.set_peers({a.peer, c.peer, *former, *ghosts})
            b.set_peers({a.peer, b.peer, c.peer} if number % 5 else {b.peer})
            if number % 10 == 0:
                await asyncio.sleep(0.005)
        await self.meet(a, b, c)
        await self.passes(a, b)
        await self.passes(b, a)
        for node in (a, b, c):
            assert all(node.listener.ups[peer_id] == node.listener.downs[peer_id] + 1 for peer_id in node.listener.ups)
        assert not c.listener.downs["a"], "a and c have named each other all the time"

    @case
    async def test_a_broken_connection_is_told_and_comes_back(self) -> None:
        a, b = await self.pair()
        for times in (1, 2, 3):
            self.cut(a, b)
            await self._told_down(a, b, times)
            self.heal(a, b)
            await self.eventually(lambda: all_up(a, b))
            await self.passes(a, b)
            await self.passes(b, a)

    async def _told_down(self, a: TransportNode, b: TransportNode, times: int) -> None:
        await self.eventually(lambda: a.listener.downs["b"] == b.listener.downs["a"] == times)

    @case
    async def test_a_broken_connection_is_no_matter_to_the_others(self) -> None:
        a, b, c = await self.trio()
        introduce(c)
        await self.eventually(lambda: a.sees(b) and b.sees(a))
        await self.meet(a, b, c)
        assert not a.listener.downs["b"]
        assert not b.listener.downs["a"]
