"""Reports of what was counted: whatever is lost on the way, every increase is committed exactly once."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wsplatform.core.metrics import Durations, Sample, bucket_of
from wsplatform.core.reports import Increases, Reports, Times, merged, times
from wsplatform.model import BusyChannel, MetricReport

ROOM = 100_000
NOON = 1_700_000_000.0 // 10 * 10


def report(deliveries: int = 1, began: float = 0.0, **more: object) -> MetricReport:
    return msgspec.structs.replace(
        MetricReport(
            number=0,
            began=began,
            ended=began + 10,
            counters={"deliveries": {"": deliveries}},
            gauges={"sessions": {"": deliveries}},
            histograms={"fanout": {"": {7: deliveries}}},
        ),
        **more,
    )


class Registry(RuleBasedStateMachine):
    """One node and a registry that keeps its promise: it commits each number once, and answers with the highest."""

    def __init__(self) -> None:
        super().__init__()
        self.reports = Reports(kept=6, at_once=3)
        self.counted: Counter[str] = Counter()
        self.committed: Counter[str] = Counter()
        self.highest = 0
        self.ended = 0.0
        self.seen: dict[int, MetricReport] = {}

    @rule(deliveries=st.integers(0, 5), label=st.sampled_from(["a", "b"]), number=st.integers(0, 3))
    def cut(self, deliveries: int, label: str, number: int) -> None:
        counters = {"deliveries": {"": float(deliveries)}, "link_sent": {label: float(number)}}
        buckets = {"fanout": {"": {number: deliveries}}}
        began, self.ended = self.ended, self.ended + 10
        told = MetricReport(number=0, began=began, ended=self.ended, counters=counters, gauges={}, histograms=buckets)
        self.reports.add(told)
        self.counted.update(_sums(told))

    @rule(heard=st.booleans(), answered=st.booleans(), share=st.integers(0, 3), room=st.sampled_from([0, 250, ROOM]))
    def beat(self, heard: bool, answered: bool, share: int, room: int) -> None:
        """share: so many of those heard are committed before the registry is killed, or all."""
        batch = self.reports.batch(room)
        assert len(msgspec.msgpack.encode(batch)) <= max(room, 1) + 3
        for told in batch:
            assert self.seen.setdefault(told.number, told) == told, "what was sent may not change"
        for told in batch[: len(batch) if answered else share]:
            if heard and told.number > self.highest:
                assert told.number == self.highest + 1
                self.highest = told.number
                self.committed.update(_sums(told))
        if heard and answered:
            self.reports.acknowledge(self.highest)

    @rule()
    def late_answer(self) -> None:
        self.reports.acknowledge(max(0, self.highest - 1))

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.reports) <= 6 + 1

    def teardown(self) -> None:
        while len(self.reports):
            self.beat(heard=True, answered=True, share=0, room=ROOM)
        assert +self.committed == +self.counted


TestRegistry = Registry.TestCase
TestRegistry.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def _sums(told: MetricReport) -> Counter[str]:
    sums: Counter[str] = Counter(seconds=int(told.ended - told.began))
    for name, labels in told.counters.items():
        for label, value in labels.items():
            sums[f"{name} {label}"] += int(value)
    for name, histograms in told.histograms.items():
        for label, buckets in histograms.items():
            for bucket, count in buckets.items():
                sums[f"{name} {label} {bucket}"] += count
    return sums


def test_reports_have_numbers_from_one_on_and_are_sent_until_they_are_committed() -> None:
    reports = Reports()
    for deliveries in (1, 2, 3):
        reports.add(report(deliveries))
    first = reports.batch(ROOM)
    assert [told.number for told in first] == [1, 2, 3]
    assert reports.batch(ROOM) == first
    reports.acknowledge(2)
    reports.add(report(4))
    assert [told.number for told in reports.batch(ROOM)] == [3, 4]
    reports.acknowledge(4)
    assert reports.batch(ROOM) == ()


def test_the_oldest_go_first_and_no_more_than_thirty() -> None:
    reports = Reports()
    for deliveries in range(40):
        reports.add(report(deliveries))
    assert [told.counters["deliveries"][""] for told in reports.batch(ROOM)] == list(range(30))


def test_of_a_day_without_the_registry_all_is_kept_and_the_detail_shrinks_evenly() -> None:
    reports = Reports()
    for number in range(8640):
        reports.add(report(1, began=number * 10.0))
    assert len(reports) == 360
    told: list[MetricReport] = []
    while len(reports):
        batch = reports.batch(ROOM)
        told += batch
        reports.acknowledge(batch[-1].number)
    assert sum(one.counters["deliveries"][""] for one in told) == 8640
    assert [one.began for one in told[1:]] == [one.ended for one in told[:-1]]
    assert max(one.ended - one.began for one in told) <= 320


def test_only_the_newest_report_names_the_busiest_channels_as_many_as_have_room() -> None:
    busiest = tuple(BusyChannel("ä" * 120 + str(number), number, 1) for number in range(200))
    reports = Reports()
    for _ in range(5):
        reports.add(report(busiest=busiest))
    batch = reports.batch(ROOM)
    assert [len(told.busiest) for told in batch] == [0, 0, 0, 0, 200]
    batch = reports.batch(10_000)
    assert len(msgspec.msgpack.encode(batch)) <= 10_000
    assert 10 < len(batch[-1].busiest) < 200
    assert batch[-1].busiest == busiest[: len(batch[-1].busiest)]


def test_merged_reports_have_the_gauges_of_the_later_one() -> None:
    both = merged(report(3, began=0.0), report(4, began=10.0))
    assert (both.began, both.ended) == (0.0, 20.0)
    assert both.counters == {"deliveries": {"": 7}}
    assert both.gauges == {"sessions": {"": 4}}
    assert both.histograms == {"fanout": {"": {7: 7}}}


def test_increases_are_those_since_the_last_cut() -> None:
    increases, fanout = Increases(), Durations()
    fanout.add(0.5)

    def cut(deliveries: int, *more: Sample) -> MetricReport:
        samples = (Sample("deliveries", deliveries), Sample("sessions", 3), Sample("fanout", fanout), *more)
        return increases.cut(samples, Times(0.0, 10.0))

    first = cut(5, Sample("link_sent", 2, "a"), Sample("link_sent", 0, "b"))
    assert first.counters == {"deliveries": {"": 5}, "link_sent": {"a": 2}}
    assert first.gauges == {"sessions": {"": 3}}
    assert first.histograms == {"fanout": {"": {bucket_of(500_000): 1}}}
    second = cut(5, Sample("link_sent", 3, "a"))
    assert second.counters == {"link_sent": {"a": 1}}
    assert second.histograms == {}
    fanout.add(0.5)
    fanout.add(0.5)
    assert cut(5).histograms == {"fanout": {"": {bucket_of(500_000): 2}}}


def test_a_counter_that_begins_anew_counts_from_there() -> None:
    increases = Increases()
    totals = [increases.cut([Sample("link_sent", value, "a")], Times(0, 1)).counters for value in (5, 7, 3, 4)]
    assert totals == [
        {"link_sent": {"a": 5}},
        {"link_sent": {"a": 2}},
        {"link_sent": {"a": 3}},
        {"link_sent": {"a": 1}},
    ]


@pytest.mark.parametrize(
    ("before", "elapsed", "now", "expected"),
    [
        (NOON, 10.0, NOON + 10.004, (NOON, NOON + 10)),
        (NOON + 3.4, 6.7, NOON + 10.1, (NOON + 3.4, NOON + 10)),
        (NOON + 10, 3.0, NOON + 13.0, (NOON + 10, NOON + 13)),
        (NOON, 33.0, NOON + 33.0, (NOON, NOON + 30)),
        (NOON, 10.0, NOON + 3610.0, (NOON + 3600, NOON + 3610)),
        (NOON, 10.0, NOON - 3590.0, (NOON - 3600, NOON - 3590)),
        (NOON, 0.0, NOON, (NOON, NOON)),
    ],
    ids=["on time", "the first", "the last", "a stall", "set forward", "set back", "at once"],
)
def test_times_of_a_report(before: float, elapsed: float, now: float, expected: tuple[float, float]) -> None:
    assert times(before, elapsed, now, 10.0) == Times(*expected)


@given(st.floats(0, 2e9), st.floats(0, 1e6), st.floats(0, 2e9))
def test_a_report_never_ends_before_it_begins(before: float, elapsed: float, now: float) -> None:
    when = times(before, elapsed, now, 10.0)
    assert 0 <= when.began <= when.ended
