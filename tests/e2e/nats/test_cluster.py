"""Real processes that have nothing between them but a NATS server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.client import Client
from tests.support.nats import Server
from tests.support.processes import Cluster
from tests.support.wait import eventually


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Iterator[Server]:
    with make_server('authorization { user: "u", password: "only-for-this-test" }') as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    secret = folder / "password"
    secret.write_text("only-for-this-test\n")
    settings = {
        "WSP_CLUSTER__TRANSPORT": "nats",
        "WSP_CLUSTER__FALLBACK": "",
        "WSP_NATS__URLS": server.url,
        "WSP_NATS__USER": "u",
        "WSP_NATS__PASSWORD_FILE": str(secret),
    }
    async with Cluster(folder, settings=settings) as cluster:
        yield cluster


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_publications_reach_all_nodes_and_again_after_the_server_was_away(server: Server, cluster: Cluster):
    first, second, third = cluster.nodes
    async with Client(cluster.http, first.url) as ann, Client(cluster.http, second.url) as bob:
        for client in (ann, bob):
            await client.subscribe("news")
        for number in range(60):
            await cluster.api(cluster.nodes[number % 3], "publish", channel="news", data=number)
        for client in (ann, bob):
            await eventually(lambda client=client: sorted(client.publications["news"]) == list(range(60)))
            for node in range(3):
                assert [n for n in client.publications["news"] if n % 3 == node] == list(range(node, 60, 3))

        server.kill()
        await cluster.api(first, "publish", channel="news", data="to those of the first")
        await eventually(lambda: "to those of the first" in ann.publications["news"])
        server.start()

        async def arrives() -> bool:
            await cluster.api(third, "publish", channel="news", data="back")
            return "back" in ann.publications["news"] and "back" in bob.publications["news"]

        await eventually(arrives, within=10)
        # It was kept, and comes from another node than the one whose publication has arrived.
        await eventually(lambda: "to those of the first" in bob.publications["news"], within=10)
        assert bob.publications["news"].count("to those of the first") == 1
        assert "is lost" in third.log.read_text()
        assert not any("only-for-this-test" in node.log.read_text() for node in cluster.nodes)


async def test_a_killed_node_comes_back(cluster: Cluster):
    first, second, third = cluster.nodes
    async with Client(cluster.http, first.url) as client:
        await client.subscribe("c")
        third.kill()
        await cluster.api(second, "publish", channel="c", data=1)
        await eventually(lambda: client.publications["c"] == [1])
        third.start()
        await third.ready(cluster.http)
        await cluster.api(third, "publish", channel="c", data=2)
        await eventually(lambda: client.publications["c"] == [1, 2])


async def test_nodes_that_reach_each_other_go_on_by_http_while_the_server_is_away(server: Server, tmp_path: Path):
    settings = {
        "WSP_CLUSTER__TRANSPORT": "nats",
        "WSP_NATS__URLS": server.url,
        "WSP_NATS__USER": "u",
        "WSP_NATS__PASSWORD": "only-for-this-test",
    }
    async with Cluster(tmp_path, nodes=2, settings=settings) as cluster:
        first, second = cluster.nodes
        async with Client(cluster.http, first.url) as client:
            await client.subscribe("c")
            await cluster.api(second, "publish", channel="c", data=1)
            await eventually(lambda: client.publications["c"] == [1])
            server.kill()
            await cluster.api(second, "publish", channel="c", data=2)
            await eventually(lambda: client.publications["c"] == [1, 2], within=10)
            server.start()


async def test_the_registry_asks_all_nodes_and_watches(cluster: Cluster) -> None:
    async with Client(cluster.http, cluster.nodes[0].url) as client:
        await client.subscribe("watched")

        async def found() -> bool:
            page = await cluster.admin("GET", "channels?contains=watched")
            return (
                page["items"] == [{"channel": "watched", "subscribers": 1, "nodes": {"n1": 1}}] and not page["missing"]
            )

        await eventually(found)
        url = f"{cluster.registry.url}/admin/v1/channels/watched/watch"
        async with cluster.http.get(url, headers={"X-API-Key": cluster.admin_key}) as response:
            assert await response.content.readline() == b"event: watching\n"
            await cluster.api(cluster.nodes[2], "publish", channel="watched", data=7)
            lines = [await response.content.readline() for _ in range(4)]
            assert b'"data":7' in lines[-1]
