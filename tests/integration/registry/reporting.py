"""A registry process to which nodes report, and which folds without a break, in a time that passes fast; to be killed.

    python -m tests.integration.registry.reporting DATABASE ORIGIN ACKNOWLEDGED …         (a file, or a URL)

ACKNOWLEDGED: of each node, the number of its last report that was. Lines: `NODE NUMBER`, whenever the registry has
acknowledged up to there. What was not acknowledged is sent again, as nodes do.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable
from typing import Final

from tests.integration.registry.support import Node, settings
from wsplatform.model import MetricReport
from wsplatform.registry.service import Registry
from wsplatform.settings import MetricsTable

NODES: Final = 3
FASTER: Final = 1000
BEGAN: Final = 1_700_002_800
"""Unix time at which reports begin, a whole hour."""

KEEP: Final = MetricsTable(keep_samples_hours=168)
"""All of it: at this speed, six hours pass in a while."""


def clock(origin: float) -> Callable[[], float]:
    """From BEGAN on, at the time `origin`."""
    return lambda: BEGAN + (time.time() - origin) * FASTER


def deliveries(node: int, number: int) -> int:
    return random.Random(f"{node} {number}").randrange(1000)


def report(node: int, number: int) -> MetricReport:
    ended = BEGAN + 10 * number
    return MetricReport(
        number=number,
        began=ended - 10,
        ended=ended,
        counters={"deliveries": {"": deliveries(node, number)}},
        gauges={"sessions": {"": 1.0}},
        histograms={"delivery": {"": {40: number % 5 + 1}}},
    )


async def report_on(registry: Registry, node: int, acknowledged: int, now: Callable[[], float]) -> None:
    teller = Node(f"n{node}")
    await teller.register(registry)
    while True:
        newest = min(int(now() - BEGAN) // 10, acknowledged + 30)
        told = tuple(report(node, number) for number in range(acknowledged + 1, newest + 1))
        reply = await teller.beat(registry, reports=told)
        if reply.reports > acknowledged:
            acknowledged = reply.reports
            sys.stdout.write(f"{node} {acknowledged}\n")
            sys.stdout.flush()
        await asyncio.sleep(0.005)


async def fold(registry: Registry) -> None:
    while True:
        await registry.metrics.round()


async def main(database: str, origin: float, acknowledged: list[int]) -> None:
    now = clock(origin)
    registry = Registry(settings(database, dead_seconds=30), KEEP, now)
    await registry.start()
    nodes = (report_on(registry, node, number, now) for node, number in enumerate(acknowledged))
    await asyncio.gather(fold(registry), *nodes)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), [int(text) for text in sys.argv[3:]]))
