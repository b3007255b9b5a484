"""Runs batches of operations on one connection: each batch in one transaction, reconnecting when that is called for.

Belongs to one thread (peewee keeps a connection for each).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loguru import logger
from peewee import Database, DataError, IntegrityError, PeeweeException, SqliteDatabase

from wsplatform.registry.database import Place, cause, execute, reading, transaction, unavailable

Operation = Callable[[Database], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an operation: a result, or an error for the one who asked for it."""

    result: Any = None
    error: Exception | None = None


class Worker:
    """`trouble` says why the database could not be used the last time it was tried; empty: it could."""

    def __init__(self, place: Place, *, reads: bool = False) -> None:
        """reads: its operations change nothing, and hold up nobody who does."""
        self.trouble = ""
        self._transaction = reading if reads else transaction
        self._place = place
        self._database = place.database
        self._durable: bool | None = None
        self._inode: tuple[int, int] | None = None

    def perform(self, operations: Sequence[Operation], *, durable: bool) -> list[Outcome]:
        """Run them in one transaction. When one fails by its own fault, each is run in a transaction of its own."""
        results: list[Any] = []
        try:
            self._connect()
            self._set_durable(durable)
            with self._transaction(self._database):
                for operation in operations:
                    results.append(operation(self._database))  # noqa: PERF401  # how far it got is needed when one fails
        except (IntegrityError, DataError) as error:
            return self._apart(operations, error, durable=durable)
        except (PeeweeException, OSError) as error:
            return self._fail(operations, error, committing=len(results) == len(operations))
        except Exception as error:  # noqa: BLE001  # what an operation raises belongs to the one who asked for it
            return self._apart(operations, error, durable=durable)
        self._works()
        return [Outcome(result) for result in results]

    def disconnect(self) -> None:
        if self._database.is_closed():
            return
        try:
            self._database.close()
        except PeeweeException as error:
            logger.warning("The registry's database was not closed properly: {}", cause(error))

    def _connect(self) -> None:
        if not self._database.is_closed():
            if self._inode == self._file_inode():
                return
            logger.warning("The file of the registry's database was moved or replaced while it was in use")
            self.disconnect()
        self._durable = None
        self._database.connect()
        self._inode = self._file_inode()

    def _file_inode(self) -> tuple[int, int] | None:
        """Which file the path names now: a connection goes on writing to a file that was deleted, for nobody."""
        if self._place.file is None:
            return None
        try:
            status = self._place.file.stat()
        except FileNotFoundError:
            return (0, 0)
        return (status.st_dev, status.st_ino)

    def _set_durable(self, durable: bool) -> None:
        """What a commit waits for. On PostgreSQL asked every time: it also shows whether the connection still lives."""
        if isinstance(self._database, SqliteDatabase):
            if durable != self._durable:
                execute(self._database, f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        else:
            statement = f"SET synchronous_commit TO {'on' if durable else 'off'}"
            try:
                execute(self._database, statement)
            except PeeweeException:
                self.disconnect()
                self._database.connect()
                execute(self._database, statement)
        self._durable = durable

    def _apart(self, operations: Sequence[Operation], error: Exception, *, durable: bool) -> list[Outcome]:
        self._works()
        if len(operations) == 1:
            return [Outcome(error=error)]
        return [outcome for operation in operations for outcome in self.perform((operation,), durable=durable)]

    def _fail(self, operations: Sequence[Operation], error: Exception, *, committing: bool) -> list[Outcome]:
        """The database's own fault: nobody's operation is done, and the next batch starts on a new connection."""
        why = cause(error) if isinstance(error, PeeweeException) else "its file cannot be looked at: check its folder"
        if why != self.trouble:
            logger.error("The registry's database cannot be used: {}", why)
            logger.opt(exception=error).debug("What the database said")
        self.trouble = why
        if not self._place.in_memory:
            self.disconnect()
        # A server that vanishes during a commit may have made it; SQLite rolls back what it reports as failed.
        unsure = committing and not isinstance(self._database, SqliteDatabase)
        return [Outcome(error=unavailable(why, unsure=unsure)) for _ in operations]

    def _works(self) -> None:
        if self.trouble:
            logger.info("The registry's database can be used again")
        self.trouble = ""
