"""What the plugin for HAProxy has done and found: facts for people and figures for Prometheus, of one source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from wsplatform.core.metrics import Metric, Sample
from wsplatform.errors import PlatformError
from wsplatform.plugins.base import Facts
from wsplatform.plugins.haproxy_keeper import Outcome, Round, Seen

METRICS: Final = (
    Metric("haproxy_reloads", "counter", "Times that the plugin had HAProxy read its configuration anew."),
    Metric("haproxy_drifts", "counter", "Differences that did not come from the plugin, and were put right."),
    Metric("haproxy_failures", "counter", "Times that HAProxy could not be brought in step, by code.", label="code"),
    Metric("haproxy_servers", "gauge", "Servers of HAProxy, as they were last seen.", label="state"),
    Metric(
        "haproxy_certificate_expiry_timestamp", "gauge", "Unix time at which the certificate in use ends.", "seconds"
    ),
    Metric("haproxy_last_success_timestamp", "gauge", "Unix time at which HAProxy was last in step.", "seconds"),
)

STATES: Final = ("up", "down", "maintenance", "drained", "absent", "leaving")
"""Of a server: HAProxy's words; absent: no node behind it is ready yet; leaving: it goes with its last connection."""


@dataclass(slots=True)
class Figures:
    """Since the start of the plugin. Times are seconds since 1970. What is None has not happened, or is not known."""

    reloads: int = 0
    reloaded_at: float | None = None
    drifts: int = 0
    drift: str | None = None
    drift_at: float | None = None
    failures: Counter[str] = field(default_factory=Counter)
    error: str | None = None
    error_at: float | None = None
    success_at: float | None = None
    certificate_until: float | None = None
    seen: Seen | None = None
    seen_at: float | None = None

    def succeeded(self, done: Round, outcome: Outcome, now: float) -> None:
        self._look(done, now)
        if outcome.reloaded:
            self.reloads += 1
            self.reloaded_at = now
        if not outcome.idle:
            self.certificate_until = outcome.certificate_until
        self.success_at = now

    def failed(self, done: Round, error: PlatformError, now: float) -> None:
        self._look(done, now)
        self.failures[error.code] += 1
        self.error, self.error_at = str(error), now

    def facts(self) -> dict[str, str | int | float]:
        """Those that are known."""
        facts = {
            "reloads": self.reloads,
            "reloaded_at": self.reloaded_at,
            "drifts": self.drifts,
            "drift": self.drift,
            "drift_at": self.drift_at,
            "failures": self.failures.total(),
            "error": self.error,
            "error_at": self.error_at,
            "success_at": self.success_at,
            "seen_at": self.seen_at,
            "certificate_until": self.certificate_until,
        }
        if self.seen is not None:
            facts |= {"servers": len(self.seen.wanted), "leaving": len(self.seen.leaving)}
        return {name: value for name, value in facts.items() if value is not None}

    def items(self) -> list[Facts]:
        """The servers, as HAProxy was last seen to have them; state: one of STATES."""
        if self.seen is None:
            return []
        present, leaving = self.seen.present, frozenset(self.seen.leaving)
        found: list[Facts] = [
            {
                "name": server.name,
                "address": server.address,
                "state": present[server.name].state if server.name in present else "absent",
                "weight": server.weight,
            }
            for server in self.seen.wanted
        ]
        return found + [
            {"name": name, "address": now.place, "state": "leaving", "weight": now.weight}
            for name, now in present.items()
            if name in leaving
        ]

    def samples(self) -> Iterator[Sample]:
        yield Sample("haproxy_reloads", self.reloads)
        yield Sample("haproxy_drifts", self.drifts)
        for code, count in self.failures.items():
            yield Sample("haproxy_failures", count, code)
        if self.success_at is not None:
            yield Sample("haproxy_last_success_timestamp", self.success_at)
        if self.seen is not None:
            states = Counter(str(item["state"]) for item in self.items())
            yield from (Sample("haproxy_servers", states[state], state) for state in STATES)
        if self.certificate_until is not None:
            yield Sample("haproxy_certificate_expiry_timestamp", self.certificate_until)

    def _look(self, done: Round, now: float) -> None:
        if done.drift:
            self.drifts += len(done.drift)
            self.drift, self.drift_at = "; ".join(done.drift), now
        if done.seen is not None:
            self.seen, self.seen_at = done.seen, now
