"""The wheel, installed into an empty environment far from the checkout: settings, migrations and pages are in it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

import wsplatform
from tests.support.cli import clean_environment
from tests.support.wait import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(folder, sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    run(folder, sys.executable, "-m", "venv", str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(folder, *pip, "--constraint", str(ROOT / "constraints.txt"), str(wheel))
    return python.with_name("wsplatform")


def run(folder: Path, *command: str, cwd: Path | None = None) -> str:
    environment = clean_environment()
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command, cwd=cwd or folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
        async with http.get(f"{server}/admin/docs") as response:
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
