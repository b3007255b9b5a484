"""What the registry takes from a node's report: known metrics, sensible numbers and times, all of it bounded.

Everything is a whole number from here on, so that sums stay exact however they are folded: milliseconds of Unix time,
and of a metric the parts that `parts` tells, microseconds for instance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from wsplatform.core.metrics import CATALOGUE, LARGEST, SAMPLE_SECONDS, Kind, Metric, bucket_of
from wsplatform.model import MetricReport

COVERAGE: Final = ""
"""The metric that every report has, a counter: the milliseconds that it is about."""

OTHER: Final = "other"
"""The label of what there is too much of."""

MICROSECONDS: Final = 1_000_000
MAX_LABELS: Final = 512
MAX_LABEL: Final = 128
MAX_VALUE: Final = 2**53
SAMPLE: Final = SAMPLE_SECONDS * 1000
LONGEST: Final = 86_400_000
"""A report over a longer time is counted in the last day of it."""

OLDEST: Final = 400 * LONGEST
_EARLY: Final = SAMPLE
_NEAR: Final = SAMPLE // 10
_SHORTEST: Final = 1000
_LAST_BUCKET: Final = bucket_of(LARGEST)
_encode = msgspec.msgpack.Encoder().encode

Values = dict[str, int] | dict[str, dict[int, int]]
"""By label: a counter's increase, a gauge's value; of a histogram, how many in each bucket."""


class KeptReport(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A report as it is kept until it is folded. values: by metric, `Values` in msgpack."""

    began: int
    ended: int
    values: dict[str, msgspec.Raw]


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A report as it is stored. refused: how many values of it could not be used; misplaced: its time neither."""

    number: int
    began: int
    ended: int
    data: bytes
    refused: int
    misplaced: bool


def kind_of(metric: str) -> Kind | None:
    """None: there is no such metric."""
    if metric == COVERAGE:
        return "counter"
    known = CATALOGUE.get(metric)
    return None if known is None else known.kind


def parts(metric: Metric) -> int:
    """How many parts of one are told apart: seconds are kept in microseconds, gauges without a unit in hundredths."""
    if metric.unit == "seconds":
        return MICROSECONDS
    return 100 if metric.kind == "gauge" and not metric.unit else 1


def accept(report: MetricReport, now: int, ahead: float = 0.0) -> Accepted:
    """`now`: milliseconds of Unix time. ahead: seconds by which the clock that the report's times are of is ahead of
    that. Times that cannot be are replaced by now."""
    began, ended, misplaced = _times(report, now, ahead)
    reading = _Reading()
    values: dict[str, Any] = {COVERAGE: {"": ended - began}}
    reading.numbers(values, report.counters, "counter")
    reading.numbers(values, report.gauges, "gauge")
    reading.histograms(values, report.histograms)
    return Accepted(report.number, began, ended, _encode((began, ended, values)), reading.refused, misplaced)


class _Reading:
    """Takes what can be used and counts what cannot."""

    def __init__(self) -> None:
        self.refused = 0

    def numbers(self, values: dict[str, Any], told: Mapping[str, Mapping[str, float]], kind: Kind) -> None:
        for name, labels in told.items():
            metric = self._known(name, kind)
            if metric is None:
                continue
            kept: dict[str, int] = {}
            scale = parts(metric)
            for label, value in labels.items():
                if not math.isfinite(value) or (kind == "counter" and value < 0):
                    self.refused += 1
                    continue
                whole = round(min(max(value * scale, -MAX_VALUE), MAX_VALUE))
                if whole == 0 and kind == "counter":
                    continue
                place = self._place(metric, label, kept)
                if place is not None:
                    kept[place] = whole + (kept.get(place, 0) if kind == "counter" else 0)
            values[name] = kept

    def histograms(self, values: dict[str, Any], told: Mapping[str, Mapping[str, Mapping[int, int]]]) -> None:
        for name, labels in told.items():
            metric = self._known(name, "histogram")
            if metric is None:
                continue
            kept: dict[str, dict[int, int]] = {}
            for label, buckets in labels.items():
                good = {
                    bucket: min(count, MAX_VALUE)
                    for bucket, count in buckets.items()
                    if 0 <= bucket <= _LAST_BUCKET and count > 0
                }
                self.refused += len(buckets) - len(good)
                place = self._place(metric, label, kept)
                if good and place is not None:
                    there = kept.setdefault(place, {})
                    for bucket, count in good.items():
                        there[bucket] = there.get(bucket, 0) + count
            values[name] = kept

    def _known(self, name: str, kind: Kind) -> Metric | None:
        metric = CATALOGUE.get(name)
        if metric is not None and metric.kind == kind:
            return metric
        self.refused += 1
        return None

    def _place(self, metric: Metric, label: str, kept: Mapping[str, object]) -> str | None:
        if not metric.label:
            if not label:
                return label
            self.refused += 1
            return None
        if label in kept or (len(kept) < MAX_LABELS and len(label) <= MAX_LABEL):
            return label
        return OTHER


def _times(report: MetricReport, now: int, ahead: float) -> tuple[int, int, bool]:
    """When it began and ended, at least a second and at most a day apart, and whether that was changed by much."""
    if not (math.isfinite(report.began) and math.isfinite(report.ended)):
        return now - SAMPLE, now, True
    ended = _near(report.ended - ahead)
    began = _near(report.began - ahead)
    length = min(max(ended - began, _SHORTEST), LONGEST)
    if not now - OLDEST <= ended <= now + _EARLY:
        return now - length, now, True
    return ended - length, ended, length < ended - began or began > ended


def _near(time: float) -> int:
    """Milliseconds. A moment that is nearly one at which nodes report is meant as that: the timer was late."""
    whole = round(min(max(time, -MAX_VALUE), MAX_VALUE) * 1000)
    aligned = (whole + SAMPLE // 2) // SAMPLE * SAMPLE
    return aligned if abs(whole - aligned) <= _NEAR else whole
