"""The SDKs that users have, unmodified, on every node of a cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from cent import AsyncClient, PublishRequest
from centrifuge import Client as PythonClient
from centrifuge import PublicationContext, SubscriptionEventHandler

from tests.support.processes import Cluster, Process
from tests.support.wait import eventually

SDK = Path(__file__).parent / "sdk"
MESSAGES = 500


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as cluster:
        yield cluster


def websocket(node: Process) -> str:
    return node.url.replace("http", "ws", 1) + "/connection/websocket"


class JavaScriptClient:
    """The npm package `centrifuge` in a process of its own."""

    def __init__(self, node: Process, channel: str, count: int, token: str = "") -> None:
        self.received: list[object] = []
        self.errors = ""
        self._arguments = (websocket(node), channel, str(count), token)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "node",
            str(SDK / "subscribe.mjs"),
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 20)
        assert line == b"subscribed\n", line + (await self._process.communicate())[1]

    async def finish(self) -> None:
        assert self._process is not None
        out, errors = await asyncio.wait_for(self._process.communicate(), 30)
        self.received = [json.loads(line) for line in out.splitlines()]
        self.errors = errors.decode()


class Collect(SubscriptionEventHandler):
    def __init__(self) -> None:
        self.received: list[object] = []

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.received.append(ctx.pub.data)


async def test_both_sdks_on_three_nodes_receive_every_message_once_and_in_order(cluster: Cluster) -> None:
    scripts = [JavaScriptClient(node, "news", MESSAGES) for node in cluster.nodes]
    await asyncio.gather(*(script.start() for script in scripts))
    handlers = [Collect() for _ in cluster.nodes]
    clients = [PythonClient(websocket(node)) for node in cluster.nodes]
    for client, handler in zip(clients, handlers, strict=True):
        await client.connect()
        subscription = client.new_subscription("news", events=handler)
        await subscription.subscribe()
        await subscription.ready()

    async with AsyncClient(f"{cluster.nodes[0].url}/api", api_key=cluster.api_key) as backend:
        for number in range(MESSAGES):
            await backend.publish(PublishRequest(channel="news", data={"n": number}))

    expected = [{"n": number} for number in range(MESSAGES)]
    await asyncio.gather(*(script.finish() for script in scripts))
    for script in scripts:
        assert script.received == expected
        assert "error" not in script.errors
    for handler in handlers:
        await eventually(lambda handler=handler: handler.received == expected, within=10)
    for client in clients:
        await client.disconnect()


async def test_a_token_made_by_any_jwt_library_lets_the_sdk_in(tmp_path: Path) -> None:
    async with Cluster(tmp_path, nodes=1, settings={"WSP_CLIENT__ALLOW_ANONYMOUS": "false"}) as cluster:
        token = jwt.encode({"sub": "ann"}, cluster.token_secret, algorithm="HS256")
        script = JavaScriptClient(cluster.nodes[0], "news", 1, token)
        await script.start()
        await cluster.api(cluster.nodes[0], "publish", channel="news", data="for ann")
        await script.finish()
        assert script.received == ["for ann"]


async def test_the_registry_is_away_for_thirty_seconds_while_messages_flow(cluster: Cluster) -> None:
    first, second, third = cluster.nodes
    handler = Collect()
    client = PythonClient(websocket(third))
    await client.connect()
    subscription = client.new_subscription("news", events=handler)
    await subscription.subscribe()
    await subscription.ready()
    cluster.registry.kill()
    loop = asyncio.get_running_loop()
    began = loop.time()
    sent = 0
    while loop.time() - began < 30:
        body = await cluster.api((first, second)[sent % 2], "publish", channel="news", data=sent)
        assert "error" not in body
        sent += 1
        await asyncio.sleep(0.01)
    cluster.registry.start()
    await cluster.registry.ready(cluster.http)

    async def registered() -> bool:
        nodes = (await cluster.admin("GET", "nodes"))["items"]
        return len([node for node in nodes if node["ready"]]) == 3

    await eventually(registered, within=20)
    await eventually(lambda: sorted(handler.received) == list(range(sent)), within=10)
    await client.disconnect()
