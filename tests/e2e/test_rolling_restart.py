"""Every node of a cluster is restarted behind HAProxy, under load: clients see a reconnect, and nothing else.

ROLLING_CLIENTS, ROLLING_RATE and ROLLING_DRAIN (seconds) make it larger than it is in `make e2e`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.support.processes import Cluster, Process, free_port
from tests.support.wait import eventually
from wsplatform.cli.bench_book import Book, Plan
from wsplatform.cli.bench_report import Report
from wsplatform.cli.bench_run import Bench
from wsplatform.cli.progress import Display
from wsplatform.plugins.haproxy_control import Master
from wsplatform.plugins.haproxy_process import HAProxyProcess
from wsplatform.settings import HAProxyTable

NODES = 5
CLIENTS = int(os.environ.get("ROLLING_CLIENTS", "600"))
RATE = float(os.environ.get("ROLLING_RATE", "100"))
DRAIN = float(os.environ.get("ROLLING_DRAIN", "2"))

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def balancer(tmp_path: Path) -> AsyncIterator[HAProxyProcess]:
    process = HAProxyProcess(HAProxyTable(max_connections=9000), f"127.0.0.1:{free_port()}")
    await process.start()
    yield process
    await process.stop()


@pytest.fixture
async def cluster(balancer: HAProxyProcess, tmp_path: Path) -> AsyncIterator[Cluster]:
    settings = {
        **balancer.environment(),
        "WSP_PROXY__TRUSTED": "127.0.0.1",
        "WSP_NODE__DRAIN_SECONDS": str(DRAIN),
    }
    async with Cluster(tmp_path, NODES, settings) as cluster:
        yield cluster


@dataclass
class Watch:
    """What happens in each second: disconnects that nodes ask for, and clients that are back."""

    book: Book
    disconnects: list[int] = field(default_factory=list)
    reconnects: list[int] = field(default_factory=list)

    async def run(self) -> None:
        gone, back = 0, 0
        while True:
            await asyncio.sleep(1)
            self.disconnects.append(self.book.disconnects.total() - gone)
            self.reconnects.append(self.book.reconnects - back)
            gone, back = self.book.disconnects.total(), self.book.reconnects


async def test_every_node_is_restarted_and_clients_see_a_reconnect_only(
    balancer: HAProxyProcess, cluster: Cluster
) -> None:
    await through(balancer, cluster.nodes)
    bench = Bench(plan(balancer, cluster), Display(quiet=True))
    watch = Watch(bench._book)
    running = asyncio.create_task(bench.run())
    await eventually(lambda: bench._book.made == CLIENTS or running.done(), within=120, why="clients cannot connect")
    await asyncio.sleep(2)
    watching = asyncio.create_task(watch.run())
    master, took = Master(balancer.table.master_socket), list[float]()
    for number, node in enumerate(cluster.nodes):
        began = time.monotonic()
        assert await asyncio.to_thread(node.kill, signal.SIGTERM) == 0
        node.start()
        await node.ready(cluster.http, 60)
        await through(balancer, [node])
        took.append(time.monotonic() - began)
        if number in (1, 3):
            await master.reload()
    await eventually(lambda: bench._book.disconnects.total() == bench._book.reconnects, within=20)
    await asyncio.sleep(2)
    watching.cancel()
    bench._interrupt()
    report = await running
    tell(report, watch, took)
    check(report, bench._book)
    # A node asks those that it has to go evenly over its drain time; with one node away, it may have twice its share.
    # Over three seconds: on a busy machine, what came in one second may be read in the next.
    seen = watch.disconnects
    highest = max(sum(seen[start : start + 3]) / 3 for start in range(len(seen)))
    assert highest <= 2.5 * CLIENTS / NODES / DRAIN + 20, seen


async def test_a_node_that_is_killed_costs_its_clients_a_reconnect_and_nobody_a_request(
    balancer: HAProxyProcess, cluster: Cluster
) -> None:
    await through(balancer, cluster.nodes)
    url = f"{_url(balancer)}/health/ready"
    failed, whole = 0, asyncio.Event()
    victim = cluster.nodes[0]

    async def requests() -> int:
        made = 0
        nonlocal failed
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            while not whole.is_set():
                try:
                    async with http.get(url) as response:
                        failed += response.status != 200
                except aiohttp.ClientError:
                    failed += 1
                made += 1
        return made

    asking = asyncio.create_task(requests())
    await asyncio.sleep(0.5)
    began = time.monotonic()
    victim.kill(signal.SIGKILL)
    master = Master(balancer.table.master_socket)
    await eventually(lambda: _state(master, victim.name, "down"), within=10)
    down = time.monotonic() - began
    await eventually(lambda: _state(master, victim.name, ""), within=15)
    out = time.monotonic() - began
    whole.set()
    made = await asking
    say(f"SIGKILL of a node: down after {down:.2f} s, out after {out:.2f} s, {failed} of {made} requests failed")
    assert failed == 0


async def _state(master: Master, name: str, state: str) -> bool:
    """Whether HAProxy has the server in this state; "": not at all."""
    found = (await master.servers()).get(name)
    return found.state == state if found else not state


def plan(balancer: HAProxyProcess, cluster: Cluster) -> Plan:
    channels = tuple(f"room:{number}" for number in range(max(CLIENTS // 5, 1)))
    return Plan(
        run=secrets.token_hex(4),
        servers=(_url(balancer),),
        channels=channels,
        clients=CLIENTS,
        rate=RATE,
        seconds=500,
        size=100,
        through="api",
        key=cluster.api_key,
        token="",
        token_secret=cluster.token_secret,
        connect_rate=400,
    )


def check(report: Report, book: Book) -> None:
    """Of those who were connected, nobody has missed anything; nobody has seen an error, or a publish refused."""
    deliveries = report.deliveries
    lost = deliveries.lost - deliveries.lost_while_away
    assert (lost, deliveries.duplicated, deliveries.out_of_order) == (0, 0, 0)
    assert (dict(book.refused), dict(book.unanswered), dict(book.unsent)) == ({}, {}, {})
    assert set(book.disconnects) <= {3001}
    assert not book.reconnect_failures
    assert not book.failed


async def through(balancer: HAProxyProcess, nodes: list[Process]) -> None:
    """Until HAProxy sends to each of these nodes."""
    master = Master(balancer.table.master_socket)

    async def up() -> bool:
        present = await master.servers()
        return all(node.name in present and present[node.name].state == "up" for node in nodes)

    await eventually(up, within=30, why="HAProxy does not send to all nodes")


def tell(report: Report, watch: Watch, took: list[float]) -> None:
    say(
        f"{CLIENTS} clients, {RATE:g}/s, drain {DRAIN:g} s: a node takes {min(took):.1f} to {max(took):.1f} s; at most "
        f"{max(watch.disconnects)} disconnects and {max(watch.reconnects)} reconnects a second "
        f"(a node's share over the drain time: {CLIENTS / NODES / DRAIN:.0f}); {report.connections}; "
        f"{report.publications}; {report.deliveries}; {report.latency_ms}"
    )


def say(line: str) -> None:
    print(line, file=sys.__stderr__)


def _url(balancer: HAProxyProcess) -> str:
    return f"http://{balancer.table.bind}"
