"""The registry that runs by itself as a peer of the nodes, without clients: so that the admin API can ask all of them.

It dials every node and has no address itself. No node waits for it, and no publication needs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

from loguru import logger

from wsplatform.app.parts import Process
from wsplatform.app.transports import process_transport, start_failed
from wsplatform.errors import INTERNAL, CommandError, PlatformError
from wsplatform.model import REGISTRY_ID, ClusterConfig, Instance, LinkStatus, Member, NodeStatus, Publication, View
from wsplatform.node.backend import size_of
from wsplatform.node.inquiry import Findings, Inquiry
from wsplatform.node.membership import Membership
from wsplatform.node.relay import Relay
from wsplatform.node.survey import Survey
from wsplatform.node.watch import Listener, RemoteWatch
from wsplatform.registry.service import Registry
from wsplatform.transports.base import Peer
from wsplatform.wire import inspect as wire

MISSING_SECONDS = 10.0
"""How long a connection with a node of the view may be missing before the log says so; then again every so often:"""

AGAIN_SECONDS = 60.0
LEAVE_SECONDS = 1.0
"""How long the end waits for the database to know of it: the next run takes the place in any case."""


class Observer:
    """web/admin/cluster.py: Cluster. `registry`: the one in this process."""

    holder = ""

    def __init__(self, process: Process, registry: Registry) -> None:
        """Raises StartError for a transport that cannot be used."""
        self._instance = Instance(REGISTRY_ID, process.instance.incarnation)
        self._process = process
        self._watch = RemoteWatch()
        self._relay = Relay(process_transport(process), self._watch.deliver, process.sweep, process.settings.cluster)
        self._inquiry = Inquiry(Survey(self._relay), process.settings.api.survey_seconds)
        self._membership = Membership(registry, self, self, process.tasks)
        self._missing = _Missing(self._relay)
        self._registry = registry

    async def start(self) -> None:
        """Join the mesh; returns before any node is connected. Raises StartError for a transport that cannot work."""
        try:
            await self._relay.start(Peer(self._instance))
        except (Exception, SystemExit) as error:
            raise start_failed(self._process.settings.cluster.carriers, error) from error
        self._registry.subscribe(self._follow)
        self._process.sweep.add(self._missing)
        await self._membership.start()

    async def close(self) -> None:
        """Leave what `start` joined, while the registry still works. Idempotent."""
        self._process.sweep.discard(self._missing)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._membership.drain_and_leave()
        await self._relay.stop()

    # web/admin/cluster.py: Cluster

    async def ask(self, question: wire.Question, node_id: str = "") -> Findings:
        return await self._inquiry.ask(question, node_id)

    async def publish(self, channel: str, publication: Publication) -> None:
        size_of(publication, self._process.settings.api.max_publication_bytes)
        serving = [
            member.node_id
            for member in self._registry.view.nodes
            if member.ready and not member.draining and self._relay.reaches(member.node_id)
        ]
        if not serving:
            raise CommandError(INTERNAL, "The registry is connected with no node that is ready: try again.")
        await self._inquiry.publish(channel, publication, random.choice(serving))  # noqa: S311 - spreads the work

    def watch(self, channel: str, listener: Listener, known: Callable[[], None]) -> Callable[[], None]:
        return self._watch.watch(self._relay, channel, listener, known)

    # node/membership.py: LocalNode and MembershipEvents

    def member(self) -> Member:
        return Member(
            node_id=self._instance.node_id,
            incarnation=self._instance.incarnation,
            cluster_url="",
            client_url="",
            role="registry",
        )

    def status(self) -> NodeStatus:
        return NodeStatus(state="", ready=False, draining=False, uptime=0.0)

    def links(self) -> tuple[LinkStatus, ...]:
        return ()

    def config_changed(self, config: ClusterConfig) -> None:
        pass

    def view_changed(self, view: View) -> None:
        """It is a member, which is all: `_follow` hears of views earlier."""
        self._membership.peers_settled()

    def became_ready(self) -> None:
        pass

    def failed(self, error: PlatformError) -> None:
        logger.error("The admin API cannot ask the nodes any more: is another registry running on this database?")

    def _follow(self, view: View) -> None:
        self._relay.set_peers(frozenset(Peer(member.instance, member.cluster_url) for member in view.nodes))


class _Missing:
    """Tells the log which nodes cannot be asked. A member of the sweep, every time."""

    deadline = 0.0

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._warn_at: float | None = None

    def expired(self, now: float) -> None:
        missing = [f"{link.node_id} ({link.address})" for link in self._relay.links() if link.state == "connecting"]
        if not missing:
            self._warn_at = None
        elif self._warn_at is None:
            self._warn_at = now + MISSING_SECONDS
        elif now >= self._warn_at:
            self._warn_at = now + AGAIN_SECONDS
            logger.warning(
                "No connection with {}: the admin API cannot ask there. The registry dials the nodes: it must reach "
                "them at their cluster.url, and have cluster.transport or cluster.fallback in common with them",
                ", ".join(missing),
            )
