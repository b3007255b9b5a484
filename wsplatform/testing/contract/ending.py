"""How it ends."""

from __future__ import annotations

import asyncio

from wsplatform.testing.contract.cases import Contract, case
from wsplatform.testing.transport_nodes import TransportNode, introduce
from wsplatform.transports.base import TransportContext


class Ending(Contract):
    @case
    async def test_stop_tells_down_and_then_nothing(self) -> None:
        a, b = await self.pair()
        answered: list[bool] = []
        b.listener.on_received = lambda _, envelope: answered.append(b.send(a, envelope))
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

    @case
    async def test_stop_may_be_called_again_and_without_a_start(self) -> None:
        a, b = await self.pair()
        await asyncio.gather(a.transport.stop(), a.transport.stop())
        await a.transport.stop()
        never = self.create(TransportContext(self.settings(), a.tasks, a.sweep))
        assert not never.send("a", b"x")
        await never.stop()
        await self.eventually(b.sees)

    @case
    async def test_stop_while_peers_are_being_connected_leaves_nobody_up(self) -> None:
        a, b, c = await self.node("a"), await self.node("b"), await self.node("c")
        for turns in range(6):
            introduce(a, b, c)
            for _ in range(turns):
                await asyncio.sleep(0)
            listener = a.listener
            await a.stop()
            assert not listener.up_now
            await a.start()
        await self.meet(a, b, c)

    @case
    async def test_stopping_one_is_no_matter_to_the_others(self) -> None:
        a, b, c = await self.trio()
        await b.stop()
        await self.eventually(lambda: a.sees(c) and c.sees(a))
        assert a.send(c, b"x")
        await self.eventually(lambda: c.got(a) == [b"x"])
        assert not a.listener.downs["c"]

    @case
    async def test_what_comes_and_goes_leaves_nothing_open(self) -> None:
        a = await self.node("a")
        await self._come_and_go(a)
        before = self.open_files()
        for _ in range(5):
            await self._come_and_go(a)
        await self.eventually(lambda: self.open_files() <= before)

    async def _come_and_go(self, a: TransportNode) -> None:
        b = await self.node("b")
        await self.meet(a, b)
        await b.stop()
        await self.eventually(a.sees)
        introduce(a)
