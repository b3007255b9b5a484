"""Pages of names that are gathered on many nodes: core/smallest.py and core/merge.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.merge import Page, merge
from wsplatform.core.smallest import Smallest

NAMES = st.sets(st.text("abc", min_size=1, max_size=4))


@given(st.lists(st.text(max_size=3), unique=True), st.integers(1, 5), st.integers(1, 10))
def test_the_smallest_are_kept_whatever_the_order(texts: list[str], limit: int, piece: int) -> None:
    smallest = Smallest(limit)
    for start in range(0, len(texts), piece):
        part = texts[start : start + piece]
        smallest.add(text for text in part if smallest.bound is None or text < smallest.bound)
    assert smallest.result() == (sorted(texts)[:limit], len(texts) > limit)


def page_of(names: set[str], after: str, limit: int) -> Page[str]:
    """As a node gives it, which may have room for less than was asked."""
    found = sorted(name for name in names if name > after)
    return Page([(name, name) for name in found[:limit]], found[limit - 1] if len(found) > limit else None)


@given(st.lists(st.tuples(NAMES, st.integers(1, 4)), max_size=4), st.integers(1, 6))
def test_page_after_page_gives_every_name_once_with_all_who_have_it(
    nodes: list[tuple[set[str], int]], limit: int
) -> None:
    seen: dict[str, int] = {}
    after: str | None = ""
    while after is not None:
        pages = [page_of(names, after, min(limit, room)) for names, room in nodes]
        found, following = merge(pages, limit)
        assert len(found) <= limit
        assert list(found) == sorted(found)
        assert not seen.keys() & found.keys()
        assert following is None or following > after
        seen |= {name: len(items) for name, items in found.items()}
        after = following
    assert seen == {name: sum(name in names for names, _ in nodes) for names, _ in nodes for name in names}


@given(NAMES, NAMES, NAMES)
def test_what_comes_and_goes_between_two_pages_disturbs_nothing_else(
    first: set[str], gone: set[str], new: set[str]
) -> None:
    seen: list[str] = []
    after: str | None = ""
    names = first
    while after is not None:
        found, after = merge([page_of(names, after, 3)], 3)
        seen += found
        names = (first - gone) | new
    assert len(set(seen)) == len(seen)
    assert first - gone <= set(seen) <= first | new
