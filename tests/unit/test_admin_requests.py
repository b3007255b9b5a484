from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.errors import RequestError
from wsplatform.web.admin.requests import page, path_text
from wsplatform.web.admin.types import PageQuery

texts = st.text(alphabet=st.characters(exclude_categories=("Cs",)))


@given(st.sets(texts), st.integers(1, 7))
def test_pages_together_are_the_list(items: set[str], limit: int) -> None:
    ordered = sorted(items)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        taken, cursor = page(ordered, str, str, PageQuery(limit=limit, cursor=cursor))
        assert len(taken) <= limit
        found += taken
    assert found == ordered


@given(st.lists(st.tuples(st.floats(0, 1e12), texts), unique=True), st.integers(1, 3), st.data())
def test_what_is_deleted_between_two_pages_takes_nothing_else_with_it(items, limit, data) -> None:
    ordered = sorted(items)
    found: list[tuple[float, str]] = []
    gone: set[tuple[float, str]] = set()
    cursor: str | None = ""
    while cursor is not None:
        query = PageQuery(limit=limit, cursor=cursor)
        taken, cursor = page(ordered, lambda item: item, tuple[float, str], query)
        found += taken
        if ordered:
            victim = data.draw(st.sampled_from(ordered))
            ordered.remove(victim)
            gone.add(victim)
    assert len(found) == len(set(found))
    assert set(items) - gone <= set(found)


@given(st.text())
def test_any_cursor_is_one_or_is_refused(cursor: str) -> None:
    try:
        page(["a"], str, str, PageQuery(cursor=cursor))
    except RequestError as error:
        assert (error.status, error.code) == (400, "bad_cursor")  # noqa: PT017  # most texts are no cursor, some are


@given(st.text(alphabet="%/a0f\xe4"))
def test_any_path_is_text_or_is_refused(part: str) -> None:
    try:
        path_text(part).encode()
    except RequestError as error:
        assert error.code == "bad_path"  # noqa: PT017


def test_a_path_is_decoded_once() -> None:
    assert path_text("chat%3A%2Fa%2525") == "chat:/a%25"
    with pytest.raises(RequestError, match="bad_path"):
        path_text("%ff")
