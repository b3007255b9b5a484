"""Collects what a node measures, and cuts it into reports at each multiple of ten seconds of the wall clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import Final

from wsplatform.core.busiest import highest
from wsplatform.core.metrics import SAMPLE_SECONDS, Measured, Sample
from wsplatform.core.reports import Increases, Reports, times
from wsplatform.model import BusyChannel
from wsplatform.node.crowds import Crowds
from wsplatform.node.fanout import Meter
from wsplatform.node.subscriptions import Subscriptions

BUSIEST: Final = 100
"""How many channels are named for their publications, and for their subscribers."""


class MetricsManager:
    """Counts nothing: asks `sources`. `reports`: where the reports wait for the registry.

    interval: seconds; wall: Unix time.
    """

    def __init__(
        self,
        sources: Sequence[Measured],
        meter: Meter,
        subscriptions: Subscriptions,
        *,
        interval: float = SAMPLE_SECONDS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.reports = Reports()
        self._sources = sources
        self._meter = meter
        self._subscriptions = subscriptions
        self._crowds = Crowds(subscriptions, BUSIEST)
        self._interval = interval
        self._wall = wall
        self._increases = Increases()
        self._before = wall()
        self._before_steady = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._schedule(self._wall())

    def stop(self) -> None:
        """Idempotent."""
        self._crowds.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def collect(self) -> Iterator[Sample]:
        """All metrics, as they stand."""
        return chain.from_iterable(source.measure() for source in self._sources)

    def cut(self) -> None:
        """Put what was counted since the last time into a report."""
        steady = time.monotonic()
        when = times(self._before, steady - self._before_steady, self._wall(), self._interval)
        self._before, self._before_steady = when.ended, steady
        self.reports.add(self._increases.cut(self.collect(), when, self._busiest()))
        self._crowds.look()

    def _busiest(self) -> tuple[BusyChannel, ...]:
        """Of each kind the first comes before the second of the other: what has no room is cut off at the end."""
        counts = self._meter.busiest.take()
        published = (name for name, _ in highest(counts, BUSIEST))
        crowded = (name for name, _ in self._crowds.top)
        names = dict.fromkeys(name for pair in zip_longest(published, crowded) for name in pair if name is not None)
        subscribers = self._subscriptions.subscribers
        return tuple(BusyChannel(name, counts.get(name, 0), subscribers(name)) for name in names)

    def _schedule(self, now: float) -> None:
        wait = self._interval - now % self._interval
        self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        now = self._wall()
        if now // self._interval * self._interval > self._before or now < self._before:
            self.cut()
        # A timer may come a little early: then it is set again. By the same `now`: of a clock that is read anew, the
        # boundary may just have passed, and would be left out.
        self._schedule(now)
