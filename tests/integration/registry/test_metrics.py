"""The registry's metrics: every report counts once, whatever happens, and questions are answered from all of them."""

from __future__ import annotations

import time

from tests.integration.registry.support import Node, running
from wsplatform.core.series import Asked
from wsplatform.model import BusyChannel, MetricReport
from wsplatform.registry.service import Registry

NOW = int(time.time()) // 10 * 10


def report(number: int, ended: float, publications: int = 100) -> MetricReport:
    return MetricReport(
        number=number,
        began=ended - 10,
        ended=ended,
        counters={"publications": {"api": publications}, "cpu": {"": 0.25}},
        gauges={"sessions": {"": 5.0}},
        histograms={"fanout": {"": {5: 3, 100: 1}}},
        busiest=(BusyChannel("news", 50, 3),),
    )


async def values(registry: Registry, metric: str, aggregation: str = "", step: int = 10) -> list[float | None]:
    asked = Asked(metric, begin=NOW - 60, end=NOW, aggregation=aggregation, step=step)
    (series,) = (await registry.metrics.answer(asked)).series
    return series.values


class TestReports:
    async def test_are_acknowledged_when_they_are_committed_and_count_once(self, file):
        async with running(file) as registry:
            a = Node("a")
            await a.register(registry)
            first, second = report(1, NOW - 40), report(2, NOW - 30)
            assert (await a.beat(registry)).reports == 0
            assert (await a.beat(registry, reports=(first,))).reports == 1
            assert (await a.beat(registry, reports=(first, second))).reports == 2
            for _ in range(2):
                assert await values(registry, "publications", "sum") == [None, 100, 100, None, None, None]
                assert await values(registry, "publications", "rate") == [None, 10, 10, None, None, None]
                assert await values(registry, "sessions") == [None, 5, 5, None, None, None]
                assert await values(registry, "cpu", "sum") == [None, 0.25, 0.25, None, None, None]
                await registry.metrics.round()
        async with running(file) as registry:
            await a.register(registry)
            assert (await a.beat(registry, reports=(first, second))).reports == 2
            assert await values(registry, "publications", "sum") == [None, 100, 100, None, None, None]
