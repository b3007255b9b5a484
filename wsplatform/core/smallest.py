"""The first so many of a list that comes in any order and in pieces, of which no more than twice as many are kept."""

from __future__ import annotations

from collections.abc import Iterable


class Smallest:
    """The `limit` smallest of distinct texts."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[str] = []
        self.bound: str | None = None
        """Whatever is not smaller than this needs not be added; None: anything may."""

    def add(self, texts: Iterable[str]) -> None:
        bound = self.bound
        self._kept.extend(texts if bound is None else (text for text in texts if text < bound))
        if len(self._kept) > 2 * self._limit:
            self._cut()

    def result(self) -> tuple[list[str], bool]:
        """In order, and whether there were more."""
        self._cut()
        return self._kept, self.bound is not None

    def _cut(self) -> None:
        self._kept.sort()
        if len(self._kept) > self._limit:
            del self._kept[self._limit :]
            self.bound = self._kept[-1]
