import math

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.departure import HASTE, STEP, Departure

GRACE = 5.0
totals = st.integers(1, 5000)
durations = st.floats(0.1, 120)


def run(total: int, seconds: float, stalls: dict[int, float]) -> list[float]:
    """When each goes, if the loop comes so many seconds late to the steps of these numbers."""
    departure = Departure(total, 100.0, seconds, GRACE)
    now, left, moments, step = 100.0, total, list[float](), 0
    while left:
        now += stalls.get(step, 0.0)
        count, wait = departure.next(left, now)
        assert 1 <= count <= left
        moments += [now] * count
        left -= count
        now += wait
        step += 1
    return moments


def most_within(moments: list[float], width: float) -> int:
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - width:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(totals, durations)
def test_evenly_to_the_end(total: int, seconds: float) -> None:
    moments = run(total, seconds, {})
    assert moments[0] == 100.0
    assert moments[-1] <= 100.0 + seconds
    for part in (0.25, 0.5, 0.75):
        gone = sum(moment <= 100.0 + seconds * part for moment in moments)
        assert abs(gone - total * part) <= max(math.ceil(2 * STEP * total / seconds), 2)


@given(totals, durations, st.dictionaries(st.integers(0, 300), st.floats(0.01, 3.0), max_size=3))
def test_what_a_stall_has_delayed_is_made_up_for_and_not_at_once(
    total: int, seconds: float, stalls: dict[int, float]
) -> None:
    moments = run(total, seconds, stalls)
    late = moments[-1] - (100.0 + seconds)
    assert late <= min(seconds / 2, GRACE) + sum(stalls.values())
    if sum(stalls.values()) < min(seconds / 4, GRACE / 2):  # else the end comes before it is made up for
        width = max(seconds / 10, 2 * STEP)
        even = total * width / seconds
        assert most_within(moments, width) <= HASTE * even + max(HASTE * STEP * total / seconds, 1) + 2


def test_who_has_no_time_lets_all_go() -> None:
    assert Departure(7, 100.0, 0.0).next(7, 100.0) == (7, 0.0)


def test_at_the_latest_all_go() -> None:
    departure = Departure(1000, 100.0, 10.0, GRACE)
    assert departure.next(900, 110.0)[0] < 10
    assert departure.next(900, 115.0) == (900, 0.0)


def test_nobody_is_left() -> None:
    assert Departure(0, 100.0, 10.0).next(0, 100.0) == (0, 0.0)
