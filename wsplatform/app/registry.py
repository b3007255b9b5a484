"""The registry of a process, with the plugins that follow the cluster, and the operators' face of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from loguru import logger
from sanic import Blueprint

from wsplatform.app.cluster import NoCluster
from wsplatform.app.observer import Observer
from wsplatform.app.parts import Process
from wsplatform.core.metrics import Measured, Metric
from wsplatform.errors import PlatformError, StartError
from wsplatform.plugins.base import PluginStatus
from wsplatform.plugins.host import Plugins
from wsplatform.registry.service import Registry
from wsplatform.web import openapi, server_api_doc
from wsplatform.web.admin import doc, routes
from wsplatform.web.admin.audit import audit_routes
from wsplatform.web.admin.channels import channel_routes
from wsplatform.web.admin.cluster import Cluster
from wsplatform.web.admin.events import Sources, event_routes
from wsplatform.web.admin.gate import Gate
from wsplatform.web.admin.keys import key_routes
from wsplatform.web.admin.metrics import metric_routes
from wsplatform.web.admin.nodes import node_routes
from wsplatform.web.admin.orders import order_routes
from wsplatform.web.admin.rules import rule_routes
from wsplatform.web.admin.session import login_routes
from wsplatform.web.admin.sessions import session_routes
from wsplatform.web.admin.watch import watch_routes
from wsplatform.web.cluster_api import cluster_blueprint
from wsplatform.web.dashboard import dashboard_blueprint
from wsplatform.web.docs import docs_blueprint
from wsplatform.web.prometheus import Keys
from wsplatform.web.proxies import Proxies


class RegistryPart:
    """alone: no node is in this process, so it joins the mesh to ask them all."""

    def __init__(self, process: Process, *, alone: bool) -> None:
        self.draining = False
        self._alone = alone
        self._observer: Observer | None = None
        self._no_cluster = NoCluster(StartError("not_started", "It has not started."))
        self.service = Registry(process.settings.registry, process.settings.metrics)
        self._process = process
        self._plugins = Plugins(process.settings)

    async def start(self) -> None:
        """Raises StartError."""
        await self.service.start()
        self.service.subscribe(self._plugins.view_changed)
        await self._plugins.start()
        if self._alone:
            await self._observe()

    async def close(self) -> None:
        """Idempotent."""
        if self._observer is not None:
            await self._observer.close()
        await self._plugins.stop()
        await self.service.close()

    def blueprints(self, node: Cluster | None) -> Sequence[Blueprint]:
        """node: the way to the nodes that the one in this process has."""
        cluster = node or self._observer or self._no_cluster
        return operators_face(self.service, self._plugins.status, cluster, self._process.settings.proxy.trusted)

    def node_face(self) -> Sequence[Blueprint]:
        return [cluster_blueprint(self.service, self._process.identity("registry"))]

    def reasons(self) -> tuple[str, ...]:
        """Why it is not ready: on its way out; it has started, or there is no process."""
        return ("the registry is shutting down",) if self.draining else ()

    @property
    def keys(self) -> Keys:
        return self.service.configuration

    def measured(self) -> Sequence[Measured]:
        return (self.service, self._plugins)

    def metrics_of_plugins(self) -> Iterable[Metric]:
        return self._plugins.metrics

    async def _observe(self) -> None:
        """What is wrong with the mesh is not the registry's: nodes may have a transport that is not installed here."""
        try:
            observer = Observer(self._process, self.service)
            await observer.start()
        except PlatformError as error:
            logger.error("The admin API cannot ask the nodes: {}", error)
            self._no_cluster = NoCluster(error)
        else:
            self._observer = observer


def operators_face(
    service: Registry,
    plugins: Callable[[], Mapping[str, PluginStatus]],
    cluster: Cluster,
    trusted: Iterable[str] = (),
) -> Sequence[Blueprint]:
    """The admin API, its documentation, and the dashboard. `trusted`: as settings.ProxyTable."""
    gate = Gate(service.configuration, service.logins, Proxies(trusted))
    areas: tuple[routes.Route[Any, Any], ...] = (
        *login_routes(service.logins, service.audit, gate),
        *node_routes(service, plugins),
        *channel_routes(cluster, service.configuration),
        *watch_routes(cluster),
        *session_routes(cluster, service.audit),
        *order_routes(cluster, service, service.audit),
        *rule_routes(service.configuration),
        *key_routes(service.configuration),
        *audit_routes(service.audit),
        *metric_routes(service.metrics),
        *event_routes(Sources(service, service.configuration, plugins, service.audit, service.metrics)),
    )
    document = openapi.document((doc.part(areas), server_api_doc.part()))
    return [routes.blueprint(areas, gate), docs_blueprint(document), dashboard_blueprint()]
