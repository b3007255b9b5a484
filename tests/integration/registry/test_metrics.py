"""The registry's metrics: every report counts once, whatever happens, and questions are answered from all of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from loguru import logger

from tests.integration.registry.support import Node, running, settings
from tests.integration.registry.test_store import full_disk
from tests.support.no_cluster import NO_CLUSTER
from tests.support.wait import eventually
from wsplatform.app.registry import operators_face
from wsplatform.core.metrics import CATALOGUE, largest_in
from wsplatform.core.samples import MAX_LABELS, OTHER
from wsplatform.core.series import Asked
from wsplatform.errors import RequestError
from wsplatform.model import BusyChannel, MetricReport
from wsplatform.registry import metric_rows as rows
from wsplatform.registry.service import Registry
from wsplatform.registry.tables import ReportRow
from wsplatform.settings import MetricsTable
from wsplatform.web.server import make_app

NOW = 1_700_003_300
"""A multiple of ten."""

HOUR = 3600
ADMIN = {"X-API-Key": "a" * 40}
APPS = itertools.count()


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextlib.asynccontextmanager
async def at(clock: Clock, database: Path | str = ":memory:", **keep: int) -> AsyncIterator[Registry]:
    registry = Registry(settings(database, dead_seconds=60), MetricsTable(**keep), clock)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.close()


@pytest.fixture
async def registry(clock: Clock, file: Path) -> AsyncIterator[Registry]:
    async with at(clock, file) as registry:
        yield registry


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(message.record["message"]), level="WARNING")
    yield lines
    logger.remove(handler)


def report(number: int, ended: float, deliveries: float = 100, **more: Any) -> MetricReport:
    told = MetricReport(
        number=number,
        began=ended - 10,
        ended=ended,
        counters={"deliveries": {"": deliveries}},
        gauges={"sessions": {"": 5.0}},
        histograms={"fanout": {"": {5: 3, 100: 1}}},
    )
    return msgspec.structs.replace(told, **more)


async def joined(registry: Registry, *names: str) -> list[Node]:
    nodes = [Node(name) for name in names]
    for node in nodes:
        await node.register(registry)
    return nodes


async def values(registry: Registry, metric: str = "deliveries", **more: Any) -> list[float | None]:
    more = {"begin": NOW - 60, "end": NOW, "step": 10, "aggregation": "sum", **more}
    (series,) = (await registry.metrics.answer(Asked(metric, **more))).series
    return series.values


class TestReports:
    async def test_are_acknowledged_when_they_are_committed_and_count_once(self, clock, file):
        first, second = report(1, NOW - 40), report(2, NOW - 30)
        async with at(clock, file) as registry:
            (a,) = await joined(registry, "a")
            assert (await a.beat(registry)).reports == 0
            assert (await a.beat(registry, reports=(first,))).reports == 1
            assert (await a.beat(registry, reports=(first, second))).reports == 2
            for _ in range(2):
                assert await values(registry) == [None, 100, 100, None, None, None]
                assert await values(registry, aggregation="rate") == [None, 10, 10, None, None, None]
                assert await values(registry, "sessions") == [None, 5, 5, None, None, None]
                assert (await values(registry, "fanout", aggregation="p50"))[1] == largest_in(5) / 1e6
                await registry.metrics.round()
        async with at(clock, file) as registry:
            (a,) = await joined(registry, "a")
            assert (await a.beat(registry)).reports == 2
            assert (await a.beat(registry, reports=(first, second))).reports == 2
            assert await values(registry) == [None, 100, 100, None, None, None]

    async def test_of_another_run_of_the_node_have_numbers_of_their_own(self, registry):
        await joined(registry, "a")
        again = Node("a", "2")
        await again.register(registry)
        assert (await again.beat(registry, reports=(report(1, NOW - 40),))).reports == 1

    async def test_that_come_late_are_added_to_what_is_folded(self, clock, registry):
        a, b = await joined(registry, "a", "b")
        await a.beat(registry, reports=(report(1, NOW - 40),))
        await registry.metrics.round()
        await b.beat(registry, reports=(report(1, NOW - 40, 7),))
        await a.beat(registry, reports=(report(2, NOW - 10, 60, began=NOW - 40),))
        clock.now += 60
        for _ in range(2):
            assert await values(registry) == [None, 107, 20, 20, 20, None]
            minutes = await values(registry, step=60, begin=NOW - HOUR, end=NOW + 20)
            assert sum(value or 0 for value in minutes) == 167
            await registry.metrics.round()

    async def test_are_found_in_hours_and_days(self, clock, registry):
        """Minutes become hours an hour later, and nothing is lost or doubled on the way."""
        (a,) = await joined(registry, "a")
        number = 0
        for _ in range(3):
            reports = tuple(report(number + place, clock.now - 300 + 10 * place) for place in range(1, 31))
            number += 30
            assert (await a.beat(registry, reports=reports)).reports == number
            await registry.metrics.round()
            whole = {"begin": NOW - HOUR, "end": clock.now, "node": "a"}
            for step in (10, 60, 300, HOUR, 86_400):
                asked = Asked("deliveries", step=step, aggregation="sum", **whole)
                (series,) = (await registry.metrics.answer(asked)).series
                assert sum(value or 0 for value in series.values) + (series.partial or 0) == 100 * number, step
            clock.now += HOUR + 300
        found = sqlite3.connect(registry._store._place.file).execute(
            "SELECT step, fresh, count(DISTINCT id) FROM metric_chunks WHERE metric = 'deliveries' GROUP BY step, fresh"
        )
        assert {(step, fresh) for step, fresh, _ in found} == {(10, 0), (60, 0), (60, 1), (3600, 0)}

    async def test_listeners_hear_up_to_when_there_are_values(self, clock, registry):
        heard: list[int] = []
        registry.metrics.subscribe(heard.append)
        a, b = await joined(registry, "a", "b")
        for place in range(3):
            for node in (a, b):
                await node.beat(registry, reports=(report(place + 1, clock.now),))
            clock.now += 10
        await eventually(lambda: heard and heard[-1] == NOW + 20)
        assert heard == sorted(set(heard))

    async def test_a_node_that_lags_is_waited_for_a_while(self, clock, registry):
        a, b = await joined(registry, "a", "b")
        await b.beat(registry, reports=(report(1, NOW),))
        for place in range(6):
            await a.beat(registry, reports=(report(place + 1, NOW + 10 * place),))
            assert registry.metrics.until == max(NOW, NOW + 10 * (place - 3))
            clock.now += 10
        await registry.leave(b.instance)
        assert registry.metrics.until == NOW + 50

    @pytest.mark.parametrize("astray", [HOUR, 3 * 365 * 24 * HOUR])
    async def test_a_clock_that_was_ahead_for_a_while_stops_nothing(self, clock, registry, astray):
        heard: list[int] = []
        registry.metrics.subscribe(heard.append)
        (a,) = await joined(registry, "a")
        await a.beat(registry, reports=(report(1, NOW),))
        clock.now += astray
        await a.beat(registry, reports=(report(2, NOW + astray),))
        clock.now = NOW + 10
        await a.beat(registry, reports=(report(3, NOW + 10),))
        await eventually(lambda: heard == [NOW, NOW + astray, NOW + 10])
        assert await values(registry, begin=NOW - 10, end=NOW + 10) == [100, 100]
        await registry.metrics.round()
        waiting = await registry.metrics._store.run(lambda database: ReportRow.select().bind(database).count())
        assert waiting == 0
        far = {"begin": NOW + astray - 10, "end": NOW + astray}
        clock.now = NOW + astray
        assert await values(registry, **far) == [100]

    @pytest.mark.parametrize("ahead", [-120, 7 * HOUR])
    async def test_a_node_with_a_wrong_clock_is_told_of_and_counted_at_the_right_time(
        self, clock, registry, log, ahead
    ):
        right, wrong = await joined(registry, "right", "wrong")
        for place in range(4):
            told = [report(place, clock.now), report(place, clock.now + ahead)] if place else [(), ()]
            await right.beat(registry, sent_at=clock.now, reports=(told[0],) if place else ())
            for _ in range(3):
                await wrong.beat(registry, sent_at=clock.now + ahead, reports=(told[1],) if place else ())
            clock.now += 10
        assert registry.metrics.until == NOW + 30
        assert await values(registry, begin=NOW, end=NOW + 30) == [200, 200, 200]
        assert await values(registry, "sessions", begin=NOW, end=NOW + 30) == [10, 10, 10]
        assert {one.member.node_id: one.clock_ahead for one in await registry.nodes()} == {"right": 0, "wrong": ahead}
        side = "ahead of" if ahead > 0 else "behind"
        assert log == [f"Node wrong has a clock that is {abs(ahead)} s {side} the registry's: set it"]


class TestTrouble:
    async def test_a_locked_database_keeps_reports_at_the_nodes(self, file, impatient):
        async with running(file, dead_seconds=30) as registry:
            now = time.time() // 10 * 10
            (a,) = await joined(registry, "a")
            with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                for _ in range(3):
                    assert (await a.beat(registry, reports=(report(1, now), report(2, now)))).reports == 0
                await registry.metrics.round()
                other.execute("ROLLBACK")

            async def acknowledged() -> bool:
                return (await a.beat(registry, reports=(report(1, now), report(2, now)))).reports == 2

            await eventually(acknowledged)
            await registry.metrics.round()
            asked = Asked("deliveries", begin=now - 60, end=now, step=10, aggregation="sum")
            (series,) = (await registry.metrics.answer(asked)).series
            assert sum(value or 0 for value in series.values) == 200

    async def test_a_full_disk_does_too(self, registry):
        (a,) = await joined(registry, "a")
        labels = {f"node-{number}" * 10: float(number) for number in range(500)}
        large = [report(number, NOW - 100 + number, counters={"link_sent": labels}) for number in range(1, 21)]
        with full_disk(100_000):
            assert (await a.beat(registry, reports=tuple(large))).reports == 0
            await registry.metrics.round()
        assert (await a.beat(registry, reports=tuple(large))).reports == 20
        with full_disk(100_000):
            await registry.metrics.round()
        await registry.metrics.round()
        sent = await values(registry, "link_sent", step=60, begin=NOW - 180, end=NOW + 60)
        assert sum(value or 0 for value in sent) == 20 * sum(range(500))

    async def test_damaged_rows_are_told_and_harm_nothing_else(self, clock, registry, file, log):
        (a,) = await joined(registry, "a")
        await a.beat(registry, reports=tuple(report(number, NOW - 60 + 10 * number) for number in range(1, 6)))
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE metric_reports SET data = x'00' WHERE ended = ?", ((NOW - 50) * 1000,))
        assert await values(registry) == [None, 100, 100, 100, 100, None]
        await registry.metrics.round()
        assert "1 metric reports in the database cannot be read" in log[-1]
        assert await values(registry) == [None, 100, 100, 100, 100, None]
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE metric_chunks SET data = x'00' WHERE metric = 'deliveries'")
        with pytest.raises(RequestError, match="database_damaged") as caught:
            await values(registry)
        assert "deliveries" in caught.value.message
        assert await values(registry, "sessions") == [None, 5, 5, 5, 5, None]
        clock.now += 2 * HOUR
        log.clear()
        for _ in range(3):
            await registry.metrics.round()
        assert [line for line in log if "deliveries" in line] == log
        assert len(log) == 1
        hours = await values(registry, "fanout", begin=NOW - HOUR, end=NOW + HOUR, step=HOUR, aggregation="count")
        assert sum(value or 0 for value in hours) == 16

    async def test_what_another_registry_has_folded_is_not_folded_again(self, clock, registry, file):
        (a,) = await joined(registry, "a")
        await a.beat(registry, reports=(report(1, NOW - 40),))
        async with at(clock, file) as other:
            await asyncio.gather(registry.metrics.round(), other.metrics.round())
        await registry.metrics.round()
        assert await values(registry) == [None, 100, None, None, None, None]

    async def test_what_another_registry_has_folded_is_not_folded_again_where_new_rows_have_the_ids(self, registry):
        (a,) = await joined(registry, "a")
        await a.beat(registry, reports=(report(1, NOW - 40),))
        fold = partial(rows.fold, until=NOW * 1000, ahead=NOW * 1000, since=0, limit=400)
        late = await registry._reader.run(fold)
        await registry.metrics.round()
        await a.beat(registry, reports=(report(2, NOW - 30),))
        assert (await registry._reader.run(fold)).reports == late.reports
        with pytest.raises(rows.TakenError):
            await registry._store.run(partial(rows.save_fold, folded=late))
        assert await values(registry) == [None, 100, 100, None, None, None]

    async def test_folding_holds_up_no_roster(self, registry):
        """Two minutes of a cluster of many links."""
        nodes = await joined(registry, *(f"n{number}" for number in range(20)))
        peers = {f"n{number}": 5.0 for number in range(200)}
        for number in range(1, 13):
            told = report(number, NOW - 200 + 10 * number, counters={"link_sent": peers}, gauges={"link_rtt": peers})
            await asyncio.gather(*(node.beat(registry, reports=(told,)) for node in nodes))
        folding = asyncio.ensure_future(registry.metrics.round())
        registered = 0
        while not folding.done():
            await Node("x", f"run-{registered}").register(registry)
            registered += 1
        assert registered > 3
        await folding


class TestStrangeReports:
    """From a node that holds the cluster's secret and means no good, or is of another version."""

    async def test_what_cannot_be_is_left_out_and_told_at_a_bounded_rate(self, registry, log):
        (a,) = await joined(registry, "a")
        for number in range(1, 30):
            strange = report(
                number,
                1e300 if number % 2 else math.nan,
                counters={"made_up": {"": 1.0}, "deliveries": {"": math.nan, "x": 1.0}},
                histograms={"fanout": {"": {-5: 3, 10**6: 1}}},
            )
            assert (await a.beat(registry, reports=(strange,))).reports == number
        await registry.metrics.round()
        assert len(log) == 2
        assert any("set its clock" in line for line in log)
        assert await values(registry, begin=NOW - 20, end=NOW + 20) == [None, 0, None, None]

    async def test_a_million_labels_become_a_few(self, registry):
        (a,) = await joined(registry, "a")
        labels = {str(number): 1.0 for number in range(1_000_000)}
        told = report(1, NOW - 10, counters={"errors": labels})
        assert (await a.beat(registry, reports=(told,))).reports in (0, 1)
        await eventually(lambda: registry.metrics.committed(a.instance) == 1)
        await registry.metrics.round()
        asked = Asked("errors", begin=NOW - 20, end=NOW, step=10, by="label", aggregation="sum")
        series = {one.label: one.values for one in (await registry.metrics.answer(asked)).series}
        assert len(series) == MAX_LABELS + 1
        assert series[OTHER] == [1_000_000 - MAX_LABELS, None]

    async def test_more_reports_than_time_has_passed_wait(self, clock, registry, log):
        (a,) = await joined(registry, "a")
        number = 0
        for _ in range(40):
            told = tuple(report(number + place, NOW - 10) for place in range(1, 31))
            number = (await a.beat(registry, reports=told)).reports
        assert number == 500
        assert [line for line in log if "faster than they can be made" in line] == log
        assert len(log) == 1
        clock.now += 50
        assert (
            await a.beat(registry, reports=tuple(report(number + place, NOW) for place in range(1, 31)))
        ).reports == 510

    async def test_numbers_that_cannot_be_are_ignored(self, registry):
        (a,) = await joined(registry, "a")
        told = tuple(report(number, NOW - 10) for number in (0, -5, 2**60, 2**64 - 1, 3, 2))
        assert (await a.beat(registry, reports=told)).reports == 3
        assert await values(registry, begin=NOW - 20) == [100, None]


class TestRetention:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("wsplatform.registry.metrics._PAUSE", 0)

    async def test_each_step_is_kept_as_long_as_it_is_set(self, clock, file):
        async with at(clock, file, keep_samples_hours=1, keep_minutes_days=1, keep_hours_days=2) as registry:
            (a,) = await joined(registry, "a")
            for number in range(1, 5 * 48):
                clock.now += HOUR / 2
                await a.beat(registry, reports=(report(number, clock.now - 10),))
                await registry.metrics.round()
        oldest = {step: clock.now - begins[0] for step, begins in stored(file).items()}
        assert HOUR < oldest[10] <= 4 * HOUR  # 7 chunks, one each half an hour
        assert 24 * HOUR < oldest[60] <= 26 * HOUR
        assert 48 * HOUR < oldest[3600] <= 96 * HOUR

    async def test_a_registry_that_starts_with_a_wrong_clock_deletes_nothing_of_a_week(self, clock, file):
        """It is years ahead, or behind, at first; nodes on other machines are right, those on its own are not."""
        keep = {"keep_samples_hours": 1, "keep_minutes_days": 2, "keep_hours_days": 3}
        right, other = Node("right"), Node("wrong")
        async with at(clock, file, **keep) as registry:
            for number in range(1, 24 * 7):
                await right.register(registry)
                clock.now += HOUR
                await right.beat(registry, reports=(report(number, clock.now - 10),))
                await registry.metrics.round()
        before = stored(file)
        for wrong in (clock.now + 3 * 365 * 86_400, clock.now + 30 * 86_400, 0.0, clock.now - 365 * 86_400):
            now, clock.now = clock.now, wrong
            async with at(clock, file, **keep) as registry:
                for node, ended in ((right, now), (other, wrong)):
                    await node.register(registry)
                    await node.beat(registry, reports=(report(number := number + 1, ended),))
                for _ in range(3):
                    clock.now += 60
                    await registry.metrics.round()
                clock.now = now + 60
                for _ in range(3):
                    await registry.metrics.round()
            for step, begins in stored(file).items():
                # What came meanwhile is a chunk or two, and takes the place of as many.
                assert len(set(before[step]) - set(begins)) <= 2, (step, wrong - now)
            before = stored(file)

    async def test_much_is_deleted_in_pieces(self, clock, file):
        async with at(clock, file, keep_samples_hours=1) as registry:
            with contextlib.closing(sqlite3.connect(file)) as database, database:
                row = "INSERT INTO metric_chunks (metric, step, begin, fresh, data) VALUES (?, 10, ?, 0, x'00')"
                database.executemany(row, [("a", 600)] * 120)
                database.executemany(row, [("", NOW // 600 * 600 - 600 * number) for number in range(7)])
            said: list[str] = []
            await registry._store.run(lambda database: database.connection().set_trace_callback(said.append))
            await registry.metrics.round()
            assert len([one for one in said if one.startswith('DELETE FROM "metric_chunks"')]) >= 5
        with contextlib.closing(sqlite3.connect(file)) as database:
            assert database.execute("SELECT count(*) FROM metric_chunks WHERE metric = 'a'").fetchone() == (0,)

    async def test_instances_that_are_long_gone_are_forgotten(self, clock, file):
        async with at(clock, file) as registry:
            (a,) = await joined(registry, "a")
            await a.beat(registry, reports=(report(1, NOW - 10),))
            clock.now += 40 * 86_400
            registry.metrics.tidy()
        with contextlib.closing(sqlite3.connect(file)) as database:
            assert database.execute("SELECT count(*) FROM metric_reporters").fetchone() == (0,)

    async def test_an_instance_that_left_and_came_back_is_known(self, clock, file):
        async with at(clock, file) as registry:
            (a,) = await joined(registry, "a")
            first = report(1, NOW - 40)
            await a.beat(registry, reports=(first,))
            await registry.leave(a.instance)
            assert registry.metrics.busiest() == {}
            await a.register(registry)
            assert (await a.beat(registry, reports=(first, report(2, NOW - 30)))).reports == 2
            assert await values(registry) == [None, 100, 100, None, None, None]


def stored(file: Path) -> dict[int, list[int]]:
    """When the chunks of each step begin."""
    found: dict[int, list[int]] = {}
    with contextlib.closing(sqlite3.connect(file)) as database:
        for step, begin in database.execute("SELECT DISTINCT step, begin FROM metric_chunks ORDER BY 1, 2"):
            found.setdefault(step, []).append(begin)
    return found


class TestTheApi:
    @pytest.fixture
    async def client(self, registry, sanic_client) -> Any:
        app = make_app(f"metrics-{next(APPS)}", operators_face(registry, dict, NO_CLUSTER), 8_388_608)
        client = await sanic_client(app, trust_env=False)

        async def get(path: str) -> tuple[int, Any]:
            reply = await client.get(f"/admin/v1/{path}", headers=ADMIN)
            return reply.status_code, reply.json()

        return get

    async def test_values_over_time(self, registry, client):
        a, b = await joined(registry, "a", "b")
        await a.beat(registry, reports=(report(1, NOW - 40), report(2, NOW - 30)))
        await b.beat(registry, reports=(report(1, NOW - 40, 50),))
        query = f"metric=deliveries&by=node&aggregation=sum&from={NOW - 45}&to={NOW - 10}&step=10"
        assert await client(f"metrics?{query}") == (
            200,
            {
                "metric": "deliveries",
                "kind": "counter",
                "unit": "",
                "aggregation": "sum",
                "from": NOW - 50,
                "to": NOW - 10,
                "step": 10,
                "until": NOW - 30,
                "series": [
                    {"node": "a", "label": "", "values": [100, 100, None, None], "partial": None},
                    {"node": "b", "label": "", "values": [50, None, None, None], "partial": None},
                ],
                "left_out": 0,
            },
        )
        status, body = await client(f"metrics?{query}&most=1")
        assert (status, [one["node"] for one in body["series"]], body["left_out"]) == (200, ["a"], 1)
        status, body = await client("metrics?metric=sessions")
        assert (status, body["step"], body["aggregation"], body["unit"]) == (200, 20, "sum", "")
        assert len(body["series"]) == 1

    async def test_what_cannot_be_asked_is_refused(self, client):
        for query, code in (
            ("", "bad_query"),
            ("metric=made_up", "unknown_metric"),
            ("metric=sessions&aggregation=p99", "bad_aggregation"),
            ("metric=sessions&aggregation=magic", "bad_query"),
            ("metric=sessions&step=7", "bad_query"),
            ("metric=sessions&step=15", "bad_step"),
            ("metric=sessions&from=20&to=10", "bad_range"),
            ("metric=sessions&from=0&step=10", "too_many_points"),
            ("metric=sessions&from=nan", "bad_query"),
            ("metric=sessions&to=1e300", "bad_query"),
            ("metric=sessions&colour=red", "bad_query"),
        ):
            status, body = await client(f"metrics?{query}")
            assert (status, body["error"]["code"]) == (400, code), query

    async def test_the_catalogue(self, client):
        status, body = await client("metrics/catalogue?limit=1000")
        assert (status, body["next"]) == (200, None)
        assert [item["name"] for item in body["items"]] == sorted(CATALOGUE)
        (delivery,) = (item for item in body["items"] if item["name"] == "delivery")
        assert delivery["default"] == "p99"
        assert delivery["unit"] == "seconds"
        assert "p50" in delivery["aggregations"]

    async def test_the_busiest_channels(self, registry, client):
        assert await client("metrics/busiest") == (200, {"items": [], "as_of": None})
        a, b = await joined(registry, "a", "b")
        news, chat = BusyChannel("news", 50, 3), BusyChannel("chat", 500, 1)
        await a.beat(
            registry, reports=(report(1, NOW - 20, busiest=(chat,)), report(2, NOW - 10, busiest=(news, chat)))
        )
        await b.beat(registry, reports=(report(1, NOW, busiest=(BusyChannel("news", 40, 4),)),))
        status, body = await client("metrics/busiest?by=subscribers")
        assert (status, body["as_of"]) == (200, NOW)
        assert body["items"][0] == {
            "channel": "news",
            "publications": 5.0,
            "subscribers": 7,
            "nodes": {
                "a": {"publications": 5.0, "subscribers": 3},
                "b": {"publications": 4.0, "subscribers": 4},
            },
        }
        _, body = await client("metrics/busiest?limit=1")
        assert [item["channel"] for item in body["items"]] == ["chat"]
        await registry.leave(a.instance)
        _, body = await client("metrics/busiest")
        assert [item["channel"] for item in body["items"]] == ["news"]
