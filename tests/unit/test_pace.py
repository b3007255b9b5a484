import math

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.pace import Pace

rates = st.floats(0.001, 1_000_000)
durations = st.floats(0.001, 10_000)


@given(rates, durations, st.integers(0, 10**9))
def test_who_sleeps_until_a_moment_finds_it_due_and_nothing_later(rate: float, seconds: float, number: int) -> None:
    pace = Pace(rate, seconds)
    number = min(number, pace.total - 1)
    moment = pace.moment(number)
    assert pace.due(moment) >= number + 1
    assert pace.due(math.nextafter(moment, -1)) <= number
    assert pace.due(moment) == pace.total or pace.moment(pace.due(moment)) > moment


@given(rates, durations, st.floats(-1, 20_000), st.floats(-1, 20_000))
def test_due_never_goes_back_and_never_over_the_total(rate: float, seconds: float, one: float, other: float) -> None:
    pace = Pace(rate, seconds)
    assert 0 <= pace.due(min(one, other)) <= pace.due(max(one, other)) <= pace.total


def test_spread_evenly_from_the_start_on() -> None:
    pace = Pace(20, 2.5)
    assert pace.total == 50
    assert [pace.due(moment) for moment in (-0.01, 0, 0.049, 0.05, 2.44, 2.45, 2.5, 99)] == [0, 1, 1, 2, 49, 50, 50, 50]


def test_less_than_one_in_the_time_is_one() -> None:
    assert (Pace(0.1, 2).total, Pace(0.1, 2).due(0)) == (1, 1)


def test_no_rate_is_nothing() -> None:
    pace = Pace(0, 10)
    assert (pace.total, pace.due(5)) == (0, 0)
