"""The roster on disk: changes are decided in order, committed, and only then true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from wsplatform.core.roster import Roster
from wsplatform.errors import RequestError
from wsplatform.registry import rows
from wsplatform.registry.store import Store, look_at_error

Step = Callable[[Roster], Roster]


class Ledger:
    """The roster and the number of its view, which only grows.

    One commit is under way at a time; what is asked for meanwhile goes into the next one together.
    """

    def __init__(self, store: Store, clock: Callable[[], float], committed: Callable[[], None]) -> None:
        """`clock`: seconds since 1970; `committed` is called after each change, before those who asked are answered."""
        self.roster = Roster()
        self.number = 0
        self._store = store
        self._clock = clock
        self._committed = committed
        self._least = 0
        self._waiting: list[tuple[Step, asyncio.Future[None]]] = []
        self._under_way = False

    async def load(self) -> None:
        self.number, self.roster = await self._store.run(rows.load_roster)

    def change(self, step: Step, above: int = 0) -> asyncio.Future[None]:
        """Apply `step`, a pure function, to the roster. Done when it is committed, or when it changes nothing.

        above: a number that somebody has from a registry whose database is lost; the view gets a higher one.
        The future raises what `step` raises (RequestError), or RequestError `database_unavailable`: nothing changed.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(look_at_error)
        self._waiting.append((step, future))
        self._least = max(self._least, above)
        self._go_on()
        return future

    def exceed(self, number: int) -> asyncio.Future[None] | None:
        """Issue a view above `number`, whoever is in it. None: not needed."""
        if number <= max(self.number, self._least):
            return None
        return self.change(lambda roster: roster, number)

    def _go_on(self) -> None:
        if self._under_way or not self._waiting:
            return
        roster = self.roster
        asked: list[asyncio.Future[None]] = []
        for step, future in self._waiting:
            try:
                roster = step(roster)
                asked.append(future)
            except RequestError as error:
                _fail(future, error)
        self._waiting = []
        if roster is self.roster and self._least <= self.number:
            _succeed(asked)
            return
        self._under_way = True
        commit = self._store.submit(partial(rows.save_roster, change=self._difference(roster)))
        commit.add_done_callback(partial(self._answered, roster, asked))

    def _difference(self, roster: Roster) -> rows.Change:
        old = self.roster.seats
        anew = roster.members != self.roster.members or self._least > self.number
        return rows.Change(
            seats=tuple(seat for node_id, seat in roster.seats.items() if seat is not old.get(node_id)),
            forgotten=tuple(node_id for node_id in old if node_id not in roster.seats),
            members=roster.members if anew else None,
            above=max(self.number, self._least),
            now=self._clock(),
        )

    def _answered(self, roster: Roster, asked: list[asyncio.Future[None]], commit: asyncio.Future[int]) -> None:
        self._under_way = False
        error = commit.exception()
        if error is None:
            self.roster = roster
            self.number = commit.result()
            self._committed()
            _succeed(asked)
        else:
            self._least = min(self._least, self.number)
            for future in asked:
                _fail(future, error)
        self._go_on()


def _succeed(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
