"""A node's membership with everything around it observed."""

from __future__ import annotations

from wsplatform.core.handshake import Identity
from wsplatform.core.node_life import Timing
from wsplatform.core.reports import Reports
from wsplatform.errors import PlatformError, StartError
from wsplatform.model import ClusterConfig, Instance, LinkStatus, Member, NodeStatus, View
from wsplatform.net.tasks import Tasks
from wsplatform.node.membership import Membership
from wsplatform.node.registry_client import HttpRegistryClient, RegistryClient

SECRET = "a-secret-of-the-tests"
FAST = Timing(retry_first=0.02, retry_cap=0.1, refused_first=0.05, refused_cap=0.2, settle=5.0, told_again=0.02)


def identity(instance: Instance, *secrets: str, version: int = 1) -> Identity:
    return Identity("test", "node", instance, secrets or (SECRET,), version)


def registry_identity(*secrets: str, version: int = 1) -> Identity:
    return Identity("test", "registry", Instance("registry", "1"), secrets or (SECRET,), version)


class ObservedNode:
    """A node that has no sessions; its peers settle as soon as it has a view, unless `settles` is false."""

    def __init__(
        self, client: RegistryClient, instance: Instance, timing: Timing = FAST, *, settles: bool = True
    ) -> None:
        self.instance = instance
        self.views: list[View] = []
        self.configs: list[ClusterConfig] = []
        self.failures: list[PlatformError] = []
        self.unusable = False
        self.client = client
        self.tasks = Tasks()
        self.reports = Reports()
        self.membership = Membership(client, self, self, self.tasks, timing, self.reports)
        self._settles = settles

    @classmethod
    def over_http(cls, url: str, node_id: str = "n1", incarnation: str = "1", secret: str = SECRET) -> ObservedNode:
        instance = Instance(node_id, incarnation)
        return cls(HttpRegistryClient(url, identity(instance, secret), timeout=2.0), instance)

    def member(self) -> Member:
        if self.unusable:
            raise StartError("address_unusable", "Change node.host.")
        return Member(
            node_id=self.instance.node_id,
            incarnation=self.instance.incarnation,
            cluster_url="ws://127.0.0.1:9000",
            client_url="http://127.0.0.1:9000",
        )

    def status(self) -> NodeStatus:
        return NodeStatus(state="", ready=False, draining=False, uptime=1.0, sessions=7)

    def links(self) -> tuple[LinkStatus, ...]:
        return ()

    def config_changed(self, config: ClusterConfig) -> None:
        self.configs.append(config)

    def view_changed(self, view: View) -> None:
        self.views.append(view)
        if self._settles:
            self.membership.peers_settled()

    def became_ready(self) -> None:
        pass

    def failed(self, error: PlatformError) -> None:
        self.failures.append(error)

    async def close(self) -> None:
        await self.tasks.close()
        await self.client.close()
