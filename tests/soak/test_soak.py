"""A cluster under load while its processes are killed, stopped and restarted, for SOAK_SECONDS (300).

What has to hold all the time: a session gets each publication at most once, and those of one publisher in order. What
has to hold between two faults: every publication, made on any node, reaches the subscribers of all nodes.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import defaultdict
from pathlib import Path

import aiohttp

from tests.support.client import Client, Refused
from tests.support.processes import Cluster, Process
from tests.support.wait import eventually

SECONDS = float(os.environ.get("SOAK_SECONDS", "300"))
SEED = os.environ.get("SOAK_SEED", "1")
CHANNEL = "soak"
QUIET_SECONDS = 3.0
MAX_BYTES = 300_000_000
MAX_DESCRIPTORS = 200
TEMPORARY = 100
LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)


class Publisher:
    """Publishes numbers on one node; `accepted` are those that the node has answered for."""

    def __init__(self, cluster: Cluster, node: Process) -> None:
        self.accepted: list[int] = []
        self.paused = asyncio.Event()
        self.idle = asyncio.Event()
        self._cluster = cluster
        self._node = node

    async def run(self) -> None:
        number = 0
        while True:
            if self.paused.is_set():
                self.idle.set()
                await asyncio.sleep(0.01)
                continue
            self.idle.clear()
            number += 1
            try:
                body = await self._cluster.api(self._node, "publish", channel=CHANNEL, data=[self._node.name, number])
            except LOST:
                await asyncio.sleep(0.1)
                continue
            if "result" in body:
                self.accepted.append(number)


class Subscriber:
    """Follows the channel on one node, and comes back when it is cut off."""

    def __init__(self, cluster: Cluster, node: Process) -> None:
        self.received: set[tuple[str, int]] = set()
        self.subscribed = False
        self.sessions = 0
        self._cluster = cluster
        self._node = node

    async def run(self) -> None:
        while True:
            try:
                async with Client(self._cluster.http, self._node.url) as client:
                    await client.subscribe(CHANNEL)
                    self.sessions += 1
                    self.subscribed = True
                    await self._follow(client)
            except Refused as error:
                if error.code != TEMPORARY:
                    raise
                await asyncio.sleep(0.1)
            except LOST:
                await asyncio.sleep(0.1)
            finally:
                self.subscribed = False

    async def _follow(self, client: Client) -> None:
        last: dict[str, int] = defaultdict(int)
        done = 0
        while client.close_code is None:
            publications = client.publications[CHANNEL]
            for publisher, number in publications[done:]:
                assert number > last[publisher], f"{publisher}: {number} after {last[publisher]}"
                last[publisher] = number
                self.received.add((publisher, number))
            done = len(publications)
            await asyncio.sleep(0.02)


async def fault(chance: random.Random, cluster: Cluster) -> str:
    process = chance.choice([*cluster.nodes, cluster.registry])
    kind = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
    if kind is signal.SIGSTOP:
        process.signal(kind)
        await asyncio.sleep(chance.uniform(0.5, 6))
        process.signal(signal.SIGCONT)
    else:
        await asyncio.to_thread(process.kill, kind)
        await asyncio.sleep(chance.uniform(0, 3))
        process.start()
    return f"{kind.name} {process.name}"


def numbers(text: str, name: str) -> int:
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith(name)))


async def test_soak(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SECONDS
    faults = 0
    async with Cluster(tmp_path, settings={"WSP_LOG__LEVEL": "WARNING"}) as cluster, asyncio.TaskGroup() as group:
        publishers = [Publisher(cluster, node) for node in cluster.nodes]
        subscribers = [Subscriber(cluster, node) for node in cluster.nodes]
        running = [group.create_task(one.run()) for one in (*publishers, *subscribers)]
        while loop.time() < deadline:
            what = await fault(chance, cluster)
            faults += 1
            await settled(cluster, subscribers, what)
            first = {publisher: len(publisher.accepted) for publisher in publishers}
            await asyncio.sleep(QUIET_SECONDS)
            await complete(cluster, publishers, subscribers, first, what)
        print(  # noqa: T201 - what the soak was
            f"{faults} faults, {sum(len(one.accepted) for one in publishers)} publications,"
            f" {sum(len(one.received) for one in subscribers)} deliveries,"
            f" {sum(one.sessions for one in subscribers)} sessions"
        )
        for task in running:
            task.cancel()
        for process in (*cluster.nodes, cluster.registry):
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert numbers(status, "VmRSS:") * 1024 < MAX_BYTES, process.name
            assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < MAX_DESCRIPTORS, process.name


async def settled(cluster: Cluster, subscribers: list[Subscriber], what: str) -> None:
    """All processes ready, all subscribers there, and each node's publications reach each of them."""
    await asyncio.gather(*(process.ready(cluster.http, within=30) for process in (*cluster.nodes, cluster.registry)))
    await eventually(lambda: all(one.subscribed for one in subscribers), within=30, why=f"not subscribed after {what}")
    seen = [len(one.received) for one in subscribers]

    def heard() -> bool:
        return all(
            {name for name, _ in one.received} >= {node.name for node in cluster.nodes} and len(one.received) > before
            for one, before in zip(subscribers, seen, strict=True)
        )

    await eventually(heard, within=30, why=f"nothing arrives after {what}")
    await asyncio.sleep(1)


async def complete(
    cluster: Cluster, publishers: list[Publisher], subscribers: list[Subscriber], first: dict[Publisher, int], what: str
) -> None:
    """Each publication accepted since `first` has reached each subscriber."""
    for publisher in publishers:
        publisher.paused.set()
    await asyncio.gather(*(publisher.idle.wait() for publisher in publishers))
    wanted = {
        (node.name, number)
        for node, publisher in zip(cluster.nodes, publishers, strict=True)
        for number in publisher.accepted[first[publisher] :]
    }
    assert wanted
    for subscriber in subscribers:
        await eventually(
            lambda subscriber=subscriber: wanted <= subscriber.received,
            within=10,
            why=f"{len(wanted - subscriber.received)} of {len(wanted)} are missing after {what}",
        )
    for publisher in publishers:
        publisher.paused.clear()
