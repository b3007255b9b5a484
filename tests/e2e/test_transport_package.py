"""The example of a transport in a package of its own: installed beside the wheel, proved, and run in a cluster."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Subscriber, clean_environment, wsplatform
from tests.support.documents import ROOT
from tests.support.fresh import fresh_environment, run

EXAMPLE = ROOT / "examples" / "transport-unix"
NODES = 3

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_environment(tmp_path_factory.mktemp("package"), "pytest", projects=(ROOT, EXAMPLE))


@pytest.fixture
async def cluster(python: Path, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """What `wsplatform cluster` with this transport prints. Its sockets are in the folder `sockets`."""
    process = await asyncio.create_subprocess_exec(
        str(python.with_name("wsplatform")),
        *(
            "cluster",
            "--nodes",
            str(NODES),
            "--port",
            "0",
            "--json",
            "--set",
            "cluster.transport=unix",
            "--set",
            "cluster.fallback=",
        ),
        cwd=tmp_path,
        env=clean_environment({"WSPLATFORM_UNIX_FOLDER": str(tmp_path / "sockets")}),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    finally:
        os.kill(process.pid, signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) in (0, 130)
        assert not list((tmp_path / "sockets").iterdir())


def test_its_own_tests_pass(python: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text((EXAMPLE / "tests" / "test_wsplatform_unix.py").read_text())
    assert " passed" in run(tmp_path, str(python), "-m", "pytest", "-q", "test_it.py")


async def test_three_nodes_talk_by_it(cluster: dict[str, Any], tmp_path: Path) -> None:
    sockets = {path.name.partition("~")[0] for path in (tmp_path / "sockets").iterdir()}
    assert sockets == {"registry", *(node["id"] for node in cluster["nodes"])}
    urls = [node["url"] for node in cluster["nodes"]]
    subscribers = [Subscriber(url, "news", "--count", str(NODES)) for url in urls]
    for subscriber in subscribers:
        await subscriber.start()
    for url in urls:
        done = await asyncio.to_thread(
            wsplatform, "publish", "news", json.dumps(url), "--server", url, "--key", cluster["api_key"]
        )
        assert done.returncode == 0, done.stderr
    for subscriber in subscribers:
        assert sorted(await subscriber.lines()) == sorted(urls)
