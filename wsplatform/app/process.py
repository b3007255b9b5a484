"""One process: its addresses, its registry, its node, its listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

from loguru import logger
from sanic import Blueprint

from wsplatform import __version__
from wsplatform.app.addresses import Inherited, new_instance, open_addresses
from wsplatform.app.node import NodePart
from wsplatform.app.parts import Process
from wsplatform.app.registry import RegistryPart
from wsplatform.net.descriptors import room
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.net.tls import Tls, TlsFiles
from wsplatform.net.upgrade import Acceptor
from wsplatform.node.health import Health
from wsplatform.node.process import LoopLag, ProcessReadings
from wsplatform.settings import Settings
from wsplatform.settings_load import check_production
from wsplatform.web.health import health_blueprint
from wsplatform.web.prometheus import About, prometheus_blueprint
from wsplatform.web.server import WebServer, make_app
from wsplatform.web.upgrade import HeadLimits, protocol_factory

Role = Literal["all", "node", "registry"]
SWEEP_SECONDS = 0.25
"""How late a deadline may be noticed; the shortest that matters is cluster.ping_seconds."""

PULSE_SECONDS = 1.0
READY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """Where a started process can be reached. `node_id` is empty for a registry without a node."""

    role: Role
    node_id: str
    url: str
    registry_url: str


@dataclass(frozen=True, slots=True)
class Supervised:
    """For a process that a supervisor has started. pulse: told every second whether the process is ready.

    Clients may be waiting at its socket already. A node lets them in when it is ready, or as one that is not when
    it has not become so for a while, as without a registry.
    """

    inherited: Inherited
    pulse: Callable[[bool], None]


async def serve(
    settings: Settings,
    *,
    role: Role,
    stop: asyncio.Event,
    ready: Callable[[ProcessInfo], None] | None = None,
    supervised: Supervised | None = None,
) -> None:
    """Run until `stop` is set, then drain and leave; `ready` is called once the process listens.

    Raises SettingsError and StartError, and after an orderly end the error for which the node had to end by itself.
    """
    check_production(settings, node=role != "registry", registry=role != "node")
    async with AsyncExitStack() as stack:
        process = await _open_process(stack, settings, supervised.inherited if supervised else None)
        registry = await _open_registry(stack, process, role)
        node = NodePart(process, registry.service if registry else None, stop) if role != "registry" else None
        health = _health(process, registry, node)
        clients, *nodes = await _prepare(stack, _servers(process, (registry, node), health))
        for server in nodes if supervised else (clients, *nodes):
            await server.serve()
        if node is not None:
            stack.push_async_callback(node.close)
            await node.start()
        if supervised is not None:
            await _ready_or_stopped(process, node, stop)
            await clients.serve()
            _Pulse(health, supervised.pulse).begin(process.sweep)
        if ready is not None:
            ready(_info(process, role))
        logger.info("Listening on {}", process.addresses.client_url)
        await stop.wait()
        if registry is not None:
            registry.draining = node is None
        if node is not None:
            await node.drain()
    if node is not None and node.error is not None:
        raise node.error


class _Pulse:
    """A member of the sweep."""

    def __init__(self, health: Health, tell: Callable[[bool], None]) -> None:
        self.deadline = 0.0
        self._health = health
        self._tell = tell

    def begin(self, sweep: Sweep) -> None:
        sweep.add(self)
        self.expired(asyncio.get_running_loop().time())

    def expired(self, now: float) -> None:
        self.deadline = now + PULSE_SECONDS
        self._tell(self._health.readiness().ready)


async def _ready_or_stopped(process: Process, node: NodePart | None, stop: asyncio.Event) -> None:
    if node is None:
        return
    waiting = [
        process.tasks.start(node.wait_ready(READY_SECONDS), name="wait until ready"),
        process.tasks.start(stop.wait(), name="wait for a stop"),
    ]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


async def _open_process(stack: AsyncExitStack, settings: Settings, inherited: Inherited | None) -> Process:
    cluster = settings.cluster
    tls = Tls(TlsFiles(cluster.tls_certificate, cluster.tls_key, cluster.tls_ca))
    addresses = open_addresses(settings, inherited)
    stack.callback(addresses.close)
    tasks, sweep = Tasks(), Sweep(SWEEP_SECONDS)
    sweep.start(asyncio.get_running_loop())
    stack.callback(sweep.stop)
    stack.push_async_callback(tasks.close)
    lag = LoopLag()
    lag.start()
    stack.callback(lag.stop)
    readings = ProcessReadings()
    stack.callback(readings.close)
    return Process(settings, new_instance(settings), addresses, tasks, sweep, tls, readings, lag)


async def _open_registry(stack: AsyncExitStack, process: Process, role: Role) -> RegistryPart | None:
    if role == "node":
        return None
    registry = RegistryPart(process, alone=role == "registry")
    stack.push_async_callback(registry.close)
    await registry.start()
    return registry


def _servers(process: Process, parts: tuple[RegistryPart | None, NodePart | None], health: Health) -> list[WebServer]:
    """The clients', and those of the node face where it has addresses of its own."""
    registry, node = parts
    running = _parts(registry, node)
    settings, addresses = process.settings, process.addresses
    public = _watched(process, parts, health)
    if registry is not None:
        public.extend(registry.blueprints(node.cluster if node is not None else None))
    if node is not None:
        public.extend(node.blueprints())
    private = [face for part in running for face in part.node_face()]
    routes: dict[str, Acceptor] = dict(node.client_acceptors()) if node is not None else {}
    mesh = dict(node.mesh_acceptors()) if node is not None else {}
    if addresses.node is None:
        public, routes = [*public, *private], {**routes, **mesh}
    head = HeadLimits(settings.client.head_bytes, settings.client.head_seconds)
    name = f"wsplatform-{process.instance.incarnation}"
    app = make_app(name, public, settings.api.max_request_bytes, settings.proxy.trusted)
    servers = [WebServer(app, addresses.client, protocol_factory(routes, process.sweep, head, room().connections))]
    for ending, listener, tls in (
        ("nodes", addresses.node, process.tls.listening),
        ("neighbours", addresses.local, None),
    ):
        if listener is not None:
            face = make_app(
                f"{name}-{ending}", [*_watched(process, parts, health), *private], settings.api.max_request_bytes
            )
            servers.append(WebServer(face, listener, protocol_factory(mesh, process.sweep, head), tls))
    return servers


def _watched(process: Process, parts: tuple[RegistryPart | None, NodePart | None], health: Health) -> list[Blueprint]:
    """Health and metrics of the whole process, on each of its listeners: those of workers share the clients' port."""
    registry, node = parts
    running = _parts(registry, node)
    measured = (*process.measured, *(one for part in running for one in part.measured()))
    about = About(__version__, "" if node is None else process.instance.node_id, process.readings.began)
    keys = None if process.settings.metrics.open else running[0].keys  # a registry knows all, a node what it was told
    more = tuple if registry is None else registry.metrics_of_plugins
    return [health_blueprint(health), prometheus_blueprint(measured, about, keys, more)]


async def _prepare(stack: AsyncExitStack, servers: list[WebServer]) -> list[WebServer]:
    for server in servers:
        stack.push_async_callback(server.stop)
        await server.prepare()
    return servers


def _parts(registry: RegistryPart | None, node: NodePart | None) -> list[RegistryPart | NodePart]:
    return [part for part in (registry, node) if part is not None]


def _health(process: Process, registry: RegistryPart | None, node: NodePart | None) -> Health:
    """Of the whole process."""
    parts = _parts(registry, node)
    return Health(
        [part.reasons for part in parts],
        lambda: any(part.draining for part in parts),
        lambda: process.lag.recent,
    )


def _info(process: Process, role: Role) -> ProcessInfo:
    url = process.addresses.client_url
    return ProcessInfo(
        role=role,
        node_id="" if role == "registry" else process.instance.node_id,
        url=url,
        registry_url=process.settings.registry.url if role == "node" else url,
    )
