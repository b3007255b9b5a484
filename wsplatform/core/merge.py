"""One page out of the pages of many, each in the order of its keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items with their keys. upto: all are here up to this key; None: to the end."""

    items: Iterable[tuple[str, T]]
    upto: str | None


@dataclass(frozen=True, slots=True)
class Merged(Generic[T]):
    """found: by key, in order, the items by the name of their page. after: the key after which to go on; None: that

    was all. faulty: names of pages that cannot be, by which nothing is said of what is on them.
    """

    found: dict[str, dict[str, T]]
    after: str | None
    faulty: tuple[str, ...]


def merge(pages: Mapping[str, Page[T]], after: str, limit: int) -> Merged[T]:
    """The first `limit` keys behind `after`.

    No key is passed over: what one of the pages does not reach is for the next time, if need be all of it. A page that
    leads no further, with nothing on it or to where one was before, is faulty: with it the list would never end.
    """
    found: dict[str, dict[str, T]] = {}
    kept: list[tuple[str, str | None, dict[str, T]]] = []
    faulty: list[str] = []
    for name, page in pages.items():
        items = {key: item for key, item in page.items if key > after and (page.upto is None or key <= page.upto)}
        if page.upto is not None and not items:
            faulty.append(name)
        else:
            kept.append((name, page.upto, items))
    bound = min((upto for _, upto, _ in kept if upto is not None), default=None)
    for name, _, items in kept:
        for key, item in items.items():
            if bound is None or key <= bound:
                found.setdefault(key, {})[name] = item
    keys = sorted(found)
    if len(keys) > limit:
        keys, bound = keys[:limit], keys[limit - 1]
    return Merged({key: found[key] for key in keys}, bound, tuple(sorted(faulty)))
