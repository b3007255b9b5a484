"""The node of a process: composed here, each part given the two or three others that it uses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from loguru import logger
from sanic import Blueprint

from wsplatform import __version__
from wsplatform.app.cluster import NodeCluster
from wsplatform.app.parts import Process
from wsplatform.app.transports import process_transport, start_failed
from wsplatform.core.metrics import Measured, Recent, Sample
from wsplatform.errors import PlatformError
from wsplatform.model import ClusterConfig, LinkStatus, Member, NodeStatus, Publication, View
from wsplatform.net.upgrade import Acceptor
from wsplatform.node import canary
from wsplatform.node.backend import Backend
from wsplatform.node.directory import Directory
from wsplatform.node.eviction import Eviction
from wsplatform.node.fanout import Fanout, Meter
from wsplatform.node.inspection import Inspection
from wsplatform.node.local_directory import LocalDirectory, LocalNode
from wsplatform.node.membership import Membership
from wsplatform.node.metrics import MetricsManager
from wsplatform.node.policy import Policy
from wsplatform.node.publisher import Publisher
from wsplatform.node.registry_client import HttpRegistryClient, RegistryService
from wsplatform.node.relay import Relay
from wsplatform.node.session import SessionServices
from wsplatform.node.sessions import Sessions
from wsplatform.node.subscriptions import Subscriptions
from wsplatform.node.survey import Survey
from wsplatform.node.watch import LocalWatch
from wsplatform.transports.base import Answering, Described, Inbound, Peer
from wsplatform.web.calls import calls_blueprint
from wsplatform.web.client_face import PATH, CentrifugeAcceptor, token_verifier
from wsplatform.web.examples import examples_blueprint
from wsplatform.web.prometheus import Keys
from wsplatform.web.server_api import server_api_blueprint

MISSING_SECONDS = 10.0
"""How long a connection with a node of the view may be missing before the log says so; then again every so often:"""

AGAIN_SECONDS = 60.0

NOTICE_SECONDS = 2.0
"""For how long a node that drains takes publications at least, though it has no clients.

HAProxy looks each second whether it is ready, and passes on the requests of backends until then. At most
node.drain_seconds.
"""

_STARTING = "This node is not connected with the others yet: publish on another one, or try again."
_STOPPING = "This node is shutting down: publish on another one."


class NodePart:
    """`registry`: the one in this process; None: it is asked over HTTP. `stop` is set when the node must end by itself.

    Raises SettingsError and StartError for settings that cannot be used.
    """

    def __init__(self, process: Process, registry: RegistryService | None, stop: asyncio.Event) -> None:
        settings = process.settings
        loop = asyncio.get_running_loop()
        self.error: PlatformError | None = None  # for which the node had to end by itself
        self._process = process
        self._stop = stop
        self._transport = process_transport(process)
        self._policy = Policy()
        self._sessions = Sessions()
        self._relay = Relay(self._transport, self._deliver, process.sweep, settings.cluster)
        self._canary = canary.CanaryRounds(
            process.instance.node_id, self._relay, self._reachable, settings.cluster.canary_seconds
        )
        self._subscriptions = Subscriptions(self._relay)
        self._meter = Meter()
        metered = self._meter if settings.metrics.enabled else None
        self._fanout = Fanout(self._subscriptions.groups, loop.call_soon, metered)
        self._publisher = Publisher(self._fanout, self._relay)
        self._publisher.refuse(_STARTING)
        self._recent_deliveries = Recent(self._meter.delivery)
        self._eviction = Eviction(self._policy, self._sessions, loop.call_soon)
        self._http = HttpRegistryClient(
            settings.registry.url,
            process.identity("node"),
            settings.registry.timeout_seconds,
            process.tls.connecting,
        )
        self._clients = self._client_face()
        survey = Survey(self._relay)
        self._backend = self._make_backend(survey)
        inspection = Inspection(process.instance, self._sessions, self._subscriptions, self)
        self.cluster = NodeCluster(inspection, survey, LocalWatch(self._subscriptions), settings.api.survey_seconds)
        self._metrics = MetricsManager((*self.measured(), *process.measured), self._meter, self._subscriptions)
        self._membership = Membership(registry or self._http, self, self, process.tasks, reports=self._metrics.reports)
        self._mesh_watch = _MeshWatch(self._relay, self._membership, process.addresses.cluster_url)

    async def start(self) -> None:
        """Join the mesh and the cluster; returns before the registry has answered."""
        own = Peer(self._process.instance, self._process.addresses.cluster_url)
        try:
            await self._relay.start(own)
        except (Exception, SystemExit) as error:
            raise start_failed(self._process.settings.cluster.carriers, error) from error
        self._process.sweep.add(self._mesh_watch)
        if self._process.settings.cluster.canary_seconds:
            self._canary.start()
            self._process.sweep.add(self._canary)
        if self._process.settings.metrics.enabled:
            self._metrics.start()
        await self._membership.start()

    async def drain(self) -> None:
        """Ask all clients to connect elsewhere, within node.drain_seconds, then leave the cluster."""
        await self._membership.drain_and_leave(self._let_clients_go)

    async def close(self) -> None:
        """Close what `start` opened. Idempotent."""
        self._process.sweep.discard(self._mesh_watch)
        self._process.sweep.discard(self._canary)
        self._metrics.stop()
        await self._relay.stop()
        await self._http.close()

    # For the listeners

    def client_acceptors(self) -> Mapping[str, Acceptor]:
        return {PATH: self._clients}

    def mesh_acceptors(self) -> Mapping[str, Acceptor]:
        return self._transport.acceptors() if isinstance(self._transport, Inbound) else {}

    def node_face(self) -> Sequence[Blueprint]:
        return [calls_blueprint(self._transport.calls())] if isinstance(self._transport, Answering) else []

    def blueprints(self) -> Sequence[Blueprint]:
        api = server_api_blueprint(self._backend, self._policy, self._process.settings.api.max_request_bytes)
        return [api, examples_blueprint()] if self._process.settings.node.examples else [api]

    async def wait_ready(self, timeout: float) -> bool:
        """Whether it is ready; waits for it up to `timeout` seconds, or until it stops."""
        return await self._membership.wait_ready(timeout)

    @property
    def draining(self) -> bool:
        return self._membership.draining

    def reasons(self) -> tuple[str, ...]:
        return self._membership.reasons()

    # node/inspection.py: Orders

    def publish(self, channel: str, publication: Publication) -> None:
        self._backend.publish(channel, publication)

    def end(self) -> None:
        logger.info("The admin API has asked this node to end")
        self._stop.set()

    @property
    def keys(self) -> Keys:
        return self._policy

    def measured(self) -> Sequence[Measured]:
        """All that counts in this node."""
        return (
            self,
            self._publisher,
            self._fanout,
            self._backend.counts,
            self._clients,
            self._sessions,
            self._subscriptions,
            self._relay,
            self._canary,
        )

    def measure(self) -> Iterator[Sample]:
        yield Sample("sent", self._sent)
        yield Sample("ready", float(self._membership.ready))

    # node/membership.py: LocalNode and MembershipEvents

    def member(self) -> Member:
        instance, addresses = self._process.instance, self._process.addresses
        return Member(
            node_id=instance.node_id,
            incarnation=instance.incarnation,
            cluster_url=addresses.cluster_url,
            client_url=addresses.client_url,
        )

    def status(self) -> NodeStatus:
        process = self._process
        return NodeStatus(
            state="",
            ready=False,
            draining=False,
            uptime=process.readings.uptime,
            sessions=len(self._sessions),
            users=self._sessions.users,
            channels=len(self._subscriptions),
            subscriptions=self._subscriptions.seats,
            publications=self._publisher.publications,
            deliveries=self._fanout.deliveries,
            dropped=self._relay.dropped,
            cpu_seconds=process.readings.cpu,
            memory_bytes=process.readings.memory,
            lag=process.lag.take_highest(),
            errors=self._clients.counts.errors.total() + self._backend.counts.errors.total(),
            sent_bytes=self._sent,
            received_bytes=self._clients.traffic.received,
            delivery_p99=self._recent_deliveries.quantile(0.99),
        )

    def links(self) -> tuple[LinkStatus, ...]:
        return tuple(self._timed(link) for link in self._relay.links())

    def config_changed(self, config: ClusterConfig) -> None:
        self._policy.update(config)

    def view_changed(self, view: View) -> None:
        observers = frozenset(member.node_id for member in view.members if member.role != "node")
        peers = frozenset(Peer(member.instance, member.cluster_url) for member in view.members)
        self._relay.set_peers(peers, observers)

    def became_ready(self) -> None:
        self._publisher.accept()

    def failed(self, error: PlatformError) -> None:
        self.error = error
        self._stop.set()

    def _deliver(self, channel: str, publication: Publication) -> None:
        """The relay is made before the fan-out, which needs the subscriptions, which need the relay."""
        if channel.startswith(canary.PREFIX):
            self._canary.received(publication)
        else:
            self._fanout.deliver(channel, publication)

    def _reachable(self) -> Iterator[str]:
        return (peer_id for peer_id in self._relay.peers if self._relay.reaches(peer_id))

    def _timed(self, link: LinkStatus) -> LinkStatus:
        canary = self._canary.status(link.node_id)
        carrier = link.transport
        if link.state == "up" and not isinstance(self._transport, Described):
            carrier = self._process.settings.cluster.transport
        return msgspec.structs.replace(link, transport=carrier, canary=canary.round_trip, canary_late=canary.late)

    async def _let_clients_go(self) -> None:
        """Then the publications: the mesh ends before the view does, so that the peers read all that was accepted."""
        self._fanout.flush()
        seconds = self._process.settings.node.drain_seconds
        await asyncio.gather(self._clients.drain(seconds), asyncio.sleep(min(seconds, NOTICE_SECONDS)))
        self._publisher.refuse(_STOPPING)
        await self._relay.stop()
        if self._process.settings.metrics.enabled:
            self._metrics.stop()
            self._metrics.cut()

    @property
    def _sent(self) -> int:
        return self._fanout.sent + self._clients.traffic.sent

    def _client_face(self) -> CentrifugeAcceptor:
        settings = self._process.settings
        services = SessionServices(
            policy=self._policy,
            subscriptions=self._subscriptions,
            publisher=self._publisher,
            tokens=token_verifier(settings.client),
            max_channels=settings.client.max_channels,
        )
        return CentrifugeAcceptor(
            settings.client, settings.proxy.trusted, services, self._sessions, version=__version__
        )

    def _make_backend(self, survey: Survey) -> Backend:
        settings = self._process.settings
        node = LocalNode(self._process.instance, lambda: self._process.readings.uptime)
        local = LocalDirectory(node, self._sessions, self._subscriptions)
        directory = Directory(local, survey, settings.api.survey_seconds)
        return Backend(self._policy, self._publisher, directory, settings.api.max_publication_bytes)


class _MeshWatch:
    """Tells the membership when the mesh has settled, and the log who is missing. A member of the sweep, every time."""

    deadline = 0.0

    def __init__(self, relay: Relay, membership: Membership, own_url: str) -> None:
        self._relay = relay
        self._membership = membership
        self._own_url = own_url
        self._warn_at: float | None = None

    def expired(self, now: float) -> None:
        if self._relay.settled:
            self._warn_at = None
            if not self._membership.ready:
                self._membership.peers_settled()
        elif self._warn_at is None:
            self._warn_at = now + MISSING_SECONDS
        elif now >= self._warn_at:
            self._warn_at = now + AGAIN_SECONDS
            self._warn()

    def _warn(self) -> None:
        missing = [
            f"{link.node_id} ({link.address})" for link in self._relay.links() if link.state not in ("up", "left")
        ]
        if missing:
            logger.warning(
                "No connection with {}: publications do not pass. One of two nodes dials: they must reach each other "
                "at their cluster.url, which here is {}, and have cluster.transport or cluster.fallback in common",
                ", ".join(missing),
                self._own_url,
            )
