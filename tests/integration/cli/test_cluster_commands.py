"""Channels, sessions, metrics and the drain of a node, on the command line of a real cluster."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.cli import Subscriber
from tests.support.local_cluster import LocalCluster
from tests.support.monitoring import expressions
from tests.support.promql import used
from tests.support.wait import eventually
from wsplatform import cli

pytestmark = pytest.mark.asyncio(loop_scope="module")
Run = Callable[..., Awaitable[str]]
CHANNEL = "hot:1"
AT_FIRST = {
    *("wsplatform_api_commands_total", "wsplatform_api_errors_total", "wsplatform_disconnects_total"),
    *("wsplatform_errors_total", "wsplatform_link_dropped_total", "wsplatform_haproxy_failures_total"),
}
"""Series of a label that is there when it has happened."""

WITH_TLS = {"wsplatform_haproxy_certificate_expiry_timestamp_seconds"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Two nodes, with a subscriber on each."""
    env = {"WSP_LOG__LEVEL": "WARNING", "WSP_NODE__DRAIN_SECONDS": "0.5"}
    async with LocalCluster("--nodes", "2", env=env) as cluster:
        subscribers = [Subscriber(node["url"], CHANNEL) for node in cluster.info["nodes"]]
        try:
            for subscriber in subscribers:
                await subscriber.start()
            yield cluster
        finally:
            for subscriber in subscribers:
                await subscriber.end()


@pytest.fixture
def run(cluster: LocalCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command in this process, by an operator; what it printed."""
    monkeypatch.setenv("WSP_SERVER", cluster.info["registry"])
    monkeypatch.setenv("WSP_KEY", cluster.info["admin_key"])

    async def run(*arguments: str, status: int = 0) -> str:
        found = await asyncio.to_thread(cli.run, arguments)
        shown = capsys.readouterr()
        assert found == status, shown.err
        return shown.out if status == 0 else shown.err

    return run


async def sessions(run: Run, *arguments: str) -> list[dict[str, Any]]:
    found = json.loads(await run("sessions", "list", "--json", *arguments))
    assert (found["more"], found["missing"]) == (False, [])
    items: list[dict[str, Any]] = found["items"]
    return items


async def test_channels_are_those_of_all_nodes(run: Run) -> None:
    rows = (await run("channels", "list", "--contains", "hot")).splitlines()
    assert rows[1].split() == [CHANNEL, "2", "node-1:1", "node-2:1"]
    assert json.loads(await run("channels", "list", "--pattern", "cold:*", "--json"))["items"] == []
    shown = await run("channels", "show", CHANNEL)
    assert "node-1:1 node-2:1" in shown
    assert "rule         * (subscribe anyone" in shown
    for word in ("busiest", "list", "show"):  # a channel may have the name of a command
        assert f"channel      {word}\n" in await run("channels", "show", word)


async def test_links_of_a_node_that_there_is_not(run: Run) -> None:
    assert "There is no node node: wsplatform nodes lists" in await run("links", "--node", "node", status=1)


async def test_a_session_is_found_shown_and_ended(run: Run) -> None:
    (found,) = await sessions(run, "--node", "node-2", "--channel", CHANNEL)
    assert (found["node"], found["subscriptions"]) == ("node-2", 1)
    assert f"channels       {CHANNEL}" in await run("sessions", "show", found["id"])
    await run("sessions", "disconnect", "--reconnect", found["id"])

    async def another() -> bool:
        now = await sessions(run, "--node", "node-2", "--user", "")
        return len(now) == 1 and now[0]["id"] != found["id"] and now[0]["subscriptions"] == 1

    await eventually(another, within=15)
    assert "[unknown_session]" in await run("sessions", "show", found["id"], status=1)


async def test_what_the_nodes_counted_is_shown(run: Run) -> None:
    assert "publications" in await run("metrics", "list")

    async def counted() -> bool:
        answer = json.loads(await run("metrics", "sessions", "--from", "5m", "--json"))
        values = [value for value in answer["series"][0]["values"] if value is not None] if answer["series"] else []
        return bool(values) and values[-1] == 2

    await eventually(counted, within=30)
    by_node = (await run("metrics", "sessions", "--by", "node", "--from", "5m")).splitlines()
    assert sorted(line.split()[0] for line in by_node[1:-1]) == ["node-1", "node-2"]
    assert "sessions, " in (await run("metrics", "sessions", "--node", "node-1", "--from", "5m"))
    assert "[unknown_metric]" in await run("metrics", "nonsense", status=1)

    async def busy() -> bool:
        rows = (await run("channels", "busiest", "--by", "subscribers")).splitlines()
        return [row.split() for row in rows[1:]] == [[CHANNEL, "0", "2"]]

    await eventually(busy, within=25)


async def test_what_alarms_and_dashboard_ask_for_is_served(cluster: LocalCluster) -> None:
    urls = [cluster.info["registry"], *(node["url"] for node in cluster.info["nodes"])]
    served = set[str]()
    async with aiohttp.ClientSession(headers={"X-API-Key": cluster.info["admin_key"]}) as http:
        for url in urls:
            async with http.get(f"{url}/metrics") as response:
                assert response.status == 200
                served |= set(re.findall(r"^(\w+)[{ ]", await response.text(), re.MULTILINE))
    asked = set().union(*(used(expression).metrics for _, expression in expressions()))
    assert asked - served <= AT_FIRST | WITH_TLS | {"up"}


async def test_the_audit_log_says_who_did_what(run: Run) -> None:
    await run("rules", "set", "cold:*", "subscribe=users")
    await run("rules", "set", "cold:*", "subscribe=nobody")
    last, first = json.loads(await run("audit", "--contains", "cold:", "--json"))["items"]
    assert (first["action"], first["before"], last["before"]["subscribe"]) == ("rule.set", None, "users")
    rows = (await run("audit", "--action", "rule.set", "--from", "1h")).splitlines()
    assert rows[1].endswith("subscribe: users → nobody")
    assert (await run("audit", "--to", "1h")).splitlines()[1:] == []


async def test_the_whole_cluster_in_one_look(run: Run) -> None:
    shot = json.loads(await run("top", "--once", "--json"))
    assert [(node["id"], node["state"], node["sessions"]) for node in shot["nodes"]] == [
        ("node-1", "ready", 1),
        ("node-2", "ready", 1),
    ]
    assert all(node["cpu"] is not None and node["memory_bytes"] > 2**20 for node in shot["nodes"])
    assert shot["links"] == shot["links_up"] >= 2
    assert shot["unwell"] == []


async def test_a_node_is_drained_and_its_clients_are_elsewhere(run: Run) -> None:
    assert "[unknown_node]" in await run("nodes", "drain", "nobody", "--yes", status=1)
    assert "--yes" in await run("nodes", "drain", "node-2", status=2)
    assert await run("nodes", "drain", "node-2", "--yes", "--wait") == "node-2: gone\n"
    assert [line.split()[0] for line in (await run("nodes")).splitlines()[1:]] == ["node-1"]
