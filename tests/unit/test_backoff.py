from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.backoff import Backoff, wait

UNIT = st.floats(min_value=0, max_value=1)


def test_doubles_to_the_cap_and_starts_again_after_a_success() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next(0.0) for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next(0.0) == 0.5


def test_chance_takes_away_up_to_half() -> None:
    assert Backoff(1.0, 8.0).next(1.0) == 0.5
    assert Backoff(1.0, 8.0).next(0.5) == 0.75


@given(st.integers(min_value=1, max_value=10**9), UNIT)
def test_stays_between_half_of_first_and_cap(failures: int, unit: float) -> None:
    assert 0.05 <= wait(failures, 0.1, 5.0, unit) <= 5.0


@given(st.integers(min_value=1, max_value=50), UNIT)
def test_never_shrinks_by_more_than_chance(failures: int, unit: float) -> None:
    assert wait(failures + 1, 0.1, 5.0, unit) >= wait(failures, 0.1, 5.0, unit)
