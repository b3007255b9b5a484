"""Keeps HAProxy's configuration current with the cluster's view.

Each change is rendered, checked by HAProxy itself, put in place in one step, and read by HAProxy through its master
socket: websockets that are open stay with the old worker. What fails is tried again, and the running HAProxy is left
as it is. An empty view changes nothing: it comes from a registry that has just begun, while HAProxy's own checks know
better which nodes serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

from loguru import logger

from wsplatform.core.backoff import Backoff
from wsplatform.core.haproxy_config import MARK, Plan, check_table, plan, state_file
from wsplatform.core.haproxy_state import server_state
from wsplatform.errors import PlatformError, SettingsError
from wsplatform.model import View
from wsplatform.plugins import haproxy_files as files
from wsplatform.plugins.base import Plugin, PluginHost, PluginStatus
from wsplatform.plugins.haproxy_control import Master, check, find
from wsplatform.settings import HAProxyTable, Settings

SETTLE_SECONDS = 0.1
"""Changes that come together, as when a cluster starts, are one reload."""

SPACING_SECONDS = 1.0
"""From one reload to the next: each may leave an old worker behind, for as long as its websockets stay."""

RETRY_FIRST_SECONDS = 1.0
RETRY_CAP_SECONDS = 30.0


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
    """One task follows the view; it holds the newest only."""

    def __init__(self, table: HAProxyTable) -> None:
        self._table = table
        self._config = Path(table.config_file)
        self._state = Path(state_file(table))
        self._master = Master(table.master_socket)
        self._view = View(0)
        self._changed = asyncio.Event()
        self._loaded = ""
        self._must_reload = False
        self._refused = ""
        self._status = PluginStatus(True, "waiting for the first view")
        self._task: asyncio.Task[None] | None = None

    async def start(self, host: PluginHost) -> None:
        """Raises StartError, code haproxy_missing."""
        await asyncio.to_thread(find, self._table.binary)
        self._task = host.tasks.start(self._follow(), name="haproxy")

    async def stop(self) -> None:
        """What is being done is given up; HAProxy keeps running with what it has."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def view_changed(self, view: View) -> None:
        self._view = view
        self._changed.set()

    def status(self) -> PluginStatus:
        if self._task is not None and self._task.done():
            return PluginStatus(False, "the plugin has ended: the log says why")
        return self._status

    async def _follow(self) -> None:
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS)
        await self._changed.wait()
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            self._changed.clear()
            try:
                reloaded = await self._apply(self._view)
            except PlatformError as error:
                self._failed(error)
                await self._change_within(backoff.next(random.random()))  # noqa: S311 - spreads retries
                continue
            backoff.reset()
            if reloaded:
                await asyncio.sleep(SPACING_SECONDS)
            await self._changed.wait()

    async def _change_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _apply(self, view: View) -> bool:
        """Make HAProxy agree with the view; whether it was reloaded. Raises PlatformError."""
        wanted = plan(self._table, view.members)
        present = await asyncio.to_thread(files.read, self._config)
        if not wanted.servers and present is not None and present.startswith(MARK):
            self._succeeded(wanted, "there is no node, HAProxy keeps the configuration that it has")
            return False
        if present != wanted.text:
            await self._replace(wanted.text)
        reloaded = await self._load(wanted)
        self._succeeded(wanted, f"HAProxy has view {view.number}, servers: {len(wanted.servers)}")
        return reloaded

    async def _replace(self, text: str) -> None:
        beside = await asyncio.to_thread(files.write_beside, self._config, text)
        try:
            await check(self._table.binary, beside)
            await asyncio.to_thread(files.keep_foreign, self._config)
            self._must_reload = True
            await asyncio.to_thread(files.put_in_place, beside, self._config)
        finally:
            await asyncio.to_thread(files.discard, beside)

    async def _load(self, wanted: Plan) -> bool:
        """Have HAProxy read the file, unless it has. Raises PlatformError."""
        if not self._must_reload and (self._loaded == wanted.text or await self._was_read()):
            self._loaded = wanted.text
            return False
        state = server_state(await self._master.server_states(), wanted.servers)
        beside = await asyncio.to_thread(files.write_beside, self._state, state)
        await asyncio.to_thread(files.put_in_place, beside, self._state)
        await self._master.reload()
        self._must_reload = False
        self._loaded = wanted.text
        return True

    async def _was_read(self) -> bool:
        """For a plugin that has just begun: an earlier one may have ended between the file and the reload."""
        return await self._master.has_read(await asyncio.to_thread(files.changed_at, self._config))

    def _succeeded(self, wanted: Plan, detail: str) -> None:
        refused = " ".join(error.message for error in wanted.refused)
        if refused and refused != self._refused:
            logger.warning("haproxy: {}", refused)
        self._refused = refused
        if not self._status.healthy and not refused:
            logger.info("haproxy: {}", detail)
        self._status = PluginStatus(not refused, f"{detail}; {refused}" if refused else detail)

    def _failed(self, error: PlatformError) -> None:
        if self._status.detail != str(error):
            logger.warning("haproxy: {}", error)
        self._status = PluginStatus(False, str(error))
