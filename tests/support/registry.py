"""A registry that lives in memory, and a real HTTP server for any registry, to be stopped and started again."""

from __future__ import annotations

import itertools
import socket

from sanic.server.protocols.http_protocol import HttpProtocol

from wsplatform.core.control import SessionLimits
from wsplatform.core.handshake import Identity
from wsplatform.errors import RequestError
from wsplatform.model import (
    ChannelRule,
    ClusterConfig,
    Heartbeat,
    HeartbeatReply,
    Instance,
    Known,
    Member,
    MetricReport,
    NodeStatus,
    Registration,
    View,
)
from wsplatform.net.listen import bind
from wsplatform.node.registry_client import RegistryService
from wsplatform.web.cluster_api import cluster_blueprint
from wsplatform.web.server import WebServer, make_app

_names = itertools.count(1)


class MemoryRegistry:
    """Keeps its instances until they leave; who registers last has the node id."""

    def __init__(self, heartbeat_seconds: float = 0.05) -> None:
        self.heartbeat_seconds = heartbeat_seconds
        self.view = View(1)
        self.config = ClusterConfig(1, (ChannelRule(pattern="*"),))
        self.statuses: dict[str, NodeStatus] = {}
        self.registrations = 0
        self.heartbeats = 0
        self.commits = True
        """Whether it commits metric reports."""
        self.reports: dict[Instance, list[MetricReport]] = {}
        self._taken_over: set[Instance] = set()

    def member(self, node_id: str) -> Member | None:
        return next((member for member in self.view.members if member.node_id == node_id), None)

    def set_rules(self, *patterns: str) -> None:
        rules = tuple(ChannelRule(pattern=pattern) for pattern in patterns)
        self.config = ClusterConfig(self.config.version + 1, rules)

    async def register(self, member: Member, known: Known = Known()) -> Registration:  # noqa: B008 - immutable
        if member.instance in self._taken_over:
            raise self._superseded()
        self.registrations += 1
        if self.member(member.node_id) != member:
            old = self.member(member.node_id)
            if old is not None and old.instance != member.instance:
                self._taken_over.add(old.instance)
            self.view = View(self.view.number + 1, (*self.view.without(member.node_id), member))
        return Registration(self.view, self.config, self.heartbeat_seconds)

    async def heartbeat(self, beat: Heartbeat) -> HeartbeatReply:
        if beat.instance in self._taken_over:
            raise self._superseded()
        member = self.member(beat.instance.node_id)
        if member is None:
            raise RequestError(404, "not_registered", "Register first.")
        self.heartbeats += 1
        self.statuses[member.node_id] = beat.status
        reports = self.reports.setdefault(beat.instance, [])
        highest = reports[-1].number if reports else 0
        if self.commits:
            reports.extend(report for report in beat.reports if report.number > highest)
        return HeartbeatReply(
            view=self.view if self.view.number > beat.view else None,
            config=self.config if self.config.version > beat.config else None,
            reports=reports[-1].number if reports else 0,
        )

    async def leave(self, instance: Instance) -> None:
        member = self.member(instance.node_id)
        if member is not None and member.instance == instance:
            self.view = View(self.view.number + 1, self.view.without(instance.node_id))

    async def close(self) -> None:
        pass

    def _superseded(self) -> RequestError:
        return RequestError(409, "superseded", "A newer instance has this node id: give each node an id of its own.")


class RegistryServer:
    """`service` behind real HTTP on a port that stays the same from one start to the next."""

    def __init__(self, service: RegistryService, identity: Identity, limits: SessionLimits | None = None) -> None:
        self.service = service
        self.identity = identity
        self.limits = limits
        self._port = 0
        self._server: WebServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start anew: with another table of sessions, and whatever `service` and `identity` are by now."""
        listener: socket.socket = bind("127.0.0.1", self._port)
        self._port = listener.getsockname()[1]
        blueprint = cluster_blueprint(self.service, self.identity, self.limits)
        app = make_app(f"registry-{next(_names)}", [blueprint], max_request_bytes=400_000)
        self._server = WebServer(app, listener, HttpProtocol)
        await self._server.start()

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace=0.05)
