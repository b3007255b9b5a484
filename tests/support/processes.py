"""Real wsplatform processes for tests: a registry and nodes, each started, killed and started again on its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.wait import eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Host:
    """Where a process runs: its address, and what its command line begins with (tests/support/network.py)."""

    address: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()


HERE = Host()


class Process:
    """One `wsplatform serve`. Its output goes to a file, shown when it does not start."""

    def __init__(
        self, name: str, arguments: list[str], environment: dict[str, str], folder: Path, host: Host = HERE
    ) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://{host.address}:{self.port}"
        self.log = folder / f"{name}.log"
        self._prefix = host.prefix
        self._arguments = [*arguments, "--host", host.address, "--port", str(self.port)]
        self.environment = dict(environment)
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "wsplatform", "serve", *self._arguments],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send the signal and wait for the end; returns the exit status."""
        assert self._popen is not None
        self._popen.send_signal(number)
        return self._popen.wait(30)

    def wait(self) -> int:
        """Until it has ended; the exit status."""
        assert self._popen is not None
        return self._popen.wait(30)

    def signal(self, number: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def end(self) -> None:
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(signal.SIGCONT)
            self.kill()

    async def ready(self, http: aiohttp.ClientSession, within: float = 20.0) -> None:
        assert self._popen is not None
        popen = self._popen

        async def answers() -> bool:
            assert popen.poll() is None, f"{self.name} ended:\n{self.log.read_text()[-4000:]}"
            try:
                async with http.get(f"{self.url}/health/ready") as response:
                    return response.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(answers, within=within, why=f"{self.name} is not ready")


class Cluster:
    """`async with Cluster(folder, nodes=3) as cluster`: a registry and nodes, ready; keys made.

    hosts: where the registry and each node run, in this order. role: of the registry's process; "all": it is a node as
    well, registry-1.
    """

    def __init__(
        self,
        folder: Path,
        nodes: int = 3,
        settings: dict[str, str] | None = None,
        hosts: Sequence[Host] = (),
        role: str = "registry",
    ) -> None:
        hosts = hosts or (HERE,) * (nodes + 1)
        self._role = role
        self.admin_key = secrets.token_hex(32)
        self.token_secret = secrets.token_hex(32)
        self.api_key = ""
        environment = {
            "WSP_CLUSTER__SECRETS": secrets.token_hex(32),
            "WSP_REGISTRY__ADMIN_KEY": self.admin_key,
            "WSP_CLIENT__TOKEN_HMAC_SECRETS": self.token_secret,
            "WSP_REGISTRY__DATABASE": f"sqlite:///{folder}/registry.db",
            "WSP_LOG__LEVEL": "INFO",
            **(settings or {}),
        }
        arguments = ["--env", "test", "--role"]
        own = [*arguments, role, *(["--set", "node.id=registry-1"] if role == "all" else [])]
        self.registry = Process("registry", own, environment, folder, hosts[0])
        environment = {**environment, "WSP_REGISTRY__URL": self.registry.url}
        self.nodes = [
            Process(
                f"n{number}", [*arguments, "node", "--set", f"node.id=n{number}"], environment, folder, hosts[number]
            )
            for number in range(1, nodes + 1)
        ]
        self._http: aiohttp.ClientSession | None = None

    @property
    def http(self) -> aiohttp.ClientSession:
        assert self._http is not None
        return self._http

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        try:
            self.registry.start()
            await self.registry.ready(self.http)
            for node in self.nodes:
                node.start()
            await asyncio.gather(*(node.ready(self.http, 60.0) for node in self.nodes))  # many on a busy machine
            key = await self.admin("POST", "keys", {"name": "test", "scopes": ["api"]})
            self.api_key = key["key"]
            own = (self.registry,) if self._role == "all" else ()
            await asyncio.gather(*(self._knows_key(node) for node in (*self.nodes, *own)))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in (*self.nodes, self.registry):
            process.end()
        if self._http is not None:
            await self._http.close()

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-API-Key": self.admin_key}
        url = f"{self.registry.url}/admin/v1/{path}"
        async with self.http.request(method, url, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return await response.json() if response.status != 204 else None

    async def api(self, node: Process | str, method: str, **params: Any) -> dict[str, Any]:
        """One server API call; returns the whole body. `node`: a process or a URL."""
        url = node if isinstance(node, str) else node.url
        headers = {"X-API-Key": self.api_key}
        async with self.http.post(f"{url}/api/{method}", json=params, headers=headers) as response:
            body: dict[str, Any] = await response.json()
            return body

    async def _knows_key(self, node: Process) -> None:
        async def known() -> bool:
            return "result" in await self.api(node, "info")

        await eventually(known, within=15, why=f"{node.name} does not know the new API key")
