"""The commands that ask a running cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from tests.support.cli import Subscriber, wsplatform
from tests.support.local_cluster import LocalCluster
from tests.support.wait import eventually
from wsplatform import cli

pytestmark = pytest.mark.asyncio(loop_scope="module")
Run = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Admits nothing by itself."""
    env = {
        "WSP_LOG__LEVEL": "WARNING",
        "WSP_CLIENT__ALLOW_ANONYMOUS": "true",
        "WSP_CLUSTER__CANARY_SECONDS": "0.5",
    }
    async with LocalCluster("--nodes", "2", "--env", "production", env=env) as cluster:
        yield cluster


@pytest.fixture
def registry(cluster: LocalCluster) -> tuple[str, ...]:
    """The options of an operator."""
    return ("--server", cluster.info["registry"], "--key", cluster.info["admin_key"])


@pytest.fixture
def node(cluster: LocalCluster) -> tuple[str, ...]:
    """The options of a backend."""
    return ("--server", cluster.info["nodes"][0]["url"], "--key", cluster.info["api_key"])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in this process, for starting one takes longer than what it does; what it printed."""

    async def run(*arguments: str, status: int = 0) -> str:
        found = await asyncio.to_thread(cli.run, arguments)
        shown = capsys.readouterr()
        assert found == status, shown.err
        return shown.out if status == 0 else shown.out + shown.err

    return run


async def test_nodes_are_listed(run: Run, registry: tuple[str, ...]) -> None:
    records = json.loads(await run("nodes", "--json", *registry))
    assert [(record["id"], record["ready"]) for record in records] == [("node-1", True), ("node-2", True)]
    assert "node-1  http://127.0.0.1:" in await run("nodes", *registry)


async def test_links_are_listed_with_what_they_take(run: Run, registry: tuple[str, ...]) -> None:
    async def timed() -> bool:
        links = json.loads(await run("links", "--json", *registry))
        return len(links) == 2 and all(link["canary"] is not None and link["rtt"] for link in links)

    await eventually(timed, within=10)
    (link,) = json.loads(await run("links", "--json", "--node", "node-2", *registry))
    assert (link["node"], link["peer"], link["state"], link["dropped"], link["gaps"]) == (
        "node-2",
        "node-1",
        "up",
        {},
        0,
    )
    assert 0 < link["rtt"] < 5
    assert 0 < link["canary"] < 5
    head, *rows = (await run("links", *registry)).splitlines()
    assert head.split()[:4] == ["NODE", "PEER", "STATE", "BY"]
    assert [row.split()[:3] for row in rows] == [["node-1", "node-2", "up"], ["node-2", "node-1", "up"]]


async def test_rules_open_channels_and_close_them(run: Run, registry: tuple[str, ...], node: tuple[str, ...]) -> None:
    assert "[unknown_channel]" in await run("publish", "chat:1", "1", *node, status=1)
    assert json.loads(await run("rules", "list", "--json", *registry)) == []
    assert await run("rules", "test", "chat:1", *registry, status=1) == "chat:1: no rule, refused\n"
    made = json.loads(await run("rules", "set", "chat:*", "subscribe=anyone", "max_bytes=100", "--json", *registry))
    assert made == {"pattern": "chat:*", "subscribe": "anyone", "publish": "nobody", "max_bytes": 100}
    await run("rules", "set", "test", "publish=subscribers", *registry)
    told = await run("rules", "test", "chat:1", *registry)
    assert told == "chat:1: rule chat:*: subscribe anyone, publish nobody, at most 100 bytes\n"
    listed = await run("rules", "list", *registry)
    assert [line.split()[0] for line in listed.splitlines()] == ["PATTERN", "chat:*", "test"]
    assert "[invalid_rule]" in await run("rules", "set", "$x", *registry, status=1)
    assert "[invalid_rule]" in await run("rules", "set", "x", "max_bytes=many", *registry, status=1)
    assert "[usage]" in await run("rules", "set", "x", "subscribe=all", *registry, status=2)
    assert "[usage]" in await run("rules", "set", "x", "history=5", *registry, status=2)
    await eventually(lambda: wsplatform("publish", "chat:1", "1", *node).returncode == 0)
    await run("rules", "delete", "chat:*", *registry)
    await run("rules", "delete", "test", *registry)
    assert "[unknown_rule]" in await run("rules", "delete", "chat:*", *registry, status=1)


async def test_keys_are_made_and_revoked(run: Run, registry: tuple[str, ...]) -> None:
    text = (await run("key", "create", "--name", "shop", "--channel", "shop:*", *registry)).strip()
    keys = json.loads(await run("key", "list", "--json", *registry))
    shop = next(key for key in keys if key["name"] == "shop")
    assert text.startswith(f"wsp_{shop['id']}_")
    assert "shop:*" in await run("key", "list", *registry)
    await run("key", "revoke", shop["id"], *registry)
    assert "[unknown_key]" in await run("key", "revoke", shop["id"], *registry, status=1)


async def test_the_wrong_server_and_the_wrong_key_are_named(
    cluster: LocalCluster, run: Run, registry: tuple[str, ...], node: tuple[str, ...]
) -> None:
    info = cluster.info
    wrong = ("--key", "wrong")
    assert "address of the registry" in await run("rules", "list", *node, status=1)
    assert "address of the registry" in await run("nodes", "--server", info["balancer"], *wrong, status=1)
    assert "address of a node" in await run("publish", "a", "1", *registry, status=1)
    assert "address of a node" in await run("subscribe", "a", "--server", info["registry"], status=1)
    assert "[unauthorized]" in await run("nodes", "--server", info["registry"], *wrong, status=1)
    assert "[forbidden]" in await run("nodes", "--server", info["registry"], "--key", info["api_key"], status=1)
    assert "[unauthorized]" in await run("publish", "a", "1", *node[:2], *wrong, status=1)


async def test_haproxys_configuration_by_hand(cluster: LocalCluster, run: Run, registry: tuple[str, ...]) -> None:
    info = cluster.info
    rendered = await run("haproxy", "render", "--check", *registry)
    assert f"server node-1 {info['nodes'][0]['url'].removeprefix('http://')}" in rendered


async def test_publications_from_standard_input_arrive_in_order(
    cluster: LocalCluster, run: Run, registry: tuple[str, ...], node: tuple[str, ...]
) -> None:
    await run("rules", "set", "log", "subscribe=anyone", *registry)
    await eventually(lambda: wsplatform("publish", "log", "0", *node).returncode == 0)
    subscriber = Subscriber(cluster.info["balancer"], "log", "--count", "200", "--json")
    await subscriber.start()
    lines = "".join(f"line {number}\n" for number in range(200))
    done = await asyncio.to_thread(wsplatform, "publish", "log", "-", "--text", "--json", *node, text=lines)
    assert json.loads(done.stdout) == {"published": 200}
    assert await subscriber.lines() == [{"channel": "log", "data": f"line {number}"} for number in range(200)]
    await run("rules", "delete", "log", *registry)
