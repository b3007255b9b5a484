"""Keeps HAProxy in step with the cluster's view.

At each change the configuration is rendered, checked by HAProxy itself and put in place in one step, so that a HAProxy
that starts anew has it; nodes come, go and drain in the running one by commands on its master socket. Only what cannot
be changed that way has it reloaded: websockets that are open then stay with the old worker. What fails is tried again,
and the running HAProxy is left as it is. Every few seconds it is looked whether HAProxy still has what it should have.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from loguru import logger

from wsplatform.core.backoff import Backoff
from wsplatform.core.haproxy_config import check_table
from wsplatform.core.metrics import Metric, Sample
from wsplatform.errors import PlatformError, SettingsError
from wsplatform.model import View
from wsplatform.plugins import haproxy_files as files
from wsplatform.plugins.base import Plugin, PluginHost, PluginStatus
from wsplatform.plugins.haproxy_control import find
from wsplatform.plugins.haproxy_figures import METRICS, Figures
from wsplatform.plugins.haproxy_keeper import Keeper, Outcome
from wsplatform.settings import HAProxyTable, Settings

SETTLE_SECONDS = 0.02
"""Changes that come together, as when a cluster starts, are one."""

SPACING_SECONDS = 1.0
"""From one reload to the next: each may leave an old worker behind, for as long as its websockets stay."""

RETRY_FIRST_SECONDS = 1.0
RETRY_CAP_SECONDS = 10.0


def create(settings: Settings) -> Plugin | None:
    """Raises SettingsError."""
    table = settings.haproxy
    if not table.enabled:
        return None
    check_table(table)
    if table.tunnel_seconds <= settings.client.ping_seconds:
        expected = f"more than client.ping_seconds ({settings.client.ping_seconds:g})"
        raise SettingsError("haproxy.tunnel_seconds", f"{table.tunnel_seconds:g}", expected)
    return HAProxyPlugin(table)


class HAProxyPlugin:
    """One task follows the view; it holds the newest only. plugins/base.py: Plugin, Measuring."""

    def __init__(self, table: HAProxyTable) -> None:
        self._table = table
        self._keeper = Keeper(table)
        self._view = View(0)
        self._changed = asyncio.Event()
        self._refused = ""
        self._healthy, self._detail = True, "waiting for the first view"
        self._figures = Figures()
        self._task: asyncio.Task[None] | None = None
        self._claim: int | None = None

    async def start(self, host: PluginHost) -> None:
        """Raises StartError, code haproxy_missing."""
        await asyncio.to_thread(find, self._table.binary)
        self._task = host.tasks.start(self._follow(), name="haproxy")

    async def stop(self) -> None:
        """What is being done is given up; HAProxy keeps running with what it has."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        claim, self._claim = self._claim, None
        if claim is not None:
            os.close(claim)

    def view_changed(self, view: View) -> None:
        self._view = view
        self._changed.set()

    def status(self) -> PluginStatus:
        healthy, detail = self._healthy, self._detail
        if self._task is not None and self._task.done():
            healthy, detail = False, "the plugin has ended: the log says why"
        return PluginStatus(healthy, detail, self._figures.facts(), items=self._figures.items())

    @property
    def metrics(self) -> Sequence[Metric]:
        return METRICS

    def measure(self) -> Iterable[Sample]:
        return self._figures.samples()

    async def _follow(self) -> None:
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS)
        await self._changed.wait()
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            self._changed.clear()
            view = self._view
            try:
                outcome = await self._apply(view)
            except PlatformError as error:
                self._failed(error)
                await self._change_within(backoff.next(random.random()))  # noqa: S311 - spreads retries
                continue
            backoff.reset()
            self._succeeded(view, outcome)
            if outcome.reloaded:
                await asyncio.sleep(SPACING_SECONDS)
            await self._change_within(self._table.check_seconds)

    async def _apply(self, view: View) -> Outcome:
        """Raises PlatformError. Two that keep one HAProxy would undo each other's work for ever."""
        if self._claim is None:
            self._claim = files.claim(Path(self._table.config_file))  # in a thread, it could outlive `stop`
        return await self._keeper.apply(view.members)

    async def _change_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _succeeded(self, view: View, outcome: Outcome) -> None:
        self._figures.succeeded(self._keeper.round, outcome, time.time())
        self._tell_drift()
        _tell(outcome)
        refused = " ".join(error.message for error in outcome.refused)
        if refused and refused != self._refused:
            logger.warning("haproxy: {}", refused)
        self._refused = refused
        if outcome.idle:
            detail = "there is no node, HAProxy keeps the configuration that it has"
        else:
            detail = f"HAProxy has view {view.number}, servers: {len(outcome.servers)}"
        if not self._healthy and not refused:
            logger.info("haproxy: {}", detail)
        self._healthy, self._detail = not refused, f"{detail}; {refused}" if refused else detail

    def _failed(self, error: PlatformError) -> None:
        self._figures.failed(self._keeper.round, error, time.time())
        self._tell_drift()
        if self._detail != str(error):
            logger.warning("haproxy: {}", error)
        self._healthy, self._detail = False, str(error)

    def _tell_drift(self) -> None:
        for what in self._keeper.round.drift:
            logger.warning("haproxy: put right what was not changed from here: {}", what)


def _tell(outcome: Outcome) -> None:
    """For the log."""
    if outcome.reloaded:
        logger.info("haproxy: HAProxy has read its configuration")
    if outcome.rotated:
        logger.info("haproxy: the certificate was exchanged")
