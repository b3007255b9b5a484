"""The audit log: who changed what, when and from where.

What is bounded is how many entries of each action are kept, so that a program which publishes all day does not push
out who changed a rule; with MAX_OF_ACTION of some 300 bytes each the table stays below 100 MB. Nobody asks what was
more than a year ago: that goes as well, but not by a clock that may be wrong (core/retention.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from loguru import logger
from peewee import Database

from wsplatform.registry import audit_rows
from wsplatform.registry.records import Action, Actor, Deed, Entry, Wanted
from wsplatform.registry.store import Store, settled

MAX_OF_ACTION: Final = 20_000
KEPT_SECONDS: Final = 400 * 86_400.0
PRUNE_EVERY: Final = 500
"""Entries from one look for those that are too many to the next."""

_PRUNE_AT_ONCE: Final = 2 * PRUNE_EVERY


class Audit:
    def __init__(self, store: Store, reader: Store, clock: Callable[[], float] = time.time) -> None:
        """`reader`: the same database, where questions keep nobody waiting. `clock`: seconds since 1970."""
        self._store = store
        self._reader = reader
        self._clock = clock
        self._listeners: list[Callable[[Entry], None]] = []
        self._recorded = 0

    async def record(
        self,
        actor: Actor,
        action: Action,
        target: str,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        """For what is no change of the database: call it before the deed, so that none is without its entry.

        Raises RequestError `database_unavailable`.
        """
        await settled(self.submit(Deed(actor, action, target, before, after)))

    def submit(self, deed: Deed) -> asyncio.Future[Entry]:
        """As `record`, for who does not wait."""
        future = self._store.submit(partial(self.write, deed=deed))
        future.add_done_callback(self._settled)
        return future

    def write(self, database: Database, deed: Deed) -> Entry:
        """For an operation of the store that is the deed itself; tell `committed` when it is done."""
        return audit_rows.add(database, deed, self._clock())

    def committed(self, entry: Entry) -> None:
        self._recorded += 1
        if self._recorded % PRUNE_EVERY == 0:
            self.prune()
        for listener in self._listeners:
            asyncio.get_running_loop().call_soon(listener, entry)

    async def find(self, wanted: Wanted) -> list[Entry]:
        """Raises RequestError `database_unavailable`."""
        return await self._reader.run(partial(audit_rows.find, wanted=wanted), durable=False)

    def prune(self) -> None:
        """Delete what there is too much of."""
        prune = partial(audit_rows.prune, per_action=MAX_OF_ACTION, at_most=_PRUNE_AT_ONCE)
        self._store.submit(prune, durable=False)

    def forget(self) -> None:
        """Delete what is too old by a clock that can be believed."""
        forget = partial(audit_rows.forget, before=self._clock() - KEPT_SECONDS, at_most=_PRUNE_AT_ONCE)
        self._store.submit(forget, durable=False)

    def subscribe(self, listener: Callable[[Entry], None]) -> None:
        """Call `listener` soon with each entry that is committed from now on."""
        self._listeners.append(listener)

    def _settled(self, future: asyncio.Future[Entry]) -> None:
        if future.exception() is None:
            self.committed(future.result())
        else:
            logger.error("An entry of the audit log could not be written")
