"""The port for plugins: everything that the author of a plugin has to know.

A plugin runs in the registry's process and follows the cluster. It is found by entry point, group `wsplatform.plugins`:
a name and a callable `(Settings) -> Plugin | None` (None: switched off by the settings). A plugin that fails is logged
with its distribution's name and left out; it never stops the others or the registry. docs/writing-a-plugin.md leads
through one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wsplatform.model import View
from wsplatform.net.tasks import Tasks


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """For the admin API: is the plugin's work up to date, and if not, why (a sentence for people).

    facts: whatever else operators should see of it, by short names; no secrets. distribution: where the plugin comes
    from; the host fills it in.
    """

    healthy: bool
    detail: str
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    distribution: str = ""


@dataclass(frozen=True, slots=True)
class PluginHost:
    """What a plugin may use."""

    tasks: Tasks


class Plugin(Protocol):
    """Follows the cluster's view."""

    async def start(self, host: PluginHost) -> None:
        """Begin. Raises StartError when that cannot work."""

    async def stop(self) -> None:
        """End. Idempotent."""

    def view_changed(self, view: View) -> None:
        """The cluster's instances, or their readiness, are now these. Synchronous and quick: work goes into a task."""

    def status(self) -> PluginStatus: ...
