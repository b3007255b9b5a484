"""A network that fails between hosts, each a namespace of its own: cut links, silent ones, losses in one direction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.network import Network
from tests.support.processes import Cluster, Process
from tests.support.wait import eventually

VIEW_SECONDS = 15.0
"""More than the registry waits for a node before it drops it, and a report."""

CUT_SECONDS = 6.0
"""More than a node waits for another one before it takes the connection for dead."""


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(4) as network:
        yield network


@pytest.fixture
async def cluster(tmp_path: Path, network: Network) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path, hosts=network.hosts) as cluster:
        yield cluster


@pytest.fixture
async def clients(cluster: Cluster) -> AsyncIterator[list[Client]]:
    """One on each node, subscribed."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(cluster.http, node.url)) for node in cluster.nodes]
        for client in clients:
            await client.subscribe("c")
        yield clients


async def test_a_node_that_the_registry_cannot_be_reached_from_gets_and_sends_all(
    cluster: Cluster, network: Network, clients: list[Client]
) -> None:
    registry, one, *_ = network.hosts
    network.cut(registry, one)
    await eventually(lambda: in_view(cluster, {"n2", "n3"}), within=VIEW_SECONDS)
    await everything_arrives(cluster, clients, "while cut off")
    network.heal()
    await eventually(lambda: in_view(cluster, {"n1", "n2", "n3"}), within=VIEW_SECONDS)
    await everything_arrives(cluster, clients, "afterwards")


@pytest.mark.parametrize("both", [True, False], ids=["both ways", "one way"])
async def test_a_cut_between_two_nodes_loses_nothing_and_costs_the_third_nothing(
    cluster: Cluster, network: Network, clients: list[Client], both: bool
) -> None:
    _, one, two, _ = network.hosts
    network.lose(one, two)
    if both:
        network.lose(two, one)
    first, _, third = cluster.nodes
    loop = asyncio.get_running_loop()
    until, number = loop.time() + CUT_SECONDS, 0
    while loop.time() < until:
        number += 1
        await cluster.api(first, "publish", channel="c", data=["first", number])
        await cluster.api(third, "publish", channel="c", data=["third", number])
        await asyncio.sleep(0.02)
    for node in cluster.nodes:
        await node.ready(cluster.http)
    assert await in_view(cluster, {"n1", "n2", "n3"})
    expected = list(range(1, number + 1))
    for client in clients:
        await eventually(lambda client=client: of(client, "third") == [["third", index] for index in expected])
    assert len(of(clients[1], "first")) < number
    network.heal()
    for client in clients:
        await eventually(
            lambda client=client: of(client, "first") == [["first", index] for index in expected], within=VIEW_SECONDS
        )
    assert not any(item["status"]["dropped"] for item in (await cluster.admin("GET", "nodes"))["items"])
    await everything_arrives(cluster, clients, "afterwards")


async def test_lost_packets_lose_and_mix_up_nothing(cluster: Cluster, network: Network, clients: list[Client]) -> None:
    for one in network.hosts:
        for other in network.hosts:
            if one is not other:
                network.lose(one, other, 5)
    for number in range(100):
        for node in cluster.nodes:
            await cluster.api(node, "publish", channel="c", data=[node.name, number])
    for client in clients:
        for node in cluster.nodes:
            expected = [[node.name, number] for number in range(100)]
            await eventually(
                lambda client=client, node=node, expected=expected: of(client, node.name) == expected, within=15
            )


async def test_where_websockets_are_dropped_http_carries_on_within_five_seconds_and_gives_back(
    cluster: Cluster, network: Network, clients: list[Client]
) -> None:
    _, one, two, _ = network.hosts
    first, second, _ = cluster.nodes
    async with steady(cluster, clients) as traffic:
        await asyncio.sleep(1)
        network.drop_websockets(one, two)
        await eventually(lambda: changed(first, "websocket to http"), within=6)
        await eventually(lambda: changed(second, "websocket to http"), within=1)
        await asyncio.sleep(2)
        assert traffic.longest_gap < 5.0
        network.heal()
        await eventually(lambda: changed(first, "http to websocket"), within=15)
        await asyncio.sleep(2)
        assert traffic.longest_gap < 5.0
    for client in clients:
        for node in cluster.nodes:
            expected = [[node.name, number] for number in range(traffic.sent)]
            await eventually(lambda client=client, node=node, expected=expected: of(client, node.name) == expected)


@dataclass
class Traffic:
    """sent: by each node. longest_gap: seconds in which one client got nothing of one node."""

    sent: int = 0
    longest_gap: float = 0.0


@asynccontextmanager
async def steady(cluster: Cluster, clients: list[Client]) -> AsyncIterator[Traffic]:
    """Every node publishes, some hundred times a second in all; every client gets it."""
    traffic = Traffic()
    stop = asyncio.Event()

    async def publish() -> None:
        while not stop.is_set():
            for node in cluster.nodes:
                await cluster.api(node, "publish", channel="c", data=[node.name, traffic.sent])
            traffic.sent += 1

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        last: dict[tuple[int, str], tuple[int, float]] = {}
        while not stop.is_set():
            now = loop.time()
            for number, client in enumerate(clients):
                for node in cluster.nodes:
                    key, count = (number, node.name), len(of(client, node.name))
                    before, since = last.get(key, (-1, now))
                    traffic.longest_gap = max(traffic.longest_gap, now - since)
                    if count != before:
                        last[key] = count, now
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publish())
        tasks.create_task(watch())
        try:
            yield traffic
        finally:
            stop.set()


def changed(node: Process, what: str) -> bool:
    return f"changes from {what}" in node.log.read_text()


async def everything_arrives(cluster: Cluster, clients: list[Client], mark: str) -> None:
    for number, node in enumerate(cluster.nodes):
        assert "result" in await cluster.api(node, "publish", channel="c", data=[mark, number])
    for client in clients:
        await eventually(lambda client=client: sorted(of(client, mark)) == [[mark, number] for number in range(3)])


async def in_view(cluster: Cluster, names: set[str]) -> bool:
    items = (await cluster.admin("GET", "nodes"))["items"]
    return {item["id"] for item in items if item["ready"]} == names


def of(client: Client, mark: str) -> list[list[object]]:
    return [data for data in client.publications["c"] if data[0] == mark]
