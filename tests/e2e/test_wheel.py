"""The wheel, installed into an empty environment far from the checkout: settings, migrations and pages are in it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

import wsplatform
from tests.support.cli import clean_environment
from tests.support.fresh import fresh_environment, run
from tests.support.wait import eventually


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_environment(tmp_path_factory.mktemp("wheel")).with_name("wsplatform")


pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def server(program: Path, tmp_path: Path) -> AsyncIterator[str]:
    """The address of `wsplatform serve`, once it listens."""
    process = await asyncio.create_subprocess_exec(
        str(program), "serve", "--env", "test", "--json", cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    yield json.loads(line)["url"]
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 20) == 0


def test_says_its_version(program: Path, tmp_path: Path) -> None:
    assert run(tmp_path, str(program), "--version") == f"wsplatform {wsplatform.__version__}\n"


@pytest.mark.parametrize("environment", ["development", "test"])
def test_finds_its_settings(program: Path, tmp_path: Path, environment: str) -> None:
    shown = run(tmp_path, str(program), "config", "check", "--env", environment)
    assert shown == f"the settings for {environment} can be used (role all)\n"


def test_finds_its_migrations(program: Path, tmp_path: Path) -> None:
    database = f"registry.database=sqlite:///{tmp_path}/registry.db"
    assert run(tmp_path, str(program), "migrate", "--set", database).startswith("applied: 0001")


async def test_serves(server: str) -> None:
    async with aiohttp.ClientSession() as http:

        async def ready() -> bool:
            async with http.get(f"{server}/health/ready") as response:
                return response.status == 200

        await eventually(ready)
        for page in ("/admin/docs", "/dashboard/"):
            async with http.get(server + page) as response:
                assert response.status == 200


async def test_finds_its_pages(program: Path, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        str(program),
        "serve",
        "--json",
        *("--set", "node.port=0", "--set", f"registry.database=sqlite:///{tmp_path}/registry.db"),
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["url"]
        async with aiohttp.ClientSession() as http, http.get(f"{url}/examples/chat/") as response:
            assert response.status == 200
            assert "text/html" in response.headers["Content-Type"]
    finally:
        os.kill(process.pid, signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)
