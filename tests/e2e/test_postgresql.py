"""The registry on PostgreSQL: the same promises as on SQLite, and a server that goes away and comes back."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest
from playhouse.schema_diff import diff_models

from tests.integration.registry.support import Node, ids, running, settings
from tests.integration.registry.test_crash import crash_again_and_again
from tests.integration.registry.test_metrics_crash import kill_again_and_again
from tests.integration.registry.test_migrate import ALL
from tests.support.postgresql import PASSWORD, Server, programs
from tests.support.wait import eventually
from wsplatform.core.series import Asked
from wsplatform.errors import RegistryUnavailable, RequestError, StartError
from wsplatform.model import ChannelRule, MetricReport
from wsplatform.registry import migrate
from wsplatform.registry.database import execute, locate
from wsplatform.registry.records import Actor, Wanted
from wsplatform.registry.service import Registry
from wsplatform.registry.store import Store
from wsplatform.registry.tables import TABLES

NAMES = (f"registry_{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed")
    with Server(folder) as server:
        yield server


@pytest.fixture
def name(server: Server) -> str:
    name = next(NAMES)
    server.execute(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def url(server: Server, name: str) -> str:
    return server.url(name)


@pytest.fixture(params=["UTF8", "SQL_ASCII", "LATIN1"])
def encoded(server: Server, request: pytest.FixtureRequest) -> str:
    """The URL of a database with that encoding, as initdb makes it by the locale that it finds."""
    name = next(NAMES)
    server.execute(f"CREATE DATABASE {name} ENCODING '{request.param}' LOCALE 'C' TEMPLATE template0")
    return server.url(name)


class TestMigrations:
    async def test_a_database_of_any_encoding_is_known_again(self, encoded):
        for version in range(2):
            async with running(encoded) as registry:
                assert [rule.pattern for rule in registry.configuration.rules()] == ["caf\u00e9"] * version
                await registry.configuration.set_rule(ChannelRule(pattern="caf\u00e9"))

    def test_make_the_tables_that_the_program_uses(self, url):
        assert migrate.migrate(url, dry_run=True) == ALL
        assert migrate.migrate(url) == ALL
        assert migrate.migrate(url) == ()
        database = locate(url).database
        assert not diff_models(database, TABLES)
        for _ in ALL:
            migrate._runner(database).down()
        assert database.get_tables() == ["schema_migration"]
        database.close()

    def test_two_programs_at_once_apply_each_once(self, url):
        with ThreadPoolExecutor(6) as threads:
            applied = list(threads.map(lambda _: migrate.migrate(url), range(6)))
        assert sorted(applied, reverse=True) == [ALL, *([()] * 5)]

    async def test_a_start_applies_them_where_it_may(self, url):
        with pytest.raises(StartError, match="database_outdated"):
            await Registry(settings(url, auto_migrate=False)).start()
        async with running(url):
            pass
        async with running(url, auto_migrate=False):
            pass


class TestRegistry:
    async def test_views_and_configuration_outlive_it(self, url):
        async with running(url) as registry:
            old, new = Node("a", "old"), Node("a", "new")
            await old.register(registry)
            await new.register(registry)
            await new.beat(registry, ready=True)
            await asyncio.gather(*(Node(f"n{number}").register(registry) for number in range(50)))
            await registry.leave(Node("n7").instance)
            for pattern in ("b", "B", "ä", "a:*", "Z"):
                await registry.configuration.set_rule(ChannelRule(pattern=pattern, max_bytes=5))
            await registry.configuration.set_rule(ChannelRule(pattern="b", max_bytes=6))
            text, key = await registry.configuration.create_key("backend", ("api",), ("a:*",))
            view, config = registry.view, registry.configuration.config
        async with running(url) as registry:
            assert registry.view == view
            assert registry.view.members[0].ready
            assert registry.configuration.config == config
            assert [rule.pattern for rule in registry.configuration.rules()] == ["B", "Z", "a:*", "b", "ä"]
            assert registry.configuration.keys() == (key,)
            assert registry.configuration.ring.find(text) is not None
            with pytest.raises(RequestError, match="superseded"):
                await old.register(registry)
            with pytest.raises(RequestError, match="unknown_rule"):
                await registry.configuration.delete_rule("nothing")
            await registry.configuration.revoke_key(key.id)
            assert registry.configuration.config.version == config.version + 1

    async def test_kill_9_in_the_middle_of_writing(self, url):
        await crash_again_and_again(url)

    async def test_kill_9_in_the_middle_of_folding(self, url):
        await kill_again_and_again(url)

    async def test_two_on_one_database_never_issue_one_number_twice(self, url):
        async with running(url) as one, running(url) as other:
            turns = [(f"n{turn}", registry) for turn in range(10) for registry in (one, other)]
            numbers = [(await Node(node).register(registry)).view.number for node, registry in turns]
            assert numbers == sorted(set(numbers))


async def acknowledged(node: Node, registry: Registry, report: MetricReport) -> bool:
    return (await node.beat(registry, reports=(report,))).reports == report.number


class TestTrouble:
    async def test_the_server_crashes_and_comes_back(self, server, url):
        async with running(url, dead_seconds=30) as registry:
            a = Node("a")
            await a.register(registry)
            number = registry.view.number
            server.kill()
            with pytest.raises(RegistryUnavailable) as caught:
                await Node("b").register(registry)
            assert PASSWORD not in caught.value.message
            await a.beat(registry, ready=True)
            with pytest.raises(RequestError, match="database_unavailable"):
                await registry.configuration.set_rule(ChannelRule(pattern="a"))
            server.start()
            await Node("b").register(registry)
            assert ids(registry) == ["a", "b"]
            assert registry.view.number > number

    async def test_a_crash_loses_no_report_that_was_acknowledged(self, server, url):
        """Nodes have forgotten it then."""
        begin = time.time() // 10 * 10 - 200
        async with running(url, dead_seconds=60) as registry:
            node = Node("a")
            await node.register(registry)
            for number in range(1, 6):
                ended = begin + 10 * number
                counters = {"deliveries": {"": 1.0}}
                told = MetricReport(
                    number=number, began=ended - 10, ended=ended, counters=counters, gauges={}, histograms={}
                )
                await eventually(partial(acknowledged, node, registry, told), within=15)
                server.kill()
                server.start()
            asked = Asked("deliveries", begin=begin, end=begin + 50, step=10, aggregation="sum")
            (series,) = (await registry.metrics.answer(asked)).series
            assert series.values == [1.0] * 5

    async def test_a_restart_between_two_changes_goes_unnoticed(self, server, url):
        async with running(url, dead_seconds=30) as registry:
            await Node("a").register(registry)
            server.kill()
            server.start()
            await Node("b").register(registry)
            assert ids(registry) == ["a", "b"]

    async def test_a_server_that_hangs_holds_up_nobody_else(self, server, url, monkeypatch):
        monkeypatch.setattr("wsplatform.registry.store.settled.__defaults__", (0.5,))
        async with running(url, dead_seconds=30) as registry:
            a = Node("a")
            await a.register(registry)
            server.pause()
            try:
                with pytest.raises(RegistryUnavailable, match="not known"):
                    await Node("b").register(registry)
                await asyncio.wait_for(a.beat(registry, ready=True), 0.1)
            finally:
                server.resume()
            await eventually(lambda: ids(registry) == ["a", "b"], within=15)

    async def test_only_what_must_last_waits_for_the_disk(self, url):
        def synchronous(database):
            return execute(database, "SHOW synchronous_commit").fetchone()[0]

        store = Store(locate(url))
        await store.open()
        assert await store.run(synchronous) == "on"
        assert await store.run(synchronous, durable=False) == "off"
        assert await store.run(synchronous) == "on"
        await store.close()

    @pytest.mark.parametrize(
        ("database", "password", "expected"),
        [
            ("postgres", "wrong", "refuses the user or the password"),
            ("missing", PASSWORD, "no such user or database"),
        ],
    )
    async def test_what_the_server_refuses_is_said_without_the_password(self, server, database, password, expected):
        with pytest.raises(StartError, match=expected) as caught:
            await Registry(settings(server.url(database, password))).start()
        assert password not in str(caught.value)
        with pytest.raises(StartError, match=expected):
            migrate.migrate(server.url(database, password))

    async def test_a_read_only_server(self, server, url, name):
        async with running(url) as registry:
            await Node("a").register(registry)
        server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
        with pytest.raises(StartError, match="accepts no changes"):
            await Registry(settings(url, fallback_rule=ChannelRule(pattern="*"))).start()


async def test_a_change_of_the_roster_does_not_wait_for_what_metrics_write(url: str) -> None:
    async with running(url, dead_seconds=60) as registry:
        a = Node("a")
        await a.register(registry)
        now = time.time() // 10 * 10
        told = MetricReport(
            number=1, began=now - 10, ended=now, counters={"deliveries": {"": 5.0}}, gauges={}, histograms={}
        )
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE metric_reports IN ACCESS EXCLUSIVE MODE")
            assert (await a.beat(registry, reports=(told,))).reports == 0
            async with asyncio.timeout(2):
                await Node("b").register(registry)
            assert ids(registry) == ["a", "b"]
        await eventually(lambda: registry.metrics.committed(a.instance) == 1)


async def test_logins_and_the_audit_log_are_kept(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsplatform.registry.audit.MAX_OF_ACTION", 5)
    ops, nobody = Actor("k", "ops", "2001:db8::1"), Actor()
    async with running(url) as registry:
        key = registry.configuration.ring.get("settings")
        assert key is not None
        text, _ = await registry.logins.begin(key, ops)
        ended, login = await registry.logins.begin(key, ops)
        await registry.logins.end(login, ops)
        await registry.configuration.set_rule(ChannelRule(pattern="a%_b"), ops)
        await registry.configuration.delete_rule("a%_b", nobody)
        for number in range(20):
            await registry.audit.record(ops, "publish", f"c{number}", after={"bytes": number})
    async with running(url) as registry:
        assert registry.logins.find(text) is not None
        assert registry.logins.find(ended) is None
        found = await registry.audit.find(Wanted(limit=3, action="publish"))
        assert [(entry.deed.target, entry.deed.after) for entry in found] == [
            (f"c{number}", {"bytes": number}) for number in (19, 18, 17)
        ]
        (rule,) = await registry.audit.find(Wanted(limit=9, contains="%_", actor="ops"))
        assert (rule.deed.action, rule.deed.before, rule.deed.actor) == ("rule.set", None, ops)
        assert await registry.audit.find(Wanted(limit=9, before=rule.id, since=rule.at)) == []

        async def pruned() -> bool:
            return len(await registry.audit.find(Wanted(limit=99, action="publish"))) == 5

        await eventually(pruned)
