"""A plugin that keeps a file with the addresses of the cluster's nodes, as Prometheus reads it (file_sd_config)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from wsplatform.core.metrics import Metric, Sample
from wsplatform.errors import StartError
from wsplatform.model import View
from wsplatform.plugins.base import Plugin, PluginHost, PluginStatus
from wsplatform.settings import Settings

VARIABLE = "WSPLATFORM_TARGETS_FILE"
RETRY_SECONDS = 5.0

METRICS = (
    Metric("targets_nodes", "gauge", "Nodes in the file."),
    Metric("targets_failures", "counter", "Times that the file could not be written."),
)


def create(settings: Settings) -> Plugin | None:
    path = os.environ.get(VARIABLE, "")
    return Targets(Path(path), settings.cluster.name) if path else None


class Targets:
    def __init__(self, path: Path, cluster: str) -> None:
        self._path = path
        self._cluster = cluster
        self._view = View(0)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._written = 0
        self._failures = 0
        self._error = ""

    async def start(self, host: PluginHost) -> None:
        if not self._path.is_absolute():
            raise StartError("targets_no_file", f"Set {VARIABLE} to an absolute path.")
        self._task = host.tasks.start(self._follow(), name="targets")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def view_changed(self, view: View) -> None:
        self._view = view
        self._changed.set()

    def status(self) -> PluginStatus:
        facts = {"file": str(self._path), "nodes": self._written}
        return PluginStatus(not self._error, self._error or f"{self._path} is up to date", facts)

    @property
    def metrics(self) -> Sequence[Metric]:
        return METRICS

    def measure(self) -> Iterable[Sample]:
        yield Sample("targets_nodes", self._written)
        yield Sample("targets_failures", self._failures)

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            targets = [urlsplit(node.client_url).netloc for node in self._view.nodes]
            try:
                await asyncio.to_thread(self._write, targets)
            except OSError as error:
                self._failures += 1
                self._error = f"{self._path} cannot be written ({error.strerror}): correct {VARIABLE}"
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()
            else:
                self._error, self._written = "", len(targets)

    def _write(self, targets: list[str]) -> None:
        beside = self._path.with_name(f".{self._path.name}.new")
        beside.write_text(json.dumps([{"targets": targets, "labels": {"cluster": self._cluster}}]))
        beside.replace(self._path)
