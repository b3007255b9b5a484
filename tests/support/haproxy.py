"""Nodes as HAProxy sees them, and what else tests of the load balancer need."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from pathlib import Path
from typing import Self

from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from wsplatform.model import Member


class Backend:
    """`async with Backend("n1") as node`: answers health checks, requests (with what came) and websockets (an echo)."""

    def __init__(self, name: str, *, health: int = 200) -> None:
        self.name = name
        self.health = health
        self.port = 0
        self.crash_on: set[str] = set()
        self.requests: list[web.Request] = []
        self._runner: web.AppRunner | None = None

    def member(self, *, ready: bool = True, incarnation: str = "a1") -> Member:
        return Member(
            node_id=self.name,
            incarnation=incarnation,
            cluster_url="",
            client_url=f"http://127.0.0.1:{self.port}",
            ready=ready,
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
