"""The channels with the most subscribers are found while everybody else goes on."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.support.wait import eventually
from wsplatform.core.metrics import CATALOGUE, Durations, Sample
from wsplatform.model import MetricReport
from wsplatform.node import crowds
from wsplatform.node.crowds import SLICE, Crowds
from wsplatform.node.fanout import Fanout, Meter
from wsplatform.node.metrics import BUSIEST, MetricsManager
from wsplatform.node.subscriptions import Subscriptions


class Everybody:
    def want(self, channel: str, done: Callable[[], None]) -> bool:
        return True

    def unwant(self, channel: str) -> None: ...


def crowded(counts: dict[str, int]) -> Subscriptions:
    subscriptions = Subscriptions(Everybody())
    format_, outlet = SimpleNamespace(), SimpleNamespace(fileno=-1)
    for channel, count in counts.items():
        for _ in range(count):
            subscriptions.hold(channel, lambda: None)
            subscriptions.sit(channel, outlet, format_)
    return subscriptions


async def test_the_most_crowded_come_first() -> None:
    counts = {f"c{number}": random.Random(number).randrange(1, 6) for number in range(3 * SLICE)}
    counts.update(big=40, bigger=60)
    top = Crowds(crowded(counts), 10)
    assert top.top == ()
    top.look()
    await eventually(lambda: len(top.top) == 10)
    assert top.top[:2] == (("bigger", 60), ("big", 40))
    assert [count for _, count in top.top] == sorted(counts.values(), reverse=True)[:10]


async def test_a_walk_over_many_channels_holds_nobody_up_and_is_not_repeated_at_once() -> None:
    many = crowded({f"c{number}": 1 for number in range(60_000)})
    top = Crowds(many, 100)
    top.look()
    turns = 0
    while not top.top:
        await asyncio.sleep(0)
        turns += 1
        many.hold(f"new{turns}", lambda: None)  # channels come meanwhile
    assert turns >= 60_000 / SLICE
    found = top.top
    top.look()
    assert top._timer is None  # it rests
    assert top.top is found
    top.stop()


async def test_stopping_ends_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "SLICE", 1)
    top = Crowds(crowded({"a": 1, "b": 2, "c": 3}), 10)
    top.look()
    top.stop()
    top.stop()
    await asyncio.sleep(0.05)
    assert top.top == ()


class Counting:
    def __init__(self) -> None:
        self.deliveries = 0
        self.times = Durations()

    def measure(self) -> list[Sample]:
        return [Sample("deliveries", self.deliveries), Sample("delivery", self.times), Sample("sessions", 3)]


async def test_reports_are_cut_at_the_boundaries_of_the_clock_and_add_up() -> None:
    counting, meter = Counting(), Meter()
    subscriptions = crowded({"a": 3, "b": 1})
    out = Fanout(subscriptions.groups, lambda _: None, meter)
    manager = MetricsManager([counting], meter, subscriptions, interval=0.2)
    manager.start()
    reports: list[MetricReport] = []

    def take() -> bool:
        counting.deliveries += 1
        counting.times.add(0.001)
        meter.busiest["quiet"] += 1
        batch = manager.reports.batch(1_000_000)
        reports.extend(batch)
        if batch:
            manager.reports.acknowledge(batch[-1].number)
        return len(reports) >= 4

    await eventually(take)
    manager.stop()
    manager.cut()
    reports += manager.reports.batch(1_000_000)
    assert all(name in CATALOGUE for report in reports for name in (*report.counters, *report.histograms))
    assert sum(report.counters.get("deliveries", {}).get("", 0) for report in reports) == counting.deliveries
    told = [sum(report.histograms.get("delivery", {}).get("", {}).values()) for report in reports]
    assert sum(told) == counting.deliveries
    for before, after in itertools.pairwise(reports):
        assert before.ended == after.began
    for report in reports[:-1]:
        assert round(report.ended / 0.2, 6).is_integer()
    busiest = reports[-2].busiest
    assert {channel.channel: channel.subscribers for channel in busiest if channel.subscribers} == {"a": 3, "b": 1}
    assert len(busiest) <= 2 * BUSIEST
    assert out.deliveries == 0


@pytest.mark.parametrize("look", [1, 2, 3])
async def test_no_boundary_is_left_out_when_the_clock_passes_it_between_two_looks(look: int) -> None:
    """look: before which of the timer's looks at the clock, from the first one that comes a little early."""
    looks = itertools.count(-1)  # at the making and at the start
    manager = MetricsManager(
        [], Meter(), crowded({}), interval=10, wall=lambda: 19.999 if next(looks) <= look else 20.0001
    )
    manager.start()
    await eventually(lambda: len(manager.reports) == 1, within=2)
    manager.stop()
    (report,) = manager.reports.batch(1_000_000)
    assert report.ended == 20
