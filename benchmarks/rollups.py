"""What keeping metrics costs:  python -m benchmarks.rollups [--nodes 50] [--days 30] [--postgresql]

Fills a registry's database with what so many nodes, each linked with all others, leave there in so many days: every
metric of the catalogue, all with values. Then it asks what a dashboard asks, and folds what the nodes report in one
minute. CPU time is that of the whole process, the answer's JSON included; each question is asked several times.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from loguru import logger
from peewee import Database

from tests.support.postgresql import Server, programs
from wsplatform.core.metrics import CATALOGUE, Metric, bucket_of
from wsplatform.core.rollups import CHUNK, CounterRun, GaugeRun, HistogramRun, write_chunk
from wsplatform.core.samples import COVERAGE, parts
from wsplatform.core.series import Asked
from wsplatform.model import Heartbeat, Member, MetricReport, NodeStatus
from wsplatform.registry import migrate
from wsplatform.registry.database import execute, locate, transaction
from wsplatform.registry.service import Registry
from wsplatform.registry.tables import ChunkRow
from wsplatform.settings import MetricsTable, RegistryTable

KEEP: Final = MetricsTable()
MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400
_ROUNDS: Final = 7
_POOL: Final = 1500
_LABELS: Final[Mapping[str, Sequence[str]]] = {
    "source": ("client", "server"),
    "code": ("1000", "1001", "1006", "3001", "3005", "3012"),
    "reason": ("origin", "limit"),
    "cause": ("expired", "full"),
}
_SHAPE: Final = [max(1, round(2000 * 2.718 ** (-((place - 25) ** 2) / 150))) for place in range(60)]
"""How the times of a minute spread over 60 buckets."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """now: Unix time, a whole day's end and 20 minutes more."""

    nodes: tuple[str, ...]
    days: int
    now: int

    def labels(self, metric: Metric, node: str) -> Sequence[str]:
        if not metric.label:
            return ("",)
        if metric.label == "peer":
            return [other for other in self.nodes if other != node]
        return _LABELS.get(metric.label, ("a", "b"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollups", description=__doc__)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL instead of SQLite, if it is installed")
    arguments = parser.parse_args()
    logger.remove()
    now = int(time.time()) // DAY * DAY + 1200
    cluster = Cluster(tuple(f"node-{number}" for number in range(arguments.nodes)), arguments.days, now)
    if arguments.postgresql:
        folder = programs()
        if folder is None:
            print("PostgreSQL is not installed", file=sys.stderr)
            return 1
        with Server(folder) as server:
            asyncio.run(_measure(cluster, server.url("postgres")))
        return 0
    with tempfile.TemporaryDirectory(prefix="wsplatform-rollups-") as place:
        asyncio.run(_measure(cluster, f"sqlite:///{place}/registry.db"))
    return 0


async def _measure(cluster: Cluster, url: str) -> None:
    migrate.migrate(url)
    began = time.monotonic()
    _load(cluster, url)
    series = sum(len(cluster.labels(metric, node)) for metric in CATALOGUE.values() for node in cluster.nodes)
    print(
        f"{len(cluster.nodes)} nodes, {series} series, {cluster.days} days: loaded in {time.monotonic() - began:.0f} s"
    )
    for name, size in _sizes(url).items():
        print(f"  {name}: {size / 1e6:.0f} MB")
    async with _registry(cluster, url) as registry:
        for name, asked in _questions(cluster):
            await _ask(registry, name, asked)
        await _report(registry, cluster)


@asynccontextmanager
async def _registry(cluster: Cluster, url: str) -> AsyncIterator[Registry]:
    registry = Registry(RegistryTable(database=url), KEEP, lambda: float(cluster.now))
    await registry.start()
    try:
        yield registry
    finally:
        await registry.close()


def _questions(cluster: Cluster) -> Iterator[tuple[str, Asked]]:
    end = cluster.now // HOUR * HOUR
    day = partial(Asked, begin=end - DAY, end=end, step=MINUTE)
    month = partial(Asked, begin=end - cluster.days * DAY, end=end, step=HOUR)
    yield "day, 1 min, counter by node", day("deliveries", by="node")
    yield "day, 1 min, counter of all peers by node", day("link_sent", by="node")
    yield "day, 1 min, gauge by node", day("sessions", by="node")
    yield "day, 1 min, gauge of all nodes added", day("sessions")
    yield "day, 1 min, p99 by node", day("delivery", by="node")
    yield "day, 1 min, p99 of all nodes", day("delivery")
    yield "month, 1 h, counter by node", month("deliveries", by="node")
    yield "month, 1 h, gauge of all nodes added", month("sessions")
    yield "month, 1 h, p99 of all nodes", month("delivery")
    yield "month, 1 h, p99 by node", month("delivery", by="node")
    yield "hour, 20 s, counter of all nodes", Asked("deliveries", begin=cluster.now - HOUR, end=cluster.now)
    yield "hour, 20 s, p99 of all nodes", Asked("delivery", begin=cluster.now - HOUR, end=cluster.now)
    yield "hour, 20 s, gauge of all peers added", Asked("link_waiting", begin=cluster.now - HOUR, end=cluster.now)


async def _ask(registry: Registry, name: str, asked: Asked) -> None:
    costs, lags, size, points = [], [], 0, 0
    for _ in range(_ROUNDS):
        async with _lag() as lag:
            before = time.process_time()
            found = await registry.metrics.answer(asked)
            body = msgspec.json.encode([one.values for one in found.series])
            costs.append(time.process_time() - before)
        lags.append(lag[0])
        size, points = len(body), sum(len(one.values) for one in found.series)
        empty = sum(value is None for one in found.series for value in one.values)
    print(
        f"  {name}: {points} points ({empty} empty), CPU {_ms(statistics.median(costs))} (first {_ms(costs[0])}), "
        f"loop late by at most {_ms(statistics.median(lags))}, {size / 1e3:.0f} kB"
    )


async def _report(registry: Registry, cluster: Cluster) -> None:
    """A minute of all nodes: stored, then folded."""
    await registry.metrics.round()
    members = [_member(node) for node in cluster.nodes]
    await asyncio.gather(*(registry.register(member) for member in members))
    reports = {
        member: tuple(_metric_report(cluster, member.node_id, number) for number in range(1, 7)) for member in members
    }
    before = time.process_time()
    for number in range(6):
        await asyncio.gather(*(_beat(registry, member, (reports[member][number],)) for member in members))
    print(f"  taking a minute's reports: CPU {_ms(time.process_time() - before)}")
    stop = asyncio.Event()
    changes = asyncio.ensure_future(_changes(registry, stop))
    await asyncio.sleep(1)
    quiet = len(changes_of := _CHANGES)
    async with _lag() as lag:
        before = time.process_time()
        await registry.metrics.round()
        cost = time.process_time() - before
    stop.set()
    await changes
    calm, busy = changes_of[:quiet], changes_of[quiet:]
    print(
        f"  folding a minute's reports: CPU {_ms(cost)}, with roster changes; loop late by at most {_ms(lag[0])}; "
        f"a roster change took {_ms(statistics.median(calm))} before, at most {_ms(max(busy, default=0))} meanwhile"
    )


_CHANGES: Final[list[float]] = []


async def _changes(registry: Registry, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        before = time.monotonic()
        await registry.register(_member("changing", str(number)))
        _CHANGES.append(time.monotonic() - before)
        await asyncio.sleep(0.01)


async def _beat(registry: Registry, member: Member, reports: tuple[MetricReport, ...]) -> None:
    status = NodeStatus(state="ready", ready=True, draining=False, uptime=1)
    beat = Heartbeat(instance=member.instance, view=2**40, config=2**40, status=status, reports=reports)
    await registry.heartbeat(msgspec.structs.replace(beat, view=registry.view.number, config=0))


@asynccontextmanager
async def _lag() -> AsyncIterator[list[float]]:
    """[by how many seconds the loop was late at most]"""
    worst = [0.0]

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            worst[0] = max(worst[0], time.monotonic() - before - 0.001)

    task = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    try:
        yield worst
    finally:
        task.cancel()


def _member(node: str, incarnation: str = "1") -> Member:
    return Member(
        node_id=node, incarnation=incarnation, cluster_url="ws://127.0.0.1:1", client_url="http://127.0.0.1:1"
    )


def _metric_report(cluster: Cluster, node: str, number: int) -> MetricReport:
    counters: dict[str, dict[str, float]] = {}
    gauges: dict[str, dict[str, float]] = {}
    histograms: dict[str, dict[str, dict[int, int]]] = {}
    for metric in CATALOGUE.values():
        labels = cluster.labels(metric, node)
        if metric.kind == "counter":
            counters[metric.name] = {label: _rate(metric) * 10 / parts(metric) for label in labels}
        elif metric.kind == "gauge":
            gauges[metric.name] = {label: _level(metric) / parts(metric) for label in labels}
        else:
            histograms[metric.name] = {label: _times(10) for label in labels}
    ended = cluster.now // MINUTE * MINUTE - MINUTE + number * 10
    return MetricReport(
        number=number, began=ended - 10, ended=ended, counters=counters, gauges=gauges, histograms=histograms
    )


def _load(cluster: Cluster, url: str) -> None:
    """The chunks that are there at `now`: of each step, as far as it is kept."""
    database = locate(url).database
    database.connect()
    begin = {
        10: cluster.now - KEEP.keep_samples_hours * HOUR,
        60: cluster.now - KEEP.keep_minutes_days * DAY,
        3600: cluster.now - cluster.days * DAY,
    }
    for name in (COVERAGE, *CATALOGUE):
        for step in CHUNK:
            pool = _Pool(cluster, name, step)
            # Chunks of 10 s are written each minute, and stay that way.
            length = MINUTE if step == 10 else CHUNK[step]
            with transaction(database):
                for start in range(begin[step] // length * length, cluster.now // HOUR * HOUR, length):
                    _insert(database, name, step, start, pool.chunk(start, length // step))
    if "postgresql" in url:
        execute(database, "ANALYZE")
    else:
        execute(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def _insert(database: Database, metric: str, step: int, start: int, data: bytes) -> None:
    begin = start // CHUNK[step] * CHUNK[step]
    ChunkRow.insert(metric=metric, step=step, begin=begin, fresh=False, data=data).execute(database)


class _Pool:
    """Runs that were made beforehand, of which each series gets another one each time."""

    def __init__(self, cluster: Cluster, name: str, step: int) -> None:
        self._cluster = cluster
        self._step = step
        self._metric = CATALOGUE.get(name)
        cells = 6 if step == 10 else CHUNK[step] // step
        make: Callable[[int, int], Any] = (
            _coverage if self._metric is None else partial(_MAKERS[self._metric.kind], self._metric)
        )
        many = min(_POOL, 50 + 3 * sum(len(self._labels(node)) for node in cluster.nodes))
        self._runs = [make(step, cells) for _ in range(many)]

    def chunk(self, start: int, cells: int) -> bytes:
        first = start % CHUNK[self._step] // self._step
        content = {
            node: {label: msgspec.structs.replace(run, first=first) for label, run in zip(labels, runs, strict=True)}
            for node in self._cluster.nodes
            for labels in (self._labels(node),)
            for runs in (random.choices(self._runs, k=len(labels)),)
        }
        return write_chunk(content)

    def _labels(self, node: str) -> Sequence[str]:
        return ("",) if self._metric is None else self._cluster.labels(self._metric, node)


def _coverage(step: int, cells: int) -> CounterRun:
    return CounterRun(0, [step * 1000] * cells)


def _counter(metric: Metric, step: int, cells: int) -> CounterRun:
    rate = _rate(metric)
    return CounterRun(0, [round(rate * step * random.uniform(0.8, 1.2)) for _ in range(cells)])


def _gauge(metric: Metric, step: int, cells: int) -> GaugeRun:
    count = step // 10
    middle = _level(metric)
    if metric.name in {"ready", "link_up", "max_files"}:
        return GaugeRun(0, [count] * cells, [middle * count] * cells, *([middle] * cells for _ in range(3)))
    values = [sorted(round(middle * random.uniform(0.8, 1.2)) for _ in range(3)) for _ in range(cells)]
    if count == 1:
        return GaugeRun(0, [1] * cells, [value[1] for value in values], [], [], [])
    sums = [value[1] * count + random.randrange(count) for value in values]
    lows, highs = [value[0] for value in values], [value[2] for value in values]
    return GaugeRun(0, [count] * cells, sums, lows, highs, [random.choice(value) for value in values])


def _histogram(metric: Metric, step: int, cells: int) -> HistogramRun:
    return HistogramRun(0, [_dense(_times(step)) for _ in range(cells)])


_MAKERS: Final[Mapping[str, Callable[[Metric, int, int], Any]]] = {
    "counter": _counter,
    "gauge": _gauge,
    "histogram": _histogram,
}


def _rate(metric: Metric) -> float:
    """Per second, in parts."""
    if metric.unit:
        return 300_000
    return random.uniform(5, 40) if metric.label == "peer" else random.uniform(0.05, 200)


def _level(metric: Metric) -> int:
    if metric.name in {"ready", "link_up"}:
        return 100
    if metric.unit == "seconds":
        return random.randrange(200, 2000)
    return random.randrange(100, 5000) * parts(metric)


def _times(step: int) -> dict[int, int]:
    first = bucket_of(random.choice((40, 60, 90)))
    scale = step / 60
    counts = ((first + place, round(weight * scale * random.uniform(0.7, 1.3))) for place, weight in enumerate(_SHAPE))
    return {bucket: count for bucket, count in counts if count}


def _dense(buckets: Mapping[int, int]) -> list[int]:
    return [min(buckets), *(buckets.get(bucket, 0) for bucket in range(min(buckets), max(buckets) + 1))]


def _sizes(url: str) -> dict[str, int]:
    database = locate(url).database
    database.connect()
    sizes = {}
    for step in CHUNK:
        rows = execute(
            database, f"SELECT count(*), sum(length(data)) FROM metric_chunks WHERE step = {step}"
        ).fetchone()
        sizes[f"values of {step} s in {rows[0]} rows"] = int(rows[1])
    if "postgresql" in url:
        sizes["the database"] = int(execute(database, "SELECT pg_total_relation_size('metric_chunks')").fetchone()[0])
    else:
        sizes["the database"] = Path(url.removeprefix("sqlite:///")).stat().st_size
    database.close()
    return sizes


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
