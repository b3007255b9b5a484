"""The port for plugins: everything that the author of a plugin has to know.

A plugin runs in the registry's process and follows the cluster. It is found by entry point, group `wsplatform.plugins`:
a name and a callable `(Settings) -> Plugin | None` (None: switched off by the settings). A plugin that fails is logged
with its distribution's name and left out; it never stops the others or the registry. docs/writing-a-plugin.md leads
through one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from wsplatform.core.metrics import Metric, Sample
from wsplatform.model import View
from wsplatform.net.tasks import Tasks

Facts = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """For operators: is the plugin's work up to date, and if not, why (a sentence for people).

    facts: whatever else they should see of it, by short names; no secrets. What is named `…_at` or `…_until` is a
    moment, in seconds since 1970 (UTC). distribution: where the plugin comes from; the host fills it in. items: the
    things in its care, as a load balancer's servers, each with facts of its own, by the same names.
    """

    healthy: bool
    detail: str
    facts: Facts = field(default_factory=dict)
    distribution: str = ""
    items: Sequence[Facts] = ()


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


@runtime_checkable
class Measuring(Protocol):
    """Optional ability: a plugin that has figures for Prometheus, beside whether it is healthy, which all have."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """All that `measure` may tell, always the same. Each is named after the plugin: `haproxy_reloads`, of haproxy.

        What Prometheus sees of that follows its conventions: `wsplatform_haproxy_reloads_total`.
        """
        ...

    def measure(self) -> Iterable[Sample]:
        """How they stand, whenever somebody reads `/metrics`. Synchronous and quick.

        Counters only rise; of a metric with a label, at most MAX_SERIES values.
        """
        ...


MAX_SERIES = 100
"""Labels are kept as long as Prometheus runs: what may have any value is none."""
