"""Nodes with the registry as it is, on SQLite, behind real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.nodes import ObservedNode, registry_identity
from tests.support.registry import RegistryServer
from tests.support.wait import eventually
from wsplatform.core.node_events import State
from wsplatform.model import ChannelRule
from wsplatform.registry.service import Registry
from wsplatform.settings import RegistryTable


class RealRegistry:
    """A registry process as the nodes see it: started and stopped as a whole."""

    def __init__(self, folder: Path) -> None:
        self.settings = self._with_database(folder / "registry.db")
        self.registry = Registry(self.settings)
        self.server = RegistryServer(self.registry, registry_identity())

    async def start(self) -> None:
        self.registry = self.server.service = Registry(self.settings)
        await self.registry.start()
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop()
        await self.registry.close()

    def lose_database(self, folder: Path) -> None:
        self.settings = self._with_database(folder / "empty.db")

    def _with_database(self, path: Path) -> RegistryTable:
        return RegistryTable(database=f"sqlite:///{path}", heartbeat_seconds=0.1, dead_seconds=1.0)


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[RealRegistry]:
    real = RealRegistry(tmp_path)
    await real.start()
    yield real
    await real.stop()


@pytest.fixture
async def nodes(real: RealRegistry) -> AsyncIterator[list[ObservedNode]]:
    nodes = [ObservedNode.over_http(real.server.url, f"n{number}") for number in range(3)]
    for node in nodes:
        await node.membership.start()
    for node in nodes:
        assert await node.membership.wait_ready(10)
    await eventually(lambda: all(len(node.views[-1].members) == 3 for node in nodes))
    await eventually(lambda: all(member.ready for member in real.registry.view.members))
    yield nodes
    for node in nodes:
        await node.close()


async def test_a_rule_reaches_all_nodes(real: RealRegistry, nodes: list[ObservedNode]) -> None:
    await real.registry.configuration.set_rule(ChannelRule(pattern="chat:*"))
    for node in nodes:
        await eventually(lambda node=node: any(rule.pattern == "chat:*" for rule in node.configs[-1].rules), within=2)


async def test_a_restart_of_the_registry_changes_nothing(real: RealRegistry, nodes: list[ObservedNode]) -> None:
    before = real.registry.view
    await real.stop()
    await eventually(lambda: all(node.membership.state is State.DISCONNECTED for node in nodes))
    await asyncio.sleep(1.5)  # longer than dead_seconds: nobody may be dropped for the registry's own absence
    await real.start()
    await eventually(lambda: all(node.membership.state is State.READY for node in nodes))
    await asyncio.sleep(1.5)
    assert real.registry.view == before
    assert all(node.views[-1].number == before.number for node in nodes)
    assert all(node.membership.ready for node in nodes)


async def test_an_empty_registry_gets_everybody_anew(
    real: RealRegistry, nodes: list[ObservedNode], tmp_path: Path
) -> None:
    number = real.registry.view.number
    await real.stop()
    real.lose_database(tmp_path)
    await real.start()
    await eventually(lambda: len(real.registry.view.members) == 3)
    await eventually(lambda: all(node.membership.view == node.views[-1] for node in nodes))
    await eventually(lambda: all(len(node.views[-1].members) == 3 for node in nodes))
    assert real.registry.view.number > number
    for node in nodes:  # no number ever stood for two views
        numbers = [view.number for view in node.views]
        assert numbers == sorted(numbers)
    assert all(node.membership.ready for node in nodes)


async def test_a_crashed_node_leaves_the_view_and_one_that_leaves_does_so_at_once(
    real: RealRegistry, nodes: list[ObservedNode]
) -> None:
    crashed, leaving, staying = nodes
    await leaving.membership.drain_and_leave()
    await eventually(lambda: len(staying.views[-1].members) == 2, within=0.8)
    await crashed.close()
    await eventually(lambda: [m.node_id for m in staying.views[-1].members] == [staying.instance.node_id])


async def test_a_restarted_node_takes_its_id_over(real: RealRegistry, nodes: list[ObservedNode]) -> None:
    old = nodes[0]
    new = ObservedNode.over_http(real.server.url, old.instance.node_id, "2")
    await new.membership.start()
    assert await new.membership.wait_ready(5)
    await eventually(lambda: old.failures)
    assert old.failures[0].code == "superseded"
    assert old.membership.state is State.STOPPED
    assert len(real.registry.view.members) == 3
    await new.close()
