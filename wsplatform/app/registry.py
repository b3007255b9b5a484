"""The registry of a process, with the plugins that follow the cluster, and the operators' face of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sanic import Blueprint

from wsplatform.app.parts import Process
from wsplatform.plugins.base import PluginStatus
from wsplatform.plugins.host import Plugins
from wsplatform.registry.service import Registry
from wsplatform.web import openapi, server_api_doc
from wsplatform.web.admin import doc, routes
from wsplatform.web.admin.gate import Gate
from wsplatform.web.admin.keys import key_routes
from wsplatform.web.admin.metrics import metric_routes
from wsplatform.web.admin.nodes import node_routes
from wsplatform.web.admin.rules import rule_routes
from wsplatform.web.cluster_api import cluster_blueprint
from wsplatform.web.dashboard import dashboard_blueprint
from wsplatform.web.docs import docs_blueprint


class RegistryPart:
    def __init__(self, process: Process) -> None:
        self.draining = False
        self.service = Registry(process.settings.registry, process.settings.metrics)
        self._process = process
        self._plugins = Plugins(process.settings)

    async def start(self) -> None:
        """Raises StartError."""
        await self.service.start()
        self.service.subscribe(self._plugins.view_changed)
        await self._plugins.start()

    async def close(self) -> None:
        """Idempotent."""
        await self._plugins.stop()
        await self.service.close()

    def blueprints(self) -> Sequence[Blueprint]:
        return operators_face(self.service, self._plugins.status)

    def node_face(self) -> Sequence[Blueprint]:
        return [cluster_blueprint(self.service, self._process.identity("registry"))]

    def reasons(self) -> tuple[str, ...]:
        """Why it is not ready: it has started, or there is no process."""
        return ()


def operators_face(service: Registry, plugins: Callable[[], Mapping[str, PluginStatus]]) -> Sequence[Blueprint]:
    """The admin API, its documentation, and the dashboard."""
    areas: tuple[routes.Route[Any, Any], ...] = (
        *node_routes(service, plugins),
        *rule_routes(service.configuration),
        *key_routes(service.configuration),
        *metric_routes(service.metrics),
    )
    document = openapi.document((doc.part(areas), server_api_doc.part()))
    return [routes.blueprint(areas, Gate(service.configuration)), docs_blueprint(document), dashboard_blueprint()]
