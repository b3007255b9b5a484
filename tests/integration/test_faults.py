"""What fails under a running cluster: processes that end, stand still or come back, and what nobody may lose by it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.client import Client
from tests.support.processes import Cluster
from tests.support.wait import eventually


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as cluster:
        yield cluster


async def test_a_publish_that_a_stopping_node_has_accepted_arrives(cluster: Cluster) -> None:
    stopping, other, _ = cluster.nodes
    accepted: list[str] = []

    async def publish(name: str) -> None:
        number = 0
        while True:
            try:
                body = await cluster.api(stopping, "publish", channel="c", data=f"{name}{number}")
            except aiohttp.ClientError:
                return
            if "error" in body:
                assert body["error"]["code"] == 100
            else:
                accepted.append(f"{name}{number}")
            number += 1

    async with Client(cluster.http, other.url) as client:
        await client.subscribe("c")
        publishers = [asyncio.create_task(publish(name)) for name in "abcd"]
        await eventually(lambda: len(accepted) > 100)
        assert await asyncio.to_thread(stopping.kill, signal.SIGTERM) == 0
        await asyncio.gather(*publishers)
        await eventually(lambda: set(accepted) <= set(client.publications["c"]))
        assert len(client.publications["c"]) == len(set(client.publications["c"]))


async def test_a_node_without_clients_takes_publications_until_haproxy_has_noticed_its_end(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 1, {"WSP_NODE__DRAIN_SECONDS": "1.5"}) as cluster:
        (node,) = cluster.nodes
        now = asyncio.get_running_loop().time
        began = last = now()
        node.signal(signal.SIGTERM)
        with contextlib.suppress(aiohttp.ClientError):
            while "result" in await cluster.api(node, "publish", channel="c", data=1):
                last = now()
        assert last - began > 1.3


async def test_a_registry_that_comes_back_without_its_database_parts_nobody(tmp_path: Path, cluster: Cluster) -> None:
    """It learns of the nodes again one after the other; those are connected, and go on."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(cluster.http, node.url)) for node in cluster.nodes]
        for client in clients:
            await client.subscribe("c")
        sent: set[tuple[str, int]] = set()
        end = asyncio.Event()
        publishers = [asyncio.create_task(publish_steadily(client, sent, end)) for client in clients]
        cluster.registry.kill()
        for file in tmp_path.glob("registry.db*"):
            file.unlink()
        cluster.registry.start()
        await cluster.registry.ready(cluster.http)
        await eventually(lambda: registered(cluster), within=15)
        end.set()
        await asyncio.gather(*publishers)
        for client in clients:
            await eventually(lambda client=client: sent <= set(map(tuple, client.publications["c"])))


async def registered(cluster: Cluster) -> bool:
    """All nodes are ready and have told the registry that they have its newest view."""
    page = await cluster.admin("GET", "nodes")
    return len([item for item in page["items"] if item["ready"] and item["view"] == page["view"]]) == 3


async def publish_steadily(client: Client, sent: set[tuple[str, int]], end: asyncio.Event) -> None:
    """As a client: API keys go with a database. `sent`: what was accepted."""
    for number in itertools.count():
        if end.is_set():
            return
        await client.publish("c", [client.id, number])
        sent.add((client.id, number))
        await asyncio.sleep(0.01)
