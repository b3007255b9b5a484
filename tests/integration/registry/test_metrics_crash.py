"""A registry that is killed in the middle of storing and folding what nodes count."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from itertools import count
from pathlib import Path

from tests.integration.registry.reporting import BEGAN, KEEP, NODES, clock, deliveries, report
from tests.integration.registry.support import Node, settings
from tests.support.wait import eventually
from wsplatform.core.series import Asked
from wsplatform.registry.service import Registry

ROUNDS = 4


async def report_until_killed(database: Path | str, origin: float, acknowledged: list[int], answers: int) -> None:
    """Raises `acknowledged` to what the process said until it was killed, after at least so many answers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.registry.reporting", str(database), str(origin)),
        *map(str, acknowledged),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = b""
    while said.count(b"\n") < answers:
        part = await process.stdout.read(4096)
        assert part, "the registry ended by itself"
        said += part
    process.send_signal(signal.SIGKILL)
    said += await process.stdout.read()
    await process.wait()
    for line in said[: said.rfind(b"\n")].decode().split("\n"):
        node, number = line.split()
        assert int(number) > acknowledged[int(node)]
        acknowledged[int(node)] = int(number)


async def kill_again_and_again(database: Path | str) -> None:
    acknowledged = [0] * NODES
    origin = time.time()
    now = clock(origin)
    for turn in count():
        await report_until_killed(database, origin, acknowledged, 100 + 77 * (turn % ROUNDS))
        if turn + 1 >= ROUNDS and min(acknowledged) > 360:  # more than an hour of theirs
            break
    registry = Registry(settings(database, dead_seconds=30), KEEP, now)
    await registry.start()
    # What follows is of a time that has passed.
    await eventually(lambda: now() > BEGAN + 10 * (max(acknowledged) + 10))
    try:
        for _ in range(2):
            await check(registry, [await finished(registry, node, acknowledged[node]) for node in range(NODES)])
            await registry.metrics.round()
    finally:
        await registry.close()


async def finished(registry: Registry, node: int, acknowledged: int) -> int:
    """How many reports of the node there are, when the next ones have come."""
    teller = Node(f"n{node}")
    await teller.register(registry)
    told = tuple(report(node, number) for number in range(acknowledged + 1, acknowledged + 6))
    return (await teller.beat(registry, reports=told)).reports


async def check(registry: Registry, numbers: list[int]) -> None:
    """Whatever step is asked for, each report has counted once."""
    last = BEGAN + 10 * (max(numbers) + 1)
    await eventually(lambda: registry.metrics.until > last)
    for step in (10, 60, 3600):
        for metric, aggregation in (("deliveries", "sum"), ("delivery", "count")):
            asked = Asked(metric, by="node", begin=BEGAN, end=last, step=step, aggregation=aggregation)
            found = await registry.metrics.answer(asked)
            sums = [sum(value or 0 for value in one.values) + (one.partial or 0) for one in found.series]
            counts = deliveries if metric == "deliveries" else lambda _, number: number % 5 + 1
            assert sums == [
                sum(counts(node, number) for number in range(1, many + 1)) for node, many in enumerate(numbers)
            ]


async def test_every_report_counts_once(file):
    await kill_again_and_again(file)
