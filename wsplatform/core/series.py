"""What a question about metrics is answered with: from chunks and reports to one number for each step.

Steps of the answer are cells too (core/rollups.py), as wide as was asked for. `until`: up to then every node has
reported. A step that is not over then must not look like a drop: a rate is taken over the time up to `until`; a sum
or count is null, and given beside the others as `partial`; what begins later is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Final, Literal, get_args

from wsplatform.core.metrics import CATALOGUE, Kind, Metric, largest_in
from wsplatform.core.rollups import (
    CHUNK,
    Cells,
    CounterCells,
    GaugeCells,
    HistogramCells,
    Place,
    Span,
    merge,
    read_chunk,
    read_values,
)
from wsplatform.core.samples import COVERAGE, MICROSECONDS, KeptReport, parts
from wsplatform.errors import RequestError

By = Literal["", "node", "label"]
Aggregation = Literal["", "rate", "sum", "mean", "min", "max", "last", "count", "p50", "p90", "p95", "p99", "p999"]
AGGREGATIONS: Final[Mapping[Kind, tuple[Aggregation, ...]]] = {
    "counter": ("rate", "sum"),
    "gauge": ("sum", "mean", "min", "max", "last"),
    "histogram": ("p99", "p50", "p90", "p95", "p999", "max", "count", "rate"),
}
"""By kind of metric; the first is the default."""

MAX_POINTS: Final = 100_000
MAX_LOOKED: Final = 20 * MAX_POINTS
"""Points among which the largest series are looked for: nodes that got a new id at each start are many in a month."""

_DEFAULT_POINTS: Final = 300
_DEFAULT_STEPS: Final = (10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_PERMILLE: Final[Mapping[str, int]] = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999, "max": 1000}

assert {name for names in AGGREGATIONS.values() for name in names} == set(get_args(Aggregation)) - {""}


@dataclass(frozen=True, slots=True)
class Question:
    """begin, end, step: seconds, multiples of step. node, label: empty: all. by: what has a series of its own.

    most: so many series, those with the largest sums of values; 0: all.
    """

    metric: Metric
    aggregation: Aggregation
    begin: int
    end: int
    step: int
    node: str = ""
    label: str = ""
    by: By = ""
    most: int = 0

    @property
    def level(self) -> int:
        """The step of the chunks that it is answered from."""
        return 3600 if self.step % 3600 == 0 else 60 if self.step % 60 == 0 else 10

    @property
    def adds(self) -> bool:
        """Whether the levels of several nodes are added."""
        return self.metric.kind == "gauge" and self.aggregation == "sum" and self.by != "node" and not self.node

    @property
    def points(self) -> int:
        return (self.end - self.begin) // self.step


@dataclass(frozen=True, slots=True)
class Asked:
    """As it comes from people, with Unix times in seconds; None: they have not said."""

    metric: str
    node: str = ""
    label: str = ""
    by: By = ""
    begin: float | None = None
    end: float | None = None
    step: int | None = None
    aggregation: Aggregation = ""
    most: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """values: one for each step, None where nobody reported. partial: of the last step's sum or count, so far."""

    node: str
    label: str
    values: list[float | None]
    partial: float | None = None


def question(asked: Asked, now: float) -> Question:
    """Raises RequestError (400) with what to change."""
    metric = CATALOGUE.get(asked.metric)
    if metric is None:
        raise _bad("unknown_metric", "There is no metric of this name: see /admin/v1/metrics/catalogue.")
    possible = AGGREGATIONS[metric.kind]
    if asked.aggregation not in ("", *possible):
        raise _bad("bad_aggregation", f"{metric.name} is a {metric.kind}: use one of {', '.join(possible)}.")
    if asked.by == "label" and not metric.label:
        raise _bad("no_label", f"{metric.name} has no label: leave by=label out.")
    end = now if asked.end is None else asked.end
    begin = end - 3600 if asked.begin is None else asked.begin
    if begin >= end:
        raise _bad("bad_range", "The time asked for has no length: from must be before to.")
    step = _default_step(end - begin) if asked.step is None else asked.step
    if step <= 0 or step % 10:
        raise _bad("bad_step", "The step is a multiple of 10 seconds.")
    first, last = int(begin // step) * step, int(-(-end // step)) * step
    aggregation = asked.aggregation or possible[0]
    found = Question(metric, aggregation, first, last, step, asked.node, asked.label, asked.by, asked.most)
    _check_points(found.points)
    return found


class Answer:
    """Takes chunks in the order of their begin; `series` ends its use."""

    def __init__(self, asked: Question, until: int, reports: Sequence[tuple[str, KeptReport]] = ()) -> None:
        """`until`: seconds. reports: those that are in no chunk yet, with their nodes."""
        self._asked = asked
        self._until = until
        self._reports = [(node, report) for node, report in reports if self._wanted(node, report)]
        self._earliest = min((report.began // 1000 for _, report in self._reports), default=asked.end)
        self._over = 0
        self._groups: dict[tuple[str, str], _Group] = {}
        self._presence = _Presence(asked, until)

    def chunk(self, metric: str, step: int, begin: int, data: bytes) -> None:
        """Of the metric or of COVERAGE. Raises DamagedError, or RequestError (400) for too many points."""
        asked = self._asked
        over = min(begin, self._earliest) // asked.step
        if over > self._over:
            self._over = over
            for group in self._groups.values():
                group.settle(over)
        place = Place(begin // step, asked.step // step, CHUNK[step] // step)
        kind: Kind = "counter" if metric == COVERAGE else asked.metric.kind
        for node, label, run in read_chunk(kind, data, asked.node):
            cells = self._cells(metric, node, label)
            if cells is not None:
                merge(cells, run, place)
        self._check_groups()

    def series(self) -> tuple[list[Series], int]:
        """By node and label, and how many are left out. Raises DamagedError, or RequestError (400): too many points."""
        asked = self._asked
        for node, report in self._reports:
            self._take(node, report)
        if asked.by == "":
            self._groups.setdefault(("", ""), self._new())
        elif asked.by == "node":
            for node in self._presence.nodes:
                self._groups.setdefault((node, ""), self._new())
        self._check_groups()
        keys = sorted(self._groups)
        if not 0 < asked.most < len(keys):
            return [self._one(*key) for key in keys], 0
        largest = nlargest(asked.most, (self._one(*key) for key in keys), key=_size)
        return sorted(largest, key=lambda one: (one.node, one.label)), len(keys) - asked.most

    def _check_groups(self) -> None:
        """Of series that are left out, little is kept: a node that was there for an hour has values of an hour."""
        asked = self._asked
        if asked.most:
            _check_points(min(len(self._groups), asked.most) * asked.points)
        _check_points(len(self._groups) * asked.points, MAX_LOOKED if asked.most else MAX_POINTS)

    def _wanted(self, node: str, report: KeptReport) -> bool:
        asked = self._asked
        inside = report.ended > asked.begin * 1000 and report.began < min(asked.end, self._until) * 1000
        return inside and asked.node in ("", node)

    def _take(self, node: str, report: KeptReport) -> None:
        asked = self._asked
        span = Span(report.began, report.ended, asked.step * 1000, asked.begin // asked.step)
        for metric in (COVERAGE, asked.metric.name):
            raw = report.values.get(metric)
            kind: Kind = "counter" if metric == COVERAGE else asked.metric.kind
            for label, value in read_values(kind, raw).items() if raw is not None else ():
                cells = self._cells(metric, node, label)
                if cells is not None:
                    cells.take(value, span)

    def _cells(self, metric: str, node: str, label: str) -> Cells | None:
        asked = self._asked
        if metric == COVERAGE:
            return self._presence.cells(node)
        if asked.label not in ("", label):
            return None
        key = (node if asked.by == "node" else "", label if asked.by == "label" else "")
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = self._new()
        return group.part(node, label)

    def _new(self) -> _Group:
        return _GROUPS[self._asked.metric.kind](self._asked, self._presence)

    def _one(self, node: str, label: str) -> Series:
        asked = self._asked
        group = self._groups[node, label]
        group.settle(None)
        present = self._presence.numbers(node)
        first, over = asked.begin // asked.step, self._until // asked.step
        last = asked.end // asked.step
        values = [
            group.value(number, asked.step) if number in present else None for number in range(first, min(last, over))
        ]
        elapsed = self._until - over * asked.step
        partial = None
        if elapsed and first <= over < last and over in present:
            newest = group.value(over, elapsed)
            partial, newest = (newest, None) if group.grows else (None, newest)
            values.append(newest)
        values.extend([None] * (asked.points - len(values)))
        return Series(node, label, values, partial)


class _Presence:
    """How long (ms) nodes were there in each step: each by itself, or all together where that is all one asks."""

    def __init__(self, asked: Question, until: int) -> None:
        self._asked = asked
        self._until = until
        self.step = asked.step * 1000
        self.nodes: dict[str, CounterCells] = {}
        self._split = asked.by == "node" or asked.adds
        self._anybody: set[int] | None = None

    def cells(self, node: str) -> CounterCells:
        return self.nodes.setdefault(node if self._split else "", CounterCells())

    def numbers(self, node: str) -> Container[int]:
        """The steps in which it was there; empty: anybody. To be asked when all is known."""
        if node:
            return self.cells(node).cells
        if self._anybody is None:
            self._anybody = {number for one in self.nodes.values() for number in one.cells}
        return self._anybody

    def whole(self, number: int) -> int:
        """How long a step is, as far as it is over: what a node that was there for all of it has."""
        step = self._asked.step
        return min(step, max(self._until - number * step, 1)) * 1000

    def throughout(self, number: int) -> bool:
        """Whether somebody was there in the steps before and after as well, as far as that can be known."""
        asked, anybody = self._asked, self.numbers("")
        first, last = asked.begin // asked.step, min(asked.end - 1, self._until) // asked.step
        return (number <= first or number - 1 in anybody) and (number >= last or number + 1 in anybody)


class _Group:
    """What becomes one series of the answer. grows: the value of a step does so until the step is over."""

    def __init__(self, asked: Question, presence: _Presence) -> None:
        self.presence = presence
        self.scale = parts(asked.metric)
        self.aggregation = asked.aggregation
        self.grows = asked.aggregation in ("count", "sum") and asked.metric.kind != "gauge"

    def part(self, node: str, label: str) -> Cells:
        """Where the cells of that series go."""
        raise NotImplementedError

    def settle(self, before: int | None) -> None:
        """Nothing will come for the cells before that one, or for none: only what they make is kept."""

    def value(self, number: int, elapsed: int) -> float | None:
        """Of a cell that is about so many seconds."""
        raise NotImplementedError


class _Counted(_Group):
    def __init__(self, asked: Question, presence: _Presence) -> None:
        super().__init__(asked, presence)
        self._sum = CounterCells()

    def part(self, node: str, label: str) -> Cells:
        return self._sum

    def value(self, number: int, elapsed: int) -> float | None:
        counted: float = self._sum.cells.get(number, 0)
        if self.scale > 1:
            counted /= self.scale
        return counted / elapsed if self.aggregation == "rate" else counted


class _Measured(_Group):
    """All values of a gauge are looked at together."""

    def __init__(self, asked: Question, presence: _Presence) -> None:
        super().__init__(asked, presence)
        self._all = GaugeCells()

    def part(self, node: str, label: str) -> Cells:
        return self._all

    def value(self, number: int, elapsed: int) -> float | None:
        cell = self._all.cells.get(number)
        if cell is None:
            return None
        count, total, low, high, _ = cell
        found = {"mean": total / count, "min": low, "max": high}[self.aggregation]
        return found / self.scale


class _Added(_Group):
    """What a gauge is on each node, and for each label, is added: their means, or their last values.

    A mean counts for as much of the step as its node was there: one that began anew under another id has taken the
    place of the old one, and is not beside it.
    """

    def __init__(self, asked: Question, presence: _Presence) -> None:
        super().__init__(asked, presence)
        self._weighs = asked.adds
        self._settled: dict[int, float] = {}
        self._parts: dict[tuple[str, str], GaugeCells] = {}
        # Of nodes that were not there for the whole step: means times milliseconds, and how long the longest was there.
        self._times: dict[int, tuple[float, int]] = {}

    def part(self, node: str, label: str) -> Cells:
        found = self._parts.get((node, label))
        if found is None:
            found = self._parts[node, label] = GaugeCells()
        return found

    def settle(self, before: int | None) -> None:
        for (node, _), part in self._parts.items():
            numbers = _over(part.cells, before)
            if self._weighs:
                self._weigh(node, part, numbers)
            else:
                for number in numbers:
                    count, total, _, _, last = part.cells.pop(number)
                    added = last if self.aggregation == "last" else total / count
                    self._settled[number] = self._settled.get(number, 0) + added

    def _weigh(self, node: str, part: GaugeCells, numbers: Sequence[int]) -> None:
        there, whole, step = self.presence.cells(node).cells, self.presence.whole, self.presence.step
        settled = self._settled
        for number in numbers:
            count, total, _, _, _ = part.cells.pop(number)
            time = there.get(number, 0)
            if time >= step or time >= whole(number):
                settled[number] = settled.get(number, 0) + total / count
            else:
                sums, longest = self._times.get(number, (0.0, 0))
                self._times[number] = (sums + total / count * time, max(longest, time))

    def value(self, number: int, elapsed: int) -> float | None:
        found, (sums, longest) = self._settled.get(number), self._times.get(number, (0.0, 0))
        if longest:
            # At the very beginning and end, nobody was there for all of a step: then whoever was for longest tells.
            throughout = found is not None or self.presence.throughout(number)
            found = (found or 0) + sums / (self.presence.whole(number) if throughout else longest)
        return None if found is None else found / self.scale


class _Timed(_Group):
    """The buckets of a histogram."""

    def __init__(self, asked: Question, presence: _Presence) -> None:
        super().__init__(asked, presence)
        self._settled: dict[int, int] = {}
        self._all = HistogramCells()

    def part(self, node: str, label: str) -> Cells:
        return self._all

    def settle(self, before: int | None) -> None:
        permille = _PERMILLE.get(self.aggregation)
        for number in _over(self._all.cells, before):
            cell = self._all.cells.pop(number)
            self._settled[number] = sum(cell[1:]) if permille is None else percentile(cell, permille)

    def value(self, number: int, elapsed: int) -> float | None:
        if self.aggregation == "count":
            return self._settled.get(number, 0)
        if self.aggregation == "rate":
            return self._settled.get(number, 0) / elapsed
        found = self._settled.get(number)
        return None if found is None else found / MICROSECONDS


def _over(cells: Mapping[int, object], before: int | None) -> list[int]:
    return list(cells) if before is None else [number for number in cells if number < before]


def _gauge(asked: Question, presence: _Presence) -> _Group:
    return (_Added if asked.aggregation in ("sum", "last") else _Measured)(asked, presence)


_GROUPS: Final[Mapping[Kind, Callable[[Question, _Presence], _Group]]] = {
    "counter": _Counted,
    "gauge": _gauge,
    "histogram": _Timed,
}


def percentile(cell: Sequence[int], permille: int) -> int:
    """The longest time (µs) of the bucket with the value that `permille` of all do not exceed; 1000: the highest.

    `cell`: of HistogramCells.
    """
    seen = sum(cell) - cell[0]
    rank = -(-seen * permille // 1000)
    for place in range(len(cell) - 1, 0, -1):
        seen -= cell[place]
        if seen < rank:
            return largest_in(cell[0] + place - 1)
    return 0


def _default_step(length: float) -> int:
    return next((step for step in _DEFAULT_STEPS if length / step <= _DEFAULT_POINTS), _coarse(length))


def _coarse(length: float) -> int:
    day = _DEFAULT_STEPS[-1]
    return int(-(-length // (_DEFAULT_POINTS * day))) * day


def _size(series: Series) -> float:
    return math.fsum(value for value in series.values if value is not None)


def _check_points(points: int, most: int = MAX_POINTS) -> None:
    if points > most:
        raise _bad(
            "too_many_points",
            f"An answer has at most {MAX_POINTS} points: ask for a larger step, a shorter time or fewer series (most).",
        )


def _bad(code: str, message: str) -> RequestError:
    return RequestError(400, code, message)
