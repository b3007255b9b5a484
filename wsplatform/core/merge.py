"""One page out of the pages of many, each in the order of its keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items with their keys. upto: all are here up to this key; None: to the end."""

    items: Iterable[tuple[str, T]]
    upto: str | None


def merge(pages: Iterable[Page[T]], limit: int) -> tuple[dict[str, list[T]], str | None]:
    """The first `limit` keys, in order, with the items of each; and the key after which to go on, None at the end.

    No key is passed over: what one of the pages does not reach is for the next time, if need be all of it.
    """
    pages = tuple(pages)
    bound = min((page.upto for page in pages if page.upto is not None), default=None)
    found: dict[str, list[T]] = {}
    for page in pages:
        for key, item in page.items:
            if bound is None or key <= bound:
                found.setdefault(key, []).append(item)
    keys = sorted(found)
    if len(keys) <= limit:
        return {key: found[key] for key in keys}, bound
    return {key: found[key] for key in keys[:limit]}, keys[limit - 1]
