"""The example of a plugin in a package of its own: installed beside the wheel, tested, and run in a cluster."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.support.cli import clean_environment
from tests.support.documents import ROOT
from tests.support.fresh import fresh_environment, run
from tests.support.wait import eventually

EXAMPLE = ROOT / "examples" / "plugin-targets"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_environment(tmp_path_factory.mktemp("package"), "pytest", projects=(ROOT, EXAMPLE))


@pytest.fixture
async def cluster(python: Path, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(str(python.with_name("wsplatform")), "cluster", "--nodes", "3", "--port", "0", "--json"),
        cwd=tmp_path,
        env=clean_environment({"WSPLATFORM_TARGETS_FILE": str(tmp_path / "targets.json")}),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    finally:
        os.kill(process.pid, signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) in (0, 1, 130)


def metrics(cluster: dict[str, Any]) -> str:
    """What Prometheus gets from the registry."""
    request = Request(f"{cluster['registry']}/metrics", headers={"X-API-Key": cluster["admin_key"]})
    with urlopen(request, timeout=10) as response:
        text: str = response.read().decode()
    return text


def test_its_own_tests_pass(python: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text((EXAMPLE / "tests" / "test_wsplatform_targets.py").read_text())
    assert " passed" in run(tmp_path, str(python), "-m", "pytest", "-q", "test_it.py")


async def test_it_follows_a_cluster(python: Path, cluster: dict[str, Any], tmp_path: Path) -> None:
    def written() -> set[str]:
        path = tmp_path / "targets.json"
        return set(json.loads(path.read_text())[0]["targets"]) if path.exists() else set()

    places = {node["id"]: urlsplit(node["url"]).netloc for node in cluster["nodes"]}
    await eventually(lambda: written() == set(places.values()), within=10)
    arguments = ("plugins", "list", "--json", "--server", cluster["registry"], "--key", cluster["admin_key"])
    told = json.loads(await asyncio.to_thread(run, tmp_path, str(python.with_name("wsplatform")), *arguments))
    shown = {plugin["name"]: (plugin["distribution"], plugin["healthy"]) for plugin in told}
    assert shown == {"haproxy": ("wsplatform", True), "targets": ("wsplatform-targets", True)}
    page = await asyncio.to_thread(metrics, cluster)
    assert "wsplatform_targets_nodes 3.0" in page
    assert 'wsplatform_plugin_healthy{plugin="targets"} 1.0' in page
    os.kill(next(node["pid"] for node in cluster["nodes"] if node["id"] == "node-2"), signal.SIGTERM)
    del places["node-2"]
    await eventually(lambda: written() == set(places.values()), within=20)
