"""Values over time: what nodes reported, folded into cells of 10 s, a minute and an hour, and packed into chunks.

A cell is what one series (metric, node, label) has in one step of time, numbered from 1970 on. Cells add up exactly,
whole numbers only, in any order and grouping; a gauge's `last` alone depends on the order. Of a histogram, buckets are
added: percentiles of several nodes or steps come from the buckets of all of them.

A chunk is the cells of one metric over `CHUNK` seconds, of many nodes and labels: zlib over msgpack, by node and label
a run: the number of its first cell within the chunk, and the values from there on.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from wsplatform.core.metrics import Kind
from wsplatform.core.samples import MAX_LABELS, OTHER, SAMPLE, Sample, kind_of

CHUNK: Final[Mapping[int, int]] = {10: 600, 60: 3600, 3600: 86_400}
"""By step, both in seconds: how much time a chunk is about."""

MINUTE: Final = 60_000
MAX_NODES: Final = 4096
MAX_SERIES: Final = 4000
"""In one chunk: so that none takes long to read."""

_MOST: Final = 2**63 - 1
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
    first: int
    values: list[dict[int, int]]


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

    def __len__(self) -> int: ...

    def take(self, value: Any, span: Span) -> None:
        """Add what a report says."""

    def merge(self, run: Any, place: Place) -> None: ...

    def runs(self, cells: int) -> Iterator[tuple[int, Any]]:
        """By the number of the chunk, of so many cells."""

    def coarser(self, other: Any, many: int) -> None:
        """Add the cells of `other`, so many of which are one here."""


class _Cells(Generic[V]):
    __slots__ = ("cells",)

    def __init__(self) -> None:
        self.cells: dict[int, V] = {}

    def __len__(self) -> int:
        return len(self.cells)

    def _chunks(self, cells: int) -> Iterator[tuple[int, int, range]]:
        """The numbers of the chunk, of its first cell and of the cells from the first to the last."""
        numbers = sorted(self.cells)
        at = 0
        while at < len(numbers):
            chunk = numbers[at] // cells
            first = at
            while at < len(numbers) and numbers[at] // cells == chunk:
                at += 1
            yield chunk, numbers[first] - chunk * cells, range(numbers[first], numbers[at - 1] + 1)


class CounterCells(_Cells[int]):
    __slots__ = ()

    def take(self, value: int, span: Span) -> None:
        cells = self.cells
        for number, share in shares(value, span):
            cells[number] = cells.get(number, 0) + share

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
        get = self.cells.get
        for chunk, first, numbers in self._chunks(cells):
            yield chunk, CounterRun(first, [min(get(number, 0), _MOST) for number in numbers])


class GaugeCells(_Cells[list[int]]):
    """A cell: how many values, their sum, the lowest, the highest and the last of them."""

    __slots__ = ()

    def take(self, value: int, span: Span) -> None:
        number = (span.ended - 1) // span.width
        if number >= span.least:
            self._add(number, 1, value, value, value, value)

    def merge(self, run: GaugeRun, place: Place) -> None:
        many, sums = place.many, run.sums
        columns = (run.counts, sums, run.lows or sums, run.highs or sums, run.lasts or sums)
        number = place.base + _first(run.first, len(run.counts), place)
        cells, add = self.cells, self._add
        for values in zip(*columns, strict=True):
            if values[0]:
                if many == 1 and number not in cells:
                    cells[number] = list(values)
                else:
                    add(number // many, *values)
            number += 1

    def coarser(self, other: GaugeCells, many: int) -> None:
        for number in sorted(other.cells):
            self._add(number // many, *other.cells[number])

    def runs(self, cells: int) -> Iterator[tuple[int, GaugeRun]]:
        get = self.cells.get
        for chunk, first, numbers in self._chunks(cells):
            counts, sums, *others = (
                [min(max(value, -_MOST), _MOST) for value in column]
                for column in zip(*(get(number, _NOTHING) for number in numbers), strict=True)
            )
            if max(counts) <= 1:
                others = [[], [], []]
            yield chunk, GaugeRun(first, counts, sums, *others)

    def _add(self, number: int, count: int, total: int, low: int, high: int, last: int) -> None:
        cell = self.cells.get(number)
        if cell is None:
            self.cells[number] = [count, total, low, high, last]
            return
        cell[0] += count
        cell[1] += total
        cell[2] = min(low, cell[2])
        cell[3] = max(high, cell[3])
        cell[4] = last


_NOTHING: Final = [0, 0, 0, 0, 0]


class HistogramCells(_Cells[dict[int, int]]):
    __slots__ = ()

    def take(self, value: Mapping[int, int], span: Span) -> None:
        for bucket, count in value.items():
            for number, share in shares(count, span):
                cell = self.cells.setdefault(number, {})
                cell[bucket] = cell.get(bucket, 0) + share

    def merge(self, run: HistogramRun, place: Place) -> None:
        many = place.many
        for number, cell in enumerate(run.values, place.base + _first(run.first, len(run.values), place)):
            if cell:
                self._add(number // many, cell)

    def coarser(self, other: HistogramCells, many: int) -> None:
        for number, cell in other.cells.items():
            self._add(number // many, dict(cell))

    def runs(self, cells: int) -> Iterator[tuple[int, HistogramRun]]:
        get = self.cells.get
        for chunk, first, numbers in self._chunks(cells):
            values = (get(number, {}) for number in numbers)
            packed = [{bucket: min(cell[bucket], _MOST) for bucket in sorted(cell)} for cell in values]
            yield chunk, HistogramRun(first, packed)

    def _add(self, number: int, cell: dict[int, int]) -> None:
        """`cell` may be kept and changed."""
        there = self.cells.setdefault(number, cell)
        if there is not cell:
            for bucket, count in cell.items():
                there[bucket] = there.get(bucket, 0) + count


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
_SAMPLE: Final = msgspec.msgpack.Decoder(Sample)
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


def read_sample(data: bytes) -> Sample:
    """Raises DamagedError."""
    try:
        sample = _SAMPLE.decode(data)
    except _UNREADABLE as error:
        raise DamagedError from error
    if sample.ended <= sample.began:
        raise DamagedError
    return sample


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
                        yield chunk, zlib.compress(_encode(packed.pop(chunk)), _LEVEL)
                        del sizes[chunk]
        for chunk, content in packed.items():
            yield chunk, zlib.compress(_encode(content), _LEVEL)


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

    def add(self, node: str, sample: Sample) -> None:
        """Raises DamagedError, having taken nothing."""
        values = {
            metric: read_values(kind, raw)
            for metric, raw in sample.values.items()
            if (kind := kind_of(metric)) is not None
        }
        span = Span(sample.began, sample.ended, SAMPLE, self._since // SAMPLE)
        if sample.began >= self._since and sample.began // SAMPLE == (sample.ended - 1) // SAMPLE:
            _take(self._short, node, values, span)
        else:
            _take(self._minutes, node, values, Span(sample.began, sample.ended, MINUTE))
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
    for metric, labels in values.items():
        grid = grids.get(metric)
        if grid is None:
            kind = kind_of(metric)
            assert kind is not None
            grid = grids[metric] = Grid(kind)
        for label, value in labels.items():
            grid.cells(node, label).take(value, span)


def _first(first: int, length: int, place: Place) -> int:
    if first < 0 or first + length > place.cells:
        raise ValueError("a run that ends outside of its chunk")
    return first
