"""A node whose file descriptors are in use by strangers: it refuses more of them, and nothing else suffers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.processes import HERE, Cluster, Host
from tests.support.wait import eventually
from wsplatform.net.descriptors import room_of

FILES = 200
POOR = Host(prefix=("sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh"))


MODEST = Host(prefix=("sh", "-c", 'ulimit -Sn 256; ulimit -Hn 4096; exec "$@"', "sh"))


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    settings = {"WSP_CLIENT__HEAD_SECONDS": "600"}
    async with Cluster(tmp_path, 2, settings, hosts=(HERE, POOR, HERE)) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def strangers(url: str, number: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections that say nothing."""
    host, _, port = url.removeprefix("http://").partition(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(number)]
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()


async def state(cluster: Cluster, node_id: str) -> str:
    items = (await cluster.admin("GET", "nodes"))["items"]
    return next((str(item["state"]) for item in items if item["id"] == node_id), "gone")


async def test_strangers_who_take_all_connections_leave_the_node_what_it_needs(cluster: Cluster) -> None:
    poor, other = cluster.nodes
    async with strangers(poor.url, 2 * FILES) as readers:
        ended = [asyncio.create_task(reader.read()) for reader in readers]
        await eventually(lambda: sum(task.done() for task in ended) >= 2 * FILES - room_of(FILES).connections)
        # It gets a peer back, and an answer from the registry, which both take a new connection.
        other.kill()
        other.start()
        await other.ready(cluster.http)
        cluster.registry.kill()
        cluster.registry.start()
        await cluster.registry.ready(cluster.http)
        await eventually(lambda: _is(cluster, "n1", "ready"), within=20)
        assert "Closed a new connection: " in poor.log.read_text()
    await poor.ready(cluster.http)


async def _is(cluster: Cluster, node_id: str, wanted: str) -> bool:
    return await state(cluster, node_id) == wanted


async def test_one_client_more_than_there_is_room_for_is_told_so(cluster: Cluster) -> None:
    url = cluster.nodes[0].url + "/connection/websocket"
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(room_of(FILES).clients):
            await stack.enter_async_context(cluster.http.ws_connect(url))
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await cluster.http.ws_connect(url)
        assert caught.value.status == 503
        await cluster.nodes[0].ready(cluster.http)


@pytest.mark.parametrize(
    ("limit", "clients", "connections"),
    [
        (10, 5, 8),
        (256, 192, 224),
        (1024, 960, 992),
        (65_536, 64_512, 65_024),
        (1 << 30, (1 << 30) - 1024, (1 << 30) - 512),
    ],
)
def test_what_a_limit_leaves(limit: int, clients: int, connections: int) -> None:
    room = room_of(limit)
    assert (room.clients, room.connections) == (clients, connections)


async def test_a_process_takes_as_many_as_it_may(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 1, {"WSP_METRICS__OPEN": "true"}, hosts=(HERE, MODEST)) as cluster:
        async with cluster.http.get(f"{cluster.nodes[0].url}/metrics") as response:
            text = await response.text()
        assert "process_max_fds 4096.0" in text
