"""The store on real files: what waits together is committed together, and trouble with the file is told and passes."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import Database

from tests.support.wait import eventually
from wsplatform.errors import RequestError, StartError
from wsplatform.registry.database import execute, locate
from wsplatform.registry.store import MAX_WAITING, Store


def insert(value: Any) -> Any:
    def operation(database: Database) -> int:
        execute(database, "INSERT INTO things (value) VALUES (?)", value)
        return int(execute(database, "SELECT count(*) FROM things").fetchone()[0])

    return operation


def values(database: Database) -> list[Any]:
    return [value for (value,) in execute(database, "SELECT value FROM things ORDER BY rowid").fetchall()]


def make_table(database: Database) -> None:
    execute(database, "CREATE TABLE things (value UNIQUE)")


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    store = Store(locate(f"sqlite:///{file}", busy_seconds=0.2))
    await store.open()
    await store.run(make_table)
    yield store
    await store.close()


async def refused(store: Store, operation: Any = values) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await store.run(operation)
    assert (caught.value.status, caught.value.code, caught.value.temporary) == (503, "database_unavailable", True)
    return caught.value


class TestBatches:
    async def test_results_come_in_order_and_are_on_disk(self, store, file):
        counts = await asyncio.gather(*(store.submit(insert(number)) for number in range(1000)))
        assert counts == list(range(1, 1001))
        with contextlib.closing(sqlite3.connect(file)) as other:
            assert other.execute("SELECT count(*) FROM things").fetchone() == (1000,)

    async def test_what_waits_together_is_one_transaction(self, store):
        said: list[str] = []
        await store.run(lambda database: database.connection().set_trace_callback(said.append))
        held = threading.Event()
        first = store.submit(lambda database: held.wait(5))
        rest = [store.submit(insert(number)) for number in range(100)]
        await eventually(lambda: "BEGIN IMMEDIATE" in said)
        said.clear()
        held.set()
        await asyncio.gather(first, *rest)
        assert said.count("COMMIT") <= 2
        assert len([statement for statement in said if statement.startswith("INSERT")]) == 100

    async def test_a_failing_operation_fails_alone(self, store):
        def stranger(database: Database) -> None:
            execute(database, "INSERT INTO things (value) VALUES ('half')")
            raise RequestError(404, "nothing", "There is nothing.")

        def mistaken(database: Database) -> None:
            raise KeyError("oops")

        held = threading.Event()
        first = store.submit(lambda database: held.wait(5))
        one, two, three, four, five = (
            store.submit(operation) for operation in (insert("a"), stranger, insert("a"), mistaken, insert("b"))
        )
        held.set()
        await asyncio.wait({first, one, two, three, four, five})
        assert one.result() == 1
        assert isinstance(two.exception(), RequestError)
        assert "UNIQUE" in str(three.exception())
        assert isinstance(four.exception(), KeyError)
        assert five.result() == 2
        assert await store.run(values) == ["a", "b"]

    async def test_the_loop_goes_on_while_the_database_works(self, store):
        future = store.submit(lambda database: time.sleep(0.3))
        loop = asyncio.get_running_loop()
        longest = 0.0
        while not future.done():
            before = loop.time()
            await asyncio.sleep(0.005)
            longest = max(longest, loop.time() - before)
        assert longest < 0.2

    async def test_what_was_submitted_is_done_before_it_closes(self, store, file):
        futures = [store.submit(insert(number)) for number in range(2000)]
        await store.close()
        assert [future.result() for future in futures] == list(range(1, 2001))
        assert not file.with_name(file.name + "-wal").exists()
        await refused(store)
        await store.close()

    async def test_what_reads_is_answered_one_by_one_and_not_at_all_when_nobody_waits(self, file):
        store = Store(locate(f"sqlite:///{file}"), reads=True)
        await store.open()
        asked: list[str] = []
        begun = {name: threading.Event() for name in ("first", "second", "gone", "third")}
        may_end = {name: threading.Event() for name in begun}

        def question(name: str) -> Any:
            def operation(database: Database) -> str:
                asked.append(name)
                begun[name].set()
                may_end[name].wait(10)
                return name

            return operation

        first, second, gone, third = (asyncio.ensure_future(store.run(question(name))) for name in begun)
        await asyncio.to_thread(begun["first"].wait, 10)
        gone.cancel()
        await asyncio.wait((gone,))
        may_end["first"].set()
        may_end["second"].set()
        assert (await first, await second) == ("first", "second")
        await asyncio.to_thread(begun["third"].wait, 10)
        assert (asked, third.done()) == (["first", "second", "third"], False)
        may_end["third"].set()
        assert await third == "third"
        assert store.waiting == 0
        await store.close()

    async def test_only_what_must_last_waits_for_the_disk(self, store):
        def synchronous(database: Database) -> int:
            return int(execute(database, "PRAGMA synchronous").fetchone()[0])

        assert await store.run(synchronous) == 2
        assert await store.run(synchronous, durable=False) == 1
        assert await store.run(synchronous) == 2

    async def test_who_waits_too_long_is_told_that_the_outcome_is_unknown(self, store):
        held = threading.Event()
        future = store.submit(lambda database: held.wait(5))
        with pytest.raises(RequestError, match="not known") as caught:
            await store.run(insert("late"), patience=0.05)
        assert caught.value.temporary
        held.set()
        await future
        assert await store.run(values) == ["late"]

    async def test_a_database_that_hangs_does_not_fill_the_memory(self, store):
        held = threading.Event()
        futures = [store.submit(lambda database: held.wait(5)) for _ in range(MAX_WAITING)]
        assert "too much waits" in str(store.submit(values).exception())
        held.set()
        await asyncio.gather(*futures)
        assert await store.run(values) == []

    async def test_memory_needs_no_file(self):
        store = Store(locate("sqlite:///:memory:"))
        await store.open()
        await store.run(make_table)
        assert await store.run(insert(1)) == 1
        error = await refused(store, lambda database: execute(database, "SELECT * FROM absent"))
        assert "run wsplatform migrate" in error.message
        assert await store.run(insert(2)) == 2
        await store.close()


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestTrouble:
    """Each is told in a sentence, loses nothing that was answered, and is over when its cause is."""

    async def test_locked(self, store, file):
        await store.run(insert("kept"))
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            error = await refused(store, insert("lost"))
            assert "another program holds its lock" in error.message
            assert str(file) not in error.message
            other.execute("ROLLBACK")
        assert await store.run(insert("next")) == 2
        assert await store.run(values) == ["kept", "next"]

    async def test_a_disk_without_room(self, store):
        await store.run(insert("kept"))
        with full_disk(100_000):
            error = await refused(store, insert("x" * 1_000_000))
            assert "disk" in error.message
        assert await store.run(insert("next")) == 2
        assert await store.run(values) == ["kept", "next"]

    async def test_full(self, store):
        def fill(database: Database) -> None:
            execute(database, "PRAGMA max_page_count = 4")
            execute(database, "INSERT INTO things (value) VALUES (?)", "x" * 1_000_000)

        await store.run(insert("kept"))
        error = await refused(store, fill)
        assert "the disk is full" in error.message
        assert await store.run(values) == ["kept"]

    async def test_read_only(self, store):
        def forbid(database: Database) -> None:
            execute(database, "PRAGMA query_only = 1")

        await store.run(insert("kept"))
        await store.run(forbid)
        error = await refused(store, insert("lost"))
        assert "read-only" in error.message
        assert await store.run(values) == ["kept"]

    async def test_the_file_is_gone_and_comes_back(self, store, file):
        await store.run(insert("kept"))
        away = file.with_name("away.db")
        file.rename(away)
        error = await refused(store, insert("lost"))
        assert "cannot be opened" in error.message
        assert not file.exists()
        away.rename(file)
        for tail in ("-wal", "-shm"):
            left = away.with_name(away.name + tail)
            if left.exists():
                left.rename(file.with_name(file.name + tail))
        assert await store.run(insert("next")) == 2
        assert await store.run(values) == ["kept", "next"]

    async def test_damaged_while_in_use(self, store, file):
        await store.run(insert("kept"))
        await store.close()
        whole = file.read_bytes()
        again = Store(locate(f"sqlite:///{file}", busy_seconds=0.2))
        await again.open()
        damaged = file.with_name("damaged.db")
        damaged.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
        damaged.rename(file)
        error = await refused(again)
        assert "damaged" in error.message
        backup = file.with_name("backup.db")
        backup.write_bytes(whole)
        backup.rename(file)
        assert await again.run(values) == ["kept"]
        await again.close()

    async def test_nobody_waits_for_an_answer_any_more(self, store):
        held = threading.Event()
        future = store.submit(lambda database: held.wait(5) and 1 / 0)
        waiter = asyncio.ensure_future(store.run(insert("done all the same")))
        await asyncio.sleep(0)
        waiter.cancel()
        held.set()
        await eventually(future.done)
        assert await store.run(values) == ["done all the same"]


class TestStart:
    async def test_no_database_file(self, tmp_path):
        file = tmp_path / "garbage.db"
        file.write_bytes(b"This is no database, but it is long enough to be one. " * 100)
        with pytest.raises(StartError, match="no SQLite database") as caught:
            await Store(locate(f"sqlite:///{file}")).open()
        assert caught.value.code == "database_unavailable"
        assert str(file) in caught.value.message

    @pytest.mark.parametrize("name", ["missing/registry.db", "."])
    async def test_no_place_for_a_file(self, tmp_path, name):
        with pytest.raises(StartError, match="database_unavailable"):
            await Store(locate(f"sqlite:///{tmp_path}/{name}")).open()

    async def test_locked_by_another_program(self, file):
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            other.execute("CREATE TABLE t (x)")
            with pytest.raises(StartError, match="another program holds its lock"):
                await Store(locate(f"sqlite:///{file}", busy_seconds=0.1)).open()

    async def test_a_new_file_is_its_owners_only(self, store, file):
        assert file.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "registry.db",
            "sqlite://registry.db",
            "sqlite:///",
            "sqlite:///x?mode=memory",
            "mysql://localhost/x",
            "postgresql://localhost",
            "postgresql://localhost:port/x",
            "postgresql://secret-password@[::1/x",
        ],
    )
    def test_urls_that_name_no_database(self, url):
        with pytest.raises(StartError, match="invalid_database") as caught:
            locate(url)
        assert "secret" not in caught.value.message

    async def test_a_server_that_does_not_answer(self, unused_tcp_port):
        place = locate(f"postgresql://someone:secret-password@127.0.0.1:{unused_tcp_port}/wsplatform")
        with pytest.raises(StartError, match="does not answer") as caught:
            await Store(place).open()
        assert "secret" not in caught.value.message
        assert "127.0.0.1" in caught.value.message

    async def test_a_missing_driver_is_named(self, monkeypatch):
        monkeypatch.setattr(peewee, "psycopg", None)
        monkeypatch.setattr(peewee, "psycopg2", None)
        with pytest.raises(StartError, match=r"pip install 'wsplatform\[postgresql\]'"):
            await Store(locate("postgresql://127.0.0.1/wsplatform")).open()
