"""Nodes count under load while their registry is killed, their links with it fail, and they are restarted.

For SOAK_SECONDS (300). What has to hold: every publish is accepted; each subscriber gets each publication once and in
order; and at the end, what nodes have counted is what the metrics API tells, at every step.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from tests.e2e.test_metrics import told
from tests.support.client import Client, Refused
from tests.support.processes import Cluster, Process
from tests.support.tcp_proxy import TcpProxy
from tests.support.wait import eventually

SECONDS = float(os.environ.get("SOAK_SECONDS", "300"))
SEED = os.environ.get("SOAK_SEED", "1")
CHANNEL = "soak"
COUNTED = {"wsplatform_publications_total": "publications", "wsplatform_deliveries_total": "deliveries"}
AWAY = (0.0, 0.3, 1.0, 4.0, 12.0)
START_SECONDS = 60.0
Counts = dict[str, Counter[str]]
"""By node and metric."""


class Load:
    """A publisher and a subscriber for each node. accepted: by node, the highest number."""

    def __init__(self, cluster: Cluster) -> None:
        self.accepted: Counter[str] = Counter()
        self._cluster = cluster
        self._going = asyncio.Event()
        self._idle: dict[str, asyncio.Event] = {node.name: asyncio.Event() for node in cluster.nodes}

    def resume(self) -> None:
        self._going.set()

    async def pause(self) -> None:
        self._going.clear()
        await asyncio.gather(*(idle.wait() for idle in self._idle.values()))

    async def publish(self, node: Process) -> None:
        idle = self._idle[node.name]
        for number in itertools.count(1):
            if not self._going.is_set():
                idle.set()
                await self._going.wait()
                idle.clear()
            body = await self._cluster.api(node, "publish", channel=CHANNEL, data=[node.name, number])
            assert "result" in body, body
            self.accepted[node.name] = number
            await asyncio.sleep(random.uniform(0, 0.02))

    async def subscribe(self, node: Process) -> None:
        """As often as the node is restarted."""
        while True:
            try:
                async with Client(self._cluster.http, node.url) as client:
                    await client.subscribe(CHANNEL)
                    await self._follow(client)
            except (aiohttp.ClientError, ConnectionError, Refused):
                await asyncio.sleep(0.1)

    async def _follow(self, client: Client) -> None:
        last: dict[str, int] = {}
        done = 0
        while client.close_code is None:
            publications = client.publications[CHANNEL]
            for publisher, number in publications[done:]:
                assert number == last.get(publisher, number - 1) + 1, f"{publisher}: {number} after {last[publisher]}"
                last[publisher] = number
            done = len(publications)
            await asyncio.sleep(0.05)


async def counted(cluster: Cluster, node: Process) -> Counter[str]:
    """Since the start of the process."""
    async with cluster.http.get(f"{node.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    counts: Counter[str] = Counter()
    for line in lines:
        metric = COUNTED.get(line.partition("{")[0].partition(" ")[0])
        if metric is not None:
            counts[metric] += int(float(line.rpartition(" ")[2]))
    return counts


async def still(cluster: Cluster) -> Counts:
    """What all have counted, when it has stood still for a moment."""
    before: Counts = {}
    while True:
        now = {node.name: await counted(cluster, node) for node in cluster.nodes}
        if now == before:
            return now
        before = now
        await asyncio.sleep(0.3)


async def fail(chance: random.Random, cluster: Cluster, proxies: dict[str, TcpProxy]) -> None:
    """The registry, or a link with it, for a while."""
    if chance.random() < 0.5:
        await asyncio.to_thread(cluster.registry.kill, signal.SIGKILL)
        await asyncio.sleep(chance.choice(AWAY))
        cluster.registry.start()
        await cluster.registry.ready(cluster.http, START_SECONDS)
        return
    proxy = proxies[chance.choice(cluster.nodes).name]
    chance.choice((proxy.cut, proxy.freeze, proxy.deafen))()
    await asyncio.sleep(chance.uniform(1, 15))
    proxy.cut()
    proxy.thaw()


async def restart(cluster: Cluster, node: Process) -> None:
    assert await asyncio.to_thread(node.kill, signal.SIGTERM) == 0
    node.start()
    await node.ready(cluster.http, START_SECONDS)


async def test_sums_are_exact_whatever_becomes_of_the_registry(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    began = time.time() - 60
    cluster = Cluster(tmp_path, settings={"WSP_METRICS__OPEN": "true"})
    ended: Counts = {node.name: Counter() for node in cluster.nodes}
    async with AsyncExitStack() as stack:
        proxies = {
            node.name: await stack.enter_async_context(TcpProxy(cluster.registry.port)) for node in cluster.nodes
        }
        for node in cluster.nodes:
            node.environment["WSP_REGISTRY__URL"] = f"http://127.0.0.1:{proxies[node.name].port}"
        await stack.enter_async_context(cluster)
        load = Load(cluster)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(load.publish(node)) for node in cluster.nodes]
            tasks += [group.create_task(load.subscribe(node)) for node in cluster.nodes]
            load.resume()
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                for _ in range(chance.randrange(1, 4)):
                    await fail(chance, cluster, proxies)
                    await asyncio.sleep(chance.uniform(0, 5))
                await load.pause()
                counts, node = await still(cluster), chance.choice(cluster.nodes)
                ended[node.name] += counts[node.name]
                await restart(cluster, node)
                load.resume()
            await load.pause()
            counts = await still(cluster)
            for task in tasks:
                task.cancel()
        right = {metric: {name: (counts[name] + ended[name])[metric] for name in ended} for metric in COUNTED.values()}
        for step in (10, 60, 3600):

            async def same(step: int = step) -> bool:
                return await told(cluster, began, step) == right

            await eventually(same, within=120, why=f"{right} was counted")
