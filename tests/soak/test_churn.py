"""Clients that come, subscribe, publish and go, well-behaved and not, for CHURN_SECONDS (1200).

After the first quarter a node must have all the memory that it needs: at the end it may have 5 % more. When all clients
have gone, it has as many descriptors and tasks as before the first one came.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.client import Client
from tests.support.processes import free_port
from tests.support.wait import eventually

SECONDS = float(os.environ.get("CHURN_SECONDS", "1200"))
CLIENTS = 150
STEADY = 200
WELL_KNOWN = 300
GROWTH = 1.05
WINDOW = 20
"""Samples, one a second: a median of so many is compared."""


class Node:
    """A registry and node in one process, with a probe in it (benchmarks/probes/node.py)."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_key = secrets.token_hex(32)
        self._log = (folder / "node.log").open("wb")
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.probes.node", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={
                **os.environ,
                "WSP_REGISTRY__DATABASE": f"sqlite:///{folder}/registry.db",
                "WSP_REGISTRY__ADMIN_KEY": self.admin_key,
                "WSP_LOG__LEVEL": "WARNING",
                "WSP_CLIENT__PING_SECONDS": "5",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._popen.stdin, self._popen.stdout, self._log):
            assert stream is not None
            stream.close()
        self._popen.terminate()
        self._popen.wait(30)

    def ask(self, question: str) -> dict[str, float]:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(f"{question}\n".encode())
        self._popen.stdin.flush()
        answer: dict[str, float] = json.loads(self._popen.stdout.readline())
        return answer

    @property
    def tasks(self) -> int:
        return int(self.ask("tasks")["tasks"])

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self._popen.pid}/fd").iterdir()))

    @property
    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self._popen.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    async def ready(self, http: aiohttp.ClientSession) -> None:
        async def answers() -> bool:
            assert self._popen.poll() is None, "the node has ended"
            with suppress(aiohttp.ClientError):
                async with http.get(f"{self.url}/health/ready") as response:
                    return response.status == 200
            return False

        await eventually(answers, within=20, why="the node is not ready")


class Crowd:
    """`sessions`, `publications` and `rude`: how many there were."""

    def __init__(self, node: Node, http: aiohttp.ClientSession, chance: random.Random) -> None:
        self.sessions = self.publications = self.received = self.rude = 0
        self.over = False
        self._node = node
        self._http = http
        self._chance = chance

    async def come_and_go(self) -> None:
        """One client after the other."""
        while not self.over:
            with suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
                await self._visit()

    async def stay(self) -> None:
        """One client that subscribes and unsubscribes."""
        async with Client(self._http, self._node.url) as client:
            self.sessions += 1
            while not self.over:
                await self._look_around(client)
                await asyncio.sleep(self._chance.uniform(0.5, 2))

    async def _visit(self) -> None:
        if self._chance.random() < 0.1:
            await self._be_rude()
            return
        async with Client(self._http, self._node.url) as client:
            self.sessions += 1
            for _ in range(self._chance.randrange(1, 4)):
                await self._look_around(client)
                await asyncio.sleep(self._chance.uniform(0, 0.5))
            await client.subscribe("known:left without a word")

    async def _look_around(self, client: Client) -> None:
        known = f"known:{self._chance.randrange(WELL_KNOWN)}"
        own = f"own:{self._chance.getrandbits(64):x}"
        for channel in (known, own):
            await client.subscribe(channel)
        for channel in (known, own):
            await client.publish(channel, {"text": "x" * self._chance.randrange(400)})
            self.publications += 1
        for channel in (known, own):
            await client.call("unsubscribe", {"channel": channel})
        self.received += sum(len(publications) for publications in client.publications.values())
        client.publications.clear()

    async def _be_rude(self) -> None:
        """Leave without a word, in the middle of one, or say what makes no sense."""
        self.rude += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", self._node.port)
        head = (
            b"GET /connection/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        frame = b"\x81\xfe\x00\x80" + secrets.token_bytes(self._chance.randrange(1, 132))
        said = self._chance.choice([head[:40], head, head + frame, b"\x16\x03\x01" + secrets.token_bytes(60)])
        writer.write(said)
        try:
            await asyncio.wait_for(reader.read(10), 0.2)
        finally:
            writer.transport.abort()


async def allow_everything(node: Node, http: aiohttp.ClientSession) -> None:
    rule: dict[str, Any] = {"subscribe": "anyone", "publish": "anyone"}
    for pattern in ("known:*", "own:*"):
        url = f"{node.url}/admin/v1/rules/{pattern}"
        async with http.put(url, json=rule, headers={"X-API-Key": node.admin_key}) as response:
            assert response.status in (200, 201), await response.text()


async def at_rest(node: Node) -> tuple[int, int]:
    """Descriptors and tasks, the fewest within a time: some come and go by themselves, as with a heartbeat."""
    seen = []
    for _ in range(20):
        seen.append((node.descriptors, node.tasks))
        await asyncio.sleep(0.1)
    return min(descriptors for descriptors, _ in seen), min(tasks for _, tasks in seen)


async def test_churn_leaves_nothing_behind(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with Node(tmp_path) as node:
        async with aiohttp.ClientSession() as http:
            await node.ready(http)
            await allow_everything(node, http)
        before = await at_rest(node)
        samples: list[int] = []
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            crowd = Crowd(node, http, random.Random(1))
            clients = [
                *(loop.create_task(crowd.come_and_go()) for _ in range(CLIENTS)),
                *(loop.create_task(crowd.stay()) for _ in range(STEADY)),
            ]
            end = loop.time() + SECONDS
            while loop.time() < end and not any(client.done() for client in clients):
                await asyncio.sleep(1)
                samples.append(node.memory)
            crowd.over = True
            await asyncio.gather(*clients)
        early = statistics.median(samples[: len(samples) // 4][-WINDOW:])
        late = statistics.median(samples[-WINDOW:])
        print(  # noqa: T201 - what the churn was
            f"{crowd.sessions} sessions, {crowd.rude} rude ones, {crowd.publications} publications;"
            f" memory {early / 1e6:.1f} MB after the first quarter, {late / 1e6:.1f} MB at the end"
            f" ({late / early:.3f}), by minute {[round(one / 1e6, 1) for one in samples[::60]]};"
            f" {before[0]} descriptors and {before[1]} tasks before"
        )
        await asyncio.sleep(10)  # those who never said who they are
        assert await at_rest(node) == before
        assert late <= GROWTH * early
