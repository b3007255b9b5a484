"""When processes are started again, and when they are given up."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.restarts import HOPELESS_STARTS, STABLE_SECONDS, Restarts

QUICK = STABLE_SECONDS / 2


def fail(restarts: Restarts, name: str, times: int, now: float = 0.0) -> list[float]:
    """The waits after runs that end too soon."""
    waits = []
    for _ in range(times):
        restarts.began(name, now)
        waits.append(restarts.ended(name, now + QUICK, 0.0))
    return waits


def test_each_failed_start_is_waited_for_longer_up_to_a_limit() -> None:
    waits = fail(Restarts(["a"]), "a", 20)
    assert waits[0] <= 0.1
    assert all(one <= other for one, other in itertools.pairwise(waits))
    assert waits[-1] == waits[-2] == 15.0


def test_a_run_that_lasted_makes_good_for_all_before() -> None:
    restarts = Restarts(["a"])
    first, *_, last = fail(restarts, "a", HOPELESS_STARTS)
    assert first < last
    assert restarts.hopeless(100.0)
    restarts.began("a", 100.0)
    assert not restarts.hopeless(100.0 + STABLE_SECONDS)
    assert restarts.ended("a", 100.0 + STABLE_SECONDS, 0.0) == first
    assert not restarts.hopeless(200.0)


def test_one_that_fails_alone_is_tried_for_ever() -> None:
    restarts = Restarts(["good", "bad"])
    restarts.began("good", 0.0)
    fail(restarts, "bad", 1000)
    assert not restarts.hopeless(1000.0)


def test_when_all_fail_again_and_again_there_is_no_sense_in_it() -> None:
    restarts = Restarts(["a", "b"])
    fail(restarts, "a", HOPELESS_STARTS)
    fail(restarts, "b", HOPELESS_STARTS - 1)
    assert not restarts.hopeless(0.0)
    fail(restarts, "b", 1)
    assert restarts.hopeless(0.0)


def test_one_that_has_just_been_started_once_more_is_no_hope_yet() -> None:
    restarts = Restarts(["a", "b"])
    fail(restarts, "a", HOPELESS_STARTS)
    fail(restarts, "b", HOPELESS_STARTS)
    restarts.began("a", 50.0)
    assert restarts.hopeless(51.0)
    assert not restarts.hopeless(50.0 + STABLE_SECONDS)


def test_retired_ones_count_as_gone() -> None:
    restarts = Restarts(["a", "b"])
    restarts.began("a", 0.0)
    restarts.began("b", 0.0)
    restarts.retire("a")
    assert not restarts.hopeless(100.0)
    restarts.retire("b")
    assert restarts.hopeless(100.0)


def test_what_others_can_do_without_is_tried_for_ever() -> None:
    restarts = Restarts(["registry"], forever=True)
    fail(restarts, "registry", 100)
    assert not restarts.hopeless(0.0)


runs = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100), st.floats(0, 1)), max_size=60)


@given(runs)
def test_a_wait_is_never_long_and_never_nothing(history: list[tuple[str, float, float]]) -> None:
    restarts = Restarts("abc")
    now = 0.0
    for name, lasted, chance in history:
        restarts.began(name, now)
        now += lasted
        assert 0.0 < restarts.ended(name, now, chance) <= 15.0
