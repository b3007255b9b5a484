"""A cluster of docker/compose.yaml, its operator, its backend and its clients."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import jwt

from tests.support.client import Client
from tests.support.engine import Engine
from tests.support.processes import free_port
from tests.support.wait import eventually

HERE = Path(__file__).parent
DRAIN_SECONDS = 3


def tell(figures: str) -> None:
    """For who runs the tests with -s."""
    sys.stdout.write(f"\n{figures}\n")


class Compose:
    """Ports, secrets and names of its own, so that nothing of the machine's is in the way."""

    def __init__(self, docker: Engine, clone: Path) -> None:
        self.folder = clone / "docker"
        self.project = f"wsp-test-{secrets.token_hex(3)}"
        self.image = f"{self.project}:local"
        self.http, self.https, self.admin = (free_port() for _ in range(3))
        self._secrets = self.folder / "secrets"
        subprocess.run([str(self.folder / "secrets.sh")], check=True)
        self.docker = Engine(
            {
                **docker.environment,
                "WSP_IMAGE": self.image,
                "HTTP_ADDRESS": f"127.0.0.1:{self.http}",
                "HTTPS_ADDRESS": f"127.0.0.1:{self.https}",
                "ADMIN_ADDRESS": f"127.0.0.1:{self.admin}",
                "SUBNET": f"10.213.{random.randrange(256)}.0/24",
                "NODE_DRAIN_SECONDS": str(DRAIN_SECONDS),
                "NOFILE": str(min(os.sysconf("SC_OPEN_MAX"), 20_000)),
            }
        )

    def with_settings(self, **variables: str) -> Compose:
        """The same cluster, as compose sees it with these variables changed."""
        changed = copy.copy(self)
        changed.docker = Engine({**self.docker.environment, **variables})
        return changed

    def run(self, *arguments: str, timeout: float = 90.0, check: bool = True) -> str:
        files = ("-f", str(self.folder / "compose.yaml"), "-f", str(HERE / "compose.test.yaml"))
        return self.docker.docker("compose", "-p", self.project, *files, *arguments, timeout=timeout, check=check)

    def secret(self, name: str) -> str:
        return (self._secrets / name).read_text().strip()

    @property
    def certificate(self) -> str:
        return str(self._secrets / "site.pem")

    @property
    def url(self) -> str:
        """Of the balancer, by TLS."""
        return f"https://localhost:{self.https}"

    def token(self) -> str:
        return jwt.encode({"sub": "42"}, self.secret("token-secret"), algorithm="HS256")

    def containers(self, service: str) -> list[str]:
        return self.run("ps", "--quiet", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.docker.docker("inspect", container))[0]
        return found

    def scale(self, nodes: int) -> None:
        self.run("up", "--detach", "--wait", "--no-recreate", "--scale", f"node={nodes}", timeout=120)

    def kill(self, container: str) -> None:
        """SIGKILL to its first process, as the kernel does when memory is short: the engine starts it again."""
        os.kill(self.inspect(container)["State"]["Pid"], 9)


class Operator:
    """Of the registry's admin API."""

    def __init__(self, http: aiohttp.ClientSession, compose: Compose) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{compose.admin}/admin/v1"
        self._headers = {"X-API-Key": compose.secret("admin-key")}

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        async with self._http.request(method, f"{self._url}/{path}", json=body, headers=self._headers) as reply:
            answer = await reply.json()
            assert reply.status < 300, answer
            return answer

    async def ready(self) -> set[str]:
        """The ids of nodes that are; none while the registry does not answer."""
        try:
            nodes = (await self.ask("GET", "nodes"))["items"]
        except (aiohttp.ClientError, OSError):
            return set()
        return {node["id"] for node in nodes if node["ready"] and not node["draining"]}

    async def informed(self) -> bool:
        """Whether all nodes have the rules and keys of now."""
        newest = (await self.ask("GET", "rules"))["config"]
        return all(node["config"] >= newest for node in (await self.ask("GET", "nodes"))["items"])


@dataclass(slots=True)
class Stay:
    """One connection of a client: the numbers that it got, and when it was over, by the monotonic clock."""

    numbers: list[int] = field(default_factory=list)
    code: int | None = None
    ended: float | None = None

    @property
    def doubled(self) -> int:
        return len(self.numbers) - len(set(self.numbers))


class Crowd:
    """Clients over wss that come back when they are sent away, and a backend that publishes numbers all the while."""

    CHANNEL = "news"

    def __init__(self, http: aiohttp.ClientSession, backend: aiohttp.ClientSession, compose: Compose, key: str) -> None:
        """`http`: of the clients, each of which goes to any node. `backend`: goes to one, for order is kept there."""
        self._http = http
        self._compose = compose
        self._backend = backend
        self._headers = {"X-API-Key": key}
        self._tasks: list[asyncio.Task[None]] = []
        self.stays: list[list[Stay]] = []
        self.connected = 0
        self.accepted: list[int] = []
        self.refused: list[str] = []
        self.broken: list[str] = []
        self._number = 0
        self.publishing = True

    def come(self, number: int) -> None:
        self._tasks += [asyncio.create_task(self._client()) for _ in range(number)]

    def publish(self) -> None:
        self._tasks.append(asyncio.create_task(self._publish()))

    async def go(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def everybody(self) -> bool:
        return self.connected == len(self.stays) > 0

    async def served(self) -> bool:
        """Whether all are connected, and get what is accepted within a moment."""
        newest = max(self.accepted, default=0)
        await asyncio.sleep(0.05)
        return self.everybody and all(max(stays[-1].numbers, default=-1) >= newest for stays in self.stays)

    async def _client(self) -> None:
        stays: list[Stay] = []
        self.stays.append(stays)
        while True:
            client = Client(self._http, self._compose.url, self._compose.token())
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(5):
                        await stack.enter_async_context(client)
                        await client.subscribe(self.CHANNEL)
                    stays.append(Stay(client.publications[self.CHANNEL]))
                    await self._while_connected(client, stays[-1])
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(0.05 + random.random() * 0.1)

    async def _while_connected(self, client: Client, stay: Stay) -> None:
        assert client._reader is not None
        self.connected += 1
        try:
            await asyncio.shield(client._reader)
        finally:
            self.connected -= 1
            stay.code, stay.ended = client.close_code, time.monotonic()

    def missed(self, stay: Stay) -> set[int]:
        """What was accepted while it was there, and did not arrive."""
        first, last = min(stay.numbers, default=0), max(stay.numbers, default=0)
        return {number for number in self.accepted if first <= number <= last} - set(stay.numbers)

    async def _publish(self) -> None:
        url, limit = f"{self._compose.url}/api/publish", aiohttp.ClientTimeout(5)
        while self.publishing:
            body = {"channel": self.CHANNEL, "data": self._number}
            try:
                async with self._backend.post(url, json=body, headers=self._headers, timeout=limit) as reply:
                    text = await reply.text()
                    if reply.status == 200 and "error" not in text:
                        self.accepted.append(self._number)
                    else:
                        self.refused.append(f"{reply.status} {text[:200]}")
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                self.broken.append(repr(error))  # it may have been accepted, or not
            self._number += 1
            await asyncio.sleep(0.01)


@asynccontextmanager
async def crowd(compose: Compose, size: int) -> AsyncIterator[tuple[Operator, Crowd]]:
    """Connected, with publications under way."""
    tls = ssl.create_default_context(cafile=compose.certificate)
    connectors = [aiohttp.TCPConnector(ssl=tls, limit=0) for _ in range(2)]
    async with (
        aiohttp.ClientSession(connector=connectors[0], cookie_jar=aiohttp.DummyCookieJar()) as http,
        aiohttp.ClientSession(connector=connectors[1]) as backend,
    ):
        operator = Operator(http, compose)
        await operator.ask("PUT", f"rules/{Crowd.CHANNEL}", {"subscribe": "users"})
        made = await operator.ask("POST", "keys", {"name": "backend", "scopes": ["api"]})
        people = Crowd(http, backend, compose, made["key"])
        try:
            await eventually(operator.informed, within=15, why="the nodes do not hear of the rule and the key")
            people.come(size)
            people.publish()
            await eventually(lambda: people.accepted, within=10)
            yield operator, people
        finally:
            await people.go()
    await asyncio.sleep(0.3)  # TLS says goodbye after the session is closed
