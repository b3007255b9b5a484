from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.throttle import Throttle


def test_one_line_per_key_and_period_with_the_count_of_those_held_back() -> None:
    throttle = Throttle(10.0)
    assert throttle.allow("a", 0.0) == 0
    assert [throttle.allow("a", 1.0), throttle.allow("a", 9.9)] == [None, None]
    assert throttle.allow("b", 9.9) == 0
    assert throttle.allow("a", 10.0) == 2
    assert throttle.allow("a", 11.0) is None
    assert throttle.allow("a", 100.0) == 1


def test_invented_keys_share_one_turn_when_too_many() -> None:
    throttle = Throttle(10.0, max_keys=3)
    lines = [throttle.allow(str(number), 0.0) for number in range(100)]
    assert lines == [0, 0, 0, 0] + [None] * 96
    assert throttle.allow("another", 10.0) == 0


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(min_value=0, max_value=30)), max_size=200),
    st.integers(min_value=1, max_value=4),
)
def test_never_more_than_the_bound_whatever_the_keys(calls: list[tuple[str, float]], max_keys: int) -> None:
    throttle = Throttle(10.0, max_keys)
    now = 0.0
    allowed: list[tuple[str, float]] = []
    for key, wait in calls:
        now += wait
        if throttle.allow(key, now) is not None:
            allowed.append((key, now))
    for _, start in allowed:
        window = [key for key, time in allowed if start <= time < start + 9.999]
        assert len(window) <= 2 * (max_keys + 1)


@given(st.lists(st.floats(min_value=0, max_value=15), max_size=100))
def test_every_line_is_let_through_or_counted(waits: list[float]) -> None:
    throttle = Throttle(10.0)
    now, told = 0.0, 0
    for wait in waits:
        now += wait
        held = throttle.allow("key", now)
        told += 0 if held is None else held + 1
    assert told + (throttle.allow("key", now + 11) or 0) == len(waits)
