"""The registry of a process, with the plugins that follow the cluster."""

from __future__ import annotations

from collections.abc import Sequence

from sanic import Blueprint

from wsplatform.app.parts import Process
from wsplatform.plugins.host import Plugins
from wsplatform.registry.service import Registry
from wsplatform.web import admin_doc, openapi, server_api_doc
from wsplatform.web.admin_api import admin_blueprint
from wsplatform.web.cluster_api import cluster_blueprint
from wsplatform.web.docs import docs_blueprint

_SERVER_API = openapi.Part(server_api_doc.TAG, server_api_doc.paths(), server_api_doc.components())


class RegistryPart:
    def __init__(self, process: Process) -> None:
        self.draining = False
        self.service = Registry(process.settings.registry)
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
        """The operators' face."""
        document = openapi.document((admin_doc.part(), _SERVER_API))
        admin = admin_blueprint(self.service, self.service.configuration, self._plugins.status)
        return [admin, docs_blueprint(document)]

    def node_face(self) -> Sequence[Blueprint]:
        return [cluster_blueprint(self.service, self._process.identity("registry"))]

    def reasons(self) -> tuple[str, ...]:
        """Why it is not ready: it has started, or there is no process."""
        return ()
