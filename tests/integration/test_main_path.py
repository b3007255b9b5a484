"""What a user has the platform for: whatever a backend publishes to any node reaches the subscribers of all nodes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.support.client import Client
from tests.support.processes import Cluster
from tests.support.wait import eventually


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """For tests that leave the cluster as it was."""
    async with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


on_shared = pytest.mark.asyncio(loop_scope="module")


@on_shared
async def test_a_publish_to_any_node_reaches_the_subscribers_of_all_once_and_in_order(shared: Cluster) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(shared.http, node.url)) for node in shared.nodes]
        for client in clients:
            await client.subscribe("news")
        for number in range(300):
            body = await shared.api(shared.nodes[number % 3], "publish", channel="news", data={"n": number})
            assert "error" not in body
        for client in clients:
            await eventually(lambda client=client: len(client.publications["news"]) >= 300)
            numbers = [data["n"] for data in client.publications["news"]]
            for first in range(3):  # one order for what one node accepted
                assert [number for number in numbers if number % 3 == first] == list(range(first, 300, 3))


@on_shared
async def test_what_is_published_after_the_subscribe_reply_arrives_whichever_node_takes_it(shared: Cluster) -> None:
    """No grace for the mesh: the reply itself says that every node knows."""
    async with Client(shared.http, shared.nodes[0].url) as client:
        for number in range(50):
            await client.subscribe(f"fresh:{number}")
            await shared.api(shared.nodes[1 + number % 2], "publish", channel=f"fresh:{number}", data=number)
        await eventually(lambda: sum(map(len, client.publications.values())) == 50)


@on_shared
async def test_clients_publish_to_each_other_across_nodes(shared: Cluster) -> None:
    async with (
        Client(shared.http, shared.nodes[0].url) as ann,
        Client(shared.http, shared.nodes[1].url) as bob,
    ):
        await ann.subscribe("chat:1")
        await bob.subscribe("chat:1")
        await ann.publish("chat:1", "hello")
        await eventually(lambda: bob.publications["chat:1"] == ["hello"] and ann.publications["chat:1"] == ["hello"])


async def test_a_killed_node_comes_back_and_the_others_never_notice(cluster: Cluster) -> None:
    first, second, third = cluster.nodes
    async with Client(cluster.http, first.url) as client:
        await client.subscribe("c")
        third.kill()
        for number in range(20):
            await cluster.api(second, "publish", channel="c", data=number)
        await eventually(lambda: client.publications["c"] == list(range(20)))
        third.start()
        await third.ready(cluster.http)
        async with Client(cluster.http, third.url) as other:
            await other.subscribe("c")
            await cluster.api(third, "publish", channel="c", data="from the third")
            await cluster.api(first, "publish", channel="c", data="from the first")
            await eventually(lambda: len(other.publications["c"]) == 2)
            await eventually(lambda: len(client.publications["c"]) == 22)


async def test_nodes_serve_while_the_registry_is_away_and_come_back_by_themselves(cluster: Cluster) -> None:
    first, second, _ = cluster.nodes
    async with Client(cluster.http, first.url) as client:
        await client.subscribe("c")
        cluster.registry.kill()
        loop = asyncio.get_running_loop()
        began = loop.time()
        sent = 0
        while loop.time() - began < 7:  # longer than the registry waits for a node before it drops it
            await cluster.api(second, "publish", channel="c", data=sent)
            sent += 1
            await asyncio.sleep(0.02)
        async with Client(cluster.http, second.url) as late:
            await late.subscribe("new while away")
            await cluster.api(first, "publish", channel="new while away", data=1)
            await eventually(lambda: late.publications["new while away"] == [1])
        for node in cluster.nodes:
            await node.ready(cluster.http)
        await eventually(lambda: client.publications["c"] == list(range(sent)))

        cluster.registry.start()
        await cluster.registry.ready(cluster.http)

        async def registered() -> bool:
            nodes = (await cluster.admin("GET", "nodes"))["items"]
            return len([node for node in nodes if node["ready"]]) == 3

        await eventually(registered, within=15)
        await cluster.api(second, "publish", channel="c", data=sent)
        await eventually(lambda: client.publications["c"] == list(range(sent + 1)))


async def test_a_rule_reaches_every_node_within_two_seconds(tmp_path: Path) -> None:
    async with Cluster(tmp_path, settings={"WSP_REGISTRY__FALLBACK_RULE": "null"}) as cluster:
        body = await cluster.api(cluster.nodes[0], "publish", channel="chat:1", data=1)
        assert body["error"]["code"] == 102
        await cluster.admin("PUT", "rules/chat:*", {"subscribe": "anyone", "publish": "anyone"})

        async def admitted() -> bool:
            bodies = [await cluster.api(node, "publish", channel="chat:1", data=1) for node in cluster.nodes]
            return all("error" not in body for body in bodies)

        await eventually(admitted, within=2)


async def test_an_orderly_stop_tells_clients_to_come_back(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    async with Client(cluster.http, node.url) as client:
        status = await asyncio.to_thread(node.kill, signal.SIGTERM)
        assert status == 0
        await eventually(lambda: client.close_code == 3001)


@on_shared
async def test_two_thousand_connections_miss_nothing_and_get_nothing_twice(shared: Cluster) -> None:
    """200 channels of 10 subscribers each, 50 publications on every channel: 100,000 deliveries."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [Client(shared.http, shared.nodes[number % 3].url) for number in range(2000)]
        for start in range(0, 2000, 100):
            batch = clients[start : start + 100]
            await asyncio.gather(*(stack.enter_async_context(client) for client in batch))
            await asyncio.gather(
                *(client.subscribe(f"room:{(start + offset) // 10}") for offset, client in enumerate(batch))
            )
        for number in range(50):
            body = await shared.api(
                shared.nodes[number % 3], "broadcast", channels=[f"room:{room}" for room in range(200)], data=number
            )
            assert "error" not in body
        await eventually(
            lambda: sum(len(client.publications[f"room:{i // 10}"]) for i, client in enumerate(clients)) >= 100_000,
            within=45,
        )
        for index, client in enumerate(clients):
            received = client.publications[f"room:{index // 10}"]
            assert sorted(received) == list(range(50))
            assert list(client.publications) == [f"room:{index // 10}"]


@on_shared
async def test_five_hundred_messages_then_a_close_are_all_handled(shared: Cluster) -> None:
    async with Client(shared.http, shared.nodes[1].url) as listener:
        await listener.subscribe("burst")
        async with shared.http.ws_connect(shared.nodes[0].url + "/connection/websocket") as socket:
            await socket.send_str('{"id":1,"connect":{}}')
            for number in range(500):
                await socket.send_str(f'{{"id":{number + 2},"publish":{{"channel":"burst","data":{number}}}}}')
            await socket.close()
        await eventually(lambda: listener.publications["burst"] == list(range(500)))


@on_shared
async def test_a_client_that_never_reads_is_disconnected_and_disturbs_nobody(shared: Cluster) -> None:
    node = shared.nodes[0]
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=2**16)
    writer.write(
        b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    for command in (b'{"id":1,"connect":{}}', b'{"id":2,"subscribe":{"channel":"big"}}'):
        writer.write(bytes((0x81, 0x80 | len(command))) + bytes(4) + command)
    await reader.readuntil(b'"id":2')
    reader._transport.pause_reading()  # type: ignore[attr-defined]  # the fault: a client that stops to read
    async with Client(shared.http, node.url) as client:
        await client.subscribe("big")
        before = (await shared.api(node, "info"))["result"]["nodes"]
        sessions = next(entry["num_clients"] for entry in before if entry["name"] == "n1")
        for number in range(200):
            await shared.api(node, "publish", channel="big", data={"n": number, "text": "x" * 50_000})

        async def gone() -> bool:
            nodes = (await shared.api(node, "info"))["result"]["nodes"]
            return next(entry["num_clients"] for entry in nodes if entry["name"] == "n1") == sessions - 1

        await eventually(gone, within=15)
        await eventually(lambda: [data["n"] for data in client.publications["big"]] == list(range(200)), within=15)
    writer.close()
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        await writer.wait_closed()
