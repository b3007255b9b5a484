"""Whose clock is wrong, and by how much, is told in spite of what is late on its way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.clocks import WRONG_SECONDS, Clock

NOW = 1_700_000_000.0
ENOUGH = 3
DELAYS = st.lists(st.floats(0, 60), min_size=ENOUGH, max_size=8)


def heard(ahead: float, delays: list[float]) -> Clock:
    clock = Clock()
    for number, delay in enumerate(delays):
        clock.heard(NOW + number + ahead, NOW + number + delay)
    return clock


@given(st.floats(-1000, 1000), DELAYS, st.floats(0, 1))
def test_the_quickest_heartbeat_tells_the_truth(ahead: float, delays: list[float], least: float) -> None:
    found = heard(ahead, [*delays[1:], least]).ahead
    assert found == 0.0 or abs(found - ahead) <= 2
    if abs(ahead) > WRONG_SECONDS + 1:
        assert found


@given(DELAYS)
def test_heartbeats_that_are_all_late_never_make_a_clock_look_ahead(delays: list[float]) -> None:
    assert heard(0.0, delays).ahead <= 0


def test_nothing_is_said_before_enough_was_heard() -> None:
    assert heard(120, [0.0] * (ENOUGH - 1)).ahead == 0.0
    assert heard(120, [0.0] * ENOUGH).ahead == 120.0


@pytest.mark.parametrize("sent", [0.0, math.nan, math.inf, -math.inf])
def test_a_node_that_does_not_say_is_taken_for_right(sent: float) -> None:
    clock = Clock()
    for _ in range(ENOUGH):
        clock.heard(sent, NOW)
    assert clock.ahead == 0.0


def test_a_clock_that_was_set_is_right_soon() -> None:
    clock = heard(-300, [0.0] * 8)
    for number in range(8):
        clock.heard(NOW + number, NOW + number)
    assert clock.ahead == 0.0
