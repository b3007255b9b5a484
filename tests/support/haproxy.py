"""Nodes as HAProxy sees them, and what else tests of the load balancer need."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import ipaddress
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.processes import free_port
from tests.support.wait import eventually
from wsplatform.core.haproxy_sections import COOKIE
from wsplatform.model import Member, View
from wsplatform.net.tasks import Tasks
from wsplatform.plugins.base import PluginHost
from wsplatform.plugins.haproxy import HAProxyPlugin
from wsplatform.plugins.haproxy_process import HAProxyProcess
from wsplatform.settings import HAProxyTable


class Backend:
    """`async with Backend("n1") as node`: answers health checks, requests (with what came) and websockets (an echo)."""

    def __init__(self, name: str, *, health: int = 200) -> None:
        self.name = name
        self.health = health
        self.port = 0
        self.refusing = False
        self.crash_on: set[str] = set()
        self.requests: list[web.Request] = []
        self._runner: web.AppRunner | None = None

    def member(self, *, ready: bool = True, draining: bool = False, incarnation: str = "a1") -> Member:
        return Member(
            node_id=self.name,
            incarnation=incarnation,
            cluster_url="",
            client_url=f"http://127.0.0.1:{self.port}",
            ready=ready and not draining,
            draining=draining,
        )

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health/ready":
            return web.Response(status=self.health)
        self.requests.append(request)
        if request.method in self.crash_on:
            await request.read()
            assert request.transport is not None
            request.transport.close()
            await asyncio.sleep(0)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if self.refusing:
                return web.Response(status=503, headers={"Set-Cookie": f"{COOKIE}=; Path=/; Max-Age=0"})
            return await self._echo(request)
        return web.json_response({"node": self.name, "headers": list(request.headers.items())})

    async def _echo(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str(self.name)
        async for message in websocket:
            if message.type == WSMsgType.TEXT:
                await websocket.send_str(message.data)
        return websocket


class Balancer:
    """A HAProxy, the plugin that drives it, and a client without a memory for cookies."""

    def __init__(self, table: HAProxyTable | None = None, address: str = "127.0.0.1") -> None:
        self.port = free_port()
        listener = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self.url = f"http://{listener}"
        self.process = HAProxyProcess(table or HAProxyTable(), listener)
        self.tasks = Tasks()
        self.view = View(0)

    async def __aenter__(self) -> Self:
        await self.process.start()
        self.plugin = HAProxyPlugin(self.process.table)
        await self.plugin.start(PluginHost(self.tasks))
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        await self.plugin.stop()
        await self.tasks.close()
        await self.process.stop()

    def announce(self, members: Iterable[Member]) -> None:
        self.view = View(self.view.number + 1, tuple(members))
        self.plugin.view_changed(self.view)

    async def loaded(self) -> None:
        """The view announced last is what HAProxy has."""
        detail = f"HAProxy has view {self.view.number},"
        await eventually(
            lambda: self.plugin.status().detail.startswith(detail), within=10, why=str(self.plugin.status())
        )

    async def serve(self, *nodes: Backend) -> None:
        """Announce these nodes and wait until HAProxy sends traffic to each of them."""
        self.announce(node.member() for node in nodes)
        await self.loaded()
        for node in nodes:
            await eventually(functools.partial(self.answers, node.name), why=f"{node.name} gets no traffic")

    async def get(self, path: str = "/", **headers: str) -> tuple[int, str]:
        """Status, and the name of the node that answered ("" when none did)."""
        async with self.http.get(self.url + path, headers=headers) as response:
            body = await response.json() if response.content_type == "application/json" else {}
            return response.status, body.get("node", "")

    async def answers(self, name: str) -> bool:
        return name in {(await self.get())[1] for _ in range(4)}

    @contextlib.asynccontextmanager
    async def websocket(self) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, str]]:
        """An open websocket, and the name of its node."""
        async with self.http.ws_connect(self.url + "/connection/websocket") as websocket:
            yield websocket, (await websocket.receive()).data


def self_signed(path: Path) -> Path:
    """A PEM file with a new certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wsplatform test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoded_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + encoded_key)
    return path
