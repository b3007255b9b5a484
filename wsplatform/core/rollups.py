"""Values over time: what nodes reported, folded into cells of 10 s, a minute and an hour, and packed into chunks.

A cell is what one series (metric, node, label) has in one step of time, numbered from 1970 on. Cells add up exactly,
whole numbers only, in any order and grouping; a gauge's `last` alone depends on the order. Of a histogram, buckets are
added: percentiles of several nodes or steps come from the buckets of all of them.

A chunk is the cells of one metric over `CHUNK` seconds, of many nodes and labels: zlib over msgpack, by node and label
a run: the number of its first cell within the chunk, and the values from there on.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import add
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from wsplatform.core.metrics import Kind
from wsplatform.core.samples import MAX_LABELS, OTHER, SAMPLE, KeptReport, kind_of

CHUNK: Final[Mapping[int, int]] = {10: 600, 60: 3600, 3600: 86_400}
"""By step, both in seconds: how much time a chunk is about."""

MINUTE: Final = 60_000
MAX_NODES: Final = 4096
MAX_SERIES: Final = 1000
"""In one chunk: so that none takes long to read."""

MOST: Final = 2**63 - 1
_LEVEL: Final = 1
_encode = msgspec.msgpack.Encoder().encode

V = TypeVar("V")


class DamagedError(Exception):
    """What was stored cannot be read."""


class CounterRun(msgspec.Struct, frozen=True, array_like=True, gc=False):
    first: int
    values: list[int]


class GaugeRun(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """lows, highs, lasts: empty where no cell has more than one value, which its sum is then."""

    first: int
    counts: list[int]
    sums: list[int]
    lows: list[int]
    highs: list[int]
    lasts: list[int]


class HistogramRun(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """values: as the cells of HistogramCells."""

    first: int
    values: list[list[int]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk's cells go: `base`, the number of its first one, and how many are made one."""

    base: int
    many: int = 1
    cells: int = 60


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a report is, and the width of the cells it goes to, in milliseconds. None before `least`."""

    began: int
    ended: int
    width: int
    least: int = 0


class Cells(Protocol):
    """The cells of one series, by number."""

    def put(self, number: int, value: Any) -> None:
        """Add what a report says to one cell."""

    def take(self, value: Any, span: Span) -> None:
        """Add what a report says to the cells that it is about."""

    def merge(self, run: Any, place: Place) -> None:
        """Raises ValueError for a run that is none."""

    def coarser(self, other: Any, many: int) -> None:
        """Add the cells of `other`, so many of which are one here."""

    def runs(self, cells: int) -> Iterator[tuple[int, Any]]:
        """By the number of the chunk, of so many cells."""


class _Cells(Generic[V]):
    __slots__ = ("cells",)

    def __init__(self) -> None:
        self.cells: dict[int, V] = {}

    def _chunks(self, cells: int, nothing: V) -> Iterator[tuple[int, int, list[V]]]:
        """The number of the chunk, the place of its first cell in it, and from there to the last one."""
        numbers = sorted(self.cells)
        get, at = self.cells.get, 0
        while at < len(numbers):
            first = numbers[at]
            chunk = first // cells
            after = bisect_left(numbers, (chunk + 1) * cells, at)
            yield (
                chunk,
                first - chunk * cells,
                [get(number, nothing) for number in range(first, numbers[after - 1] + 1)],
            )
            at = after


class CounterCells(_Cells[int]):
    __slots__ = ()

    def put(self, number: int, value: int) -> None:
        self.cells[number] = self.cells.get(number, 0) + value

    def take(self, value: int, span: Span) -> None:
        for number, share in shares(value, span):
            self.put(number, share)

    def merge(self, run: CounterRun, place: Place) -> None:
        cells, many = self.cells, place.many
        for number, value in enumerate(run.values, place.base + _first(run.first, len(run.values), place)):
            if value:
                number //= many  # noqa: PLW2901
                cells[number] = cells.get(number, 0) + value

    def coarser(self, other: CounterCells, many: int) -> None:
        cells = self.cells
        for number, value in other.cells.items():
            cells[number // many] = cells.get(number // many, 0) + value

    def runs(self, cells: int) -> Iterator[tuple[int, CounterRun]]:
        for chunk, first, values in self._chunks(cells, 0):
            yield chunk, CounterRun(first, _bounded(values))


class GaugeCells(_Cells[tuple[int, int, int, int, int]]):
    """A cell: how many values, their sum, the lowest, the highest and the last of them."""

    __slots__ = ()

    def put(self, number: int, value: int) -> None:
        self._add(number, (1, value, value, value, value))

    def take(self, value: int, span: Span) -> None:
        number = (span.ended - 1) // span.width
        if number >= span.least:
            self.put(number, value)

    def merge(self, run: GaugeRun, place: Place) -> None:
        many, sums = place.many, run.sums
        columns = (run.counts, sums, run.lows or sums, run.highs or sums, run.lasts or sums)
        number = place.base + _first(run.first, len(run.counts), place)
        for number, cell in enumerate(zip(*columns, strict=True), number):  # noqa: B020
            if cell[0]:
                self._add(number // many, cell)

    def coarser(self, other: GaugeCells, many: int) -> None:
        for number in sorted(other.cells):
            self._add(number // many, other.cells[number])

    def runs(self, cells: int) -> Iterator[tuple[int, GaugeRun]]:
        for chunk, first, values in self._chunks(cells, (0, 0, 0, 0, 0)):
            counts, sums, *others = (_bounded(list(column)) for column in zip(*values, strict=True))
            if max(counts) <= 1:
                others = [[], [], []]
            yield chunk, GaugeRun(first, counts, sums, *others)

    def _add(self, number: int, cell: tuple[int, int, int, int, int]) -> None:
        there = self.cells.get(number)
        if there is not None:
            count, total, low, high, last = cell
            cell = (there[0] + count, there[1] + total, min(low, there[2]), max(high, there[3]), last)
        self.cells[number] = cell


class HistogramCells(_Cells[list[int]]):
    """A cell: the first bucket, then how many in it and in each that follows. They are never changed."""

    __slots__ = ()

    def put(self, number: int, value: Mapping[int, int]) -> None:
        if value:
            first = min(value)
            self._add(number, [first, *(value.get(bucket, 0) for bucket in range(first, max(value) + 1))])

    def take(self, value: Mapping[int, int], span: Span) -> None:
        spread: dict[int, dict[int, int]] = {}
        for bucket, count in value.items():
            for number, share in shares(count, span):
                spread.setdefault(number, {})[bucket] = share
        for number, share_of_buckets in spread.items():
            self.put(number, share_of_buckets)

    def merge(self, run: HistogramRun, place: Place) -> None:
        many = place.many
        for number, cell in enumerate(run.values, place.base + _first(run.first, len(run.values), place)):
            if cell:
                self._add(number // many, cell)

    def coarser(self, other: HistogramCells, many: int) -> None:
        for number, cell in other.cells.items():
            self._add(number // many, cell)

    def runs(self, cells: int) -> Iterator[tuple[int, HistogramRun]]:
        for chunk, first, values in self._chunks(cells, []):
            yield chunk, HistogramRun(first, [_bounded(cell) for cell in values])

    def _add(self, number: int, cell: list[int]) -> None:
        there = self.cells.get(number)
        self.cells[number] = cell if there is None else _both(there, cell)


def _both(one: list[int], other: list[int]) -> list[int]:
    """The cell of a histogram that holds two."""
    if one[0] > other[0]:
        one, other = other, one
    ahead = other[0] - one[0]
    counts = one[1:] + [0] * (ahead + len(other) - len(one))
    counts[ahead : ahead + len(other) - 1] = map(add, counts[ahead:], other[1:])
    return [one[0], *counts]


def _bounded(values: list[int]) -> list[int]:
    """What the format has room for."""
    if values and (max(values) > MOST or min(values) < -MOST):
        return [min(max(value, -MOST), MOST) for value in values]
    return values


_CELLS: Final[Mapping[Kind, type[Cells]]] = {
    "counter": CounterCells,
    "gauge": GaugeCells,
    "histogram": HistogramCells,
}
_VALUES: Final[Mapping[Kind, msgspec.msgpack.Decoder[Any]]] = {
    "counter": msgspec.msgpack.Decoder(dict[str, int]),
    "gauge": msgspec.msgpack.Decoder(dict[str, int]),
    "histogram": msgspec.msgpack.Decoder(dict[str, dict[int, int]]),
}
_RUNS: Final[Mapping[Kind, msgspec.msgpack.Decoder[Any]]] = {
    "counter": msgspec.msgpack.Decoder(dict[str, CounterRun]),
    "gauge": msgspec.msgpack.Decoder(dict[str, GaugeRun]),
    "histogram": msgspec.msgpack.Decoder(dict[str, HistogramRun]),
}
_SAMPLE: Final = msgspec.msgpack.Decoder(KeptReport)
_CHUNK: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_UNREADABLE: Final = (msgspec.MsgspecError, zlib.error, ValueError, TypeError, OverflowError)


def new_cells(kind: Kind) -> Cells:
    return _CELLS[kind]()


def shares(total: int, span: Span) -> Iterator[tuple[int, int]]:
    """`total` spread evenly over the cells of `span`, by number, without those that get nothing.

    Whole numbers whose sum is `total`: each cell gets what the part of the time up to its end has more than that up to
    its beginning, so that cells of two widths agree wherever they end together.
    """
    began, ended, width = span.began, span.ended, span.width
    first, last = began // width, (ended - 1) // width
    if first == last:
        if first >= span.least:
            yield first, total
        return
    first = max(first, span.least)
    length = ended - began
    before = total * max(first * width - began, 0) // length
    for number in range(first, last + 1):
        upto = total * (min((number + 1) * width, ended) - began) // length
        if upto > before:
            yield number, upto - before
        before = upto


def read_report(data: bytes) -> KeptReport:
    """Raises DamagedError."""
    try:
        report = _SAMPLE.decode(data)
    except _UNREADABLE as error:
        raise DamagedError from error
    if report.ended <= report.began:
        raise DamagedError
    return report


def read_values(kind: Kind, raw: msgspec.Raw) -> Mapping[str, Any]:
    """By label. Raises DamagedError."""
    try:
        values: Mapping[str, Any] = _VALUES[kind].decode(raw)
    except _UNREADABLE as error:
        raise DamagedError from error
    return values


class Grid:
    """The cells of one metric, by node and label. More of those than the limits allow become `OTHER`."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.nodes: dict[str, dict[str, Cells]] = {}

    def cells(self, node: str, label: str) -> Cells:
        series = self.nodes.get(node)
        if series is None:
            if len(self.nodes) >= MAX_NODES:
                node = OTHER
            series = self.nodes.setdefault(node, {})
        found = series.get(label)
        if found is None:
            if len(series) >= MAX_LABELS:
                label = OTHER
            found = series.setdefault(label, new_cells(self.kind))
        return found

    def add(self, chunk: bytes, place: Place) -> None:
        """Raises DamagedError; some of the chunk may have been added then."""
        for node, label, run in read_chunk(self.kind, chunk):
            merge(self.cells(node, label), run, place)

    def coarser(self, other: Grid, many: int) -> None:
        for node, series in other.nodes.items():
            for label, cells in series.items():
                self.cells(node, label).coarser(cells, many)

    def chunks(self, cells: int) -> Iterator[tuple[int, bytes]]:
        """All cells in chunks of so many: by the number of the chunk, which may come several times."""
        packed: dict[int, dict[str, dict[str, Any]]] = {}
        sizes: dict[int, int] = {}
        for node, series in self.nodes.items():
            for label, one in series.items():
                for chunk, run in one.runs(cells):
                    packed.setdefault(chunk, {}).setdefault(node, {})[label] = run
                    sizes[chunk] = sizes.get(chunk, 0) + 1
                    if sizes[chunk] >= MAX_SERIES:
                        yield chunk, write_chunk(packed.pop(chunk))
                        del sizes[chunk]
        for chunk, content in packed.items():
            yield chunk, write_chunk(content)


def write_chunk(runs: Mapping[str, Mapping[str, Any]]) -> bytes:
    """`runs`: by node and label."""
    return zlib.compress(_encode(runs), _LEVEL)


def read_chunk(kind: Kind, chunk: bytes, node: str = "") -> Iterator[tuple[str, str, Any]]:
    """Node, label and run. node: only that one's, if it is not empty. Raises DamagedError."""
    decode = _RUNS[kind].decode
    try:
        content = _CHUNK.decode(zlib.decompress(chunk))
        wanted = content.items() if not node else [(node, content[node])] if node in content else ()
        for name, raw in wanted:
            for label, run in decode(raw).items():
                yield name, label, run
    except _UNREADABLE as error:
        raise DamagedError from error


def merge(cells: Cells, run: Any, place: Place) -> None:
    """Raises DamagedError."""
    try:
        cells.merge(run, place)
    except ValueError as error:
        raise DamagedError from error


@dataclass(frozen=True, slots=True)
class Rollup:
    """A chunk to be stored. step, begin: seconds."""

    step: int
    metric: str
    begin: int
    data: bytes


class Fold:
    """Makes chunks of 10 s and of minutes from reports. since: cells of 10 s before it (ms) are not made."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._short: dict[str, Grid] = {}
        self._minutes: dict[str, Grid] = {}
        self._long: list[tuple[str, Span, Mapping[str, Mapping[str, Any]]]] = []

    def add(self, node: str, report: KeptReport) -> None:
        """Raises DamagedError, having taken nothing."""
        values = {
            metric: read_values(kind, raw)
            for metric, raw in report.values.items()
            if (kind := kind_of(metric)) is not None
        }
        span = Span(report.began, report.ended, SAMPLE, self._since // SAMPLE)
        if report.began >= self._since and report.began // SAMPLE == (report.ended - 1) // SAMPLE:
            _take(self._short, node, values, span)
        else:
            _take(self._minutes, node, values, Span(report.began, report.ended, MINUTE))
            self._long.append((node, span, values))

    def chunks(self) -> Iterator[Rollup]:
        """Of all that was added, once."""
        for metric, grid in self._short.items():
            self._minutes.setdefault(metric, Grid(grid.kind)).coarser(grid, MINUTE // SAMPLE)
        for node, span, values in self._long:
            _take(self._short, node, values, span)
        for step, grids in ((10, self._short), (60, self._minutes)):
            for metric, grid in grids.items():
                for number, data in grid.chunks(CHUNK[step] // step):
                    yield Rollup(step, metric, number * CHUNK[step], data)


def _take(grids: dict[str, Grid], node: str, values: Mapping[str, Mapping[str, Any]], span: Span) -> None:
    number = span.began // span.width
    single = number >= span.least and number == (span.ended - 1) // span.width
    for metric, labels in values.items():
        grid = grids.get(metric)
        if grid is None:
            kind = kind_of(metric)
            assert kind is not None
            grid = grids[metric] = Grid(kind)
        if single:
            for label, value in labels.items():
                grid.cells(node, label).put(number, value)
        else:
            for label, value in labels.items():
                grid.cells(node, label).take(value, span)


def _first(first: int, length: int, place: Place) -> int:
    if first < 0 or first + length > place.cells:
        raise ValueError("a run that ends outside of its chunk")
    return first
