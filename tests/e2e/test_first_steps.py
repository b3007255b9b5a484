"""What `wsplatform cluster` prints, done word by word."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import aiohttp

from tests.support.local_cluster import LocalCluster

SDK = Path(__file__).parent / "sdk"


async def shell(command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=SDK, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


async def test_the_three_commands_do_what_they_say() -> None:
    async with LocalCluster(json_=False) as cluster:
        text = await cluster.text()
        subscribe = re.search(r"npm install centrifuge ws && (node .*?client\.connect\(\)')", text, re.DOTALL)
        publish = re.search(r"^ +(curl .*/api/publish)$", text, re.MULTILINE)
        docs = re.search(r"python3 -m webbrowser (\S+)", text)
        assert subscribe
        assert publish
        assert docs

        subscriber = await shell(f"exec {subscribe[1]}")
        assert subscriber.stdout is not None
        line = asyncio.ensure_future(subscriber.stdout.readline())
        while not line.done():
            publisher = await shell(publish[1])
            out, errors = await publisher.communicate()
            assert out == b'{"result":{}}', errors
            await asyncio.wait([line], timeout=0.5)
        assert line.result() == b"{ hello: 'world' }\n"
        subscriber.kill()
        await subscriber.communicate()

        async with aiohttp.ClientSession() as http, http.get(docs[1]) as response:
            assert response.status == 200
            assert response.content_type == "text/html"
        assert await cluster.end() == 0
