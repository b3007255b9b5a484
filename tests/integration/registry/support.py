"""A registry with short times, and nodes that report to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from wsplatform.model import (
    Heartbeat,
    HeartbeatReply,
    Instance,
    LinkState,
    LinkStatus,
    Member,
    MetricReport,
    NodeStatus,
    Registration,
)
from wsplatform.registry.service import Registry
from wsplatform.settings import RegistryTable

DEAD_SECONDS = 0.6


def settings(database: Path | str = ":memory:", **changes: Any) -> RegistryTable:
    """`database`: a file, or a URL."""
    if "://" not in str(database):
        database = f"sqlite:///{database}"
    table = RegistryTable(database=str(database), heartbeat_seconds=0.1, dead_seconds=DEAD_SECONDS, admin_key="a" * 40)
    return msgspec.structs.replace(table, **changes)


@contextlib.asynccontextmanager
async def running(database: Path | str = ":memory:", **changes: Any) -> AsyncIterator[Registry]:
    registry = Registry(settings(database, **changes))
    await registry.start()
    try:
        yield registry
    finally:
        await registry.close()


def member(node_id: str, incarnation: str = "1", **flags: bool) -> Member:
    return Member(
        node_id=node_id,
        incarnation=incarnation,
        cluster_url=f"ws://{node_id}:8000",
        client_url=f"http://{node_id}:8000",
        **flags,
    )


class Node:
    """What a node says to a registry, and what it knows."""

    def __init__(self, node_id: str, incarnation: str = "1") -> None:
        self.instance = Instance(node_id, incarnation)
        self.view = 0
        self.config = 0

    async def register(self, registry: Registry, **flags: bool) -> Registration:
        registration = await registry.register(member(*self.instance_parts, **flags))
        self.view = registration.view.number
        self.config = registration.config.version
        return registration

    async def beat(
        self,
        registry: Registry,
        *,
        ready: bool = False,
        draining: bool = False,
        links: tuple[LinkStatus, ...] = (),
        reports: tuple[MetricReport, ...] = (),
        sent_at: float = 0.0,
    ) -> HeartbeatReply:
        status = NodeStatus(state="ready", ready=ready, draining=draining, uptime=1.0, sessions=3)
        reply = await registry.heartbeat(
            Heartbeat(
                instance=self.instance,
                view=self.view,
                config=self.config,
                status=status,
                links=links,
                reports=reports,
                sent_at=sent_at,
            )
        )
        self.view = reply.view.number if reply.view else self.view
        self.config = reply.config.version if reply.config else self.config
        return reply

    @property
    def instance_parts(self) -> tuple[str, str]:
        return self.instance.node_id, self.instance.incarnation


def link_with(peer_id: str, state: LinkState = "up") -> LinkStatus:
    return LinkStatus(
        node_id=peer_id,
        incarnation="1",
        address=f"ws://{peer_id}:8000",
        state=state,
        transport="websocket",
        since=1.5,
        rtt=0.002,
        queued=10,
        unacknowledged=20,
        sent=30,
        received=40,
        replayed=5,
        duplicates=6,
        dropped={"expired": 7},
        gaps=8,
        canary=0.003,
        canary_late=1,
    )


def ids(registry: Registry) -> list[str]:
    return [member.node_id for member in registry.view.members]
