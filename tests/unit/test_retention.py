"""What is deleted because of its age, whatever the clock says meanwhile."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from wsplatform.core.retention import SLIP_SECONDS, EvenClock, chunks_kept, oldest_kept

CHUNK, KEEP = 60, 300
KEPT = chunks_kept(CHUNK, KEEP)
YEAR = 365 * 86_400
NOW = 50 * YEAR
CLOCKS = st.integers(-20, 20).map(lambda minutes: NOW + 60 * minutes) | st.sampled_from((0, NOW - YEAR, NOW + 3 * YEAR))


@given(st.lists(st.tuples(CLOCKS, st.lists(st.integers(-30, 30), max_size=4)), max_size=30))
@example([(NOW, [*range(-5, 1)]), (NOW + 3 * YEAR, []), (NOW, [])])
def test_no_clock_deletes_more_than_newer_values_take_the_place_of(rounds: list[tuple[int, list[int]]]) -> None:
    """In each round: what the clock shows, and in which minutes there are values now."""
    there: set[int] = set()
    for now, came in rounds:
        there |= {NOW + CHUNK * minute for minute in came}
        before = set(there)
        horizon = oldest_kept(there, CHUNK, KEEP, now)
        there = {begin for begin in there if begin >= horizon}
        gone = before - there
        assert not gone or len([begin for begin in there if begin <= now]) >= KEPT
        assert all(begin + CHUNK <= now - KEEP for begin in gone)
        assert len([begin for begin in there if begin < now - KEEP - CHUNK]) <= KEPT  # a disk does not fill


def test_a_clock_that_is_ahead_for_a_minute_costs_a_minute() -> None:
    there = [NOW - CHUNK * minute for minute in range(KEPT)]
    ahead = NOW + 3 * YEAR
    assert oldest_kept(there, CHUNK, KEEP, ahead) <= min(there)
    assert oldest_kept([*there, ahead], CHUNK, KEEP, ahead) == sorted(there)[1]
    assert oldest_kept([*there, ahead], CHUNK, KEEP, NOW + CHUNK) <= min(there)


def test_with_a_clock_that_is_right_what_is_kept_is_as_old_as_it_may_be() -> None:
    there = {NOW - CHUNK * minute for minute in range(100)}
    for minute in range(100):
        now = NOW + CHUNK * minute
        there.add(now)
        there = {begin for begin in there if begin >= oldest_kept(there, CHUNK, KEEP, now)}
        assert min(there) == now - KEEP - CHUNK


@given(st.lists(st.tuples(st.integers(1, 600), st.sampled_from((0.0, 0.1, -0.1, 3 * YEAR, -YEAR))), max_size=200))
def test_a_clock_is_even_when_nobody_has_set_it_for_long_enough(looks: list[tuple[int, float]]) -> None:
    """So many seconds after the look before, the clock has been moved by so much."""
    clock = EvenClock(3600)
    now, steady, since, first = float(NOW), 0.0, 0.0, True
    for seconds, moved in looks:
        now += seconds + moved
        steady += seconds
        if abs(moved) > SLIP_SECONDS or first:
            since = steady
        first = False
        even = clock.look(now, steady)
        assert even == (steady - since >= 3600)
        since = steady if even else since
