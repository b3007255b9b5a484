"""What nodes count while their registry is killed and started again: nothing of it is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.client import Client
from tests.support.processes import Cluster, Process
from tests.support.wait import eventually

CHANNELS = [f"c{number}" for number in range(20)]
LOAD_SECONDS = 45.0
COUNTED = ("publications", "deliveries")
"""Of what NodeStatus tells since the start of the node, what stands still when the load has ended."""


async def publish(cluster: Cluster, node: Process, over: asyncio.Event) -> None:
    while not over.is_set():
        await cluster.api(node, "publish", channel=random.choice(CHANNELS), data=[1, 2, 3])
        await asyncio.sleep(random.uniform(0, 0.01))


async def counted(cluster: Cluster) -> dict[str, dict[str, int]]:
    """By metric and node, what the nodes have counted since their start."""
    statuses = {item["id"]: item["status"] for item in (await cluster.admin("GET", "nodes"))["items"]}
    return {metric: {node: status[metric] for node, status in statuses.items()} for metric in COUNTED}


async def told(cluster: Cluster, began: float, step: int) -> dict[str, dict[str, int]]:
    """The same, as the metrics API has it."""
    sums = {}
    for metric in COUNTED:
        query = {"metric": metric, "by": "node", "aggregation": "sum", "from": began, "step": step}
        answer: dict[str, Any] = await cluster.admin("GET", f"metrics?{urlencode(query)}")
        sums[metric] = {
            one["node"]: sum(filter(None, one["values"])) + (one["partial"] or 0) for one in answer["series"]
        }
    return sums


@pytest.mark.timeout(300)
async def test_sums_are_what_nodes_have_counted_though_the_registry_was_killed_twice(tmp_path: Path) -> None:
    began = time.time() - 60
    async with Cluster(tmp_path, nodes=3) as cluster, AsyncExitStack() as stack:
        for node in cluster.nodes:
            for _ in range(10):
                client = await stack.enter_async_context(Client(cluster.http, node.url))
                for channel in random.sample(CHANNELS, 5):
                    await client.subscribe(channel)
        over = asyncio.Event()
        load = [asyncio.create_task(publish(cluster, node, over)) for node in cluster.nodes for _ in range(4)]
        for away in (3.0, 14.0):  # shorter than a report's interval, and longer
            await asyncio.sleep(LOAD_SECONDS / 3 - away / 2)
            cluster.registry.kill(signal.SIGKILL)
            await asyncio.sleep(away)
            cluster.registry.start()
            await cluster.registry.ready(cluster.http)
        await asyncio.sleep(LOAD_SECONDS / 3)
        over.set()
        await asyncio.gather(*load)

        right = await settled(cluster)
        assert all(count > 1000 for counts in right.values() for count in counts.values())
        for step in (10, 60, 3600):

            async def same(step: int = step) -> bool:
                return await told(cluster, began, step) == right

            await eventually(same, within=45, why=f"{right} was counted")


async def settled(cluster: Cluster) -> dict[str, dict[str, int]]:
    """What the nodes have counted, when each has told the registry of it a while after the load has ended."""
    ended = time.time()

    async def all_told() -> bool:
        items = (await cluster.admin("GET", "nodes"))["items"]
        return len(items) == 3 and all(item["last_seen"] > ended + 1 for item in items)

    await eventually(all_told, within=20)
    return await counted(cluster)
