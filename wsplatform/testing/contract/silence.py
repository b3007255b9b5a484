"""Peers that fall silent, and those that only seem to."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

from wsplatform.testing.contract.cases import Contract, all_up, case, without_probes

STALL_SECONDS = 2.0
TOLD_SECONDS = 1.0
"""What the port gives a transport beyond cluster.dead_seconds."""


class OwnStall(Contract):
    """What happens when our own event loop stands still: nothing."""

    @case
    async def test_nobody_is_taken_for_dead_when_our_own_loop_stood_still(self) -> None:
        a, b = await self.pair()
        assert a.send(b, b"before")
        assert b.send(a, b"before")
        time.sleep(max(STALL_SECONDS, 2 * self.settings().dead_seconds))  # noqa: ASYNC251 - that is the case
        await asyncio.sleep(3 * self.settings().ping_seconds)
        assert a.send(b, b"after")
        assert b.send(a, b"after")
        await self.eventually(lambda: a.got(b) == b.got(a) == [b"before", b"after"])
        assert not a.listener.downs
        assert not b.listener.downs


class Silence(Contract):
    """Needs nodes on event loops of their own: not for a transport whose nodes share one."""

    @case
    async def test_a_peer_that_stands_still_is_told_in_time_and_comes_back(self) -> None:
        a, c = await self.node("a"), await self.node("c")
        async with self.apart("b") as b:
            await self.meet_apart(b, a, c)
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self.settings().ping_seconds)  # out of step with the heartbeat that came with `up`
            b.freeze()
            began = loop.time()
            await self.eventually(lambda: a.listener.downs["b"] and c.listener.downs["b"])
            took = loop.time() - began
            assert took <= self.settings().dead_seconds + TOLD_SECONDS, f"told after {took:.2f} s"
            assert not a.send(b.node, b"x")
            assert a.sees(c)
            assert c.sees(a)
            b.thaw()
            await self.eventually(lambda: all_up(a, b.node, c))
            await self.passes(a, b.node)

    @case
    async def test_what_is_sent_to_a_peer_that_stands_still_never_waits_and_never_comes_twice(self) -> None:
        a = await self.node("a")
        offered, accepted = 0, []
        async with self.apart("b") as b:
            await self.meet_apart(b, a)
            for offered in range(1, 11):
                assert a.send(b.node, b"%010d" % offered)
                accepted.append(offered)
            await self.eventually(lambda: len(b.node.got(a)) == len(accepted))
            b.freeze()
            while a.sees(b.node):
                for _ in range(100):
                    offered += 1
                    if not a.send(b.node, b"%010d" % offered + bytes(9_990)):
                        break
                    accepted.append(offered)
                await asyncio.sleep(0.01)
            b.thaw()
            await self.eventually(lambda: all_up(a, b.node))
            await self.passes(a, b.node)
            got = [int(envelope[:10]) for envelope in without_probes(b.node.got(a))]
            assert all(before < after for before, after in pairwise(got)), "doubled, or out of order"
            assert set(accepted).issuperset(got)

    @case
    async def test_a_loop_with_much_to_do_is_not_taken_for_a_dead_one(self) -> None:
        a = await self.node("a")
        dead = self.settings().dead_seconds
        async with self.apart("b") as b:
            await self.meet_apart(b, a)
            until = time.monotonic() + 2 * dead
            while time.monotonic() < until:
                time.sleep(dead / 3)  # noqa: ASYNC251 - that is the case
                await asyncio.sleep(0.01)
            await self.passes(a, b.node)
            assert not a.listener.downs
            assert not b.node.listener.downs

    @case
    async def test_a_peer_that_reads_slowly_is_not_taken_for_a_dead_one(self) -> None:
        a = await self.node("a")
        async with self.apart("b") as b:
            b.node.listener.on_received = lambda _, envelope: time.sleep(len(envelope) / 1e7)
            await self.meet_apart(b, a)
            until = time.monotonic() + 1.5 * self.settings().dead_seconds
            number = 0
            while time.monotonic() < until:
                number += a.send(b.node, b"%010d" % number + bytes(99_990))
                await asyncio.sleep(0.001)
            await self.passes(a, b.node)
            got = [int(envelope[:10]) for envelope in without_probes(b.node.got(a))]
            assert all(before < after for before, after in pairwise(got)), "doubled, or out of order"
            assert not a.listener.downs
            assert not b.node.listener.downs

    @case
    async def test_stop_does_not_wait_for_a_peer_that_stands_still(self) -> None:
        a = await self.node("a")
        async with self.apart("b") as b:
            await self.meet_apart(b, a)
            b.freeze()
            for _ in range(1000):
                if not a.send(b.node, bytes(100_000)):
                    break
                await asyncio.sleep(0)
            listener = a.listener
            async with asyncio.timeout(self.patience):
                await a.stop()
            assert listener.downs["b"] == 1
            b.thaw()
            await self.eventually(b.node.sees)
