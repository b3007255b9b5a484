"""What is written down of the nodes' reports: nothing that must not get lost, so nobody ever waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Final

from wsplatform.model import Instance, Member
from wsplatform.registry import rows
from wsplatform.registry.store import Store

KEPT_SECONDS: Final = 3600.0
MAX_BATCH: Final = 1000


class Notes:
    """Metric samples and readiness on their way to the database; they wait here while it cannot be used."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._samples: deque[rows.Sample] = deque()
        self._unready: set[Instance] = set()
        self._writing: asyncio.Future[None] | None = None

    def sample(self, samples: Iterable[rows.Sample], now: float) -> None:
        """Add `samples`, which become void after KEPT_SECONDS. `now`: seconds since 1970."""
        self._samples.extend(samples)
        while self._samples and self._samples[0].taken_at < now - KEPT_SECONDS:
            self._samples.popleft()

    def readiness(self, instance: Instance) -> None:
        """The readiness of `instance` has changed."""
        self._unready.add(instance)

    def write(self, members: Iterable[Member], now: float) -> None:
        """Hand over what waits, unless the last time is still under way. `members`: the view as it is."""
        if self._writing is not None and not self._writing.done():
            return
        changed = tuple(member for member in members if member.instance in self._unready)
        samples = tuple(self._samples)[:MAX_BATCH]
        if not changed and not samples:
            self._unready.clear()
            return
        notes = partial(rows.save_notes, members=changed, samples=samples, oldest=now - KEPT_SECONDS)
        self._writing = self._store.submit(notes, durable=False)
        self._writing.add_done_callback(partial(self._written, self._unready, samples))
        self._unready = set()

    def _written(self, unready: set[Instance], samples: tuple[rows.Sample, ...], future: asyncio.Future[None]) -> None:
        if future.exception() is not None:
            self._unready |= unready
            return
        done = set(map(id, samples))
        while self._samples and id(self._samples[0]) in done:
            self._samples.popleft()
