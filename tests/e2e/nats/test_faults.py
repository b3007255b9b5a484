"""The transport nats with a server that goes away, and with others on it that lie."""

from __future__ import annotations

import asyncio
import secrets
import time

from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.tcp_proxy import TcpProxy
from tests.support.wait import eventually
from wsplatform.settings import NatsTable
from wsplatform.testing.transport_nodes import SETTINGS, TransportNode, introduce
from wsplatform.transports.nats_conversation import WINDOW_BYTES

KNOWN = SETTINGS.dead_seconds + 1
"""Within this time a peer that is gone has to be known as such."""


async def traffic(node: TransportNode, peer: TransportNode, done: asyncio.Event) -> list[int]:
    """What was accepted, of numbers that are sent until `done`."""
    accepted = []
    for number in range(1_000_000):
        if done.is_set():
            break
        if node.send(peer, b"%d" % number):
            accepted.append(number)
        await asyncio.sleep(0.0005)
    return accepted


def numbers(node: TransportNode, peer: TransportNode) -> list[int]:
    return [int(envelope) for envelope in node.got(peer)]


class TestServer:
    async def test_killed_and_started_again_under_traffic(self, server, nodes):
        a, b = await nodes.pair()
        done = asyncio.Event()
        senders = [asyncio.create_task(traffic(a, b, done)), asyncio.create_task(traffic(b, a, done))]
        for round_number in range(1, 4):
            heard = len(b.got(a)), len(a.got(b))
            await eventually(lambda heard=heard: len(b.got(a)) > heard[0] + 20 and len(a.got(b)) > heard[1] + 20)
            await asyncio.to_thread(server.kill)
            await eventually(lambda: a.sees() and b.sees(), within=KNOWN)
            await asyncio.to_thread(server.start)
            await eventually(lambda: a.sees(b) and b.sees(a), within=8)
            assert a.listener.downs == {"b": round_number}
        heard = len(b.got(a)), len(a.got(b))
        await eventually(lambda: len(b.got(a)) > heard[0] and len(a.got(b)) > heard[1])
        done.set()
        for (node, peer), accepted in zip(((b, a), (a, b)), [await sender for sender in senders], strict=True):
            await eventually(lambda node=node, peer=peer, last=accepted[-1]: last in numbers(node, peer))
            got = numbers(node, peer)
            assert got == sorted(set(got))
            assert set(got) <= set(accepted)

    async def test_away_at_the_start_it_is_waited_for_and_told_of(self, server, nodes, logged):
        server.kill()
        a, b = await nodes.add("a"), await nodes.add("b")
        introduce(a, b)
        await asyncio.sleep(1)
        told = [line for line in logged if "nats_unavailable" in line]
        assert len(told) == 2, "each node says so, and not with every try"
        assert not a.send(b, b"x")
        await asyncio.to_thread(server.start)
        await eventually(lambda: a.sees(b) and b.sees(a), within=8)

    async def test_frozen_it_is_known_and_left_and_the_stop_does_not_hang(self, server, nodes):
        a, b = await nodes.pair()
        server.pause()
        while a.send(b, bytes(100_000)):
            await asyncio.sleep(0)
        await eventually(lambda: a.sees() and b.sees(), within=KNOWN)
        began = time.monotonic()
        await a.stop()
        assert time.monotonic() - began < 4
        server.resume()
        await a.start()
        introduce(a, b)
        await eventually(lambda: a.sees(b) and b.sees(a), within=10)

    async def test_what_was_accepted_before_a_stop_arrives(self, nodes):
        a, b = await nodes.pair()
        accepted = 0
        while a.send(b, bytes(10_000)):
            accepted += 1
        await a.stop()
        await eventually(b.sees)
        assert len(b.got(a)) == accepted

    async def test_stopped_at_any_moment_nothing_is_left(self, server, nodes):
        refused = NatsTable(urls=(f"tls://127.0.0.1:{server.port}",))
        for number in range(60):
            node = await nodes.add("a", table=refused if number % 3 else None)
            await asyncio.sleep(number % 30 / 1000)
            await asyncio.wait_for(node.stop(), 2)
            assert len(asyncio.all_tasks()) == 1

    async def test_a_small_max_payload_is_no_limit_for_envelopes(self, server, nodes):
        server.kill()
        server.configure("max_payload: 4096")
        server.start()
        a, b = await nodes.pair()
        envelopes = [secrets.token_bytes(size) for size in (10, 4096, 100_000, 2_000_000, 1)]
        assert all(a.send(b, envelope) for envelope in envelopes)
        await eventually(lambda: len(b.got(a)) == 5)
        assert b.got(a) == envelopes

    async def test_one_too_small_for_a_handshake_is_told_of(self, server, nodes, logged):
        server.kill()
        server.configure("max_payload: 1024")
        server.start()
        await nodes.add("a")
        await eventually(lambda: any("max_payload is 1024" in line for line in logged))


class TestPeers:
    async def test_one_whose_network_is_cut_is_down_in_time_on_both_sides(self, server, nodes):
        async with TcpProxy(server.port) as proxy:
            a, b = await nodes.pair(b=proxy.port)
            proxy.freeze()
            await eventually(lambda: a.sees() and b.sees(), within=KNOWN)
            proxy.thaw()
            await eventually(lambda: a.sees(b) and b.sees(a), within=8)

    async def test_a_pause_of_our_own_is_no_alarm(self, nodes):
        a, b = await nodes.pair()
        time.sleep(2.5 * SETTINGS.dead_seconds)
        await asyncio.sleep(SETTINGS.dead_seconds)
        assert not a.listener.downs
        assert not b.listener.downs

    async def test_a_slow_one_is_waited_for_at_the_sender(self, server, nodes):
        async with TcpProxy(server.port) as proxy:
            a, b = await nodes.pair(b=proxy.port)
            proxy.freeze()
            accepted = 0
            for _ in range(60):
                while a.send(b, b"%010d" % accepted + bytes(19_990)):
                    accepted += 1
                await asyncio.sleep(0.005)
            assert accepted * 20_000 <= SETTINGS.outbox_bytes + WINDOW_BYTES + 200_000
            proxy.thaw()
            await eventually(lambda: len(b.got(a)) == accepted)
            assert [int(envelope[:10]) for envelope in b.got(a)] == list(range(accepted))
            assert not a.listener.downs


class TestStrangers:
    async def test_garbage_and_what_was_overheard_change_nothing(self, server, nodes, logged):
        """A client that hears everything, and says it again, changed and unchanged, on every subject of the nodes."""
        stranger = Client()
        await stranger.connect(server.url)
        heard: list[Msg] = []

        async def overhear(message: Msg) -> None:
            if len(heard) < 400:
                heard.append(message)

        await stranger.subscribe("wsplatform.>", cb=overhear)
        await stranger.flush()
        a, b = await nodes.pair()
        sent = [b"%d" % number for number in range(300)]
        for envelope in sent:
            assert a.send(b, envelope)
            await asyncio.sleep(0)
        await eventually(lambda: len(b.got(a)) == 300)
        before = list(heard)
        for message in before:
            data = message.data
            middle = len(data) // 2
            for forged in (data, data[:-1], data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :], b"", b"\0"):
                await stranger.publish(message.subject, forged)
            head, _, _ = message.subject.rpartition(".")
            for forged in (data, secrets.token_bytes(50)):
                await stranger.publish(f"{head}.{secrets.token_hex(8)}", forged)
        await stranger.flush()
        assert a.send(b, b"300")
        await eventually(lambda: b.got(a)[-1:] == [b"300"])
        assert b.got(a) == [*sent, b"300"]
        assert (a.listener.downs, b.listener.downs) == ({}, {})
        assert any("came in its name" in line for line in logged)
        await nodes.all[0].stop()
        await a.start()
        introduce(a, b)
        await eventually(lambda: a.sees(b) and b.sees(a))
        await stranger.close()

    async def test_what_they_hear_is_encrypted(self, server, nodes):
        stranger = Client()
        await stranger.connect(server.url)
        heard: list[bytes] = []

        async def overhear(message: Msg) -> None:
            heard.append(message.data)

        await stranger.subscribe(">", cb=overhear)
        await stranger.flush()
        a, b = await nodes.pair()
        assert a.send(b, b"nobody else's business")
        await eventually(lambda: b.got(a))
        await stranger.flush()
        assert len(heard) > 3
        assert not any(b"business" in data for data in heard)
        await stranger.close()

    async def test_another_secret_keeps_out_and_one_in_common_lets_in(self, nodes, logged):
        a = await nodes.add("a", secrets=("the first secret of this cluster",))
        b = await nodes.add("b", secrets=("the second secret of this cluster",))
        c = await nodes.add("c", secrets=("the third secret of this cluster!", "the first secret of this cluster"))
        introduce(a, b, c)
        await eventually(lambda: a.sees(c) and c.sees(a))
        await eventually(lambda: sum("wrong_secret" in line for line in logged) >= 2)
        await asyncio.sleep(0.5)
        assert b.sees()

    async def test_another_cluster_on_the_same_server_is_not_heard(self, nodes):
        a, b = await nodes.add("a", name="one.cluster *>"), await nodes.add("b", name="other cluster")
        c = await nodes.add("c", name="one.cluster *>")
        introduce(a, b, c)
        await eventually(lambda: a.sees(c) and c.sees(a))
        assert b.sees()
