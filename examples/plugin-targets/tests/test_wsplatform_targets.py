"""The file follows the view; what cannot be written is told, and tried again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import wsplatform_targets

from wsplatform.errors import StartError
from wsplatform.model import Member, View
from wsplatform.net.tasks import Tasks
from wsplatform.plugins.base import PluginHost
from wsplatform.settings import Settings
from wsplatform.testing.wait import eventually

SETTINGS = Settings(environment="test")


def view(number: int, *names: str) -> View:
    nodes = [
        Member(node_id=name, incarnation="a", cluster_url="", client_url=f"http://{name}:8000", ready=True)
        for name in names
    ]
    return View(number, tuple(nodes))


def targets(path: Path) -> list[str]:
    return list(json.loads(path.read_text())[0]["targets"]) if path.exists() else []


def test_it_is_off_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(wsplatform_targets.VARIABLE, raising=False)
    assert wsplatform_targets.create(SETTINGS) is None


def test_the_file_follows_the_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "later" / "targets.json"
    monkeypatch.setenv(wsplatform_targets.VARIABLE, str(path))
    monkeypatch.setattr(wsplatform_targets, "RETRY_SECONDS", 0.01)

    async def main() -> None:
        plugin = wsplatform_targets.create(SETTINGS)
        tasks = Tasks()
        await plugin.start(PluginHost(tasks))
        plugin.view_changed(view(1, "n1"))
        await eventually(lambda: not plugin.status().healthy)
        path.parent.mkdir()
        await eventually(lambda: targets(path) == ["n1:8000"])
        plugin.view_changed(view(2, "n1", "n2"))
        await eventually(lambda: targets(path) == ["n1:8000", "n2:8000"])
        await eventually(lambda: plugin.status().facts["nodes"] == 2)
        told = {sample.metric: sample.value for sample in plugin.measure()}
        assert told["targets_nodes"] == 2
        assert told["targets_failures"] >= 1
        assert {metric.name for metric in plugin.metrics} == set(told)
        await plugin.stop()
        await tasks.close()

    asyncio.run(main())


def test_a_path_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wsplatform_targets.VARIABLE, "targets.json")

    async def main() -> None:
        with pytest.raises(StartError):
            await wsplatform_targets.create(SETTINGS).start(PluginHost(Tasks()))

    asyncio.run(main())
