"""From a URL to a database, and from what a database says to a sentence for people."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from peewee import Database, ImproperlyConfigured, PeeweeException, PostgresqlDatabase, SqliteDatabase

from wsplatform.errors import RequestError, StartError

BUSY_SECONDS: Final = 5.0
"""How long a locked SQLite database, or a PostgreSQL server for its answer, is waited for."""

_MEMORY = ":memory:"

_SQLITE_CAUSES: Final = (
    ("SQLITE_BUSY", "another program holds its lock: close that program"),
    ("SQLITE_LOCKED", "another program holds its lock: close that program"),
    ("SQLITE_FULL", "the disk is full: free some space"),
    ("SQLITE_READONLY", "it is read-only: give this process the right to write the file and its folder"),
    ("SQLITE_CANTOPEN", "the file cannot be opened: check that it exists and that this process may read and write it"),
    ("SQLITE_PERM", "the file cannot be opened: check that this process may read and write it"),
    ("SQLITE_CORRUPT", "the file is damaged: put a backup in its place"),
    ("SQLITE_NOTADB", "the file is no SQLite database: put a backup in its place"),
    ("SQLITE_IOERR", "the disk reports an error: see that it works and is not full"),
)

_POSTGRESQL_CAUSES: Final = (
    ("28", "the server refuses the user or the password"),
    ("3D", "the server has no database of that name: create it"),
    ("42501", "the user lacks a right: make it the owner of the database"),
    ("53100", "the server's disk is full"),
    ("53300", "the server has too many connections"),
    ("53", "the server is short of resources"),
    ("25006", "the server accepts no changes: it is a standby or set to read-only"),
    ("57014", "the server took too long to answer"),
    ("55P03", "another program holds a lock: close that program"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the data is: how to reach it, and how to call it before people (never with a password).

    file: of SQLite, None when it is in memory or elsewhere.
    """

    database: Database
    label: str
    file: Path | None = None

    @property
    def in_memory(self) -> bool:
        """Whether the data ends with the connection."""
        return isinstance(self.database, SqliteDatabase) and self.file is None

    @property
    def writes_beside(self) -> bool:
        """Whether two connections can write at the same time, where they write different rows."""
        return isinstance(self.database, PostgresqlDatabase)


def locate(url: str, busy_seconds: float = BUSY_SECONDS) -> Place:
    """The place that `url` names; nothing is opened. Raises StartError with what to change in registry.database."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises when it is no number
    except ValueError:
        raise _bad_url() from None
    name = unquote(parts.path[1:])
    if parts.scheme == "sqlite" and name and not (parts.netloc or parts.query or parts.fragment):
        return _sqlite(name, busy_seconds)
    if parts.scheme in ("postgresql", "postgres") and name:
        return _postgresql(parts, busy_seconds)
    raise _bad_url()


def create_file(place: Place) -> None:
    """Make SQLite's file, for its owner only, where there is none. Raises StartError."""
    if place.file is None or place.file.exists():
        return
    try:
        os.close(os.open(place.file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StartError(
            "database_unavailable",
            f"The registry's database ({place.label}) cannot be created ({error.strerror}): "
            "check that the folder exists and that this process may write into it.",
        ) from error


def transaction(database: Database) -> AbstractContextManager[object]:
    """One transaction, or a savepoint in one. SQLite takes its write lock first: a transaction that reads and then asks

    for the lock is refused at once when another has written in between, however long it would have waited.
    """
    context: AbstractContextManager[object]
    context = database.atomic("IMMEDIATE") if isinstance(database, SqliteDatabase) else database.atomic()
    return context


@contextmanager
def reading(database: Database) -> Iterator[None]:
    """A transaction that only reads, and sees one state of the database from its first statement on."""
    with database.atomic():
        if isinstance(database, PostgresqlDatabase):
            execute(database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def execute(database: Database, sql: str, *values: object) -> Any:
    """Run one statement; the cursor."""
    return database.execute_sql(sql, values)  # type: ignore[no-untyped-call]


def cause(error: PeeweeException) -> str:
    """Why a database did not do what it was asked, and what to do, as half a sentence without anything internal."""
    original = _first(error)
    if isinstance(original, ImproperlyConfigured):
        return "the driver is missing: pip install 'wsplatform[postgresql]'"
    driver = getattr(original, "orig", None)
    if isinstance(driver, sqlite3.Error):
        name = getattr(driver, "sqlite_errorname", "")
        if "no such table" in str(driver) or "no such column" in str(driver):
            return "it lacks tables of this version: run wsplatform migrate"
        return next((text for prefix, text in _SQLITE_CAUSES if name.startswith(prefix)), "it cannot be used now")
    state = getattr(driver, "sqlstate", None)
    if state is None:
        return _without_state(str(original))
    return next((text for prefix, text in _POSTGRESQL_CAUSES if state.startswith(prefix)), "the server refuses to work")


def unavailable(why: str, *, unsure: bool = False) -> RequestError:
    """What an operator or node is told while the database cannot be used; `unsure`: the change may have been made."""
    changed = "Whether the change was made is not known: look first" if unsure else "Nothing was changed"
    return RequestError(
        503,
        "database_unavailable",
        f"The registry's database cannot be used: {why}. {changed}; then try again.",
        temporary=True,
    )


def not_startable(place: Place, why: str) -> StartError:
    return StartError("database_unavailable", f"The registry's database ({place.label}) cannot be used: {why}.")


def _sqlite(name: str, busy_seconds: float) -> Place:
    pragmas = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1}
    if name == _MEMORY:
        return Place(SqliteDatabase(name, pragmas=pragmas, timeout=busy_seconds), "in memory")
    file = Path(name).absolute()
    # mode=rw: SQLite must not make an empty database where the real one has vanished.
    database = SqliteDatabase(f"{file.as_uri()}?mode=rw", pragmas=pragmas, timeout=busy_seconds, uri=True)
    return Place(database, str(file), file)


def _postgresql(parts: SplitResult, busy_seconds: float) -> Place:
    # Of a database with the encoding SQL_ASCII, which one without a locale has, the driver would return bytes for text.
    settings: dict[str, Any] = {"application_name": "wsplatform registry", "client_encoding": "UTF8"}
    if "connect_timeout=" not in parts.query:
        settings["connect_timeout"] = max(2, round(busy_seconds))
    if "options=" not in parts.query:
        settings["options"] = f"-c lock_timeout={round(busy_seconds * 1000)}"
    database = PostgresqlDatabase(parts._replace(scheme="postgresql").geturl(), prefer_psycopg3=True, **settings)
    return Place(database, f"PostgreSQL database {unquote(parts.path[1:])} at {parts.hostname or 'a local socket'}")


def _first(error: PeeweeException) -> PeeweeException:
    """The error that began it: where a rollback fails too, that failure would hide it."""
    first = error
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, PeeweeException):
            first = link
        link = link.__context__
    return first


def _without_state(text: str) -> str:
    """The driver gives no state for a connection that was never made; its texts come from libpq."""
    if "authentication failed" in text or "no password supplied" in text:
        return "the server refuses the user or the password"
    if "does not exist" in text:
        return "the server has no such user or database: create it"
    return "the server does not answer: see that it runs and can be reached from here"


def _bad_url() -> StartError:
    return StartError(
        "invalid_database",
        "registry.database names no database: use sqlite:///file.db, sqlite:////folder/file.db, sqlite:///:memory: "
        "or postgresql://user:password@host:port/name.",
    )
