"""What fails under a running cluster: processes that end, stand still or come back, and what nobody may lose by it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.client import Client
from tests.support.processes import Cluster
from tests.support.wait import eventually


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as cluster:
        yield cluster


async def test_a_publish_that_a_stopping_node_has_accepted_arrives(cluster: Cluster) -> None:
    stopping, other, _ = cluster.nodes
    accepted: list[str] = []

    async def publish(name: str) -> None:
        number = 0
        while True:
            try:
                body = await cluster.api(stopping, "publish", channel="c", data=f"{name}{number}")
            except aiohttp.ClientError:
                return
            if "error" in body:
                assert body["error"]["code"] == 100
            else:
                accepted.append(f"{name}{number}")
            number += 1

    async with Client(cluster.http, other.url) as client:
        await client.subscribe("c")
        publishers = [asyncio.create_task(publish(name)) for name in "abcd"]
        await eventually(lambda: len(accepted) > 100)
        assert await asyncio.to_thread(stopping.kill, signal.SIGTERM) == 0
        await asyncio.gather(*publishers)
        await eventually(lambda: set(accepted) <= set(client.publications["c"]))
        assert len(client.publications["c"]) == len(set(client.publications["c"]))
