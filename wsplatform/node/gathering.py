"""Pages of long lists, gathered in slices of a turn of the loop: a million names must not stop a node."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from loguru import logger

from wsplatform.core.smallest import Smallest
from wsplatform.errors import TOO_MANY_REQUESTS, CommandError

SLICE: Final = 1000
"""Names looked at in one turn at most, which takes some 0.2 ms where they are easy to match."""

TURN_SECONDS: Final = 0.002
"""How long a turn may take, about: a pattern can make a single name cost as much."""

_FIRST: Final = 4
"""Names of the first turn, of which nobody knows yet what they cost."""

MAX_WAITING: Final = 32
"""Lists that wait for their turn; one more is refused."""

PAGE_BYTES: Final = 100_000
"""Of a page, about: it must fit into a message between nodes, and let others pass."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """What a page is made of. names: all there are, distinct, in any order, taken when the page's turn comes.

    wanted: whether a name is on the list. item: what stands for it, None when it has gone meanwhile. size: of an item,
    in bytes, about.
    """

    names: Callable[[], Sequence[str]]
    wanted: Callable[[str], bool]
    item: Callable[[str], T | None]
    size: Callable[[T], int]


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """Items in the order of their names. upto: it is whole up to this name; None: to the end of the list."""

    items: tuple[T, ...]
    upto: str | None


class Gathering:
    """One list at a time, the others wait."""

    def __init__(self) -> None:
        self._waiting: deque[Iterator[None]] = deque()

    def gather(self, listing: Listing[T], after: str, limit: int, done: Callable[[Part[T]], None]) -> None:
        """`done` gets the first `limit` after the name `after`, in a later turn; fewer where they are large.

        Raises CommandError TOO_MANY_REQUESTS, which is temporary.
        """
        self._check()
        self._gather(listing, after, limit, done)

    def go_through(
        self, names: Callable[[], Sequence[str]], look: Callable[[Sequence[str]], None], done: Callable[[], None]
    ) -> None:
        """`look` gets all names, a slice in each turn, then `done` is called. names: as in Listing.

        Raises CommandError TOO_MANY_REQUESTS, which is temporary.
        """
        self._check()
        self._begin(names, look, done)

    def _gather(self, listing: Listing[T], after: str, limit: int, done: Callable[[Part[T]], None]) -> None:
        smallest = Smallest(limit)

        def look(part: Sequence[str]) -> None:
            bound = smallest.bound
            smallest.add(
                name for name in part if name > after and (bound is None or name < bound) and listing.wanted(name)
            )

        def finish() -> None:
            part = _part(listing, *smallest.result())
            if part.items or part.upto is None:
                done(part)
            else:  # all that would be on it has gone: whoever reads page after page would see no progress
                self._gather(listing, part.upto, limit, done)

        self._begin(listing.names, look, finish)

    def _check(self) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise CommandError(TOO_MANY_REQUESTS, "the node is busy with other lists: try again")

    def _begin(
        self, names: Callable[[], Sequence[str]], look: Callable[[Sequence[str]], None], done: Callable[[], None]
    ) -> None:
        self._waiting.append(_steps(names, look, done))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        try:
            next(self._waiting[0])
        except StopIteration:
            self._waiting.popleft()
        except Exception as error:  # noqa: BLE001 - logged; who asked has a time of his own, the others must not wait
            logger.opt(exception=error).error("a list could not be gathered")
            self._waiting.popleft()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)


def _steps(
    names: Callable[[], Sequence[str]], look: Callable[[Sequence[str]], None], done: Callable[[], None]
) -> Iterator[None]:
    """Gives the turn up after each slice, which is as large as the time that the one before took allows."""
    rest, size = iter(names()), _FIRST
    while part := tuple(islice(rest, size)):
        began = time.perf_counter()
        look(part)
        fits = size * TURN_SECONDS / max(time.perf_counter() - began, 1e-6)
        size = max(1, min(int(fits), 2 * size, SLICE))
        yield
    done()


def _part(listing: Listing[T], names: Sequence[str], more: bool) -> Part[T]:
    items: list[T] = []
    room = PAGE_BYTES
    for place, name in enumerate(names):
        item = listing.item(name)
        if item is None:
            continue
        room -= listing.size(item)
        if room < 0 and items:
            return Part(tuple(items), names[place - 1])
        items.append(item)
    return Part(tuple(items), names[-1] if more else None)
