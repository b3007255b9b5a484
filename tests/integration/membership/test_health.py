"""What load balancers and supervisors are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from sanic.server.protocols.http_protocol import HttpProtocol

from tests.support.nodes import ObservedNode
from tests.support.registry import MemoryRegistry
from wsplatform.model import Instance
from wsplatform.net.listen import bind
from wsplatform.node.health import Health
from wsplatform.web.health import health_blueprint
from wsplatform.web.server import WebServer, make_app

_LIVE = {"live": True, "reasons": ["the event loop turns; in the last 10 s it was late by 0.250 s at most"]}


@pytest.fixture
async def node() -> AsyncIterator[ObservedNode]:
    node = ObservedNode(MemoryRegistry(), Instance("n1", "1"), settles=False)
    yield node
    await node.close()


@pytest.fixture
async def url(node: ObservedNode) -> AsyncIterator[str]:
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    health = Health([node.membership.reasons], lambda: node.membership.draining, lambda: 0.25)
    server = WebServer(make_app("health", [health_blueprint(health)], 1000), listener, HttpProtocol)
    await server.start()
    yield f"http://127.0.0.1:{port}"
    await server.stop()


async def test_live_and_ready_from_start_to_end(node: ObservedNode, url: str) -> None:
    async with aiohttp.ClientSession() as http:

        async def ask(what: str) -> tuple[int, dict[str, object]]:
            async with http.get(f"{url}/health/{what}") as reply:
                assert reply.headers["cache-control"] == "no-store"
                return reply.status, await reply.json()

        status, body = await ask("ready")
        assert status == 503
        assert "channel rules" in str(body["reasons"])
        assert await ask("live") == (200, _LIVE)

        await node.membership.start()
        assert not await node.membership.wait_ready(0.1)
        status, body = await ask("ready")
        assert status == 503
        assert "other nodes" in str(body["reasons"])

        node.membership.peers_settled()
        assert await ask("ready") == (200, {"ready": True, "draining": False, "reasons": []})

        async def drain() -> None:
            status, body = await ask("ready")
            assert (status, body["draining"]) == (404, True)
            assert await ask("live") == (200, _LIVE)

        await node.membership.drain_and_leave(drain)
        assert (await ask("ready"))[0] == 404


async def test_head_is_enough(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.head(f"{url}/health/ready") as reply:
            assert reply.status == 503
        async with http.head(f"{url}/health/live") as reply:
            assert reply.status == 200
