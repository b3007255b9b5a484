"""The transport nats with a server that goes away, and with others on it that lie."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import msgspec
import pytest
from loguru import logger
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.nats import Server, program
from tests.support.tcp_proxy import TcpProxy
from tests.support.wait import eventually
from wsplatform.settings import NatsTable
from wsplatform.testing.transport_nodes import SETTINGS, TransportNode, introduce
from wsplatform.transports import nats
from wsplatform.transports.base import Transport, TransportContext
from wsplatform.transports.nats_conversation import WINDOW_BYTES

KNOWN = SETTINGS.dead_seconds + 1
"""Within this time a peer that is gone has to be known as such."""


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, diagnose=False)  # type: ignore[arg-type]
    yield lines
    logger.remove(sink)


def make(options: str = "") -> Server:
    path = program()
    if path is None:
        pytest.skip("nats-server is not installed")
    return Server(path, options)


@pytest.fixture
def server() -> Iterator[Server]:
    with make() as server:
        yield server


class Nodes:
    def __init__(self, server: Server) -> None:
        self.all: list[TransportNode] = []
        self._server = server

    async def add(self, node_id: str, port: int = 0, *, table: NatsTable | None = None, **settings) -> TransportNode:
        table = table or NatsTable(urls=(f"nats://127.0.0.1:{port or self._server.port}",))

        def create(context: TransportContext) -> Transport:
            return nats.create(replace(context, nats=table))

        node = TransportNode(node_id, create, msgspec.structs.replace(SETTINGS, **settings))
        self.all.append(node)
        await node.start()
        return node

    async def pair(self, **ports: int) -> tuple[TransportNode, TransportNode]:
        a, b = await self.add("a", ports.get("a", 0)), await self.add("b", ports.get("b", 0))
        introduce(a, b)
        await eventually(lambda: a.sees(b) and b.sees(a))
        return a, b


@pytest.fixture
async def nodes(server: Server) -> AsyncIterator[Nodes]:
    nodes = Nodes(server)
    yield nodes
    for node in nodes.all:
        await node.stop()
    assert [fault for node in nodes.all for fault in node.faults] == []
    left = [task for task in asyncio.all_tasks() if "nats" in str(task.get_coro()).lower()]
    assert left == []


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


class TestLogin:
    @pytest.mark.parametrize(
        ("options", "right", "wrong"),
        [
            (
                'authorization { user: "u", password: "only-for-this-test" }',
                {"user": "u", "password": "only-for-this-test"},
                {"user": "u", "password": "hunter2hunter2"},
            ),
            (
                'authorization { token: "only-for-this-test" }',
                {"token": "only-for-this-test"},
                {"token": "hunter2hunter2"},
            ),
        ],
        ids=["password", "token"],
    )
    async def test_by(self, server, nodes, logged, options, right, wrong):
        server.kill()
        server.configure(options)
        server.start()
        a = await nodes.add("a", table=NatsTable(urls=(server.url,), **right))
        b = await nodes.add("b", table=NatsTable(urls=(server.url,), **right))
        c = await nodes.add("c", table=NatsTable(urls=(server.url,), **wrong))
        introduce(a, b, c)
        await eventually(lambda: a.sees(b) and b.sees(a))
        await eventually(lambda: any("Authorization Violation: check nats.user" in line for line in logged))
        assert not any("hunter2" in line for line in logged)
        assert c.sees()

    async def test_permissions_for_the_prefix_are_enough_and_missing_ones_are_told_of(self, server, nodes, logged):
        server.kill()
        permission = 'permissions: { publish: "wsplatform.wsplatform.>", subscribe: "wsplatform.wsplatform.>" }'
        server.configure(
            f"authorization {{ users: [ {{ user: u, password: p, {permission} }},"
            '{ user: v, password: p, permissions: { publish: "other", subscribe: "other" } } ] }'
        )
        server.start()
        a = await nodes.add("a", table=NatsTable(urls=(server.url,), user="u", password="p"))
        b = await nodes.add("b", table=NatsTable(urls=(server.url,), user="u", password="p"))
        introduce(a, b)
        await eventually(lambda: a.sees(b) and b.sees(a))
        await nodes.add("c", table=NatsTable(urls=(server.url,), user="v", password="p"))
        await eventually(lambda: any("ermissions" in line for line in logged))


@contextlib.asynccontextmanager
async def listening(said: list[bytes]):
    """A server without TLS that notes what it is told."""

    async def serve(reader, writer):
        writer.write(b'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"auth_required":true}\r\n')
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                said.append(line)
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_where_tls_is_asked_for_nothing_less_will_do(nodes, logged):
    said: list[bytes] = []
    async with listening(said) as port:
        table = NatsTable(urls=(f"tls://127.0.0.1:{port}",), user="u", password="hunter2hunter2")
        a = await nodes.add("a", table=table)
        await eventually(lambda: any("nats_unavailable" in line for line in logged))
        assert not any(b"hunter2" in line for line in said)
        b = await nodes.add("b", table=NatsTable(urls=(f"tls://127.0.0.1:{port}",)))
        await eventually(lambda: any("offers no TLS" in line for line in logged))
        await a.stop()
        await b.stop()
