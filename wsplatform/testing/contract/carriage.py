"""What arrives: whole, at most once, in the order of sending; and, while nothing is at fault, all that was accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from wsplatform.testing.contract.cases import PROBE, Contract, all_up, case, difference, must, without_probes
from wsplatform.testing.transport_nodes import TransportNode, introduce

PATTERN = bytes(range(256)) * 8192
LIMITS = (126, 4096, 16_384, 32_768, 65_535, 65_536, 131_072, 262_144, 524_288, 1_048_576, 2_097_152)
"""Sizes at which encodings, frames and buffers are known to change."""


class Carriage(Contract):
    @case
    async def test_envelopes_arrive_in_the_order_of_sending(self) -> None:
        a, b = await self.pair()
        sent = [b"%d" % number for number in range(3000)]
        for number, envelope in enumerate(sent):
            assert a.send(b, envelope)
            assert b.send(a, envelope)
            if number % 100 == 99:
                await asyncio.sleep(0)
        await self.eventually(lambda: len(b.got(a)) >= 3000 and len(a.got(b)) >= 3000)
        assert difference(b.got(a), sent) is None
        assert difference(a.got(b), sent) is None

    @case
    async def test_an_envelope_does_not_wait_for_the_next_one(self) -> None:
        a, b = await self.pair()
        for number in range(10):
            assert a.send(b, b"%d" % number)
            await self._count(b, a, number + 1)
        assert b.got(a) == [b"%d" % number for number in range(10)]

    async def _count(self, receiver: TransportNode, sender: TransportNode, count: int) -> None:
        await self.eventually(lambda: len(receiver.got(sender)) == count)

    @case
    async def test_small_envelopes_of_every_size_arrive_whole(self) -> None:
        await self._arrive_whole(PATTERN[:size] for size in range(1, 2049))

    @case
    async def test_envelopes_arrive_whole_around_every_limit_of_size(self) -> None:
        sizes = sorted({limit + more for limit in LIMITS for more in (-1, 0, 1)})
        await self._arrive_whole(PATTERN[:size] for size in sizes if size <= self.settings().max_envelope_bytes)

    @case
    async def test_bytes_of_every_kind_arrive_as_they_were_sent(self) -> None:
        single = [bytes([byte]) for byte in range(256)]
        runs = [bytes([byte]) * 4096 for byte in (0, 10, 13, 0x7F, 0x80, 0xFF)]
        words = [
            b"\r\n\r\n",
            b"\0\0\0\0",
            b"\0\0\0\x05hello",
            b"\x82\x05hello",
            b"null",
            b'{"a": 1}',
            b"\xc3\x28",
            b"PING\r\n",
        ]
        await self._arrive_whole([*single, *runs, *words])

    async def _arrive_whole(self, envelopes: Iterable[bytes]) -> None:
        """Sent one after the other; a large one is followed by a small one."""
        a, b = await self.pair()
        sent: list[bytes] = []
        for envelope in envelopes:
            for each in (envelope, b"%d" % len(envelope)):
                await self._send(a, b, each)
                sent.append(each)
        await self.eventually(lambda: len(b.got(a)) >= len(sent))
        assert difference(b.got(a), sent) is None

    async def _send(self, sender: TransportNode, receiver: TransportNode, envelope: bytes) -> None:
        """As the link above does: what was refused is offered again."""
        await self.eventually(lambda: sender.send(receiver, envelope))

    @case
    async def test_an_envelope_that_is_too_large_is_refused_and_disturbs_nothing(self) -> None:
        a, b = await self.pair()
        assert not a.send(b, bytes(self.settings().max_envelope_bytes + 1))
        assert a.send(b, b"next")
        await self.eventually(lambda: b.got(a) == [b"next"])
        assert not a.listener.downs

    @case
    async def test_nothing_comes_to_the_sender_or_to_a_third(self) -> None:
        a, b, c = await self.trio()
        assert not a.send(a, b"to myself")
        assert a.send(b, b"to b")
        assert a.send(c, b"to c")
        await self.eventually(lambda: b.got(a) and c.got(a))
        await asyncio.sleep(0.05)
        assert (b.listener.envelopes, c.listener.envelopes) == ({"a": [b"to b"]}, {"a": [b"to c"]})
        assert not any(a.listener.envelopes.values())

    @case
    async def test_an_unknown_peer_is_refused(self) -> None:
        a, _ = await self.pair()
        assert not a.transport.send("nobody", b"x")

    @case
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
        assert difference([envelope[:10] for envelope in b.got(a)], sent) is None

    @case
    async def test_both_ways_at_once_what_is_refused_and_sent_again_arrives_in_order(self) -> None:
        a, b = await self.pair()
        bodies = [b"%010d" % number + bytes(49_990) for number in range(300)]  # several times the bound
        sent = {"a": 0, "b": 0}
        while min(sent.values()) < len(bodies):
            for sender, receiver in ((a, b), (b, a)):
                while sent[sender.id] < len(bodies) and sender.send(receiver, bodies[sent[sender.id]]):
                    sent[sender.id] += 1
            await asyncio.sleep(0.001)
        await self.eventually(lambda: len(a.got(b)) >= len(bodies) and len(b.got(a)) >= len(bodies))
        assert difference(a.got(b), bodies) is None
        assert difference(b.got(a), bodies) is None

    @case
    async def test_a_full_queue_for_one_peer_is_no_matter_to_the_others(self) -> None:
        a, b, c = await self.trio()
        for _ in range(4 * self.settings().outbox_bytes // 100_000):
            if not a.send(b, bytes(100_000)):
                break
        assert a.send(c, b"x")
        await self.eventually(lambda: c.got(a) == [b"x"])

    @case
    async def test_events_may_send(self) -> None:
        a, b = await self.node("a"), await self.node("b")
        a.listener.on_up = lambda peer: must(a.send(b, b"0"))
        b.listener.on_received = lambda peer_id, envelope: must(b.send(a, envelope))
        a.listener.on_received = lambda peer_id, envelope: must(a.send(b, b"%d" % (int(envelope) + 1)))
        introduce(a, b)
        await self.eventually(lambda: len(a.got(b)) > 500)
        a.listener.on_received = lambda peer_id, envelope: None
        assert difference(a.got(b)[:500], [b"%d" % number for number in range(500)]) is None

    @case
    async def test_a_peer_that_is_told_down_accepts_nothing_from_that_moment(self) -> None:
        a, b = await self.pair()
        accepted: list[bool] = []
        a.listener.on_down = lambda _: accepted.append(a.send(b, b"late"))
        b.listener.on_down = lambda _: accepted.append(b.send(a, b"late"))
        self.cut(a, b)
        await self.eventually(lambda: len(accepted) >= 2)
        self.heal(a, b)
        await self.eventually(lambda: all_up(a, b))
        assert not any(accepted)

    @case
    async def test_many_nodes_talk_all_to_all(self) -> None:
        nodes = [await self.node(f"n{number}") for number in range(8)]
        await self.meet(*nodes)
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

    @case
    async def test_over_breaks_nothing_comes_twice_or_out_of_order(self) -> None:
        a, b = await self.pair()
        accepted = set()
        for number in range(1500):
            if a.send(b, b"%d" % number):
                accepted.add(number)
            if number % 250 == 125:
                self.cut(a, b)
            if number % 250 == 200:
                self.heal(a, b)
            if number % 10 == 0:
                await asyncio.sleep(0.002)
        self.heal(a, b)
        await self.eventually(lambda: all_up(a, b))
        await self.passes(a, b)
        got = [int(envelope) for envelope in without_probes(b.got(a))]
        assert got == sorted(set(got))
        assert accepted.issuperset(got)
        probes = [int(envelope.removeprefix(PROBE)) for envelope in b.got(a) if envelope.startswith(PROBE)]
        assert probes == sorted(set(probes))
