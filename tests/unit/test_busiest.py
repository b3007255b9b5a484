"""The busiest names: what is said of them holds, and memory stays bounded."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.busiest import GATHERED, KEPT, Busiest, highest

_STREAMS = st.lists(st.integers(0, 40).map(str), max_size=400)


@given(_STREAMS, st.integers(1, 10), st.integers(1, 10))
def test_counts_are_never_too_high_and_too_low_by_the_totals_share_of_a_place_at_most(
    names: list[str], kept: int, gathered: int
) -> None:
    busiest = Busiest(kept, gathered)
    for name in names:
        busiest[name] += 1
        assert busiest.held <= kept + gathered
    found = busiest.take()
    for name, count in Counter(names).items():
        assert 0 <= count - found.get(name, 0) <= len(names) / (kept + 1)


@given(_STREAMS, st.integers(1, 50))
def test_few_names_are_counted_exactly_and_the_highest_come_first(names: list[str], limit: int) -> None:
    busiest = Busiest()
    for name in names:
        busiest[name] += 1
    found = highest(busiest.take(), limit)
    true = Counter(names)
    assert [count for _, count in found] == sorted(true.values(), reverse=True)[:limit]
    assert all(true[name] == count for name, count in found)


def test_taking_begins_anew() -> None:
    busiest = Busiest(2, 2)
    for name in "aaaaabbcdefg":
        busiest[name] += 1
    assert highest(busiest.take(), 1)[0][0] == "a"
    assert busiest.take() == {}
    busiest["b"] += 1
    assert busiest.take() == {"b": 1}


def test_a_million_names_take_no_more_than_some_thousand_places_and_do_not_hide_the_busy_one() -> None:
    busiest = Busiest()
    for number in range(300_000):
        busiest[f"c{number}"] += 1
        if not number % 100:
            busiest["hot"] += 1
        assert not number % 1000 or busiest.held <= KEPT + GATHERED
    assert highest(busiest.take(), 1)[0][0] == "hot"
