"""A cluster while it is brought up to date: the registry first, nodes of the release before it go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tests.support.nodes import ObservedNode, registry_identity
from tests.support.registry import MemoryRegistry, RegistryServer
from tests.support.wait import eventually
from wsplatform.model import ApiKey, ChannelRule, Heartbeat, Known, Member


class NewerRule(ChannelRule, frozen=True, kw_only=True):
    history: int = 0


class NewerKey(ApiKey, frozen=True, kw_only=True):
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Newer:
    """A reply with something in it that no node of today has heard of."""

    view: Any
    config: Any
    heartbeat_seconds: float = 0.05
    reports: int = 0
    advice: str = "rest"


class NewerRegistry(MemoryRegistry):
    async def register(self, member: Member, known: Known = Known()) -> Any:  # noqa: B008 - immutable
        reply = await super().register(member, known)
        return Newer(reply.view, reply.config)

    async def heartbeat(self, beat: Heartbeat) -> Any:
        reply = await super().heartbeat(beat)
        return Newer(reply.view, reply.config)

    def add_an_option(self) -> None:
        rules = (NewerRule(pattern="news", subscribe="anyone", history=10), NewerRule(pattern="*"))
        keys = (NewerKey(id="k", name="k", digest="00", scopes=("api", "paint"), expires=1.5),)  # type: ignore[arg-type]
        self.config = msgspec.structs.replace(self.config, version=self.config.version + 1, rules=rules, keys=keys)


async def test_a_node_goes_on_when_the_registry_adds_an_option():
    registry = NewerRegistry()
    server = RegistryServer(registry, registry_identity())
    await server.start()
    node, late = (ObservedNode.over_http(server.url, name) for name in ("n1", "n2"))
    try:
        await node.membership.start()
        await eventually(lambda: node.membership.ready)
        registry.add_an_option()
        await late.membership.start()
        for one in (node, late):
            await eventually(lambda one=one: one.configs and one.configs[-1].version == registry.config.version)
            assert one.configs[-1].rules == (ChannelRule(pattern="news", subscribe="anyone"), ChannelRule(pattern="*"))
            assert one.configs[-1].keys == (ApiKey(id="k", name="k", digest="00", scopes=("api",)),)
        beats = registry.heartbeats
        await eventually(lambda: registry.heartbeats > beats + 4)
        assert node.membership.ready
        assert registry.registrations == 2
        assert not node.failures
    finally:
        await node.close()
        await late.close()
        await server.stop()
