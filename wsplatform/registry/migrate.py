"""Brings a database to the tables of this version: the files of `migrations/`, run by peewee's own runner.

Every migration is applied once, all pending ones in one transaction, so a failure leaves the database as it was.
"""

from __future__ import annotations

from peewee import Database, PeeweeException, PostgresqlDatabase
from playhouse.migrations import Migration, Runner  # type: ignore[import-untyped]

from wsplatform.errors import StartError
from wsplatform.registry.database import cause, create_file, execute, locate, not_startable, transaction
from wsplatform.resources import folder

_ONE_AT_A_TIME = 7_365_208_441
"""Key of the PostgreSQL advisory lock that keeps two programs from migrating at once; any number nobody else uses."""


def pending(database: Database) -> tuple[str, ...]:
    """The migrations that `database` lacks, by name, in order. Raises StartError when a newer version wrote it."""
    rows: list[Migration] = _runner(database).status()
    unknown = [row.name for row in rows if row.path is None]
    if unknown:
        raise StartError(
            "database_newer",
            f"The registry's database was written by a newer version of wsplatform (it has {unknown[-1]}): "
            "start that version, or put a backup in its place.",
        )
    return tuple(row.name for row in rows if row.applied is None)


def apply(database: Database) -> tuple[str, ...]:
    """Apply what is pending, within the caller's transaction if there is one. Returns the names applied."""
    with transaction(database):
        if isinstance(database, PostgresqlDatabase):
            execute(database, "SELECT pg_advisory_xact_lock(%s)", _ONE_AT_A_TIME)
        pending(database)
        return tuple(_runner(database).up())


def ensure(database: Database, *, auto: bool) -> tuple[str, ...]:
    """At start: apply what is pending where `auto` allows it, else raise StartError. Returns the names applied."""
    missing = pending(database)
    if missing and not auto:
        raise StartError(
            "database_outdated",
            f"The registry's database lacks {', '.join(missing)}: run wsplatform migrate, "
            "or set registry.auto_migrate = true.",
        )
    return apply(database) if missing else ()


def migrate(url: str, *, dry_run: bool = False) -> tuple[str, ...]:
    """What `wsplatform migrate` does: bring the database at `url` up to date, or only say what is pending.

    Returns the names applied, or pending. Raises StartError.
    """
    place = locate(url)
    if dry_run and place.file is not None and not place.file.exists():
        return tuple(migration.name for migration in Migration.load_directory(str(folder("migrations"))))
    create_file(place)
    try:
        place.database.connect()
        try:
            return pending(place.database) if dry_run else apply(place.database)
        finally:
            place.database.close()
    except PeeweeException as error:
        raise not_startable(place, cause(error)) from error


def _runner(database: Database) -> Runner:
    return Runner(database, str(folder("migrations")))
