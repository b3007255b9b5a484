"""Three nodes on hosts of their own, thousands of numbered publications a second, and a network or a node that fails.

Within the bounds of the links nothing is missing, doubled or out of order; past them the counters say what is missing.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.network import Network
from tests.support.processes import Cluster, Process
from tests.support.wait import eventually

RATES = {"n1": 4000, "n3": 1000}
"""Publications a second on each of the nodes that publish."""

CHANNEL = "c"
AFTERWARDS = 2.0
"""Seconds for which publications go on when all is well again."""

CATCH_UP = 30.0
SETTINGS = {"WSP_CLUSTER__CANARY_SECONDS": "0", "WSP_CLIENT__MAX_OUTBOX_BYTES": "67108864"}
"""A canary that is lost would be counted, too. What was kept for seconds comes faster than clients read."""

Fault = Callable[[Cluster, Network], Awaitable[None]]


def cut(seconds: float) -> Fault:
    async def fault(cluster: Cluster, network: Network) -> None:
        network.cut(network.hosts[1], network.hosts[2])
        await asyncio.sleep(seconds)
        network.heal()

    return fault


def frozen(seconds: float) -> Fault:
    async def fault(cluster: Cluster, network: Network) -> None:
        cluster.nodes[1].signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        cluster.nodes[1].signal(signal.SIGCONT)

    return fault


async def slow(cluster: Cluster, network: Network) -> None:
    await asyncio.to_thread(network.delay, network.hosts[2], 0.2)
    await asyncio.sleep(5)


async def lossy(cluster: Cluster, network: Network) -> None:
    for one in network.hosts[1:]:
        for other in network.hosts[1:]:
            if one is not other:
                network.lose(one, other, 5)
    await asyncio.sleep(5)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(4) as network:
        yield network


@asynccontextmanager
async def running(folder: Path, network: Network, **settings: str) -> AsyncIterator[tuple[Cluster, list[Client]]]:
    """A cluster, and a client on each of its nodes that is subscribed."""
    async with (
        Cluster(folder, hosts=network.hosts, settings=SETTINGS | settings) as cluster,
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(Client(cluster.http, node.url)) for node in cluster.nodes]
        for client in clients:
            await client.subscribe(CHANNEL)
        yield cluster, clients
        assert [client.close_code for client in clients] == [None] * len(clients)


@pytest.mark.parametrize(
    "fault",
    [cut(1), cut(5), cut(20), slow, lossy, frozen(10)],
    ids=["cut for 1 s", "cut for 5 s", "cut for 20 s", "200 ms of delay", "5 % lost", "frozen for 10 s"],
)
@pytest.mark.timeout(150)
async def test_within_the_bounds_everything_arrives_once(tmp_path: Path, network: Network, fault: Fault) -> None:
    async with running(tmp_path, network) as (cluster, clients):
        counts = await publish_during(fault, cluster, network)
        for client in clients:
            await eventually(lambda client=client: complete(client, counts), within=CATCH_UP)
            for name, count in counts.items():
                assert numbers(client, name) == list(range(count)), name
        assert sum([sum(link["dropped"].values()) + link["gaps"] for link in await links(cluster)]) == 0


SECONDS = {"WSP_CLUSTER__REPLAY_SECONDS": "3"}
BYTES = {
    "WSP_CLUSTER__REPLAY_BYTES": "1000000",
    "WSP_CLUSTER__MAX_ENVELOPE_BYTES": "1000000",
    "WSP_API__MAX_PUBLICATION_BYTES": "500000",
}


@pytest.mark.parametrize("bound", [SECONDS, BYTES], ids=["seconds", "bytes"])
@pytest.mark.timeout(150)
async def test_past_the_bounds_what_is_missing_is_counted(
    tmp_path: Path, network: Network, bound: dict[str, str]
) -> None:
    async with running(tmp_path, network, **bound) as (cluster, clients):
        counts = await publish_during(cut(12), cluster, network)
        for client in (clients[0], clients[2]):
            await eventually(lambda client=client: complete(client, counts), within=CATCH_UP)
        await eventually(lambda: numbers(clients[1], "n1")[-1] == counts["n1"] - 1, within=CATCH_UP)
        got = numbers(clients[1], "n1")
        assert got == sorted(set(got))
        assert numbers(clients[1], "n3") == list(range(counts["n3"]))
        missing = counts["n1"] - len(got)
        assert missing > 0

        async def counted() -> bool:
            told = {(link["node"], link["peer"]): link for link in await links(cluster)}
            dropped = sum(told["n1", "n2"]["dropped"].values())
            return bool(dropped == missing == told["n2", "n1"]["gaps"])

        await eventually(counted, within=10, why=f"{missing} are missing: {await links(cluster)}")


async def publish_during(fault: Fault, cluster: Cluster, network: Network) -> dict[str, int]:
    """How many publications each node has accepted, before, while and after the fault."""
    over = asyncio.Event()
    publishers = {
        node.name: asyncio.create_task(publish(cluster, node, RATES[node.name], over))
        for node in cluster.nodes
        if node.name in RATES
    }
    try:
        await asyncio.sleep(1)
        await fault(cluster, network)
        await asyncio.sleep(AFTERWARDS)
    finally:
        over.set()
        counts = await asyncio.gather(*publishers.values())
    return dict(zip(publishers, counts, strict=True))


async def publish(cluster: Cluster, node: Process, rate: int, over: asyncio.Event) -> int:
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    while not over.is_set():
        await asyncio.sleep(0.01)
        due = range(number, min(int((loop.time() - began) * rate), number + 500))
        commands = [{"publish": {"channel": CHANNEL, "data": [node.name, one]}} for one in due]
        if commands:
            replies = (await cluster.api(node, "batch", commands=commands))["replies"]
            assert all("error" not in reply for reply in replies), replies[0]
            number += len(commands)
    return number


async def links(cluster: Cluster) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await cluster.admin("GET", "links"))["items"]
    return items


def complete(client: Client, counts: dict[str, int]) -> bool:
    return len(client.publications[CHANNEL]) >= sum(counts.values())


def numbers(client: Client, name: str) -> list[int]:
    return [number for sender, number in client.publications[CHANNEL] if sender == name]
