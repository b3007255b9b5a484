"""The nodes' readiness on its way to the database: nothing that must not get lost, so nobody ever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from wsplatform.model import Instance, Member
from wsplatform.registry import rows
from wsplatform.registry.store import Store


class Notes:
    """Waits here while the database cannot be used."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed: set[Instance] = set()
        self._writing: asyncio.Future[None] | None = None

    def readiness(self, instance: Instance) -> None:
        """The readiness of `instance` has changed."""
        self._changed.add(instance)

    def write(self, members: Iterable[Member]) -> None:
        """Hand over what waits, unless the last time is still under way. `members`: the view as it is."""
        if not self._changed or (self._writing is not None and not self._writing.done()):
            return
        changed = tuple(member for member in members if member.instance in self._changed)
        if changed:
            self._writing = self._store.submit(partial(rows.save_readiness, members=changed), durable=False)
            self._writing.add_done_callback(partial(self._written, self._changed))
        self._changed = set()

    def _written(self, changed: set[Instance], future: asyncio.Future[None]) -> None:
        if future.exception() is not None:
            self._changed |= changed
