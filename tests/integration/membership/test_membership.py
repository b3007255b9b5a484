"""A node and its registry over real HTTP: registering, reporting, the registry's absence and return, and leaving."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import msgspec
import pytest
from loguru import logger

from tests.support.nodes import FAST, SECRET, ObservedNode, identity, registry_identity
from tests.support.registry import MemoryRegistry, RegistryServer
from tests.support.wait import eventually
from wsplatform.core.handshake import Identity
from wsplatform.core.node_events import State
from wsplatform.core.node_life import Timing
from wsplatform.errors import PlatformError
from wsplatform.model import BusyChannel, Heartbeat, HeartbeatReply, Instance, MetricReport
from wsplatform.node.registry_client import HttpRegistryClient


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
async def server(registry: MemoryRegistry) -> AsyncIterator[RegistryServer]:
    server = RegistryServer(registry, registry_identity())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def nodes() -> AsyncIterator[list[ObservedNode]]:
    """Nodes put in here are closed at the end."""
    nodes: list[ObservedNode] = []
    yield nodes
    for node in nodes:
        await node.close()


@pytest.fixture
async def node(server: RegistryServer, nodes: list[ObservedNode]) -> ObservedNode:
    node = ObservedNode.over_http(server.url)
    nodes.append(node)
    await node.membership.start()
    assert await node.membership.wait_ready(5)
    return node


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, level="INFO", format="{level} {message}")
    yield lines
    logger.remove(sink)


def settled(registry: MemoryRegistry, node_id: str, *, ready: bool) -> Callable[[], bool]:
    def check() -> bool:
        status = registry.statuses.get(node_id)
        return status is not None and status.ready is ready

    return check


async def test_a_node_registers_gets_rules_and_view_and_reports(registry: MemoryRegistry, node: ObservedNode) -> None:
    assert node.configs == [registry.config]
    assert [member.instance for member in node.views[-1].members] == [node.instance]
    assert node.membership.reasons() == ()
    await eventually(settled(registry, "n1", ready=True))
    status = registry.statuses["n1"]
    assert (status.state, status.sessions, status.draining) == ("ready", 7, False)
    assert node.failures == []


async def test_changes_reach_the_node_with_its_next_report(registry: MemoryRegistry, node: ObservedNode) -> None:
    registry.set_rules("chat:*", "news")
    await eventually(lambda: node.configs[-1] is not None and node.configs[-1].version == registry.config.version)
    assert node.membership.config == registry.config
    other = ObservedNode(registry, Instance("n2", "1"))
    await registry.register(other.member())
    await eventually(lambda: len(node.views[-1].members) == 2)
    assert node.membership.view == registry.view


async def test_nothing_new_is_not_handed_out_again(registry: MemoryRegistry, node: ObservedNode) -> None:
    before = registry.heartbeats
    await eventually(lambda: registry.heartbeats > before + 5)
    assert len(node.configs) == len(node.views) == 1


async def test_while_the_registry_is_away_the_node_serves_on_and_it_comes_back_by_itself(
    server: RegistryServer, registry: MemoryRegistry, node: ObservedNode, log: list[str]
) -> None:
    await server.stop()
    await eventually(lambda: node.membership.state is State.DISCONNECTED)
    assert node.membership.last_error is not None
    assert node.membership.last_error.code == "registry_unavailable"
    for _ in range(20):
        assert node.membership.ready
        assert node.membership.config == registry.config
        await asyncio.sleep(0.02)
    assert sum("WARNING" in line for line in log) == 1, log
    registry.set_rules("changed-meanwhile")
    await server.start()
    await eventually(lambda: node.membership.state is State.READY)
    assert node.membership.config == registry.config
    assert node.membership.last_error is None
    assert any("answers again" in line for line in log)


async def test_a_registry_that_lost_its_memory_gets_the_node_anew(server: RegistryServer, node: ObservedNode) -> None:
    await server.stop()
    server.service = forgetful = MemoryRegistry()
    forgetful.set_rules("other")
    await server.start()
    await eventually(settled(forgetful, "n1", ready=True))
    assert forgetful.member("n1") is not None
    assert node.configs[-1] == forgetful.config
    assert node.membership.ready


async def test_a_registry_that_forgets_only_the_node_gets_it_at_once(
    registry: MemoryRegistry, node: ObservedNode
) -> None:
    await registry.leave(node.instance)
    await eventually(lambda: registry.member("n1"))
    member = registry.member("n1")
    assert member is not None
    assert member.ready, "it was serving all the time, and says so when it registers"
    assert node.membership.ready


async def test_a_registry_that_forgets_sessions_is_asked_in_a_new_one(
    server: RegistryServer, registry: MemoryRegistry, node: ObservedNode
) -> None:
    """As after an hour, or a restart between two reports: no failure, no new registration."""
    before, registrations = registry.heartbeats, registry.registrations
    await server.stop()
    await server.start()
    await eventually(lambda: registry.heartbeats > before + 3)
    assert registry.registrations <= registrations + 1
    assert node.membership.ready


async def test_a_node_that_starts_first_waits_for_the_registry(
    server: RegistryServer, nodes: list[ObservedNode]
) -> None:
    await server.stop()
    node = ObservedNode.over_http(server.url)
    nodes.append(node)
    await node.membership.start()
    assert not await node.membership.wait_ready(0.3)
    assert node.configs == []
    assert "registry" in node.membership.reasons()[0]
    await server.start()
    assert await node.membership.wait_ready(5)


async def test_a_newer_instance_ends_the_older_one(server: RegistryServer, node: ObservedNode, log: list[str]) -> None:
    newer = ObservedNode.over_http(server.url, "n1", "2")
    await newer.membership.start()
    assert await newer.membership.wait_ready(5)
    await eventually(lambda: node.failures)
    assert [error.code for error in node.failures] == ["superseded"]
    assert node.membership.state is State.STOPPED
    assert not node.membership.ready
    assert any("ERROR" in line and "superseded" in line for line in log)
    await node.membership.drain_and_leave()
    await newer.close()


async def test_leaving_is_reported_first_and_takes_the_node_out(registry: MemoryRegistry, node: ObservedNode) -> None:
    seen: list[str] = []
    await eventually(settled(registry, "n1", ready=True))

    async def drain() -> None:
        assert not node.membership.ready
        assert node.membership.draining
        await eventually(lambda: registry.statuses["n1"].draining)
        seen.append(registry.statuses["n1"].state)
        assert registry.member("n1") is not None

    await node.membership.drain_and_leave(drain)
    assert seen == ["draining"]
    assert registry.member("n1") is None
    assert node.membership.state is State.STOPPED
    assert node.failures == []
    heartbeats = registry.heartbeats
    await asyncio.sleep(0.2)
    assert registry.heartbeats == heartbeats
    await node.membership.drain_and_leave()


async def test_leaving_works_without_a_registry(server: RegistryServer, node: ObservedNode) -> None:
    await server.stop()
    async with asyncio.timeout(3):
        await node.membership.drain_and_leave()
    assert node.membership.state is State.STOPPED


async def test_leaving_before_the_registry_was_ever_reached(server: RegistryServer, nodes: list[ObservedNode]) -> None:
    await server.stop()
    nodes.append(ObservedNode.over_http(server.url))
    await nodes[0].membership.start()
    async with asyncio.timeout(3):
        await nodes[0].membership.drain_and_leave()


async def test_a_drain_that_fails_still_leaves(registry: MemoryRegistry, node: ObservedNode) -> None:
    async def drain() -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await node.membership.drain_and_leave(drain)
    assert registry.member("n1") is None


async def test_peers_that_never_settle_hold_a_node_up_for_a_bounded_time(
    server: RegistryServer, nodes: list[ObservedNode]
) -> None:
    instance = Instance("n1", "1")
    client = HttpRegistryClient(server.url, identity(instance), timeout=2.0)
    node = ObservedNode(client, instance, Timing(settle=0.3), settles=False)
    nodes.append(node)
    await node.membership.start()
    await eventually(lambda: node.views)
    assert "connections" in node.membership.reasons()[0]
    assert not node.membership.ready
    assert await node.membership.wait_ready(2)


@pytest.mark.parametrize(
    ("other", "code", "sentence"),
    [
        (registry_identity("another"), "wrong_secret", "cluster.secrets"),
        (registry_identity(version=2), "wrong_version", "same release"),
    ],
)
async def test_a_node_that_is_refused_says_what_to_do_and_comes_in_once_it_is_done(
    nodes: list[ObservedNode], log: list[str], other: Identity, code: str, sentence: str
) -> None:
    server = RegistryServer(MemoryRegistry(), other)
    await server.start()
    node = ObservedNode.over_http(server.url)
    nodes.append(node)
    await node.membership.start()
    await eventually(lambda: node.membership.last_error)
    assert node.membership.last_error is not None
    assert node.membership.last_error.code == code
    await asyncio.sleep(0.5)
    told = [line for line in log if sentence in line]
    assert len(told) == 2, "once by the node, once by the registry, however often it tries"
    assert not any(secret in line for line in log for secret in (*other.secrets, SECRET))
    assert not node.membership.ready
    assert node.failures == []
    await server.stop()
    server.identity = registry_identity()
    await server.start()
    assert await node.membership.wait_ready(5)
    await server.stop()


async def test_settings_that_cannot_be_used_end_the_node(server: RegistryServer, nodes: list[ObservedNode]) -> None:
    node = ObservedNode.over_http(server.url)
    nodes.append(node)
    node.unusable = True
    await node.membership.start()
    assert not await node.membership.wait_ready(5)
    assert [error.code for error in node.failures] == ["address_unusable"]


class Broken(MemoryRegistry):
    async def heartbeat(self, beat: Heartbeat) -> HeartbeatReply:
        raise ZeroDivisionError


async def test_a_driver_that_breaks_takes_the_node_with_it(nodes: list[ObservedNode]) -> None:
    """Instead of leaving it mute: here a registry in the same process, with an error that nobody has foreseen."""
    node = ObservedNode(Broken(), Instance("n1", "1"))
    nodes.append(node)
    await node.membership.start()
    await eventually(lambda: node.failures)
    assert node.failures[0].code == "internal"
    async with asyncio.timeout(2):
        await node.membership.drain_and_leave()


async def test_an_error_inside_the_registry_is_a_registry_that_is_away(
    server: RegistryServer, nodes: list[ObservedNode]
) -> None:
    await server.stop()
    server.service = Broken()
    await server.start()
    node = ObservedNode.over_http(server.url)
    nodes.append(node)
    await node.membership.start()
    assert await node.membership.wait_ready(5)
    await eventually(lambda: node.membership.last_error)
    assert isinstance(node.membership.last_error, PlatformError)
    assert node.membership.last_error.temporary
    assert node.membership.ready
    assert node.failures == []


async def test_thirty_nodes_come_back_together(
    server: RegistryServer, registry: MemoryRegistry, nodes: list[ObservedNode]
) -> None:
    registry.heartbeat_seconds = 0.3
    nodes += [ObservedNode.over_http(server.url, f"n{number}") for number in range(30)]
    for node in nodes:
        await node.membership.start()
    assert all(await asyncio.gather(*(node.membership.wait_ready(20) for node in nodes)))
    await eventually(lambda: all(len(node.views[-1].members) == 30 for node in nodes), within=10)
    await server.stop()
    await eventually(lambda: all(node.membership.state is not State.READY for node in nodes), within=10)
    server.service = fresh = MemoryRegistry(0.3)
    await server.start()
    await eventually(lambda: len(fresh.view.members) == 30, within=20)
    await eventually(lambda: all(len(node.views[-1].members) == 30 for node in nodes), within=10)
    assert all(node.membership.ready and not node.failures for node in nodes)
    await asyncio.gather(*(node.membership.drain_and_leave() for node in nodes))
    assert fresh.view.members == ()


def counted(number: int, **more: object) -> MetricReport:
    """Some two kilobytes of it: names of channels."""
    report = MetricReport(
        number=0,
        began=10.0 * number,
        ended=10.0 * number + 10,
        counters={"deliveries": {"": number}},
        gauges={f"channel-{index}": {"x" * 20: 1.0} for index in range(50)},
        histograms={},
    )
    return msgspec.structs.replace(report, **more)


def committed(registry: MemoryRegistry, node: ObservedNode) -> list[float]:
    return [report.counters["deliveries"][""] for report in registry.reports.get(node.instance, ())]


async def test_what_a_node_has_counted_is_committed_once_whatever_the_registry_does(
    registry: MemoryRegistry, server: RegistryServer, node: ObservedNode
) -> None:
    node.reports.add(counted(1))
    await eventually(lambda: committed(registry, node) == [1])
    registry.commits = False
    node.reports.add(counted(2))
    beats = registry.heartbeats
    await eventually(lambda: registry.heartbeats > beats + 2)
    await server.stop()
    for number in range(3, 200):
        node.reports.add(counted(number))
    await server.start()
    registry.commits = True
    await eventually(lambda: len(node.reports) == 0)
    assert committed(registry, node) == list(range(1, 200))
    assert [report.number for report in registry.reports[node.instance]] == list(range(1, 200))


async def test_a_report_is_never_too_large_for_a_call(registry: MemoryRegistry, node: ObservedNode) -> None:
    busiest = tuple(BusyChannel("ä" * 120 + f"{number:03}", number, 1) for number in range(200))
    gauges = {f"link_{name}": {f"{peer:064}": 1.5 for peer in range(300)} for name in "abc"}
    for number in range(60):
        node.reports.add(counted(number, gauges=gauges, busiest=busiest))
    await eventually(lambda: len(node.reports) == 0)
    assert committed(registry, node) == list(range(60))
    assert registry.reports[node.instance][-1].busiest == busiest
    assert node.failures == []


async def test_what_was_counted_last_is_told_before_the_node_leaves(
    registry: MemoryRegistry, node: ObservedNode
) -> None:
    async def drain() -> None:
        for number in range(1, 101):
            node.reports.add(counted(number))

    await node.membership.drain_and_leave(drain)
    assert committed(registry, node) == list(range(1, 101))
    assert registry.member("n1") is None


async def test_what_was_counted_last_is_told_to_a_registry_that_commits_it_late(
    registry: MemoryRegistry, node: ObservedNode
) -> None:
    registry.commits = False
    node.reports.add(counted(1))
    beats = registry.heartbeats
    leaving = asyncio.create_task(node.membership.drain_and_leave())
    await eventually(lambda: registry.heartbeats > beats + 5)
    registry.commits = True
    await leaving
    assert committed(registry, node) == [1]
    assert registry.member("n1") is None


async def test_what_was_counted_last_is_told_to_a_registry_that_is_restarted_meanwhile(
    registry: MemoryRegistry, server: RegistryServer, node: ObservedNode
) -> None:
    await server.stop()
    node.reports.add(counted(1))
    leaving = asyncio.create_task(node.membership.drain_and_leave())
    await eventually(lambda: node.membership.last_error is not None)
    await server.start()
    await leaving
    assert committed(registry, node) == [1]
    assert registry.member("n1") is None


@pytest.mark.parametrize("away", [False, True])
async def test_a_registry_that_commits_nothing_holds_up_the_end_for_a_while_only(
    registry: MemoryRegistry, server: RegistryServer, nodes: list[ObservedNode], away: bool
) -> None:
    instance = Instance("n1", "1")
    client = HttpRegistryClient(server.url, identity(instance), timeout=2.0)
    node = ObservedNode(client, instance, replace(FAST, farewell=0.3))
    nodes.append(node)
    await node.membership.start()
    assert await node.membership.wait_ready(5)
    registry.commits = False
    if away:
        await server.stop()
    node.reports.add(counted(1))
    await asyncio.wait_for(node.membership.drain_and_leave(), 1.5)
    assert node.membership.state is State.STOPPED
    assert (registry.member("n1") is not None) is away
