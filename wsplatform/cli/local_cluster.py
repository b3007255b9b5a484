"""A registry, nodes and HAProxy as processes of this machine."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp

from wsplatform.cli.child import Child
from wsplatform.cli.cluster_files import Keys
from wsplatform.cli.http import Caller
from wsplatform.cli.options import Server
from wsplatform.errors import StartError
from wsplatform.net.tasks import Tasks
from wsplatform.plugins.haproxy_process import HAProxyProcess
from wsplatform.settings import Settings
from wsplatform.supervisor.run import describe

READY_SECONDS = 30.0
STOP_SECONDS = 8.0
LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.05
_COOKIE = "WSNODE"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. `environment`: the variables that every process gets. `bind`: the balancer's host:port."""

    settings: Settings
    environment: Mapping[str, str]
    nodes: int
    bind: str
    keys: Keys
    data: Path
    temporary: Path


@dataclass(frozen=True, slots=True)
class NodeAddress:
    id: str
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is, once it is ready. `balancer` is None where HAProxy is not installed."""

    balancer: str | None
    registry: str
    nodes: tuple[NodeAddress, ...]
    api_key: str


class LocalCluster:
    """`say` gets every line of the processes' logs, and what becomes of the processes."""

    def __init__(self, plan: Plan, say: Callable[[str], None], tasks: Tasks) -> None:
        self._plan = plan
        self._say = say
        self._tasks = tasks
        self._balancer: HAProxyProcess | None = None
        self._registry = self._child("registry")
        self._nodes = [self._child(f"node-{number}") for number in range(1, plan.nodes + 1)]
        self._stopping = False
        self.lost = False
        """Whether a process ended by itself."""

    async def start(self) -> Addresses:
        """Returns when clients and backends are served at every address. Raises PlatformError."""
        self._balancer = await self._start_balancer()
        proxied = {**self._balancer.environment()} if self._balancer else {}
        registry = await self._registry.start(["--role", "registry"], self._for_registry(proxied))
        url = str(registry["url"])
        api_key = await self._api_key(url)  # before there are nodes, which then know it from the start
        infos = await asyncio.gather(
            *(node.start(["--role", "node"], self._for_node(node.name, url, bool(proxied))) for node in self._nodes)
        )
        nodes = tuple(
            NodeAddress(child.name, str(info["url"]), child.pid) for child, info in zip(self._nodes, infos, strict=True)
        )
        balancer = f"http://{_reachable(self._plan.bind)}" if self._balancer else None
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._until_ready(balancer, nodes)
        except TimeoutError as error:
            raise StartError("start_timeout", f"The cluster was not ready within {READY_SECONDS:.0f} s.") from error
        return Addresses(balancer, url, nodes, api_key)

    async def run(self) -> None:
        """Report each process that ends. Returns when no node is left."""
        watched = [self._tasks.start(self._watch(node), name=f"watch {node.name}") for node in self._nodes]
        self._tasks.start(self._watch(self._registry), name="watch registry")
        if self._balancer is not None:
            self._tasks.start(self._watch_balancer(self._balancer), name="watch haproxy")
        await asyncio.gather(*watched)
        if not self._stopping:
            self._say("no node is left")

    async def stop(self) -> None:
        """Nodes first, so that clients hear of it; then what they stand on."""
        self._stopping = True
        seconds = self._plan.settings.node.drain_seconds + STOP_SECONDS
        await asyncio.gather(*(node.stop(seconds) for node in self._nodes))
        await self._registry.stop(STOP_SECONDS)
        if self._balancer is not None:
            await self._balancer.stop()

    def kill(self) -> None:
        """End all at once. `stop` still has to be awaited."""
        self._stopping = True
        for child in (*self._nodes, self._registry):
            child.signal(signal.SIGKILL)

    async def _start_balancer(self) -> HAProxyProcess | None:
        balancer = HAProxyProcess(self._plan.settings.haproxy, self._plan.bind, self._plan.temporary)
        try:
            await balancer.start()
        except StartError as error:
            if error.code != "haproxy_missing":
                raise
            self._say(f"no load balancer: {error.message}")
            return None
        return balancer

    def _child(self, name: str) -> Child:
        width = max(len("registry"), len(f"node-{self._plan.nodes}"))
        return Child(name, lambda line: self._say(f"{name.ljust(width)} | {line}"), self._tasks)

    def _for_registry(self, proxied: Mapping[str, str]) -> dict[str, str]:
        path = quote(str(self._plan.data / "registry.db"))
        return {
            **self._plan.environment,
            **proxied,
            "WSP_REGISTRY__DATABASE": f"sqlite:///{path}",
            "WSP_NODE__ID": "registry",
        }

    def _for_node(self, name: str, registry: str, proxied: bool) -> dict[str, str]:
        trusted = {"WSP_PROXY__TRUSTED": LOOPBACK} if proxied else {}
        return {**self._plan.environment, **trusted, "WSP_NODE__ID": name, "WSP_REGISTRY__URL": registry}

    async def _until_ready(self, balancer: str | None, nodes: tuple[NodeAddress, ...]) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            await asyncio.gather(*(_until(_is_ready, http, node.url) for node in nodes))
            if balancer is not None:
                await _until_balanced(http, balancer, {node.id for node in nodes})

    async def _api_key(self, registry: str) -> str:
        """The one of an earlier run, where the registry still knows it, or a new one."""
        async with Caller(Server(registry, self._plan.keys.admin_key), "registry") as caller:
            known = (await caller.ask("GET", "/admin/v1/keys"))["items"]
            text = self._plan.keys.api_key
            if any(text.startswith(f"wsp_{key['id']}_") for key in known):
                return text
            made = await caller.ask("POST", "/admin/v1/keys", {"name": "local cluster", "scopes": ["api"]})
        return str(made["key"])

    async def _watch(self, child: Child) -> None:
        status = await child.ended()
        if self._stopping:
            return
        self.lost = True
        rest = "the nodes go on serving" if child is self._registry else "the others go on"
        self._say(f"{child.name} ended ({describe(status)}): {rest}")

    async def _watch_balancer(self, balancer: HAProxyProcess) -> None:
        status = await balancer.ended()
        if not self._stopping:
            self.lost = True
            self._say(f"haproxy ended ({describe(status)}): the nodes' own addresses still work")


async def _until(condition: Callable[..., Awaitable[bool]], *arguments: object) -> None:
    while not await condition(*arguments):  # noqa: ASYNC110 - what it waits for happens in other processes
        await asyncio.sleep(_POLL_SECONDS)


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/health/ready") as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _until_balanced(http: aiohttp.ClientSession, url: str, nodes: set[str]) -> None:
    """Until the balancer sends to every node; it names the node in a cookie."""
    missing = set(nodes)
    while missing:
        try:
            async with http.get(f"{url}/health/ready") as response:
                cookie = response.cookies.get(_COOKIE)
                if response.status == 200 and cookie is not None:
                    missing.discard(cookie.value)
        except (aiohttp.ClientError, TimeoutError):
            pass
        http.cookie_jar.clear()
        await asyncio.sleep(_POLL_SECONDS)


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _reachable(bind: str) -> str:
    """An address to connect to for one to listen on."""
    host, _, port = bind.rpartition(":")
    return f"{LOOPBACK}:{port}" if host in ("", "*", "0.0.0.0") else bind  # noqa: S104 - compared, not bound
