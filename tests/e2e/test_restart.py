"""Nodes that are restarted one after the other while backends publish on all of them."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.support.client import Client
from tests.support.processes import Cluster, Process
from tests.support.wait import eventually

CHANNEL = "c"


async def publish(cluster: Cluster, node: Process, over: asyncio.Event) -> set[int]:
    """The numbers that the node has accepted, which is asked without a break, whatever state it is in."""
    accepted = set()
    number = 0
    while not over.is_set():
        number += 1
        try:
            body = await cluster.api(node, "publish", channel=CHANNEL, data=[node.name, number])
        except aiohttp.ClientError:
            await asyncio.sleep(0.01)
            continue
        if "error" not in body:
            accepted.add(number)
        await asyncio.sleep(0)
    return accepted


@pytest.mark.parametrize("restarted", [0, 1, 2])
async def test_what_a_node_has_accepted_reaches_the_others_whenever_it_is_restarted(
    tmp_path: Path, restarted: int
) -> None:
    async with (
        Cluster(tmp_path, settings={"WSP_NODE__DRAIN_SECONDS": "0.5"}) as cluster,
        AsyncExitStack() as stack,
    ):
        node = cluster.nodes[restarted]
        others = [other for other in cluster.nodes if other is not node]
        clients = [await stack.enter_async_context(Client(cluster.http, other.url)) for other in others]
        for client in clients:
            await client.subscribe(CHANNEL)
        over = asyncio.Event()
        publishers = [asyncio.create_task(publish(cluster, one, over)) for one in cluster.nodes]
        for _ in range(2):
            await asyncio.sleep(0.5)
            assert await asyncio.to_thread(node.kill, signal.SIGTERM) == 0
            node.start()
            await node.ready(cluster.http)
        await asyncio.sleep(0.5)
        over.set()
        accepted = await asyncio.gather(*publishers)
        assert all(accepted)
        for one, numbers in zip(cluster.nodes, accepted, strict=True):
            for client in clients:
                await eventually(lambda one=one, numbers=numbers, client=client: numbers <= got(client, one.name))


def got(client: Client, name: str) -> set[int]:
    return {number for sender, number in client.publications[CHANNEL] if sender == name}
