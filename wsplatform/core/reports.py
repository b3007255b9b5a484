"""What a node has counted on its way to the registry: cut into reports, and kept until they are committed there.

Every increase is in exactly one report. A report gets its number when it is sent for the first time; from then on it
may have been committed, and stays as it is. Those that were never sent may be merged, which loses nothing but detail.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, pairwise
from operator import add
from typing import Final, TypeVar

import msgspec

from wsplatform.core.metrics import CATALOGUE, Durations, Sample
from wsplatform.model import BusyChannel, MetricReport

KEPT: Final = 360
"""Reports that wait; more are merged."""

AT_ONCE: Final = 30

_K = TypeVar("_K")
_V = TypeVar("_V")
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Times:
    """Of a report, Unix time in seconds."""

    began: float
    ended: float


def times(before: float, elapsed: float, now: float, step: float) -> Times:
    """Of the report that is cut now. before: the end of the last one; elapsed: seconds since then, of a steady clock.

    It ends at the last multiple of `step`, unless that is not after its beginning, and begins at the end of the last
    one, unless the clock has been set since then.
    """
    boundary = now // step * step
    ended = boundary if boundary > before or now < before else now
    astray = abs(now - before - elapsed) > step
    return Times(max(0.0, ended - elapsed), ended) if astray or ended <= before else Times(before, ended)


class Increases:
    """From what was counted since the start to what was counted since the last time."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], float] = {}
        self._timed: dict[tuple[str, str], list[int]] = {}

    def cut(self, samples: Iterable[Sample], when: Times, busiest: tuple[BusyChannel, ...] = ()) -> MetricReport:
        """Without what is zero, but for gauges. A counter that went back has begun anew."""
        counters: dict[str, dict[str, float]] = {}
        gauges: dict[str, dict[str, float]] = {}
        histograms: dict[str, dict[str, dict[int, int]]] = {}
        counted: dict[tuple[str, str], float] = {}
        for name, value, label in samples:
            if isinstance(value, Durations):
                filled = self._filled(name, label, value)
                if filled:
                    histograms.setdefault(name, {})[label] = filled
            elif CATALOGUE[name].kind == "gauge":
                gauges.setdefault(name, {})[label] = value
            else:
                counted[name, label] = value
                before = self._counted.get((name, label), 0)
                increase = value - before if value >= before else value
                if increase:
                    counters.setdefault(name, {})[label] = increase
        self._counted = counted
        return MetricReport(
            number=0,
            began=when.began,
            ended=when.ended,
            counters=counters,
            gauges=gauges,
            histograms=histograms,
            busiest=busiest,
        )

    def _filled(self, name: str, label: str, times: Durations) -> dict[int, int]:
        before = self._timed.get((name, label))
        now = self._timed[name, label] = times.buckets.copy()
        if before is None:
            return {bucket: count for bucket, count in enumerate(now) if count}
        if now == before:
            return {}
        return {
            bucket: count - then for bucket, (count, then) in enumerate(zip(now, before, strict=True)) if count - then
        }


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A report without its busiest channels. size: bytes in a heartbeat."""

    report: MetricReport
    size: int

    @classmethod
    def of(cls, report: MetricReport) -> _Waiting:
        return cls(report, len(_encode(report)) + _NUMBER)

    @property
    def seconds(self) -> float:
        return self.report.ended - self.report.began


_NUMBER: Final = 9
"""Bytes that a number may take more than the 0 of a report that has none."""


class Reports:
    """Those of one instance. Busiest channels are those of the moment: only the newest report has them."""

    def __init__(self, kept: int = KEPT, at_once: int = AT_ONCE) -> None:
        self._kept = kept
        self._at_once = at_once
        self._highest = 0
        self._sent: deque[_Waiting] = deque()
        self._unsent: list[_Waiting] = []
        self._busiest: tuple[BusyChannel, ...] = ()

    def add(self, report: MetricReport) -> None:
        """One that was just cut."""
        self._busiest = report.busiest
        self._unsent.append(_Waiting.of(msgspec.structs.replace(report, busiest=())))
        if len(self) > self._kept and len(self._unsent) > 1:
            self._merge()

    def batch(self, room: int) -> tuple[MetricReport, ...]:
        """What is to be sent next, in at most `room` bytes: the oldest. From now on they may have been committed."""
        taken: list[_Waiting] = []
        for waiting in islice(chain(self._sent, self._unsent), self._at_once):
            if waiting.size > room:
                break
            room -= waiting.size
            taken.append(waiting)
        again = len(self._sent)
        for waiting in taken[again:]:
            self._highest += 1
            numbered = msgspec.structs.replace(waiting.report, number=self._highest)
            self._sent.append(_Waiting(numbered, waiting.size))
        del self._unsent[: max(0, len(taken) - again)]
        reports = [waiting.report for waiting in islice(self._sent, len(taken))]
        if taken and len(taken) == len(self):
            reports[-1] = msgspec.structs.replace(reports[-1], busiest=_fitting(self._busiest, room))
        return tuple(reports)

    def acknowledge(self, number: int) -> None:
        """All up to this one are committed."""
        while self._sent and self._sent[0].report.number <= number:
            self._sent.popleft()

    def __len__(self) -> int:
        """Those that are not known to be committed."""
        return len(self._sent) + len(self._unsent)

    def _merge(self) -> None:
        """The two neighbours that together are about the shortest time, the oldest of such."""
        spans = [first.seconds + second.seconds for first, second in pairwise(self._unsent)]
        place = spans.index(min(spans))
        first, second = self._unsent[place : place + 2]
        self._unsent[place : place + 2] = [_Waiting.of(merged(first.report, second.report))]


def merged(first: MetricReport, second: MetricReport) -> MetricReport:
    """One report over the time of two that follow each other: increases added, gauges as they were at the end."""
    return msgspec.structs.replace(
        second,
        began=first.began,
        counters=_joined(first.counters, second.counters, partial(_joined, join=add)),
        histograms=_joined(first.histograms, second.histograms, partial(_joined, join=partial(_joined, join=add))),
    )


def _joined(first: Mapping[_K, _V], second: Mapping[_K, _V], join: Callable[[_V, _V], _V]) -> dict[_K, _V]:
    joined = dict(first)
    for key, value in second.items():
        joined[key] = join(joined[key], value) if key in joined else value
    return joined


def _fitting(busiest: tuple[BusyChannel, ...], room: int) -> tuple[BusyChannel, ...]:
    """As many of the first as have room."""
    fitting = []
    for channel in busiest:
        room -= len(_encode(channel))
        if room < 0:
            break
        fitting.append(channel)
    return tuple(fitting)
