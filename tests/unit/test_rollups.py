"""Folding: sums are kept exactly through any sequence of folds, splits and merges, and percentiles stay percentiles."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsplatform.core.metrics import CATALOGUE, bucket_of, largest_in
from wsplatform.core.rollups import (
    CHUNK,
    MAX_NODES,
    MOST,
    CounterCells,
    DamagedError,
    Fold,
    GaugeCells,
    GaugeRun,
    Grid,
    HistogramCells,
    Place,
    Rollup,
    Span,
    read_chunk,
    read_report,
    shares,
    write_chunk,
)
from wsplatform.core.samples import COVERAGE, MAX_LABELS, OTHER, accept
from wsplatform.core.series import percentile
from wsplatform.model import MetricReport

DAY = 1_700_000_000 // 86_400 * 86_400
TIMES = st.integers(DAY * 1000, (DAY + 86_400) * 1000)
COUNTS = st.integers(0, 2**53)


def report(
    number: int = 1,
    began: float = DAY,
    ended: float = DAY + 10,
    counters: dict[str, dict[str, float]] | None = None,
    gauges: dict[str, dict[str, float]] | None = None,
    histograms: dict[str, dict[str, dict[int, int]]] | None = None,
) -> MetricReport:
    return MetricReport(
        number=number,
        began=began,
        ended=ended,
        counters=counters or {},
        gauges=gauges or {},
        histograms=histograms or {},
    )


def folded(reports: list[tuple[str, MetricReport]], since: int = 0) -> list[Rollup]:
    fold = Fold(since)
    for node, one in reports:
        fold.add(node, read_report(accept(one, (DAY + 86_400) * 1000).data))
    return list(fold.chunks())


def grid(chunks: list[Rollup], metric: str, step: int, many: int = 1) -> Grid:
    """All cells of a metric at a step, `many` of them made one."""
    found = Grid("counter" if metric == COVERAGE else CATALOGUE[metric].kind)
    for chunk in chunks:
        if (chunk.metric, chunk.step) == (metric, step):
            found.add(chunk.data, Place(chunk.begin // step, many, CHUNK[step] // step))
    return found


def total(found: Grid) -> int:
    return sum(value for series in found.nodes.values() for cells in series.values() for value in cells.cells.values())


@st.composite
def spans(draw: st.DrawFn, width: int = 10_000) -> Span:
    began, ended = sorted(draw(st.tuples(TIMES, TIMES)))
    longest = 300 * width
    return Span(max(began, ended - longest), ended + 1, width)


class TestShares:
    @given(COUNTS, spans())
    def test_their_sum_is_the_whole(self, amount, span):
        parts = list(shares(amount, span))
        assert sum(share for _, share in parts) == amount
        assert all(share >= 0 for _, share in parts)
        assert all(span.began // 10_000 <= number <= (span.ended - 1) // 10_000 for number, _ in parts)

    @given(COUNTS, spans())
    def test_cells_of_two_widths_agree(self, amount, span):
        narrow: dict[int, int] = {}
        for number, share in shares(amount, span):
            narrow[number // 6] = narrow.get(number // 6, 0) + share
        wide = dict(shares(amount, Span(span.began, span.ended, 60_000)))
        assert {number: share for number, share in narrow.items() if share} == {
            number: share for number, share in wide.items() if share
        }

    @given(COUNTS, spans())
    def test_each_gets_what_its_part_of_the_time_is(self, amount, span):
        for number, share in shares(amount, span):
            inside = min((number + 1) * 10_000, span.ended) - max(number * 10_000, span.began)
            assert abs(share - amount * inside / (span.ended - span.began)) <= 1 + amount * 1e-9

    @given(COUNTS, spans(), st.integers(0, 400))
    def test_what_is_before_the_least_is_left_out_and_changes_nothing_else(self, amount, span, later):
        least = span.began // 10_000 + later
        kept = list(shares(amount, Span(span.began, span.ended, 10_000, least)))
        assert kept == [(number, share) for number, share in shares(amount, span) if number >= least]


def cells_of(values: list[tuple[int, int]]) -> CounterCells:
    cells = CounterCells()
    for number, value in values:
        cells.put(number, value)
    return cells


NUMBERED = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2**40)), max_size=30)


class TestCells:
    @given(st.lists(NUMBERED, max_size=5), st.sampled_from([1, 6, 60]), st.sampled_from([24, 60]))
    def test_counters_add_up_through_packing_and_merging(self, parts, many, size):
        merged = CounterCells()
        for part in parts:
            for chunk, run in cells_of(part).runs(size):
                merged.merge(msgspec.convert(msgspec.to_builtins(run), type(run)), Place(chunk * size, many, size))
        expected: dict[int, int] = {}
        for number, value in (pair for part in parts for pair in part):
            expected[number // many] = expected.get(number // many, 0) + value
        assert {n: v for n, v in merged.cells.items() if v} == {n: v for n, v in expected.items() if v}

    @given(st.lists(st.tuples(st.integers(0, 100), st.integers(-(2**40), 2**40)), min_size=1, max_size=40))
    def test_gauges_keep_count_sum_lowest_highest_and_last(self, values):
        values.sort(key=lambda pair: pair[0])
        once, by_parts = GaugeCells(), GaugeCells()
        for at, (number, value) in enumerate(values):
            once.put(number // 6, value)
            alone = GaugeCells()
            alone.put(number, value)
            for chunk, run in alone.runs(60):
                by_parts.merge(run, Place(chunk * 60, 6))
            assert once.cells[number // 6][4] == values[at][1]
        assert once.cells == by_parts.cells
        packed = GaugeCells()
        for chunk, run in once.runs(60):
            packed.merge(run, Place(chunk * 60))
        assert packed.cells == once.cells
        for number, (count, added, low, high, last) in once.cells.items():
            mine = [value for slot, value in values if slot // 6 == number]
            assert (count, added, low, high, last) == (len(mine), sum(mine), min(mine), max(mine), mine[-1])

    @given(
        st.lists(
            st.tuples(st.integers(0, 50), st.lists(st.integers(0, 2**40), min_size=1, max_size=20)),
            min_size=1,
            max_size=8,
        ),
        st.sampled_from([500, 900, 950, 990, 999, 1000]),
    )
    def test_percentiles_are_those_of_all_values_within_a_bucket(self, groups, permille):
        """The groups are of several nodes and moments; what counts is all of them together."""
        merged = HistogramCells()
        for number, times in groups:
            part = HistogramCells()
            buckets: dict[int, int] = {}
            for time in times:
                buckets[bucket_of(time)] = buckets.get(bucket_of(time), 0) + 1
            part.put(number, buckets)
            for chunk, run in part.runs(60):
                merged.merge(run, Place(chunk * 60, 60))
        times = sorted(time for _, group in groups for time in group)
        right = times[-(-len(times) * permille // 1000) - 1]
        assert sum(merged.cells[0][1:]) == len(times)
        assert percentile(merged.cells[0], permille) == min(largest_in(bucket_of(right)), 2**40 - 1)

    def test_what_outgrows_the_format_stays_in_it(self):
        cells = CounterCells()
        for _ in range(3):
            cells.put(5, MOST)
        ((_, run),) = cells.runs(60)
        assert run.values == [MOST]
        ((_, _, again),) = read_chunk("counter", write_chunk({"a": {"": run}}))
        assert again.values == [MOST]


@st.composite
def histories(draw: st.DrawFn) -> list[MetricReport]:
    """What one instance reports: one after the other, some over 10 s and some over more, none over too much."""
    reports, at = [], DAY + draw(st.integers(0, 3000)) + draw(st.sampled_from([0, 0.4]))
    for number in range(1, draw(st.integers(1, 6)) + 1):
        ended = at + draw(st.sampled_from([10, 10, 10, 3.7, 25, 60, 700]))
        count = draw(st.integers(0, 10_000))
        reports.append(
            report(
                number,
                at,
                ended,
                counters={"link_sent": {"b": count, "c": 7}, "cpu": {"": count / 1_000_000}},
                gauges={"sessions": {"": float(count)}},
                histograms={"fanout": {"": {count % 50: count % 7 + 1, 90: 2}}},
            )
        )
        at = ended
    return reports


class TestFold:
    @settings(max_examples=40)
    @given(st.dictionaries(st.sampled_from("abc"), histories(), min_size=1), st.integers(1, 4))
    def test_sums_are_the_same_at_every_step_however_often_it_is_folded(self, told, turns):
        reports = [(node, one) for node, history in told.items() for one in history]
        chunks = [chunk for turn in range(turns) for chunk in folded(reports[turn::turns])]
        sent = sum(round(value) for _, one in reports for value in one.counters["link_sent"].values())
        cpu = sum(round(one.counters["cpu"][""] * 1e6) for _, one in reports)
        timed = sum(count for _, one in reports for count in one.histograms["fanout"][""].values())
        for step, many in ((10, 1), (10, 6), (60, 1), (60, 60)):
            assert total(grid(chunks, "link_sent", step, many)) == sent
            assert total(grid(chunks, "cpu", step, many)) == cpu
            fanout = grid(chunks, "fanout", step, many)
            assert timed == sum(
                sum(cell[1:])
                for node in fanout.nodes.values()
                for cells in node.values()
                for cell in cells.cells.values()
            )
            sessions = grid(chunks, "sessions", step, many)
            counts = [cell[0] for node in sessions.nodes.values() for cell in node[""].cells.values()]
            assert sum(counts) == len(reports)

    @settings(max_examples=40)
    @given(st.dictionaries(st.sampled_from("abc"), histories(), min_size=1))
    def test_minutes_packed_again_make_the_same_hours(self, told):
        chunks = folded([(node, one) for node, history in told.items() for one in history])
        minutes = grid(chunks, "link_sent", 60)
        again = [Rollup(60, "link_sent", number * 3600, data) for number, data in minutes.chunks(60)]
        assert total(grid(again, "link_sent", 60, 60)) == total(grid(chunks, "link_sent", 10))
        assert {
            (node, label): cells.cells
            for node, series in grid(again, "link_sent", 60).nodes.items()
            for label, cells in series.items()
        } == {
            (node, label): {number: value for number, value in cells.cells.items() if value}
            for node, series in minutes.nodes.items()
            for label, cells in series.items()
            if any(cells.cells.values())
        }

    def test_a_report_that_is_older_than_values_of_10_s_are_kept_goes_into_the_minutes_only(self):
        one = report(began=DAY + 5, ended=DAY + 3605, counters={"deliveries": {"": 3600}})
        chunks = folded([("a", one)], since=(DAY + 3000) * 1000)
        assert total(grid(chunks, "deliveries", 60)) == 3600
        assert total(grid(chunks, "deliveries", 10)) == 605
        assert total(grid(chunks, COVERAGE, 60)) == 3_600_000

    def test_labels_and_nodes_beyond_the_limits_are_counted_together(self):
        found = Grid("counter")
        for number in range(MAX_LABELS + 50):
            found.cells("a", str(number)).put(1, 1)
        assert len(found.nodes["a"]) == MAX_LABELS + 1
        assert found.nodes["a"][OTHER].cells == {1: 50}
        for number in range(MAX_NODES + 10):
            found.cells(f"n{number}", "").put(1, 1)
        assert len(found.nodes) == MAX_NODES + 1
        assert total(found) == MAX_LABELS + 50 + MAX_NODES + 10

    def test_large_chunks_are_several(self):
        found = Grid("counter")
        for node in range(100):
            for label in range(25):
                found.cells(f"n{node}", str(label)).put(7, 1)
        chunks = list(found.chunks(60))
        assert len(chunks) == 3
        again = Grid("counter")
        for number, data in chunks:
            again.add(data, Place(number * 60))
        assert total(again) == 2500


class TestDamage:
    @given(st.binary(max_size=200), st.sampled_from(["counter", "gauge", "histogram"]))
    def test_no_bytes_do_more_than_be_damaged(self, data, kind):
        with pytest.raises(DamagedError):
            Grid(kind).add(data, Place(0))
        with pytest.raises(DamagedError):
            Grid(kind).add(write_chunk({"a": {"": data}}), Place(0))
        try:
            read_report(data)
        except DamagedError:
            return

    @pytest.mark.parametrize(
        ("kind", "run"),
        [
            ("counter", [55, [1] * 10]),
            ("counter", [-1, [1]]),
            ("counter", ["x", [1]]),
            ("gauge", GaugeRun(0, [1, 1], [5], [], [], [])),
            ("gauge", GaugeRun(0, [2, 2], [5, 5], [1], [1, 1], [1, 1])),
            ("histogram", [60, [[5, 1]]]),
        ],
    )
    def test_a_run_that_cannot_be_is_damaged(self, kind: Any, run: Any):
        with pytest.raises(DamagedError):
            Grid(kind).add(write_chunk({"a": {"": run}}), Place(0))


def test_no_number_is_too_much_for_a_report():
    assert math.isfinite(accept(report(ended=1e300), DAY * 1000).ended)
