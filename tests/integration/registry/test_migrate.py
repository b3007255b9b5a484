"""Migrations: every table of this version, in the wheel's way of finding them, and no start on any other database."""

from __future__ import annotations

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playhouse.schema_diff import diff_models

from tests.integration.registry.support import Node, running, settings
from wsplatform.errors import StartError
from wsplatform.registry import migrate
from wsplatform.registry.database import locate
from wsplatform.registry.service import Registry
from wsplatform.registry.tables import TABLES
from wsplatform.resources import folder

ALL = tuple(sorted(file.stem for file in Path(folder("migrations")).glob("[0-9]*.py")))


def url(file):
    return f"sqlite:///{file}"


def test_they_make_the_tables_that_the_program_uses(file):
    assert migrate.migrate(url(file), dry_run=True) == ALL
    assert not file.exists()
    assert migrate.migrate(url(file)) == ALL
    assert migrate.migrate(url(file)) == migrate.migrate(url(file), dry_run=True) == ()
    database = locate(url(file)).database
    assert not diff_models(database, TABLES)
    database.close()


def test_two_programs_at_once_apply_each_once(file):
    with ThreadPoolExecutor(8) as threads:
        applied = list(threads.map(lambda _: migrate.migrate(url(file)), range(8)))
    assert sorted(applied, reverse=True) == [ALL, *([()] * 7)]


def test_they_can_be_undone(file):
    migrate.migrate(url(file))
    database = locate(url(file)).database
    for _ in ALL:
        migrate._runner(database).down()
    assert set(database.get_tables()) <= {"schema_migration", "sqlite_sequence"}
    database.close()


async def test_a_start_applies_them_where_it_may(file):
    registry = Registry(settings(file, auto_migrate=False))
    with pytest.raises(StartError, match="run wsplatform migrate") as caught:
        await registry.start()
    assert caught.value.code == "database_outdated"
    assert "0001_initial" in caught.value.message
    async with running(file):
        pass
    async with running(file, auto_migrate=False) as registry:
        await Node("a").register(registry)


async def test_a_database_of_a_newer_version_is_left_alone(file):
    migrate.migrate(url(file))
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2030-01-01 00:00:00')")
    with pytest.raises(StartError, match="9999_future") as caught:
        await Registry(settings(file)).start()
    assert caught.value.code == "database_newer"
    with pytest.raises(StartError, match="database_newer"):
        migrate.migrate(url(file))


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ('INSERT INTO channel_rules VALUES (\'a\', \'{"pattern":"a","magic":true}\', 0)', "rule 'a'"),
        ("INSERT INTO api_keys VALUES ('k', 'n', 'd', '[\"root\"]', '[]', 0)", "key k"),
        ("INSERT INTO nodes VALUES ('a', '1', '', 'http://a', 0, 0, 1, 0, 'nonsense')", "node a"),
    ],
)
async def test_rows_that_this_version_does_not_understand_are_named(file, statement, what):
    migrate.migrate(url(file))
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(statement)
    with pytest.raises(StartError, match="database_damaged") as caught:
        await Registry(settings(file)).start()
    assert what in caught.value.message


def test_what_is_no_database_is_named(tmp_path):
    file = tmp_path / "text.db"
    file.write_bytes(b"not a database at all, but long enough" * 50)
    with pytest.raises(StartError, match="no SQLite database"):
        migrate.migrate(url(file))
    with pytest.raises(StartError, match="cannot be created"):
        migrate.migrate(url(tmp_path / "missing" / "x.db"))
