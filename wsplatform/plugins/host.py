"""Runs the plugins of the registry's process. What one of them does wrong stays with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from typing import Any

import msgspec
from loguru import logger

from wsplatform.core.metrics import Metric, Sample
from wsplatform.errors import PlatformError, StartError
from wsplatform.model import View
from wsplatform.net.tasks import Tasks
from wsplatform.plugins import figures
from wsplatform.plugins.base import Measuring, Plugin, PluginHost, PluginStatus
from wsplatform.plugins.entry_points import PLUGINS, available, broken, distribution, load
from wsplatform.settings import Settings

START_SECONDS = 10.0
STOP_SECONDS = 5.0

# What an author's code may raise, SystemExit included: a plugin does not end the registry. Cancellation passes.
_ANYTHING = (Exception, SystemExit)


@dataclass(slots=True)
class _Running:
    """A plugin with its tasks. metrics: those that it has declared.

    error: what its last call raised, unmeasured: what its last measure did; "" when it did not.
    """

    point: EntryPoint
    plugin: Plugin
    metrics: dict[str, Metric]
    tasks: Tasks = field(default_factory=Tasks)
    error: str = ""
    unmeasured: str = ""


class Plugins:
    """All installed plugins that the settings switch on, by the names of their entry points.

    core/metrics.py: Measured.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: list[_Running] = []
        self._failed: dict[str, PluginStatus] = {}
        self._view: View | None = None

    async def start(self) -> None:
        """Load and start each; one that cannot is logged, shown in `status`, and left out."""
        for point in available(PLUGINS):
            try:
                plugin = self._make(point)
                if plugin is not None:
                    await self._start_one(point, plugin)
            except PlatformError as error:
                logger.error("plugin {} of {}: {}", point.name, distribution(point), error)
                self._failed[point.name] = PluginStatus(False, str(error), distribution=distribution(point))

    def view_changed(self, view: View) -> None:
        """Tell each. Before `start` as well: a plugin hears the newest view when it has started."""
        self._view = view
        for running in self._running:
            _tell(running, view)

    async def stop(self) -> None:
        """In reverse order, each within `STOP_SECONDS`; its tasks end with it. Idempotent."""
        while self._running:
            running = self._running.pop()
            await _stop_one(running)

    def status(self) -> dict[str, PluginStatus]:
        """By name, those that could not start among them."""
        shown = dict(self._failed)
        for running in self._running:
            shown[running.point.name] = replace(_status_of(running), distribution=distribution(running.point))
        return shown

    @property
    def metrics(self) -> Iterator[Metric]:
        """What plugins measure, beside `plugin_healthy`, which is the platform's."""
        for running in self._running:
            yield from running.metrics.values()

    def measure(self) -> Iterator[Sample]:
        for name, status in self.status().items():
            yield Sample("plugin_healthy", float(status.healthy), name)
        for running in self._running:
            yield from _samples_of(running)

    def _make(self, point: EntryPoint) -> Plugin | None:
        if any(running.point.name == point.name for running in self._running):
            raise StartError("ambiguous", "another distribution offers a plugin of this name: uninstall one of them.")
        factory: Any = load(point)
        try:
            plugin: Plugin | None = factory(self._settings)
        except PlatformError:
            raise
        except _ANYTHING as error:
            raise broken(point, "be made", error) from error
        return plugin

    async def _start_one(self, point: EntryPoint, plugin: Plugin) -> None:
        running = _Running(point, plugin, self._declared(point, plugin))
        try:
            async with asyncio.timeout(START_SECONDS):
                await plugin.start(PluginHost(running.tasks))
        except PlatformError:
            await running.tasks.close()
            raise
        except _ANYTHING as error:
            await running.tasks.close()
            raise broken(point, "start", error) from error
        self._running.append(running)
        if self._view is not None:
            _tell(running, self._view)

    def _declared(self, point: EntryPoint, plugin: Plugin) -> dict[str, Metric]:
        taken = figures.PLATFORM | {metric.prometheus for metric in self.metrics}
        try:
            return figures.declared(point.name, plugin.metrics, taken) if isinstance(plugin, Measuring) else {}
        except _ANYTHING as error:
            raise broken(point, "say what it measures", error) from error


def _tell(running: _Running, view: View) -> None:
    try:
        running.plugin.view_changed(view)
    except _ANYTHING as error:
        _blame(running, "take a new view", error)
    else:
        running.error = ""


def _status_of(running: _Running) -> PluginStatus:
    if running.error:
        return PluginStatus(False, running.error)
    try:
        # As it will be on its way to operators: what cannot be sent, or is something else, is found here.
        return msgspec.json.decode(msgspec.json.encode(running.plugin.status()), type=PluginStatus)
    except _ANYTHING as error:
        _blame(running, "tell its status", error)
        return PluginStatus(False, running.error)


def _samples_of(running: _Running) -> list[Sample]:
    try:
        if not isinstance(running.plugin, Measuring):  # which looks at its `metrics`
            return []
        found = figures.checked(running.metrics, running.plugin.measure())
    except _ANYTHING as error:
        message = str(broken(running.point, "tell its figures", error))
        if message != running.unmeasured:
            logger.opt(exception=error).error("plugin {}: {}", running.point.name, message)
        running.unmeasured = message
        return []
    running.unmeasured = ""
    return found


async def _stop_one(running: _Running) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await running.plugin.stop()
    except _ANYTHING as error:
        _blame(running, "stop", error)
    await running.tasks.close()


def _blame(running: _Running, what: str, error: BaseException) -> None:
    """Log a failure with its stack, once for as long as it stays the same."""
    message = str(broken(running.point, what, error))
    if message != running.error:
        logger.opt(exception=error).error("plugin {}: {}", running.point.name, message)
    running.error = message
