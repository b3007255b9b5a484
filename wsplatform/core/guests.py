"""Who has begun to say who they are and is not done with it: bounded, and fair to where they come from.

If the oldest of all made room, a stranger who begins again and again would push out every node before its second word.
So it is the one who takes the most room that gives way to others, and to himself.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from wsplatform.core.tries import source

K = TypeVar("K", bound=Hashable)


class Guests(Generic[K]):
    """At most `most`. Of those from one source (core/tries.py) the oldest is first."""

    __slots__ = ("_most", "_of_source", "_source")

    def __init__(self, most: int) -> None:
        self._most = most
        self._source: dict[K, str] = {}
        self._of_source: dict[str, dict[K, None]] = {}

    def add(self, guest: K, address: str) -> K | None:
        """Who is out for it: the oldest from the source that has the most; of several such, from the first of them."""
        where = self._source[guest] = source(address)
        self._of_source.setdefault(where, {})[guest] = None
        if len(self._source) <= self._most:
            return None
        crowd = max(self._of_source.values(), key=len)
        gone = next(iter(crowd))
        self.discard(gone)
        return gone

    def discard(self, guest: K) -> None:
        """Idempotent."""
        where = self._source.pop(guest, None)
        if where is None:
            return
        others = self._of_source[where]
        del others[guest]
        if not others:
            del self._of_source[where]

    def __len__(self) -> int:
        return len(self._source)
