"""The cluster of docker/compose.yaml: clients over TLS, more and fewer nodes, and the sudden end of each part."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.docker.compose import DRAIN_SECONDS, Compose, Crowd, Operator, crowd, tell
from tests.support.wait import eventually

SDK = Path(__file__).parents[1] / "sdk"
PEOPLE = 40

pytestmark = pytest.mark.timeout(240, func_only=True)


@pytest.fixture(autouse=True)
def two_nodes(cluster: Compose) -> None:
    """As each test expects it, whatever became of the one before."""
    if len(cluster.containers("node")) != 2:
        cluster.scale(2)


async def settled(operator: Operator, nodes: int, people: Crowd) -> None:
    """All is as it should be: so many nodes serve, all are connected, and what is published arrives."""

    async def whole() -> bool:
        return len(await operator.ready()) == nodes and await people.served()

    await eventually(whole, within=40)


async def finish(people: Crowd) -> None:
    """The last publication has arrived everywhere."""
    people.publishing = False
    await asyncio.sleep(0.1)
    await eventually(people.served, within=10)


def nothing_lost(people: Crowd) -> None:
    """While they were connected."""
    for stays in people.stays:
        for stay in stays:
            assert not stay.doubled
            assert not people.missed(stay)


async def test_it_is_up(cluster: Compose) -> None:
    states = [json.loads(line) for line in cluster.run("ps", "--format", "json").splitlines()]
    assert sorted(state["Service"] for state in states) == ["haproxy", "node", "node", "registry"]
    assert {state["Health"] for state in states} == {"healthy"}
    async with aiohttp.ClientSession() as http:
        operator = Operator(http, cluster)
        nodes = (await operator.ask("GET", "nodes"))["items"]
        assert len(await operator.ready()) == 2
        addresses = {node["client_url"] for node in nodes}
        own = {
            network["IPAddress"]
            for container in cluster.containers("node")
            for network in cluster.inspect(container)["NetworkSettings"]["Networks"].values()
        }
        assert addresses == {f"http://{address}:8000" for address in own}
        await eventually(lambda: _haproxy_is_healthy(operator), within=20)


async def _haproxy_is_healthy(operator: Operator) -> bool:
    plugins = (await operator.ask("GET", "plugins"))["items"]
    return [plugin["healthy"] for plugin in plugins if plugin["name"] == "haproxy"] == [True]


async def test_an_sdk_over_wss(cluster: Compose) -> None:
    arguments = (f"wss://localhost:{cluster.https}/connection/websocket", Crowd.CHANNEL, "5", cluster.token())
    async with crowd(cluster, 1):
        process = await asyncio.create_subprocess_exec(
            *("timeout", "--signal=KILL", "30", "node", "subscribe.mjs", *arguments),
            cwd=SDK,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": cluster.certificate},
            stdout=-1,
            stderr=-1,
        )
        output, errors = await process.communicate()
    assert process.returncode == 0, (output, errors)
    lines = output.decode().split()
    assert lines[0] == "subscribed", errors.decode()
    numbers = [int(line) for line in lines[1:]]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert "error" not in errors.decode()


async def test_more_nodes_and_fewer_under_load(cluster: Compose) -> None:
    async with crowd(cluster, PEOPLE) as (operator, people):
        await settled(operator, 2, people)
        few = await operator.ready()
        began = time.monotonic()
        await asyncio.to_thread(cluster.scale, 5)
        await settled(operator, 5, people)
        tell(f"2 to 5 nodes: {time.monotonic() - began:.1f} s")
        assert all(len(stays) == 1 for stays in people.stays), "nobody is disturbed by nodes that come"
        people.come(PEOPLE)
        await settled(operator, 5, people)
        sessions: dict[str, int] = {}

        async def counted() -> bool:
            nodes = (await operator.ask("GET", "nodes"))["items"]
            sessions.update({node["id"]: node["status"]["sessions"] for node in nodes})
            return sum(sessions.values()) == 2 * PEOPLE

        await eventually(counted, within=10)
        tell(f"connections by node: {sorted(sessions.values())}")
        assert sum(1 for node, number in sessions.items() if node not in few and number) == 3
        began = time.monotonic()
        await asyncio.to_thread(cluster.scale, 2)
        await settled(operator, 2, people)
        tell(f"5 to 2 nodes: {time.monotonic() - began:.1f} s, the drain takes {DRAIN_SECONDS} s")
        assert await operator.ready() == few
        await finish(people)
    nothing_lost(people)
    codes = [stay.code for stays in people.stays for stay in stays[:-1]]
    tell(f"{len(people.accepted)} publications, {len(codes)} reconnects, broken requests: {people.broken}")
    assert set(codes) == {3001}
    assert not people.refused, people.refused[:5]


async def test_all_are_made_anew_one_after_the_other(cluster: Compose) -> None:
    """As docs/deploying.md has a release, and a change of settings, brought in."""
    changed = cluster.with_settings(LOG_LEVEL="DEBUG")
    async with crowd(cluster, PEOPLE) as (operator, people):
        await settled(operator, 2, people)
        old = cluster.containers("node")
        before = await operator.ready()
        await asyncio.to_thread(changed.run, "up", "--detach", "--wait", "--no-deps", "registry", timeout=120)
        await asyncio.to_thread(changed.scale, 4)
        await settled(operator, 4, people)
        await asyncio.to_thread(cluster.docker.docker, "stop", *old)
        cluster.docker.docker("rm", *old)
        await settled(operator, 2, people)
        assert not await operator.ready() & before
        await asyncio.to_thread(changed.scale, 2)
        await finish(people)
    nothing_lost(people)
    assert {stay.code for stays in people.stays for stay in stays[:-1]} == {3001}
    assert not people.refused, people.refused[:5]


@pytest.mark.parametrize("service", ["node", "registry", "haproxy"])
async def test_what_is_killed_comes_back(cluster: Compose, service: str) -> None:
    async with crowd(cluster, PEOPLE) as (operator, people):
        await settled(operator, 2, people)
        before = await operator.ready()
        container = cluster.containers(service)[0]
        restarts = cluster.inspect(container)["RestartCount"]
        connected = [len(stays) for stays in people.stays]
        began = time.monotonic()
        cluster.kill(container)
        await eventually(lambda: cluster.inspect(container)["RestartCount"] > restarts, within=30)
        await eventually(people.served, within=30)
        served = time.monotonic() - began
        if service == "node":
            await eventually(lambda: _all_new(operator, before), within=30)
        await settled(operator, 2, people)
        whole = time.monotonic() - began
        await finish(people)
    nothing_lost(people)
    cut = sum(len(stays) - count for stays, count in zip(people.stays, connected, strict=True))
    tell(
        f"SIGKILL of {service}: {cut} of {PEOPLE} clients cut, everybody served again after {served:.2f} s,"
        f" whole again after {whole:.1f} s, publications refused: {len(people.refused)}, broken: {len(people.broken)}"
    )
    if service == "registry":
        assert cut == 0
        assert not people.refused, people.refused[:5]


async def _all_new(operator: Operator, before: set[str]) -> bool:
    ready = await operator.ready()
    return len(ready) == 2 and len(ready & before) == 1


@pytest.mark.parametrize("service", ["node", "registry", "haproxy"])
def test_containers_are_confined(cluster: Compose, service: str) -> None:
    container = cluster.containers(service)[0]
    found = cluster.inspect(container)
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    status = cluster.docker.docker("exec", container, "cat", "/proc/1/status")
    values = dict(line.split(":\t", 1) for line in status.splitlines())
    assert values["Uid"].split() == ["10001"] * 4
    assert int(values["CapEff"], 16) == 0
    assert values["NoNewPrivs"] == "1"
    script = "for f in / /etc /opt /usr/local; do ! touch $f/x 2>/dev/null || exit 1; done"
    cluster.docker.docker("exec", container, "sh", "-c", script)


def test_secrets_are_in_no_environment_and_no_log(cluster: Compose) -> None:
    texts = [cluster.run("logs", "--no-color")]
    for service in ("node", "registry", "haproxy"):
        texts += [json.dumps(cluster.inspect(container)) for container in cluster.containers(service)]
    for name in ("cluster-secret", "token-secret", "admin-key"):
        assert not any(cluster.secret(name) in text for text in texts)


async def test_nodes_drain_at_a_stop(cluster: Compose) -> None:
    """The last one: all clients of a node that is stopped are with the other, and it has ended by itself."""
    async with crowd(cluster, PEOPLE) as (operator, people):
        await settled(operator, 2, people)
        container = cluster.containers("node")[0]
        began = time.monotonic()
        await asyncio.to_thread(cluster.docker.docker, "stop", container)
        took = time.monotonic() - began
        await settled(operator, 1, people)
        await finish(people)
    nothing_lost(people)
    assert not people.refused, people.refused[:5]
    assert cluster.inspect(container)["State"]["ExitCode"] == 0
    tell(f"stop of a node: {took:.1f} s")
    assert took < DRAIN_SECONDS + 5
    cluster.run("stop")
    for service in ("node", "registry"):
        for stopped in cluster.run("ps", "--all", "--quiet", service).split():
            assert cluster.inspect(stopped)["State"]["ExitCode"] == 0
