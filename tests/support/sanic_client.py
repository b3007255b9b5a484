"""pytest-sanic's `sanic_client` fixture on this Sanic and under pytest-asyncio.

    async def test_it(sanic_client):
        client = await sanic_client(app, trust_env=False)
        reply = await client.get("/admin/v1/nodes", headers=…)          # an httpx.Response

pytest-sanic 1.9 starts an app the way Sanic 20 did, and as a plugin it would run every async test on loops of its own.
So only its fixture is taken, with this package's way of serving an app underneath; pytest's option `-p no:sanic` keeps
the plugin itself out.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pytest_sanic.plugin import sanic_client  # type: ignore[import-untyped]
from pytest_sanic.utils import TestServer  # type: ignore[import-untyped]
from sanic.server.protocols.http_protocol import HttpProtocol

from wsplatform.net.listen import bind
from wsplatform.web.server import WebServer

__all__ = ["loop", "sanic_client"]


async def _start(server: Any) -> None:
    listener = bind(server.host, 0)
    server.port = listener.getsockname()[1]
    server.server = WebServer(server.app, listener, HttpProtocol)
    await server.server.start()


async def _close(server: Any) -> None:
    await server.server.stop()


TestServer.start_server = _start
TestServer.close = _close


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    """What pytest-sanic calls its loop: the one that the test runs on."""
    return asyncio.get_running_loop()
