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
    seen: dict[str, set[str]] = {}
    after: str | None = ""
    while after is not None:
        pages = {str(no): page_of(names, after, min(limit, room)) for no, (names, room) in enumerate(nodes)}
        merged = merge(pages, after, limit)
        assert len(merged.found) <= limit
        assert list(merged.found) == sorted(merged.found)
        assert not seen.keys() & merged.found.keys()
        assert merged.after is None or merged.after > after
        assert merged.faulty == ()
        seen |= {name: set(items) for name, items in merged.found.items()}
        after = merged.after
    whose = {
        name: {str(no) for no, (names, _) in enumerate(nodes) if name in names} for names, _ in nodes for name in names
    }
    assert seen == whose


@given(NAMES, NAMES, NAMES)
def test_what_comes_and_goes_between_two_pages_disturbs_nothing_else(
    first: set[str], gone: set[str], new: set[str]
) -> None:
    seen: list[str] = []
    after: str | None = ""
    names = first
    while after is not None:
        merged = merge({"n": page_of(names, after, 3)}, after, 3)
        seen += merged.found
        after = merged.after
        names = (first - gone) | new
    assert len(set(seen)) == len(seen)
    assert first - gone <= set(seen) <= first | new


SOME = st.text("abc", max_size=2)
ANY_PAGE = st.builds(Page, st.lists(st.tuples(SOME, st.just("made up")), max_size=6), st.none() | SOME)
"""Unsorted, with names twice, behind where it says that it ends, before where it was to begin, more than the limit."""


@given(NAMES, st.integers(1, 3), st.integers(1, 6), st.data())
def test_a_node_that_answers_anything_neither_holds_up_a_list_nor_hides_what_others_have(
    names: set[str], room: int, limit: int, data: st.DataObject
) -> None:
    seen: list[str] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        strange = data.draw(ANY_PAGE)
        merged = merge({"honest": page_of(names, after, min(limit, room)), "strange": strange}, after, limit)
        assert merged.after is None or merged.after > after
        assert "honest" not in merged.faulty
        assert len(merged.found) <= limit
        assert all(key > after for key in merged.found)
        seen += [name for name, items in merged.found.items() if "honest" in items]
        after = merged.after
        pages += 1
    assert seen == sorted(names)
    assert pages <= len(names) + 3 * 3 + 3 + 1  # the names that it can make up


def test_a_node_that_repeats_itself_is_named() -> None:
    same: Page[str] = Page([("a", "x"), ("b", "x")], "b")
    assert merge({"n1": same, "n2": page_of({"c"}, "b", 9)}, "b", 9).faulty == ("n1",)
    assert merge({"n1": same, "n2": page_of({"c"}, "b", 9)}, "b", 9).found == {"c": {"n2": "c"}}
    assert merge({"n1": Page([], "z")}, "b", 9).after is None
